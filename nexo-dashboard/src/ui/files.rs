//! The files of the dashboard as they were when the server was built.

use std::borrow::Cow;

use bytes::Bytes;
use rust_embed::RustEmbed;

const PLACEHOLDER: &str = include_str!("placeholder.html");
const PAGE: &str = "index.html";

#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Files;

/// Whether this build carries the dashboard.
pub(super) fn are_there() -> bool {
    Files::get(PAGE).is_some()
}

/// The page that all the dashboard's paths show.
pub(super) fn page() -> Bytes {
    Files::get(PAGE).map_or(Bytes::from_static(PLACEHOLDER.as_bytes()), |file| body(file.data))
}

/// A file that the page loads, and its type.
pub(super) fn asset(path: &str) -> Option<(Bytes, &'static str)> {
    let file = Files::get(path).filter(|_| path != PAGE && !is_hidden(path))?;
    Some((body(file.data), content_type(path)))
}

/// The types of what a build of pages consists of.
fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|name| name.starts_with('.'))
}

fn body(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    }
}
