#![doc = include_str!("../README.md")]

mod request;
mod response;

use actix_web::{
    Handler, HttpRequest, HttpResponse,
    guard::fn_guard,
    web::{self, Payload, ServiceConfig},
};
use nexo_http::{Api, ApiError, BodyStream, Request, Response, Route};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// The API as the configuration of an application or of a scope: every path registered
/// natively, and a default service that answers the rest with the API's own errors, unless the
/// host sets one after this.
///
/// Each worker of actix is a runtime of its own, with one thread. Requests are answered, and
/// streams are made, on `runtime` instead: name the one in which the `Nexo` was built, which
/// its database connections belong to. With `None` they stay on the worker; that saves a few
/// microseconds, and is for stores that do not care, such as the one in memory.
pub fn configure(
    api: &Api,
    runtime: Option<Handle>,
) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + use<> {
    let routes = api.routes();
    move |config| {
        for route in routes.iter() {
            let own = route.clone();
            let is_own = fn_guard(move |context| own.matches(context.head().uri.path()));
            let resource = web::resource(route.path()).guard(is_own);
            config.service(resource.to(handler(route, runtime.clone())));
        }
        config.default_service(web::to(handler(routes.fallback(), runtime)));
    }
}

fn handler(
    route: Route,
    runtime: Option<Handle>,
) -> impl Handler<(HttpRequest, Payload), Output = HttpResponse> {
    move |request, payload| answer(route.clone(), runtime.clone(), request, payload)
}

async fn answer(
    route: Route,
    runtime: Option<Handle>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let neutral = request::neutral(&request);
    let answer = |body| dispatch(route, runtime.as_ref(), neutral, body);
    let response = request::with_body(payload.into_inner(), answer).await;
    response::native(response, runtime.as_ref())
}

/// Answers a request, here or on the runtime, as long as its connection waits for the answer.
async fn dispatch(
    route: Route,
    runtime: Option<&Handle>,
    request: Request,
    body: BodyStream,
) -> Response {
    let Some(runtime) = runtime else { return route.handle(request, body).await };
    let answering = runtime.spawn(async move { route.handle(request, body).await });
    AbortOnDropHandle::new(answering).await.unwrap_or_else(|error| {
        let error = if error.is_panic() { ApiError::INTERNAL } else { ApiError::UNAVAILABLE };
        error.into_response()
    })
}
