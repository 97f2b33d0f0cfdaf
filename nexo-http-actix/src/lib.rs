#![doc = include_str!("../README.md")]

mod request;
mod response;
mod section;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::Payload,
    web::{self, ServiceConfig},
};
use futures::{FutureExt, TryFutureExt, future::BoxFuture};
use nexo_http::{Api, ApiError, BodyStream, Request, Response, Route};
use section::Section;
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
        for section in Section::all(&routes, &runtime) {
            config.service(section);
        }
        let fallback = routes.fallback();
        config.default_service(web::to(move |request: HttpRequest, payload: web::Payload| {
            let (fallback, runtime) = (fallback.clone(), runtime.clone());
            async move { answer(fallback, runtime, &request, payload.into_inner()).await }
        }));
    }
}

async fn answer(
    route: Route,
    runtime: Option<Handle>,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let (body, passing) = request::body(payload);
    let answering = dispatch(route, runtime.as_ref(), request::neutral(request), body);
    let response = request::while_passing(passing, answering).await;
    response::native(response, runtime.as_ref())
}

/// Answers a request, here or on the runtime, as long as its connection waits for the answer.
fn dispatch(
    route: Route,
    runtime: Option<&Handle>,
    request: Request,
    body: BodyStream,
) -> BoxFuture<'static, Response> {
    let answering = async move { route.handle(request, body).await };
    let Some(runtime) = runtime else { return answering.boxed() };
    let answering = AbortOnDropHandle::new(runtime.spawn(answering));
    let answered = answering.unwrap_or_else(|error| {
        let error = if error.is_panic() { ApiError::INTERNAL } else { ApiError::UNAVAILABLE };
        error.into_response()
    });
    answered.boxed()
}
