//! Dispatch: answering a request through Nexo's table, by itself and in both frameworks, each
//! beside the same endpoint written natively. There is no socket and no HTTP to parse.

use std::time::{Duration, Instant};

use ::axum::{Router, body::Body, extract::Request as AxumRequest};
use actix_web::{
    App,
    http::Method as ActixMethod,
    rt::System,
    test::{self, TestRequest},
    web::ServiceConfig,
};
use criterion::{Criterion, Throughput};
use futures::{StreamExt, stream};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use nexo_bench::hosts::{Endpoint, USER, USER_HEADER, World, actix, axum};
use nexo_http::{Request, Route};
use tokio::runtime::Runtime;
use tower_service::Service;

use crate::stores;

/// How long a host takes for so many requests to an endpoint.
type Answer<'a> = &'a dyn Fn(&World, &Endpoint, u64) -> Duration;

/// One iteration is one request, from its parts to its answer's.
pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = stores::runtime();
    let hosts: [(&str, Answer<'_>); 6] = [
        ("table alone", &|world, endpoint, count| {
            runtime.block_on(by_table(&route(world, endpoint), endpoint, count))
        }),
        ("peer: axum, native", &|world, endpoint, count| {
            runtime.block_on(by_axum(axum::native(world), endpoint, count))
        }),
        ("axum, table", &|world, endpoint, count| {
            runtime.block_on(by_axum(axum::neutral(world), endpoint, count))
        }),
        ("peer: actix, native", &|world, endpoint, count| {
            System::new().block_on(by_actix(actix::native(world), endpoint, count))
        }),
        ("actix, table on the worker", &|world, endpoint, count| {
            System::new().block_on(by_actix(actix::neutral(world, None), endpoint, count))
        }),
        ("actix, table on the shared runtime", &|world, endpoint, count| {
            let shared = Some(runtime.handle().clone());
            System::new().block_on(by_actix(actix::neutral(world, shared), endpoint, count))
        }),
    ];
    let mut group = criterion.benchmark_group("answer a request");
    group.throughput(Throughput::Elements(1));
    for (nth, endpoint) in world(&runtime).endpoints().iter().enumerate() {
        for (host, answer) in hosts {
            group.bench_function(format!("{}/{host}", endpoint.name), |b| {
                // A new one each time: what is appended would pile up.
                b.iter_custom(|count| {
                    let world = world(&runtime);
                    answer(&world, &world.endpoints()[nth], count)
                });
            });
        }
    }
    group.finish();
}

fn world(runtime: &Runtime) -> World {
    runtime.block_on(World::new()).expect("it is in memory")
}

fn route(world: &World, endpoint: &Endpoint) -> Route {
    let routes = world.api().routes();
    let found = routes.iter().find(|route| route.path() == endpoint.pattern);
    found.expect("the endpoint is in the table")
}

async fn by_table(route: &Route, endpoint: &Endpoint, count: u64) -> Duration {
    let mut elapsed = Duration::ZERO;
    for _ in 0..count {
        let (method, path) = (endpoint.method.clone(), endpoint.path.clone());
        let request = Request::new(method, path, None, headers(endpoint));
        let body = stream::iter([Ok(endpoint.body.into())]).boxed();
        let started = Instant::now();
        let response = route.handle(request, body).await;
        elapsed += started.elapsed();
        assert_eq!(response.status, StatusCode::OK);
    }
    elapsed
}

async fn by_axum(router: Router, endpoint: &Endpoint, count: u64) -> Duration {
    let mut service = router.into_service::<Body>();
    let mut elapsed = Duration::ZERO;
    for _ in 0..count {
        let mut request = AxumRequest::new(Body::from(endpoint.body));
        *request.method_mut() = endpoint.method.clone();
        *request.uri_mut() = endpoint.path.parse().expect("it is a path");
        *request.headers_mut() = headers(endpoint);
        let started = Instant::now();
        let response = service.call(request).await;
        elapsed += started.elapsed();
        assert_eq!(response.map(|it| it.status()), Ok(StatusCode::OK));
    }
    elapsed
}

async fn by_actix(
    configure: impl FnOnce(&mut ServiceConfig),
    endpoint: &Endpoint,
    count: u64,
) -> Duration {
    let service = test::init_service(App::new().configure(configure)).await;
    let mut elapsed = Duration::ZERO;
    for _ in 0..count {
        let method = ActixMethod::from_bytes(endpoint.method.as_str().as_bytes());
        let mut request = TestRequest::with_uri(&endpoint.path)
            .method(method.expect("it is a method"))
            .set_payload(endpoint.body);
        for (name, value) in &headers(endpoint) {
            request = request.insert_header((name.as_str(), value.as_bytes()));
        }
        let request = request.to_request();
        let started = Instant::now();
        let response = test::call_service(&service, request).await;
        elapsed += started.elapsed();
        assert_eq!(response.status(), actix_web::http::StatusCode::OK);
    }
    elapsed
}

fn headers(endpoint: &Endpoint) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_HEADER, HeaderValue::from_static(USER));
    if !endpoint.body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, endpoint.body.len().into());
    }
    headers
}
