//! The suite notices an adapter that does what actix does by itself: a suite that passes
//! everything would prove nothing.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix_web::{
    App, Error, HttpResponse,
    body::{BodyStream, BoxBody, MessageBody, to_bytes},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::{Next, NormalizePath, from_fn},
    web::{self, ServiceConfig},
};
use common::{Running, serve_app};
use futures::{StreamExt, future::BoxFuture, stream};
use nexo_core::MemoryStore;
use nexo_http::{
    Api,
    conformance::{Setup, cases, run},
};
use tokio::runtime::Handle;

type Case = fn(Setup) -> BoxFuture<'static, ()>;

fn nexo(api: &Api) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static {
    nexo_http_actix::configure(api, Some(Handle::current()))
}

fn right(api: &Api) -> Running {
    let nexo = nexo(api);
    serve_app("", move || App::new().configure(nexo.clone()))
}

/// Whether a case holds with an API that is served like this.
fn passes(case: Case, serve: fn(&Api) -> Running) -> bool {
    let serve = move |api: Api| async move { serve(&api) };
    let setup = Setup::new(Arc::new(MemoryStore::new()), serve);
    catch_unwind(AssertUnwindSafe(|| run(case(setup)))).is_ok()
}

#[track_caller]
fn assert_noticed(case: Case, wrong: fn(&Api) -> Running) {
    assert!(passes(case, right), "the case fails without the fault");
    assert!(!passes(case, wrong), "the case does not notice the fault");
}

#[test]
fn an_adapter_that_trims_slashes_itself_is_noticed() {
    assert_noticed(cases::a_slash_too_many_leads_to_the_path_without, |api| {
        let nexo = nexo(api);
        serve_app("", move || App::new().wrap(NormalizePath::trim()).configure(nexo.clone()))
    });
}

#[test]
fn an_adapter_that_leaves_unknown_paths_to_actix_is_noticed() {
    assert_noticed(cases::an_unknown_path_is_not_found, |api| {
        let nexo = nexo(api);
        serve_app("", move || {
            App::new().configure(nexo.clone()).default_service(web::to(HttpResponse::NotFound))
        })
    });
}

#[test]
fn an_adapter_that_matches_a_decoded_path_is_noticed() {
    assert_noticed(cases::a_path_is_matched_as_it_was_sent, |api| {
        let nexo = nexo(api);
        serve_app("", move || App::new().wrap(from_fn(decode)).configure(nexo.clone()))
    });
}

async fn decode(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let path = request.match_info().unprocessed().to_owned();
    request.head_mut().uri = path.parse().unwrap_or_else(|_| request.uri().clone());
    next.call(request).await
}

#[test]
fn an_adapter_that_answers_head_like_get_is_noticed() {
    assert_noticed(cases::head_is_not_answered_like_get, |api| {
        let nexo = nexo(api);
        serve_app("", move || App::new().wrap(from_fn(as_get)).configure(nexo.clone()))
    });
}

async fn as_get(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    next.call(request).await
}

#[test]
fn an_adapter_that_puts_events_together_is_noticed() {
    assert_noticed(cases::the_simulator_streams_in_deltas_of_twenty_characters, |api| {
        let nexo = nexo(api);
        serve_app("", move || App::new().wrap(from_fn(in_one_piece)).configure(nexo.clone()))
    });
}

async fn in_one_piece(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"text/event-stream")) {
        return Ok(response.map_into_boxed_body());
    }
    Ok(response.map_body(|_, body| {
        let whole = stream::once(async { to_bytes(body).await.map_err(|_| "it broke off") });
        BoxBody::new(BodyStream::new(whole.boxed_local()))
    }))
}

#[test]
fn an_adapter_that_hides_where_a_client_calls_from_is_noticed() {
    if !cfg!(target_os = "linux") {
        return;
    }
    assert_noticed(cases::each_network_has_a_limit_of_its_own, |api| {
        let nexo = nexo(api);
        serve_app("", move || App::new().wrap(from_fn(from_nowhere)).configure(nexo.clone()))
    });
}

async fn from_nowhere(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    request.head_mut().peer_addr = None;
    next.call(request).await
}
