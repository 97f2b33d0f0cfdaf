//! The other side of a webhook: what somebody needs who writes an agent in Rust.
//!
//! A Nexo server asks an agent with one `POST`. [`Request`] verifies and reads it, [`Reply`]
//! and [`events`] write what goes back, [`LateReply`] says where a reply goes that takes
//! longer. Nothing here knows a web framework or a network: headers and bytes come in, and
//! an [`Answer`] goes out, which every framework can be given in a few lines. The example
//! `webhook-agent` does that with axum.
//!
//! # A whole agent
//!
//! ```
//! use nexo_core::agent::{Answer, Handoff, Rejection, Reply, Request, Verifier};
//!
//! /// `headers` can be an `&http::HeaderMap`; `body` are the bytes as they came.
//! fn answer(
//!     verifier: &Verifier,
//!     headers: &[(&str, &str)],
//!     body: &[u8],
//! ) -> Result<Answer, Rejection> {
//!     let request = Request::verify(verifier, headers.iter().copied(), body)?;
//!     let reply = match request.text() {
//!         "human" => Reply::new("A colleague will be with you.").with_handoff(Handoff::to_human()),
//!         text => Reply::new(format!("You said: {text}")),
//!     };
//!     Ok(reply.into())
//! }
//!
//! // While a secret is being replaced, the old one is given as well.
//! let verifier = Verifier::new(["the app's webhook_secret"]);
//! let answer = answer(&verifier, &[], b"{}").unwrap_or_else(Answer::from);
//! assert_eq!(answer.status, 401); // it was not signed
//! ```
//!
//! # What an agent should hold to
//!
//! - **The host bounds the body's size**, before it is read. 1 MiB is plenty for talk. The most
//!   that a server sends by default are eleven messages of 256 KiB of text and 64 KiB of JSON
//!   each, before escaping.
//! - **The same can be asked twice**: after a retry, a takeover by another server, or by
//!   hand. [`Request::id`] is the same then. What an agent does beside talking, such as an
//!   order, it should do once for each id; a reply it gives every time. With
//!   [`Verifier::standard_only`] every request has an id.
//! - **Unknown members mean nothing.** Payloads may gain members without a new version.

mod answer;
mod events;
mod handoff;
mod late;
mod payload;
mod reply;
mod request;

pub use answer::{Answer, EVENT_STREAM, JSON};
pub use events::{delta, done, error, events};
pub use handoff::Handoff;
pub use late::LateReply;
pub use payload::{InvalidPayload, Payload, PayloadApp, PayloadMessage, PayloadThread, Said};
pub use reply::Reply;
pub use request::{Rejection, Request};

pub use crate::signature::{InvalidSignature, Verifier};

#[cfg(feature = "webhook")]
pub(crate) use request::{ATTEMPT, DELIVERY, REPLAY_OF};
