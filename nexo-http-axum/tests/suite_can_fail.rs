//! The suite notices an adapter that does what frameworks do by themselves: a suite that
//! passes everything would prove nothing.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use std::{
    convert::Infallible,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::IntoResponse,
};
use common::serve_router;
use futures::{StreamExt, future::BoxFuture, stream};
use nexo_core::MemoryStore;
use nexo_http::{
    Api,
    conformance::{Setup, cases, run},
};

/// Whether a case holds with an adapter that does this to the router.
fn passes(case: fn(Setup) -> BoxFuture<'static, ()>, change: fn(Router) -> Router) -> bool {
    let serve = move |api: Api| serve_router(change(nexo_http_axum::router(&api)));
    let setup = Setup::new(Arc::new(MemoryStore::new()), serve);
    catch_unwind(AssertUnwindSafe(|| run(case(setup)))).is_ok()
}

#[track_caller]
fn assert_noticed(case: fn(Setup) -> BoxFuture<'static, ()>, change: fn(Router) -> Router) {
    assert!(passes(case, |router| router), "the case fails without the fault");
    assert!(!passes(case, change), "the case does not notice the fault");
}

#[test]
fn an_adapter_that_answers_head_like_get_is_noticed() {
    assert_noticed(cases::head_is_not_answered_like_get, |router| {
        router.layer(from_fn(async |mut request: Request, next: Next| {
            if request.method() == Method::HEAD {
                *request.method_mut() = Method::GET;
            }
            next.run(request).await
        }))
    });
}

/// Does something to the body of every event stream.
fn with_streams(router: Router, change: fn(Body) -> Body) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| async move {
        let response = next.run(request).await;
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            response.map(change)
        } else {
            response
        }
    }))
}

#[test]
fn an_adapter_that_puts_events_together_is_noticed() {
    assert_noticed(cases::the_simulator_streams_in_deltas_of_twenty_characters, |router| {
        with_streams(router, |body| {
            let pairs = body.into_data_stream().chunks(2).map(|pair| {
                let pair: Vec<_> = pair.into_iter().map(Result::unwrap).collect();
                Ok::<_, Infallible>(pair.concat())
            });
            Body::from_stream(pairs)
        })
    });
}

#[test]
fn an_adapter_that_cuts_events_is_noticed() {
    assert_noticed(cases::a_client_that_forgets_half_read_events_misses_nothing, |router| {
        with_streams(router, |body| {
            let halves = body.into_data_stream().flat_map(|event| {
                let event = event.unwrap();
                let (first, second) = event.split_at(event.len() / 2);
                stream::iter([first.to_vec(), second.to_vec()].map(Ok::<_, Infallible>))
            });
            Body::from_stream(halves)
        })
    });
}

#[test]
fn an_adapter_that_answers_bad_requests_its_own_way_is_noticed() {
    assert_noticed(cases::what_is_wrong_beforehand_is_told_by_status, |router| {
        router.layer(from_fn(async |request: Request, next: Next| {
            let mut response = next.run(request).await;
            if response.status() == StatusCode::UNPROCESSABLE_ENTITY {
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            response
        }))
    });
}

#[test]
fn an_adapter_with_a_limit_of_its_own_is_noticed() {
    assert_noticed(cases::a_body_that_is_too_large_is_refused_unread, |router| {
        router.layer(from_fn(async |request: Request, next: Next| {
            let length = request.headers().get(header::CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
            if length.is_some_and(|length| length > 1024) {
                return StatusCode::PAYLOAD_TOO_LARGE.into_response();
            }
            next.run(request).await
        }))
    });
}

#[test]
fn an_adapter_that_routes_slashes_itself_is_noticed() {
    assert_noticed(cases::a_slash_too_many_leads_to_the_path_without, |router| {
        router.layer(from_fn(async |request: Request, next: Next| {
            let response = next.run(request).await;
            if response.status() == StatusCode::TEMPORARY_REDIRECT {
                return StatusCode::NOT_FOUND.into_response();
            }
            response
        }))
    });
}

#[test]
fn an_adapter_that_hides_where_a_client_calls_from_is_noticed() {
    if !cfg!(target_os = "linux") {
        return;
    }
    assert_noticed(cases::each_network_has_a_limit_of_its_own, |router| {
        router.layer(from_fn(async |mut request: Request, next: Next| {
            request.extensions_mut().remove::<ConnectInfo<SocketAddr>>();
            next.run(request).await
        }))
    });
}
