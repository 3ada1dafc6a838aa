//! Keys go when their counters are as good as new, and not before.

use std::time::Duration;

use redis::Connection;
use stanchion_core::Timestamp;
use stanchion_ratelimit::{
    Adjustment, Call, CallId, Charge, CounterStore as _, Edges, Frame, Limit, Outcome, Settled, Slot,
};
use stanchion_redis::RedisCounterStore;

use crate::model::limits;
use crate::{connection, decide, every, id, now, prefix, settle, slow, store, tenant};

const DAY: Duration = Duration::from_secs(86_400);
/// How much later than it must, a key may expire.
const ROUNDING: Duration = Duration::from_millis(2);

/// Counters under a prefix, and a look at their keys.
struct Looked {
    store: RedisCounterStore,
    prefix: String,
    connection: Connection,
    slot: Slot,
}

enum Expiry {
    At(Timestamp),
    Before(Timestamp),
}

impl Expiry {
    fn assert_within(&self, earliest: Timestamp, latest: Timestamp, context: &str) {
        let (Self::At(expiry) | Self::Before(expiry)) = *self;
        assert!(expiry > earliest, "{context}: expires {:?} too early", earliest.since(expiry));
        let is_late = matches!(self, Self::At(_)) && expiry > latest;
        assert!(!is_late, "{context}: expires {:?} too late", expiry.since(latest));
    }
}

impl Looked {
    fn new() -> Self {
        let prefix = prefix();
        Self { store: store(&prefix), prefix, connection: connection(), slot: tenant(1) }
    }

    async fn take(&self, key: &[u8], limit: Limit) -> Outcome {
        decide(&self.store, self.slot, &[Charge::new(key, limit, 1)], None).await
    }

    /// When the key of a counter expires, by the server's clock; or the time of the look, if it has.
    fn expiry(&mut self, key: &[u8]) -> Expiry {
        const LOOK: &str = "local time = redis.call('TIME')
            return {time[1] * 1000 + (time[2] - time[2] % 1000) / 1000, redis.call('PTTL', KEYS[1])}";
        let name = [format!("{}:rl:{{{}}}:", self.prefix, self.slot).as_bytes(), key].concat();
        let look = redis::cmd("EVAL").arg(LOOK).arg(1).arg(name).to_owned();
        let (now, left): (i64, i64) = look.query(&mut self.connection).unwrap();
        assert!(left != -1, "it has no expiry");
        let at = Timestamp::from_micros((now + left.max(0)) * 1_000);
        if left > 0 { Expiry::At(at) } else { Expiry::Before(at) }
    }

    /// All keys, with how long they are kept.
    fn keys(&mut self) -> Vec<(String, i64)> {
        let scan = redis::cmd("KEYS").arg(format!("{}:*", self.prefix)).to_owned();
        let keys: Vec<Vec<u8>> = scan.query(&mut self.connection).unwrap();
        let look = |key: Vec<u8>| {
            let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut self.connection).unwrap();
            (String::from_utf8_lossy(&key).into_owned(), left)
        };
        keys.into_iter().map(look).collect()
    }
}

/// Limits that take from a millisecond to a century to be as good as new.
fn all_paces() -> Vec<(&'static [u8], Limit)> {
    let hour = |number: i64| Timestamp::from_micros((now().seconds() / 3_600 + number) * 3_600_000_000);
    let edges = Edges::new([-1, 0, 1, 2].map(hour)).unwrap();
    vec![
        (b"a million a second", Limit::token_bucket(1_000_000, 1_000_000, 1).unwrap()),
        (b"ten a second", Limit::token_bucket(50, 10, 1).unwrap()),
        (b"seven in a day", Limit::gcra(7, 100, 86_400).unwrap()),
        (b"one in a century", Limit::token_bucket(100, 1, 3_155_760_000).unwrap()),
        (
            b"as much as there can be",
            Limit::token_bucket(9_000_000_000, 9_000_000_000, 3_155_760_000).unwrap(),
        ),
        (b"day", Limit::fixed_window(100, every(DAY)).unwrap()),
        (b"hour of the calendar", Limit::fixed_window(100, Frame::Calendar(edges)).unwrap()),
        (b"sliding day", Limit::sliding_window(100, every(DAY)).unwrap()),
        (b"sliding hour of the calendar", Limit::sliding_window(100, Frame::Calendar(edges)).unwrap()),
        (b"log", Limit::sliding_log(100, DAY).unwrap()),
        (b"lease", Limit::concurrency(100, Duration::from_secs(10)).unwrap()),
    ]
}

