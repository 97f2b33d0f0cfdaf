#![doc = include_str!("../README.md")]

mod api;
mod apps;
pub mod auth;
mod bodies;
#[cfg(feature = "conformance")]
pub mod conformance;
mod cors;
mod deliveries;
mod docs;
mod error;
mod feed;
mod handler;
mod idempotency;
mod input;
mod messages;
mod openapi;
mod output;
mod pages;
mod path;
mod replays;
mod request;
mod response;
mod routes;
mod runs;
mod streams;
mod subscribers;
mod table;
mod threads;
mod users;
mod validate;
mod webhook_test;

pub use api::{Api, PartnerHeaders, Settings};
pub use auth::{
    Accounts, Authenticator, Limits, PasswordSettings, Passwords, Throttle, TokenSecrets, Tokens,
};
pub use cors::Cors;
pub use error::ApiError;
pub use input::network_of;
pub use request::{BodyStream, Request};
pub use response::{Body, Response};
pub use routes::{Route, Routes};

use std::borrow::Cow;

use auth::handlers as login;
use table::Table;

/// Every endpoint there is; routers and the OpenAPI document are made from it.
#[rustfmt::skip]
fn table(accounts: bool, openapi_path: Cow<'static, str>) -> Table {
    let table = if accounts { accounts_table() } else { Table::default() };
    let table = table
        .tag("app")
        .get   ("/apps/",                                                 apps::read_app).summary("List apps")
        .post  ("/apps/",                                                 apps::create_app).summary("Create an app")
        .get   ("/apps",                                                  apps::read_app).undocumented()
        .post  ("/apps",                                                  apps::create_app).undocumented()
        .get   ("/apps/{app_id}",                                         apps::get_app).summary("Get an app")
        .patch ("/apps/{app_id}",                                         apps::update_app).summary("Change an app")
        .delete("/apps/{app_id}",                                         apps::delete_app).summary("Delete an app")
        .tag("threads")
        .post  ("/apps/{app_id}/threads",                                 threads::create_thread).summary("Create a thread")
        .get   ("/apps/{app_id}/threads",                                 threads::list_threads).summary("List threads")
        .get   ("/threads/{thread_id}",                                   threads::get_thread).summary("Get a thread")
        .patch ("/threads/{thread_id}",                                   threads::update_thread).summary("Change a thread")
        .delete("/threads/{thread_id}",                                   threads::delete_thread).summary("Delete a thread")
        .tag("messages")
        .get   ("/apps/{app_id}/threads/{thread_id}/messages",            messages::list_messages).summary("List messages")
        .post  ("/apps/{app_id}/threads/{thread_id}/messages",            messages::create_message).summary("Say something as the subscriber")
        .post  ("/apps/{app_id}/threads/{thread_id}/messages/assistant",  messages::create_assistant_message).summary("Say something as the assistant")
        .get   ("/messages/{message_id}",                                 messages::get_message).summary("Get a message")
        .tag("subscribers")
        .get   ("/apps/{app_id}/subscribers",                             subscribers::list_subscribers).summary("List subscribers")
        .get   ("/apps/{app_id}/subscribers/{subscriber_id}",             subscribers::get_subscriber).summary("Get a subscriber")
        .get   ("/apps/{app_id}/subscribers/{subscriber_id}/threads",     subscribers::list_subscriber_threads).summary("List a subscriber's threads")
        .tag("run")
        .post  ("/apps/{app_id}/threads/{thread_id}/run",                 runs::run_sync).summary("Answer the newest user message")
        .get   ("/apps/{app_id}/threads/{thread_id}/run/stream",          runs::run_stream).summary("Answer the newest user message as a stream")
        .delete("/apps/{app_id}/threads/{thread_id}/run",                 runs::cancel_thread_run).summary("Stop the run that is under way")
        .post  ("/apps/{app_id}/threads/{thread_id}/run/stream",          runs::run_stream).id("run_stream_post").summary("Answer the newest user message as a stream")
        .get   ("/apps/{app_id}/threads/{thread_id}/runs",                runs::list_thread_runs).summary("List a thread's runs")
        .post  ("/apps/{app_id}/threads/{thread_id}/runs",                runs::create_run).summary("Say something and have it answered")
        .tag("runs")
        .get   ("/apps/{app_id}/runs",                                    runs::list_runs).summary("List runs")
        .get   ("/apps/{app_id}/runs/{run_id}",                           runs::get_run).summary("Get a run")
        .get   ("/apps/{app_id}/runs/{run_id}/events",                    runs::run_events).summary("Watch a run")
        .post  ("/apps/{app_id}/runs/{run_id}/cancel",                    runs::cancel_run).summary("Stop a run")
        .post  ("/apps/{app_id}/runs/{run_id}/reply",                     runs::reply_to_run).summary("Answer in the place of an agent that answers later")
        .get   ("/apps/{app_id}/runs/{run_id}/deliveries",                deliveries::list_run_deliveries).summary("List what was sent for a run")
        .post  ("/apps/{app_id}/runs/{run_id}/replay",                    replays::replay_run).summary("Put a run's turn to an agent again")
        .get   ("/apps/{app_id}/runs/{run_id}/replays",                   replays::list_replays).summary("List a run's dry replays")
        .get   ("/apps/{app_id}/replays/{replay_id}",                     replays::get_replay).summary("Get a dry replay")
        .tag("deliveries")
        .get   ("/apps/{app_id}/deliveries",                              deliveries::list_deliveries).summary("List what was sent to agents")
        .get   ("/apps/{app_id}/deliveries/{delivery_id}",                deliveries::get_delivery).summary("Get a delivery")
        .post  ("/apps/{app_id}/deliveries/{delivery_id}/resend",         deliveries::resend_delivery).summary("Send a delivery again")
        .tag("events")
        .get   ("/apps/{app_id}/events",                                  feed::app_events).summary("Watch an app")
        .get   ("/apps/{app_id}/threads/{thread_id}/events",              feed::thread_events).summary("Watch a thread")
        .tag("webhook")
        .post  ("/apps/{app_id}/webhook/test",                            webhook_test::webhook_test).summary("Call a webhook with a sample message");
    table.and(docs_table(openapi_path))
}

