//! Requests of a server, verified and read.

use super::{InvalidPayload, LateReply, Payload};
use crate::{
    DeliveryId, RunId,
    signature::{
        InvalidSignature, Verifier,
        headers::{Headers, ID},
    },
};

/// The id of this very request.
pub(crate) const DELIVERY: &str = "x-delivery-id";
/// How often the run was put to an agent, this time included.
pub(crate) const ATTEMPT: &str = "x-attempt";
/// The run that is replayed, if one is.
pub(crate) const REPLAY_OF: &str = "x-replay-of";

/// A request of a Nexo server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// What is asked.
    pub payload: Payload,
    /// The `webhook-id`, which is the run's id: the same whenever the same is asked. It is
    /// covered by the signature; `None` if the request had only the plain one. Of a request
    /// that was read [unverified](Self::unverified), it is whatever the header says.
    pub id: Option<String>,
    /// The `X-Delivery-Id`: new with every request. Like all that follows, it is not signed:
    /// good for a log, not for a decision.
    pub delivery: Option<DeliveryId>,
    /// The `X-Attempt`, from 1: over 1 if the run was put to an agent before.
    pub attempt: Option<u32>,
    /// The `X-Replay-Of`: somebody wants to see what the agent says to the turn of this run
    /// from before. No customer will see the reply, so nothing should come of it.
    pub replay_of: Option<RunId>,
}

/// Why a request is not answered. Its [`Answer`](super::Answer) is 401 or 400.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It is not signed as it has to be.
    #[error("the request can't be trusted")]
    Signature(#[from] InvalidSignature),
    /// It is signed, but no payload.
    #[error("the request can't be read")]
    Payload(#[from] InvalidPayload),
}

impl Request {
    /// Verifies a request and then reads it. `headers` are its headers as pairs of name and
    /// value, such as `&http::HeaderMap` gives them; `body` is what was received, byte for
    /// byte.
    ///
    /// ```
    /// # use nexo_core::agent::{InvalidSignature, Rejection, Request, Verifier};
    /// let headers = [("webhook-id", "1"), ("content-type", "application/json")];
    /// let rejected = Request::verify(&Verifier::new(["hunter2"]), headers, b"{}");
    /// assert!(matches!(rejected, Err(Rejection::Signature(InvalidSignature::Missing))));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rejection`] says which of the two failed.
    pub fn verify(
        verifier: &Verifier,
        headers: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>,
        body: &[u8],
    ) -> Result<Self, Rejection> {
        let headers = Headers::read(headers);
        let verified = verifier.verify_headers(&headers, body)?;
        Ok(Self::read(&headers, verified.id, body)?)
    }

    /// Reads a request that nobody signed: of an app without a secret, for trying things out.
    /// Anybody who reaches the agent can say anything.
    ///
    /// # Errors
    ///
    /// [`InvalidPayload`] if the body is none.
    pub fn unverified(
        headers: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>,
        body: &[u8],
    ) -> Result<Self, InvalidPayload> {
        let headers = Headers::read(headers);
        Self::read(&headers, headers.get(ID).map(str::to_owned), body)
    }

    fn read(headers: &Headers, id: Option<String>, body: &[u8]) -> Result<Self, InvalidPayload> {
        Ok(Self {
            payload: Payload::read(body)?,
            id,
            delivery: headers.get(DELIVERY).and_then(|id| id.parse().ok()),
            attempt: headers.get(ATTEMPT).and_then(|number| number.parse().ok()),
            replay_of: headers.get(REPLAY_OF).and_then(|id| id.parse().ok()),
        })
    }

    /// The text of the message to answer.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.payload.message.content
    }

    /// Where the reply goes if it comes later. `None` if there is no run to reply to: in a
    /// replay, whose id is not that of a run, and without an [id](Self::id).
    #[must_use]
    pub fn late_reply(&self) -> Option<LateReply> {
        let run = self.id.as_deref()?.parse().ok()?;
        self.replay_of.is_none().then_some(LateReply { app: self.payload.app.id, run })
    }
}
