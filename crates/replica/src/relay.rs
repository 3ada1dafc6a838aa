use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, select};
use stanchion_core::{Clock, Event, Scope, StoreError, SystemScope, Timer};

use crate::{OutboxRecord, OutboxStore};

/// Receives relayed events: the audit ledger, alerts, webhooks.
#[async_trait]
pub trait Deliver: fmt::Debug + Send + Sync {
    /// Takes one event durably. It may come again, with the same id.
    ///
    /// # Errors
    /// When it could not be taken; it is then given again, before any later event.
    async fn deliver(&self, event: &Event) -> Result<(), StoreError>;
}

/// Carries events from an outbox to a reader, at least once and in order per scope.
#[derive(Debug)]
pub struct Relay {
    outbox: Arc<dyn OutboxStore>,
    reader: Arc<dyn Deliver>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    /// How often an event has been refused for good.
    refused: Mutex<HashMap<u64, u32>>,
}

const PAGE: usize = 256;
const INTERVAL: Duration = Duration::from_millis(500);
/// An event that is refused so often, for a reason that trying again does not mend, is parked.
const PATIENCE: u32 = 10;
const SYSTEM: SystemScope = SystemScope::new("relay committed events");

/// What a relay has to say.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayTrouble<'a> {
    /// The outbox or the reader failed; the events wait.
    Failed(&'a StoreError),
    /// An event was put aside, since nobody could take it. Those after it went on without it.
    Parked {
        /// The event.
        event: &'a Event,
        /// Why it could not be taken.
        error: &'a StoreError,
    },
}

/// How far the events of one scope came.
struct Lane<'a> {
    delivered: Vec<u64>,
    stopped: Option<(&'a OutboxRecord, StoreError)>,
}

impl Relay {
    /// Sets up a relay.
    #[must_use]
    pub fn new(
        outbox: Arc<dyn OutboxStore>,
        reader: Arc<dyn Deliver>,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Self { outbox, reader, clock, timer, refused: Mutex::default() }
    }

