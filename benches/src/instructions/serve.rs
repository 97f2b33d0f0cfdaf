//! The measured server: one host with one worker, so that no two threads take turns at chance.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    thread,
};

use actix_web::{App, HttpServer, rt::System, web::ServiceConfig};
use axum::Router;
use nexo_bench::hosts::{self, Endpoint, World};
use nexo_core::BoxError;
use tokio::runtime::{Builder, Runtime};

/// The frameworks, if hyper is one, and how the table is hosted in each beside what is native.
pub(crate) const FRAMEWORKS: [(&str, &[&str]); 3] =
    [("hyper", &["table"]), ("axum", &["table"]), ("actix", &["table", "table, shared runtime"])];

/// Serves until the standard input ends. Its first line of output says where, and which path
/// the endpoint has.
pub(crate) fn serve(host: &str, endpoint: &str) -> Result<(), BoxError> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let world = runtime.block_on(runtime.spawn(World::new()))??;
    let found = world.endpoints().into_iter().find(|it| it.name == endpoint);
    let Endpoint { path, .. } = found.ok_or("there is no such endpoint")?;
    let address = start(host, &world, &runtime)?;
    println!("{address} {path}");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn start(host: &str, world: &World, runtime: &Runtime) -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let shared = Some(runtime.handle().clone());
    match host {
        "hyper native" => {
            let (world, listener) = (world.clone(), of_tokio(listener, runtime)?);
            runtime.spawn(async move { hosts::hyper::native(&world, listener).await });
        }
        "hyper table" => {
            let (world, listener) = (world.clone(), of_tokio(listener, runtime)?);
            runtime.spawn(async move { hosts::hyper::neutral(&world, listener).await });
        }
        "axum native" => axum(hosts::axum::native(world), listener, runtime)?,
        "axum table" => axum(hosts::axum::neutral(world), listener, runtime)?,
        "actix native" => actix(hosts::actix::native(world), listener),
        "actix table" => actix(hosts::actix::neutral(world, None), listener),
        "actix table, shared runtime" => actix(hosts::actix::neutral(world, shared), listener),
        _ => return Err("there is no such host".into()),
    }
    Ok(address)
}

fn axum(router: Router, listener: TcpListener, runtime: &Runtime) -> io::Result<()> {
    let listener = of_tokio(listener, runtime)?;
    runtime.spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

fn of_tokio(listener: TcpListener, runtime: &Runtime) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    let _within = runtime.enter();
    tokio::net::TcpListener::from_std(listener)
}

fn actix(
    configure: impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
    listener: TcpListener,
) {
    let app = move || App::new().configure(configure.clone());
    thread::spawn(move || {
        let server = HttpServer::new(app).workers(1).disable_signals();
        System::new().block_on(async { server.listen(listener)?.run().await })
    });
}