/// The endpoints of the built-in accounts.
#[rustfmt::skip]
fn accounts_table() -> Table {
    Table::default()
        .tag("auth")
        .post  ("/auth/jwt/login",             login::login).id("auth:jwt.login").summary("Sign in")
        .post  ("/auth/jwt/logout",            login::logout).id("auth:jwt.logout").summary("Sign out")
        .post  ("/auth/register",              login::register).id("register:register").summary("Register")
        .post  ("/auth/forgot-password",       login::forgot_password).id("reset:forgot_password").summary("Ask for a mail to reset a password")
        .post  ("/auth/reset-password",        login::reset_password).id("reset:reset_password").summary("Set a new password")
        .post  ("/auth/request-verify-token",  login::request_verify_token).id("verify:request-token").summary("Ask for a mail to verify an address")
        .post  ("/auth/verify",                login::verify).id("verify:verify").summary("Verify an address")
        .tag("users")
        .get   ("/users/me",                   users::current_user).id("users:current_user").summary("Who is signed in")
        .patch ("/users/me",                   users::patch_current_user).id("users:patch_current_user").summary("Change oneself")
        .get   ("/users/{id}",                 users::user).id("users:user").summary("Get a user")
        .patch ("/users/{id}",                 users::patch_user).id("users:patch_user").summary("Change a user")
        .delete("/users/{id}",                 users::delete_user).id("users:delete_user").summary("Delete a user")
}

/// The document and its pages, unless they are turned off.
fn docs_table(openapi_path: Cow<'static, str>) -> Table {
    let table = Table::default();
    if openapi_path.is_empty() {
        return table;
    }
    let table = table.get(openapi_path, docs::openapi).undocumented();
    #[cfg(feature = "docs-ui")]
    let table = table
        .get("/docs", docs::docs)
        .undocumented()
        .get("/docs/{file}", docs::docs_file)
        .undocumented()
        .get("/redoc", docs::docs)
        .undocumented();
    table
}