#[tokio::test]
async fn a_counter_is_kept_until_it_is_as_good_as_new_and_at_most_as_long_again() {
    const CENTURY: Duration = Duration::from_secs(3_155_760_000);
    let mut looked = Looked::new();
    for (key, limit) in all_paces() {
        let name = String::from_utf8_lossy(key);
        let mut longest = Duration::ZERO;
        for _ in 0..40 {
            let outcome = looked.take(key, limit).await;
            let lasts = outcome.standings()[0].reset_after.min(CENTURY);
            assert!(outcome.is_admitted() && lasts > Duration::ZERO);
            longest = longest.max(lasts);
            let latest = outcome.at().plus(longest * 2 + ROUNDING);
            looked.expiry(key).assert_within(outcome.at().plus(lasts), latest, &name);
        }
    }
}

#[tokio::test]
async fn what_is_added_keeps_a_counter_for_longer() {
    let mut looked = Looked::new();
    for (key, limit) in all_paces() {
        let id = id();
        let (charges, nothing) = ([Charge::new(key, limit, 1)], [Charge::new(key, limit, 0)]);
        let outcome =
            looked.store.decide(looked.slot, &Call { id, ..Call::new(&charges, None) }).await.unwrap();
        let call = Settled { id, at: outcome.at(), hold: false };
        for adjustment in
            [Adjustment::Add(50), Adjustment::Return(20), Adjustment::Return(50), Adjustment::Add(30)]
        {
            assert!(settle(&looked.store, looked.slot, call, (key, limit), adjustment, None).await);
            let look = looked.store.peek(looked.slot, &Call::new(&nothing, None)).await.unwrap();
            let lasts = look.standings()[0].reset_after.min(DAY * 36_500);
            if lasts > Duration::ZERO {
                let context = format!("{}: {adjustment:?}", String::from_utf8_lossy(key));
                looked.expiry(key).assert_within(look.at().plus(lasts), Timestamp::MAX, &context);
            }
        }
    }
}

#[tokio::test]
async fn every_key_expires_whoever_tells_the_time() {
    let mut looked = Looked::new();
    let ids: Vec<CallId> = (0..8).map(|_| id()).collect();
    for now in [None, Some(now())] {
        for (number, (key, limit)) in slow(100).into_iter().chain(all_paces()).enumerate() {
            let charges = [Charge { charge_denied: true, ..Charge::new(key, limit, 2) }];
            let hold = (number % 2 == 0).then_some(Duration::from_secs(5));
            let id = ids[number % ids.len()];
            let outcome =
                looked.store.decide(looked.slot, &Call { hold, id, ..Call::new(&charges, now) }).await;
            let call = Settled { id, at: outcome.unwrap().at(), hold: hold.is_some() && number % 4 == 0 };
            settle(&looked.store, looked.slot, call, (key, limit), Adjustment::Return(1), now).await;
        }
    }
    let keys = looked.keys();
    assert!(keys.len() >= 16, "{keys:?}");
    // A hundred years twice, and the day for the difference of two clocks.
    let most = i64::try_from((DAY * 36_525 * 2 + DAY + ROUNDING).as_millis()).unwrap();
    for (key, left) in keys {
        assert!(left > 0 && left <= most, "{key}: {left}");
    }
}

#[tokio::test]
async fn counters_that_nobody_uses_go_by_themselves() {
    let mut looked = Looked::new();
    for (key, limit) in limits(Duration::from_millis(30), now(), [-1, 0, 1, 2])
        .into_iter()
        .filter(|(key, _)| !key.starts_with(b"sliding"))
    {
        for _ in 0..3 {
            looked.take(key, limit).await;
        }
    }
    assert!(!looked.keys().is_empty());
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while !looked.keys().is_empty() {
        assert!(std::time::Instant::now() < until, "{:?}", looked.keys());
        tokio::task::yield_now().await;
    }
}
