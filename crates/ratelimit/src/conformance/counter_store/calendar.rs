//! Cases that decide through an engine by a clock that is moved by hand, over windows of the calendar that are longer or shorter than
//! usual. Where they begin and end is by the published rules of each zone.

use std::sync::Arc;
use std::time::Duration;

use stanchion_calendar::{Window, Zone};
use stanchion_core::{Author, IdGen, ManualClock, Scope, SeededRandom, SubjectRef, TenantId, Timestamp};

use super::questions::has;
use crate::{
    Algorithm, Config, CounterStore, Decision, Dimension, Engine, Kernel, MemoryRuleStore, Request, Rule,
    RuleId, TimeSource, Verdict,
};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const TICK: Duration = Duration::from_micros(1);

/// Zone, window, where it starts and how many seconds it lasts.
const WINDOWS: [(&str, Window, &str, u64); 9] = [
    // The clock goes on, and back.
    ("Europe/Berlin", Window::DAY, "2026-03-28T23:00:00Z", 23 * HOUR),
    ("Europe/Berlin", Window::DAY, "2026-10-24T22:00:00Z", 25 * HOUR),
    ("America/New_York", Window::DAY, "2026-03-08T05:00:00Z", 23 * HOUR),
    ("America/New_York", Window::DAY, "2026-11-01T04:00:00Z", 25 * HOUR),
    // The leap day itself, and the month that it makes longer.
    ("Europe/Berlin", Window::DAY, "2028-02-28T23:00:00Z", DAY),
    ("Europe/Berlin", Window::MONTH, "2028-01-31T23:00:00Z", 29 * DAY),
    ("America/New_York", Window::MONTH, "2028-02-01T05:00:00Z", 29 * DAY),
    // A month in which the clock changes: 31 days without an hour, and with one more.
    ("Europe/Berlin", Window::MONTH, "2026-02-28T23:00:00Z", 31 * DAY - HOUR),
    ("America/New_York", Window::MONTH, "2026-11-01T04:00:00Z", 30 * DAY + HOUR),
];

/// An engine over a store, by a clock of ours, with one rule for a tenant.
struct Bench {
    engine: Engine,
    clock: Arc<ManualClock>,
    tenant: TenantId,
    user: SubjectRef,
}

impl Bench {
    async fn new(store: &Arc<dyn CounterStore>, seed: u64, rule: Rule) -> Self {
        let (clock, ids) = (Arc::new(ManualClock::default()), Arc::new(SeededRandom::new(seed)));
        let tenant = ids.tenant_id(Timestamp::EPOCH);
        // The rules are in memory and nobody else changes them, however far the clock is moved.
        let config = Config { time: Some(TimeSource::Engine), ..Config::default() };
        let rules = Arc::new(MemoryRuleStore::new(None));
        let engine = Engine::new(rules, Arc::clone(store), clock.clone(), ids, config);
        let author = Author::system("conformance");
        engine.put_rule(&author, Scope::Tenant(tenant), rule, None).await.expect("a rule");
        Self { engine, clock, tenant, user: SubjectRef::user("alice").expect("a user") }
    }

    async fn decide(&self, at: Timestamp, cost: u64) -> Decision {
        self.clock.set(at);
        let request =
            Request { tenant: Some(self.tenant), subject: Some(&self.user), cost, ..Request::default() };
        self.engine.decide(&request).await.expect("decides")
    }

    async fn is_admitted(&self, at: Timestamp) -> bool {
        self.decide(at, 1).await.is_admitted()
    }

    /// How long a refused caller is told to wait.
    async fn wait(&self, at: Timestamp) -> Option<Duration> {
        match self.decide(at, 1).await.verdict {
            Verdict::Admitted => None,
            Verdict::Refused { retry_after, .. } => retry_after,
        }
    }
}

fn rule(algorithm: Algorithm, limit: u64, window: Window, zone: &str) -> Rule {
    let id = RuleId::new("calendar").expect("an id");
    let zone: Zone = zone.parse().expect("a zone");
    Rule { algorithm, zone, ..Rule::new(id, Dimension::User, limit, window) }
}

fn instant(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("a time")
}

pub(super) async fn windows_are_as_long_as_the_calendar_makes_them(store: Arc<dyn CounterStore>) {
    for (seed, (zone, window, start, seconds)) in (34..).zip(WINDOWS) {
        let bench = Bench::new(&store, seed, rule(Algorithm::FixedWindow, 2, window, zone)).await;
        let (start, length) = (instant(start), Duration::from_secs(seconds));
        let (before, last, end) = (start.minus(TICK), start.plus(length).minus(TICK), start.plus(length));
        let of = format!("{zone} {window} from {start}");

        assert!(bench.is_admitted(before).await && bench.is_admitted(before).await, "{of}");
        assert_eq!(
            bench.wait(before).await,
            Some(TICK),
            "{of}: the window before ends where this one starts"
        );
        let first = bench.decide(start, 1).await;
        let state = first.most_restrictive().expect("one rule");
        assert_eq!((state.remaining, state.window, state.reset_after), (1, length, length), "{of}");
        assert!(bench.is_admitted(last).await, "{of}");
        assert_eq!(bench.wait(start).await, Some(length), "{of}: used up, whenever it was");
        assert_eq!(bench.wait(last).await, Some(TICK), "{of}: it lasts to its end");
        assert!(bench.is_admitted(end).await && bench.is_admitted(end).await, "{of}: and not longer");
        assert!(!bench.is_admitted(end).await, "{of}");
    }
}

pub(super) async fn long_and_short_windows_forget_the_one_before_evenly(store: Arc<dyn CounterStore>) {
    if !has(&*store, Kernel::SlidingWindow) {
        return;
    }
    for (seed, (zone, window, start, seconds)) in (64..).zip(WINDOWS) {
        let bench = Bench::new(&store, seed, rule(Algorithm::SlidingWindow, 100, window, zone)).await;
        let (start, fifth) = (instant(start), Duration::from_secs(seconds) / 5);
        let of = format!("{zone} {window} from {start}");

        assert!(bench.decide(start.minus(TICK), 100).await.is_admitted(), "{of}");
        assert!(!bench.is_admitted(start).await, "{of}: all of it still counts");
        // Of a hundred four fifths count when a fifth of the window is over, and one fifth when four are.
        assert!(!bench.decide(start.plus(fifth), 21).await.is_admitted(), "{of}");
        assert!(bench.decide(start.plus(fifth), 20).await.is_admitted(), "{of}");
        assert!(!bench.decide(start.plus(4 * fifth), 61).await.is_admitted(), "{of}");
        assert!(bench.decide(start.plus(4 * fifth), 60).await.is_admitted(), "{of}");
    }
}