    /// Delivers what waits now and returns how much that was. Scopes do not wait for each other; within one, an event that cannot be
    /// delivered holds up those after it until it is parked.
    ///
    /// # Errors
    /// When the outbox or the reader fails; what was delivered before stays delivered, the rest waits.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        self.drain_telling(&|_| {}).await
    }

    async fn drain_telling(&self, tell: &(impl Fn(RelayTrouble<'_>) + Sync)) -> Result<usize, StoreError> {
        let mut delivered = 0;
        loop {
            let records = self.outbox.pending(SYSTEM, PAGE).await?;
            if records.is_empty() {
                return Ok(delivered);
            }
            let mut scopes: BTreeMap<Scope, Vec<&OutboxRecord>> = BTreeMap::new();
            for record in &records {
                scopes.entry(record.event.scope).or_default().push(record);
            }
            let lanes = join_all(scopes.into_values().map(|records| self.lane(records))).await;
            let done: Vec<u64> = lanes.iter().flat_map(|lane| lane.delivered.iter().copied()).collect();
            if !done.is_empty() {
                self.outbox.acknowledge(SYSTEM, &done).await?;
                delivered += done.len();
            }
            let mut failure = None;
            for (record, error) in lanes.into_iter().filter_map(|lane| lane.stopped) {
                if self.is_poison(record.position, &error) {
                    self.outbox.park(SYSTEM, record.position, &error.to_string()).await?;
                    self.refusals().remove(&record.position);
                    tell(RelayTrouble::Parked { event: &record.event, error: &error });
                } else {
                    failure = Some(error);
                }
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
    }

    async fn lane<'a>(&self, records: Vec<&'a OutboxRecord>) -> Lane<'a> {
        let mut delivered = Vec::with_capacity(records.len());
        for record in records {
            match self.reader.deliver(&record.event).await {
                Ok(()) => delivered.push(record.position),
                Err(error) => return Lane { delivered, stopped: Some((record, error)) },
            }
        }
        Lane { delivered, stopped: None }
    }

    /// Counts a refusal, and tells whether it is one too many.
    fn is_poison(&self, position: u64, error: &StoreError) -> bool {
        if error.is_retryable() {
            return false;
        }
        let mut refusals = self.refusals();
        let count = refusals.entry(position).or_default();
        *count += 1;
        *count >= PATIENCE
    }

    fn refusals(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Relays until the future is dropped. While it is not run, events wait in the outbox; nothing is lost. `trouble` hears of every failure.
    pub async fn run(&self, trouble: impl Fn(RelayTrouble<'_>) + Send + Sync) {
        loop {
            if let Err(error) = self.drain_telling(&trouble).await {
                trouble(RelayTrouble::Failed(&error));
                // Events that keep coming must not make it try without a pause.
                self.timer.sleep_until(self.clock.now().plus(INTERVAL)).await;
                continue;
            }
            let next = self.clock.now().plus(INTERVAL);
            select(self.timer.sleep_until(next), self.outbox.arrived()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use stanchion_core::{
        Actor, Category, IdGen, ManualClock, SeededRandom, StoreErrorKind, TenantId, Timestamp,
    };

    use crate::MemoryOutboxStore;

    #[derive(Debug, Default)]
    struct Flaky {
        taken: Mutex<Vec<String>>,
        fails: Mutex<u32>,
    }

    #[async_trait]
    impl Deliver for Flaky {
        async fn deliver(&self, event: &Event) -> Result<(), StoreError> {
            let mut fails = self.fails.lock().unwrap();
            if *fails > 0 {
                *fails -= 1;
                return Err(StoreError::new(StoreErrorKind::Unavailable, "test", "deliver"));
            }
            self.taken.lock().unwrap().push(event.action.to_string());
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_failed_delivery_is_repeated_before_any_later_event() {
        let (outbox, reader) = (Arc::new(MemoryOutboxStore::default()), Arc::new(Flaky::default()));
        let clock = Arc::new(ManualClock::default());
        let ids = SeededRandom::new(1);
        let event = |action: &'static str| {
            let id = ids.event_id(Timestamp::EPOCH);
            Event::new(id, Timestamp::EPOCH, Scope::Platform, Actor::Anonymous, action, Category::System)
        };
        outbox.append(vec![event("a"), event("b")]);
        let relay = Relay::new(outbox.clone(), reader.clone(), clock.clone(), clock);
        *reader.fails.lock().unwrap() = 1;
        assert!(relay.drain().await.is_err());
        assert_eq!(relay.drain().await.unwrap(), 2);
        assert_eq!(*reader.taken.lock().unwrap(), ["a", "b"]);
        assert_eq!(relay.drain().await.unwrap(), 0);
    }

    /// Refuses what is called `poison`, for good.
    #[derive(Debug, Default)]
    struct Picky(Mutex<Vec<String>>);

    #[async_trait]
    impl Deliver for Picky {
        async fn deliver(&self, event: &Event) -> Result<(), StoreError> {
            if event.action.as_str() == "poison" {
                return Err(StoreError::new(StoreErrorKind::Corrupt, "test", "deliver"));
            }
            self.0.lock().unwrap().push(event.action.to_string());
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_event_that_nobody_takes_holds_up_its_scope_until_it_is_parked() {
        let (outbox, reader) = (Arc::new(MemoryOutboxStore::default()), Arc::new(Picky::default()));
        let clock = Arc::new(ManualClock::default());
        let ids = SeededRandom::new(1);
        let tenant = Scope::Tenant(TenantId::from_uuid(ids.uuid(Timestamp::EPOCH)));
        let event = |scope, action: &'static str| {
            let id = ids.event_id(Timestamp::EPOCH);
            Event::new(id, Timestamp::EPOCH, scope, Actor::Anonymous, action, Category::System)
        };
        outbox.append(vec![
            event(Scope::Platform, "poison"),
            event(Scope::Platform, "after"),
            event(tenant, "other"),
        ]);
        let relay = Relay::new(outbox.clone(), reader.clone(), clock.clone(), clock);
        let parked = Mutex::new(0);
        let tell = |trouble: RelayTrouble<'_>| {
            *parked.lock().unwrap() += i32::from(matches!(trouble, RelayTrouble::Parked { .. }));
        };
        for _ in 1..PATIENCE {
            assert!(relay.drain_telling(&tell).await.is_err());
            assert_eq!(*reader.0.lock().unwrap(), ["other"], "no other scope waits for it");
        }
        assert_eq!(relay.drain_telling(&tell).await.unwrap(), 1);
        assert_eq!(*reader.0.lock().unwrap(), ["other", "after"]);
        assert_eq!(*parked.lock().unwrap(), 1);
        let backlog = outbox.backlog(SYSTEM).await.unwrap();
        assert_eq!((backlog.pending, backlog.parked), (0, 1));
    }
}
