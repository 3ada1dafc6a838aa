use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::select;
use stanchion_core::{Clock, Event, StoreError, SystemScope, Timer};

use crate::OutboxStore;

/// Receives relayed events: the audit ledger, alerts, webhooks.
#[async_trait]
pub trait Deliver: fmt::Debug + Send + Sync {
    /// Takes one event durably. It may come again, with the same id.
    ///
    /// # Errors
    /// When it could not be taken; it is then given again, before any later event.
    async fn deliver(&self, event: &Event) -> Result<(), StoreError>;
}

/// Carries events from an outbox to a reader, at least once and in order.
#[derive(Debug)]
pub struct Relay {
    outbox: Arc<dyn OutboxStore>,
    reader: Arc<dyn Deliver>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
}

const PAGE: usize = 256;
const INTERVAL: Duration = Duration::from_millis(500);
const SYSTEM: SystemScope = SystemScope::new("relay committed events");

impl Relay {
    /// Sets up a relay.
    #[must_use]
    pub fn new(
        outbox: Arc<dyn OutboxStore>,
        reader: Arc<dyn Deliver>,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Self { outbox, reader, clock, timer }
    }

    /// Delivers what waits now and returns how much that was.
    ///
    /// # Errors
    /// When the outbox or the reader fails; what was delivered before stays delivered, the rest waits.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let mut delivered = 0;
        loop {
            let records = self.outbox.pending(SYSTEM, PAGE).await?;
            if records.is_empty() {
                return Ok(delivered);
            }
            for record in records {
                self.reader.deliver(&record.event).await?;
                self.outbox.acknowledge(SYSTEM, &[record.position]).await?;
                delivered += 1;
            }
        }
    }

    /// Relays until it is dropped. While it is not run, events wait in the outbox; nothing is lost. `failed` hears of every failure.
    pub async fn run(self, failed: impl Fn(&StoreError) + Send) {
        loop {
            if let Err(error) = self.drain().await {
                failed(&error);
            }
            let next = self.clock.now().plus(INTERVAL);
            select(self.timer.sleep_until(next), self.outbox.arrived()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    use stanchion_core::{
        Actor, Category, IdGen, ManualClock, Scope, SeededRandom, StoreErrorKind, Timestamp,
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
}
