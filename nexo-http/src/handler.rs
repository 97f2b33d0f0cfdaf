//! Handlers: plain `async fn`s whose arguments say what they need.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{
    Api, ApiError, Request, Response,
    input::{Input, Reject},
    openapi::Operation,
    output::Output,
    validate::Violation,
};

/// A handler of any signature, after its arguments' types were erased.
pub(crate) type Erased = Arc<dyn Fn(Request, Api) -> BoxFuture<'static, Response> + Send + Sync>;

/// An `async fn` over inputs that gives an output.
pub(crate) trait Handler<Args>: Copy + Send + Sync + 'static {
    /// Takes the inputs from the request, in order, and calls the function.
    fn call(self, request: Request, api: Api) -> impl Future<Output = Response> + Send + 'static;

    /// Says what the function takes and gives.
    fn describe(operation: &mut Operation<'_>);
}

/// Refuses a request for its violations; but if what its path names does not exist for the
/// caller, that comes first.
async fn refuse(request: Request, api: &Api, violations: Vec<Violation>) -> Response {
    let missing = match &request.named {
        Some(named) => api.confirm(named).await.err(),
        None => None,
    };
    missing.unwrap_or_else(|| ApiError::invalid(violations)).into_response()
}

macro_rules! handler {
    ($($input:ident),*) => {
        impl<F, Fut, O, $($input),*> Handler<($($input,)*)> for F
        where
            F: Fn($($input),*) -> Fut + Copy + Send + Sync + 'static,
            Fut: Future<Output = O> + Send + 'static,
            O: Output + 'static,
            $($input: Input + 'static,)*
        {
            #[allow(non_snake_case, unused_mut, reason = "made for every number of arguments")]
            async fn call(self, mut request: Request, api: Api) -> Response {
                let mut violations = Vec::new();
                $(
                    let $input = match $input::take(&mut request, &api).await {
                        Ok(taken) => Some(taken),
                        Err(Reject::Stop(error)) => return error.into_response(),
                        Err(Reject::Invalid(found)) => {
                            violations.extend(found);
                            None
                        }
                    };
                )*
                if !violations.is_empty() {
                    return refuse(request, &api, violations).await;
                }
                $(let Some($input) = $input else { return refuse(request, &api, violations).await };)*
                let room = request.room.take();
                drop(request);
                let response = self($($input),*).await.into_response();
                drop(room);
                response
            }

            fn describe(operation: &mut Operation<'_>) {
                $($input::describe(operation);)*
                O::describe(operation);
            }
        }
    };
}

handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, E);
