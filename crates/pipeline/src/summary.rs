use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stanchion_audit::{Draft, Ledger};
use stanchion_core::{
    Actor, Category, Clock, Event, IdGen, Outcome, ProblemCode, Scope, Severity, Source, Text, Timestamp,
};

/// The most sources that are told apart within an interval; the rest is counted as one.
const SOURCES: usize = 4_096;

/// Counts what was refused before anybody was authenticated, per source and reason, and writes one event of each count and interval
/// to the platform's ledger: a flood of bad requests cannot fill it.
#[derive(Debug)]
pub(crate) struct Summaries {
    counts: Mutex<HashMap<Key, Count>>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
}

/// A source, unless there were too many to tell apart; what it was told; and why.
type Key = (Option<IpAddr>, ProblemCode, Text);

#[derive(Clone, Copy, Debug)]
struct Count {
    requests: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Summaries {
    /// How often the counts are written to the ledger.
    pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

    pub(crate) fn new(ledger: Ledger, clock: Arc<dyn Clock>, ids: Arc<dyn IdGen>) -> Self {
        Self { counts: Mutex::new(HashMap::new()), ledger, clock, ids }
    }

    pub(crate) fn count(&self, ip: IpAddr, code: ProblemCode, reason: &'static str, at: Timestamp) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let source = (counts.len() < SOURCES).then(|| network(ip));
        let known = (Some(network(ip)), code, Text::Static(reason));
        let key = if counts.contains_key(&known) { known } else { (source, code, Text::Static(reason)) };
        let count = counts.entry(key).or_insert(Count { requests: 0, first: at, last: at });
        count.requests = count.requests.saturating_add(1);
        count.last = at;
    }

    /// Writes what was counted since the last time. What the ledger does not take stays counted for the next time.
    pub(crate) fn flush(&self) {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        for ((source, code, reason), count) in counts {
            let Ok(place) = self.ledger.reserve(Scope::Platform) else {
                let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                let later = counts.entry((source, code, reason)).or_insert(Count { requests: 0, ..count });
                later.requests = later.requests.saturating_add(count.requests);
                later.first = later.first.min(count.first);
                continue;
            };
            let now = self.clock.now();
            let mut event = Event::new(
                self.ids.event_id(now),
                now,
                Scope::Platform,
                Actor::Anonymous,
                "request.rejected",
                Category::Access,
            );
            event.outcome = Outcome::Denied;
            event.severity = Severity::Notice;
            event.reason = Some(code.as_str().into());
            event.source = Source { ip: source, user_agent: None };
            event.details =
                [("why", reason), ("first_at", count.first.to_string().into())].into_iter().collect();
            event.details.push("last_at", count.last.to_string());
            event.details.push("requests", count.requests);
            place.submit(Draft::Event(event));
        }
    }
}

/// A source is an address, or the /64 of an IPv6 address, which is what one subscriber has.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        ip @ IpAddr::V4(_) => ip,
    }
}
