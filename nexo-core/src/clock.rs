//! Time: an instant to the microsecond, and where it comes from.
//!
//! Stores decide what time it is (PostgreSQL by its own clock, the others by the [`Clock`]
//! they are given), so that servers with drifting clocks never disagree about an order.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// An instant in UTC, to the microsecond.
///
/// Shown as RFC 3339 with a `Z`; the fraction has six digits, or is absent when it is zero.
///
/// ```
/// # use nexo_core::Timestamp;
/// let instant = Timestamp::from_micros(1_767_225_600_000_000);
/// assert_eq!(instant.to_string(), "2026-01-01T00:00:00Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant so many microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The same instant in the `time` crate's type; the finer part is cut.
    #[must_use]
    pub fn from_datetime(datetime: OffsetDateTime) -> Self {
        Self(datetime.unix_timestamp() * MICROS_PER_SECOND + i64::from(datetime.microsecond()))
    }

    /// The same instant in the `time` crate's type.
    ///
    /// Instants beyond that type's range (the years ±9999) come back as the epoch.
    #[must_use]
    pub fn as_datetime(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// The instant `duration` later; the last instant there is if that is too far.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// The instant `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this is; zero if it isn't.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.as_datetime();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
        )?;
        match at.microsecond() {
            0 => f.write_str("Z"),
            micros => write!(f, ".{micros:06}Z"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(Self::from_datetime).map_err(de::Error::custom)
    }
}

/// Tells the time to stores that have no clock of their own.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_datetime(OffsetDateTime::now_utc())
    }
}

/// A clock that stands still until it is told to move; for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let now = Timestamp(self.0.load(Ordering::SeqCst));
        self.0.store(now.plus(by).0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_is_absent_when_it_is_zero_and_six_digits_otherwise() {
        let whole = Timestamp::from_micros(1_767_259_800_000_000);
        let fraction = Timestamp::from_micros(1_767_259_800_100_000);

        assert_eq!(whole.to_string(), "2026-01-01T09:30:00Z");
        assert_eq!(fraction.to_string(), "2026-01-01T09:30:00.100000Z");
    }

    #[test]
    fn an_instant_survives_its_text() {
        let instant = Timestamp::from_micros(1_767_259_800_123_456);

        let text = serde_json::to_string(&instant).unwrap();

        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), instant);
    }
}
