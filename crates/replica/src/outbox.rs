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

/// Where record ports leave the events of their changes until a [`Relay`](crate::Relay) has delivered them.
///
/// 1. An event is there if and only if its change was committed.
/// 2. Events of one scope come in the order of their changes.
/// 3. An event stays until it is acknowledged; acknowledging it again, or one that never was, does nothing.
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
        }
        Ok(())
    }

    async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
