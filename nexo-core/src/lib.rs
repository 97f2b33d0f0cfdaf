#![doc = include_str!("../README.md")]

pub mod accounts;
pub mod agent;
mod agents;
mod apps;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod deliveries;
pub mod dispatch;
mod engine;
mod error;
mod events;
mod failure;
mod feed;
mod hints;
mod hub;
mod id;
mod idempotency;
mod json;
mod keys;
mod messages;
mod nexo;
mod page;
mod principal;
mod replays;
mod retention;
mod runs;
mod secret;
mod servers;
pub mod signature;
pub mod sse;
mod store;
mod subscribers;
mod threads;

pub use agents::{Agent, AgentStore, NewAgent};
pub use apps::{
    App, AppChanges, AppConfig, AppStore, ConfigChange, ConfigViolation, Expected, Greeting,
    MAIN_AGENT, MAIN_AGENT_KIND, MAX_CONFIG_BYTES, MAX_DEBOUNCE_MS, Mode, NewApp, PreviousSecret,
    Scenario,
};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use deliveries::{
    Delivery, DeliveryFilter, DeliveryPosition, DeliveryStore, DeliverySummary, Frame, Frames,
    MAX_FRAMES_BYTES, MAX_KEPT_RESPONSE_BYTES,
};
pub use dispatch::{
    AgentEvent, AgentStream, Answer, Dispatcher, Handler, Interest, LiveTurn, MAX_REPLY_BYTES,
    Purpose, Turn,
};
pub use engine::{Engine, RunOptions};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use events::{EventStore, FollowRun, FollowedRun, MAX_SEGMENT_BYTES, Said, Segment, Speaker};
pub use failure::{Failure, FailureKind};
pub use feed::{
    AppEvent, AppWatch, Change, ChangeLimit, ChangePage, Changed, Feed, FeedStore,
    InvalidThreadCursor, NewestThreads, ThreadCursor, ThreadEvent, ThreadWatch,
};
pub use hints::{Heard, Hint, Hints, LocalHub, StreamHub, Topic};
pub use hub::{InvalidRunCursor, RunCursor, RunEnd, RunEvent, RunWatch};
pub use id::{
    AgentId, AppId, DeliveryId, KeyId, MailId, MessageId, ReplayId, RunId, ServerId, SessionId,
    SubscriberId, ThreadId, UserId,
};
pub use idempotency::{
    IDEMPOTENCY_KEY_LIFETIME, IdempotencyKey, IdempotencyStore, InvalidIdempotencyKey,
    KeyedRequest, MAX_IDEMPOTENCY_KEY_CHARS, Made, Once,
};
pub use json::JsonObject;
pub use keys::{AppKey, KeyDigest, KeyStore, WEBHOOK_SECRET_KEY};
pub use messages::{
    MAX_LISTED_BYTES, Message, MessageRange, MessageStore, NewMessage, Role, storable,
};
pub use nexo::{Nexo, NexoBuilder};
pub use page::{Cursor, CursorPage, Page, PageRequest, position};
pub use principal::{InvalidOwnerId, MAX_OWNER_CHARS, OwnerId, Principal, Scope};
pub use replays::{Replay, ReplayPosition, ReplayStore};
pub use retention::Retention;
pub use runs::{
    Answerer, ClaimRuns, FinishRun, FinishedRun, Overlap, Plan, Reply, Run, RunFilter, RunPosition,
    RunStart, RunState, RunStore, StartRun, StartedRun, Step, Stop, SweepRuns, SweptRuns,
};
pub use secret::{InvalidKeyRing, KeyRing, Secret};
pub use servers::{Handlers, SERVER_FORGOTTEN_AFTER, ServerStore};
pub use store::{MemoryStore, Store};
pub use subscribers::{
    PREVIEW_CHARS, Subscriber, SubscriberPosition, SubscriberStore, SubscriberSummary,
    ThreadSummary, preview, search_text,
};
pub use threads::{
    Holder, NewThread, Thread, ThreadChanges, ThreadFilter, ThreadPosition, ThreadStatus,
    ThreadStore,
};
