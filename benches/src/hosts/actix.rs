//! Both versions in actix-web.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode as ActixStatus,
    web::{self, Data, Json, Path, ServiceConfig},
};
use http::StatusCode;
use nexo_core::{AppId, ThreadId};
use serde::Serialize;
use tokio::runtime::Handle;

use super::{APP, MESSAGES, MessageBody, PING, Pong, USER_HEADER, World};

/// The endpoints as actix's own.
pub fn native(world: &World) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + use<> {
    let world = Data::new(world.clone());
    move |config| {
        config.app_data(world);
        config.route(PING, web::get().to(ping)).route(APP, web::get().to(read_app));
        config.route(MESSAGES, web::post().to(append));
    }
}

/// The endpoints through Nexo's table, and all the others that stand in it: answered on
/// `runtime`, or on actix's workers.
pub fn neutral(
    world: &World,
    runtime: Option<Handle>,
) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + use<> {
    nexo_http_actix::configure(&world.api(), runtime)
}

async fn ping() -> Json<Pong> {
    Json(Pong::default())
}

async fn read_app(world: Data<World>, app: Path<AppId>, request: HttpRequest) -> HttpResponse {
    answer(world.read_app(user(&request), app.into_inner()).await)
}

async fn append(
    world: Data<World>,
    ids: Path<(AppId, ThreadId)>,
    request: HttpRequest,
    body: Json<MessageBody>,
) -> HttpResponse {
    answer(world.append(user(&request), ids.into_inner(), body.into_inner()).await)
}

fn user(request: &HttpRequest) -> Option<&str> {
    request.headers().get(USER_HEADER)?.to_str().ok()
}

fn answer<T: Serialize>(answer: Result<T, StatusCode>) -> HttpResponse {
    match answer {
        Ok(view) => HttpResponse::Ok().json(view),
        Err(status) => HttpResponse::new(
            ActixStatus::from_u16(status.as_u16()).unwrap_or(ActixStatus::INTERNAL_SERVER_ERROR),
        ),
    }
}
