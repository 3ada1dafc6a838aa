use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An instant of civil time: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Its text is RFC 3339 in UTC with exactly six fraction digits, so text order is time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text or number is not an instant between the years 0001 and 9999.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp(String);

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an RFC 3339 time such as 2026-03-01T12:00:00Z", self.0)
    }
}

impl std::error::Error for InvalidTimestamp {}

impl Timestamp {
    /// The beginning of Unix time.
    pub const EPOCH: Self = Self(0);
    /// 0001-01-01T00:00:00Z, the earliest instant.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z, the latest instant.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// Takes microseconds since 1970-01-01T00:00:00Z, clamped to the years 0001 to 9999.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// Returns microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads an RFC 3339 time with any offset; digits beyond microseconds are cut off.
    ///
    /// # Errors
    /// [`InvalidTimestamp`] when the text is no such time or lies outside the years 0001 to 9999.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidTimestamp> {
        let invalid = || InvalidTimestamp(text.chars().take(80).collect());
        let micros = DateTime::parse_from_rfc3339(text).map_err(|_| invalid())?.timestamp_micros();
        let time = Self::from_micros(micros);
        if time.0 == micros { Ok(time) } else { Err(invalid()) }
    }

    /// Returns the same instant as a `chrono` UTC time.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// Returns the time that has passed since `earlier`, zero when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the instant `by` later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// Returns the instant `by` earlier, at least [`Timestamp::MIN`].
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::from_micros(time.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::Micros, true))
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
        Self::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

/// Tells what time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Returns the current time, or some milliseconds less where that costs less to tell: for what ends after seconds.
    fn roughly(&self) -> Timestamp {
        self.now()
    }
}

/// Wakes its caller at an instant of the same time that its [`Clock`] tells.
pub trait Timer: fmt::Debug + Send + Sync {
    /// Completes once `deadline` has come; at once when it has passed.
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()>;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the system clock is read")]
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::EPOCH.plus(since_epoch)
    }

    /// The time of the kernel's last tick, which is in memory; the exact one takes a look at the processor's counter.
    #[cfg(target_os = "linux")]
    fn roughly(&self) -> Timestamp {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Timestamp(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000))
    }
}

/// A clock and timer that a test moves by hand.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
    sleepers: std::sync::Arc<Mutex<Sleepers>>,
}

#[derive(Debug, Default)]
struct Sleepers {
    now: i64,
    next: u64,
    waiting: BTreeMap<(i64, u64), Waker>,
}

impl ManualClock {
    /// Starts at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let sleepers = Sleepers { now: now.0, ..Sleepers::default() };
        Self { now: AtomicI64::new(now.0), sleepers: std::sync::Arc::new(Mutex::new(sleepers)) }
    }

    /// Moves forward and wakes every sleeper whose deadline has come.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Jumps to `now`, also backwards, and wakes every sleeper whose deadline has come.
    pub fn set(&self, now: Timestamp) {
        let due = {
            let mut sleepers = lock(&self.sleepers);
            self.now.store(now.0, Ordering::SeqCst);
            sleepers.now = now.0;
            let later = sleepers.waiting.split_off(&(now.0.saturating_add(1), 0));
            std::mem::replace(&mut sleepers.waiting, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Returns how many tasks wait for a later time.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        lock(&self.sleepers).waiting.len()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }
}

impl Timer for ManualClock {
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let mut sleepers = lock(&self.sleepers);
        let ticket = sleepers.next;
        sleepers.next = ticket.wrapping_add(1);
        drop(sleepers);
        Box::pin(ManualSleep { key: (deadline.0, ticket), sleepers: std::sync::Arc::clone(&self.sleepers) })
    }
}

struct ManualSleep {
    key: (i64, u64),
    sleepers: std::sync::Arc<Mutex<Sleepers>>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut sleepers = lock(&self.sleepers);
        if sleepers.now >= self.key.0 {
            sleepers.waiting.remove(&self.key);
            return Poll::Ready(());
        }
        sleepers.waiting.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        lock(&self.sleepers).waiting.remove(&self.key);
    }
}

fn lock(sleepers: &Mutex<Sleepers>) -> MutexGuard<'_, Sleepers> {
    sleepers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[test]
    fn text_order_is_time_order_and_offsets_become_utc() {
        let a = Timestamp::parse_rfc3339("2026-03-01T01:00:00.5+02:00").unwrap();
        assert_eq!(a.to_string(), "2026-02-28T23:00:00.500000Z");
        assert!(a.to_string() < a.plus(Duration::from_micros(1)).to_string());
        assert!(Timestamp::parse_rfc3339("yesterday").is_err());
    }

    #[test]
    fn arithmetic_stays_within_the_calendar() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::MIN.to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::EPOCH.since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::from_micros(-1).seconds(), -1);
    }

    #[test]
    fn a_rough_time_is_hardly_behind_the_exact_one() {
        let (rough, exact) = (SystemClock.roughly(), SystemClock.now());
        assert!(rough <= exact && exact.since(rough) < Duration::from_secs(1), "{rough} {exact}");
        let clock = ManualClock::at(exact);
        assert_eq!(clock.roughly(), exact);
    }

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_manual_timer_wakes_when_its_time_has_come_and_not_before() {
        let clock = ManualClock::at(Timestamp::EPOCH);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut sleep = clock.sleep_until(Timestamp::EPOCH.plus(Duration::from_secs(1)));
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_micros(999_999));
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        clock.advance(Duration::from_micros(1));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(sleep.as_mut().poll(&mut context).is_ready());
        assert_eq!(clock.sleepers(), 0);
    }

    #[test]
    fn a_dropped_sleep_leaves_no_waiter() {
        let clock = ManualClock::default();
        let mut sleep = clock.sleep_until(Timestamp::MAX);
        assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(clock.sleepers(), 1);
        drop(sleep);
        assert_eq!(clock.sleepers(), 0);
    }
}
