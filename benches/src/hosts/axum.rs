//! Both versions in axum.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use nexo_core::{AppId, ThreadId};
use serde::Serialize;

use super::{APP, MESSAGES, PING, Pong, USER_HEADER, World};

/// The endpoints as axum's own.
pub fn native(world: &World) -> Router {
    let router = Router::new().route(PING, get(ping)).route(APP, get(read_app));
    router.route(MESSAGES, post(append)).with_state(world.clone())
}

/// The endpoints through Nexo's table, and all the others that stand in it.
pub fn neutral(world: &World) -> Router {
    nexo_http_axum::router(&world.api())
}

async fn ping() -> Json<Pong> {
    Json(Pong::default())
}

async fn read_app(
    State(world): State<World>,
    Path(app): Path<AppId>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, StatusCode> {
    world.read_app(user(&headers), app).await.map(Json)
}

async fn append(
    State(world): State<World>,
    Path(ids): Path<(AppId, ThreadId)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, StatusCode> {
    let body = serde_json::from_slice(&body).map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
    world.append(user(&headers), ids, body).await.map(Json)
}

fn user(headers: &HeaderMap) -> Option<&str> {
    headers.get(USER_HEADER)?.to_str().ok()
}

/// What the feature `json` has, written here: it would be on for the server as well, in a build
/// of both. Its extractor does more than this, so that this makes the native version faster.
struct Json<T>(T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, json)], body).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}
