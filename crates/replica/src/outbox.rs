use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use stanchion_core::{Event, StoreError, SystemScope};
use tokio::sync::Notify;

/// An event that was committed with a change and waits to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Its place; unique within the store.
    pub position: u64,
    /// The event.
    pub event: Event,
}

/// How many events an outbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Those that wait to be delivered.
    pub pending: u64,
    /// Those that were put aside.
    pub parked: u64,
}

/// Where record ports leave the events of their changes until a [`Relay`](crate::Relay) has delivered them.
///
/// 1. An event is there if and only if its change was committed.
/// 2. Events of one scope come in the order of their changes.
/// 3. An event stays until it is acknowledged; acknowledging it again, or one that never was, does nothing.
/// 4. A parked event stays too, but is not pending any more: somebody has to look at it. A store parks by itself what it cannot read.
#[async_trait]
pub trait OutboxStore: fmt::Debug + Send + Sync {
    /// Returns at most `limit` events that wait, oldest first.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn pending(&self, system: SystemScope, limit: usize) -> Result<Vec<OutboxRecord>, StoreError>;

    /// Removes events that were delivered.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be written; the events are then delivered again.
    async fn acknowledge(&self, system: SystemScope, positions: &[u64]) -> Result<(), StoreError>;

    /// Puts an event aside that nobody could take, with the reason for people to read. One that is not there does nothing.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be written; the event is then pending still.
    async fn park(&self, system: SystemScope, position: u64, reason: &str) -> Result<(), StoreError>;

    /// Tells how many events there are.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read.
    async fn backlog(&self, system: SystemScope) -> Result<Backlog, StoreError>;

    /// Completes when events may have come. Without a bus it never does, and the relay polls.
    async fn arrived(&self) {
        std::future::pending().await
    }
}

/// The outbox that the in-memory adapters of one process share.
#[derive(Debug, Default)]
pub struct MemoryOutboxStore {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, Event>,
    parked: BTreeMap<u64, Event>,
}

impl MemoryOutboxStore {
    /// Adds the events of one committed change.
    pub fn append(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut state = self.state();
        for event in events {
            let position = state.next;
            state.next += 1;
            state.waiting.insert(position, event);
        }
        drop(state);
        self.arrived.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OutboxStore for MemoryOutboxStore {
    async fn pending(&self, _system: SystemScope, limit: usize) -> Result<Vec<OutboxRecord>, StoreError> {
        let record =
            |(position, event): (&u64, &Event)| OutboxRecord { position: *position, event: event.clone() };
        Ok(self.state().waiting.iter().take(limit).map(record).collect())
    }

    async fn acknowledge(&self, _system: SystemScope, positions: &[u64]) -> Result<(), StoreError> {
        let mut state = self.state();
        for position in positions {
            state.waiting.remove(position);
            state.parked.remove(position);
        }
        Ok(())
    }

    async fn park(&self, _system: SystemScope, position: u64, _reason: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(event) = state.waiting.remove(&position) {
            state.parked.insert(position, event);
        }
        Ok(())
    }

    async fn backlog(&self, _system: SystemScope) -> Result<Backlog, StoreError> {
        let state = self.state();
        let count = |events: &BTreeMap<u64, Event>| u64::try_from(events.len()).unwrap_or(u64::MAX);
        Ok(Backlog { pending: count(&state.waiting), parked: count(&state.parked) })
    }

    async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
