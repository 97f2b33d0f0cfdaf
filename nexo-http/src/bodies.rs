//! Bodies of requests: how they are read, and how much of them is in memory at once.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{ApiError, BodyStream, Request, Settings};

/// How long a client may take to send its whole body.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a large body waits for others to be done with.
const PATIENCE: Duration = Duration::from_secs(5);
/// Up to so many bytes a body needs no room: whoever fills that with large ones keeps nobody
/// from saying something of ordinary length.
const SMALL: usize = 16 * 1024;

/// What reads bodies. Clones share their room.
#[derive(Clone)]
pub(crate) struct Bodies {
    /// The most bytes of one.
    limit: usize,
    /// For how many bytes of large ones there is room.
    room: Arc<Semaphore>,
}

/// A body that was read.
pub(crate) struct ReadBody {
    pub(crate) bytes: Bytes,
    /// What it takes up until this is dropped; a small one takes up nothing.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(crate) fn new(settings: &Settings) -> Self {
        let limit = settings.max_body_bytes.min(u32::MAX as usize);
        // In less than the largest needs, it could never be read.
        let room = settings.max_bodies_bytes.clamp(limit, Semaphore::MAX_PERMITS);
        Self { limit, room: Arc::new(Semaphore::new(room)) }
    }

    pub(crate) async fn read(
        &self,
        request: &Request,
        body: BodyStream,
    ) -> Result<ReadBody, ApiError> {
        if request.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(ApiError::UNSUPPORTED_ENCODING);
        }
        let announced = request.header("content-length").and_then(|text| text.parse::<u64>().ok());
        let announced = announced.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if announced.is_some_and(|bytes| bytes > self.limit) {
            return Err(ApiError::PAYLOAD_TOO_LARGE);
        }
        let read = timeout(DEADLINE, self.collect(body, announced.unwrap_or(self.limit))).await;
        read.unwrap_or(Err(ApiError::REQUEST_TIMEOUT))
    }

    /// Reads a body of at most `size` bytes.
    async fn collect(&self, mut body: BodyStream, size: usize) -> Result<ReadBody, ApiError> {
        let (mut bytes, mut room) = (BytesMut::new(), None);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| ApiError::BROKEN_BODY)?;
            let length = bytes.len() + piece.len();
            if length > self.limit {
                return Err(ApiError::PAYLOAD_TOO_LARGE);
            }
            if length > SMALL && room.is_none() {
                room = Some(self.room(size).await?);
            }
            bytes.extend_from_slice(&piece);
        }
        // One that did not say how long it is, had to have room for the longest.
        let spare = size.min(self.limit).saturating_sub(bytes.len());
        drop(room.as_mut().and_then(|room| room.split(spare)));
        Ok(ReadBody { bytes: bytes.freeze(), room })
    }

    async fn room(&self, size: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let size = u32::try_from(size.min(self.limit)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(size);
        match timeout(PATIENCE, room).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => Err(ApiError::UNAVAILABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http::{HeaderMap, Method, StatusCode};
    use tokio::time::Instant;

    use super::*;

    const KIB: usize = 1024;

    fn bodies() -> Bodies {
        let settings = Settings {
            max_body_bytes: 64 * KIB,
            max_bodies_bytes: 128 * KIB,
            ..Settings::default()
        };
        Bodies::new(&settings)
    }

    /// Reads a body of unknown length that comes in pieces of one KiB.
    async fn read(bodies: &Bodies, kib: usize) -> Result<ReadBody, StatusCode> {
        let request = Request::new(Method::POST, "/".into(), None, HeaderMap::new());
        let pieces = (0..kib).map(|_| Ok(Bytes::from_static(&[b'x'; KIB])));
        let read = bodies.read(&request, stream::iter(pieces).boxed()).await;
        read.map_err(|error| error.status())
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_waits_for_room_and_a_small_one_does_not() {
        let bodies = bodies();
        let held = [read(&bodies, 64).await.ok().unwrap(), read(&bodies, 17).await.ok().unwrap()];

        let started = Instant::now();
        assert_eq!(read(&bodies, 17).await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(started.elapsed(), PATIENCE);
        assert_eq!(read(&bodies, 16).await.ok().unwrap().bytes.len(), 16 * KIB);

        drop(held);
        assert!(read(&bodies, 64).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_keeps_no_more_room_than_it_takes() {
        let bodies = bodies();
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(read(&bodies, 17).await.ok().unwrap());
        }

        assert!(read(&bodies, 17).await.is_err(), "60 KiB are left, and it might be of 64");
        held.pop();
        assert!(read(&bodies, 17).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_broken_off_leaves_its_room() {
        let bodies = bodies();
        for _ in 0..3 {
            assert_eq!(read(&bodies, 65).await.err(), Some(StatusCode::PAYLOAD_TOO_LARGE));
        }

        assert!(read(&bodies, 64).await.is_ok());
    }
}
