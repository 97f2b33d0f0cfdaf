//! Saying something, and following the answer to its end, on however many connections.

use std::time::Duration;

use nexo_core::sse::{Decoder, Event};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    Result,
    client::{self, Client},
    screen,
};

/// A server that is there says something every 15 seconds, if only that it is there.
const SILENCE: Duration = Duration::from_secs(45);

/// Says something in a thread, and shows the answer.
pub(crate) async fn ask(client: &Client, app: &str, thread: &str, said: &str) -> Result<()> {
    let (path, key) = (format!("{thread}/runs"), client::new_key());
    let body = json!({"content": said, "stream": true});
    let asked = || client.post(&path).header(client::KEY, &key).json(&body);
    let mut response = client.send(asked).await?;
    let run = response.headers().get("x-run-id").and_then(|run| run.to_str().ok());
    let path = format!("/apps/{app}/runs/{}/events", run.ok_or("the run has no id")?);

    // The id of the last event that was read whole. With it the stream goes on from there, on a
    // new connection and also on another server.
    let mut last = None;
    while response.status() != StatusCode::NO_CONTENT {
        if read(response, &mut last).await? {
            break;
        }
        let again = || match &last {
            Some(last) => client.get(&path).header("last-event-id", last),
            None => client.get(&path),
        };
        response = client.send(again).await?;
    }
    Ok(screen::show("\n")?)
}

/// Reads a stream as far as it goes, and says whether that was to the end of the answer.
async fn read(mut response: Response, last: &mut Option<String>) -> Result<bool> {
    let (mut decoder, mut events) = (Decoder::new(), Vec::new());
    while let Ok(Ok(Some(bytes))) = timeout(SILENCE, response.chunk()).await {
        decoder.feed(&bytes, &mut events)?;
        for event in events.drain(..) {
            if show(&event)? {
                return Ok(true);
            }
        }
        if let Some(id) = decoder.last_id() {
            *last = Some(id.to_owned());
        }
    }
    client::pause(&decoder).await;
    Ok(false)
}

/// Shows an event, and says whether it was the last.
fn show(event: &Event) -> Result<bool> {
    let data: Value = serde_json::from_str(&event.data)?;
    match event.name.as_str() {
        "delta" => screen::show(data["text"].as_str().unwrap_or_default())?,
        // The server that carried the run is gone, and another attempt begins: what was read of
        // the one before is no part of the answer.
        "reset" => screen::show("\n(once more)\n")?,
        "error" => {
            screen::show(&format!("\n({})", data["detail"].as_str().unwrap_or("it failed")))?
        }
        "done" => return Ok(true),
        // `meta` says who answers, and there may be others one day.
        _ => {}
    }
    Ok(false)
}
