//! A record port: tenants in one map behind one lock.
//!
//! Whatever holds the records, four things have to come together in one atomic unit: the check of the revision, the records, the entry
//! in the feed, and the events in the outbox. Here the lock makes them one; in a database a transaction does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use stanchion_core::{
    Actor, Change, Event, FeedCursor, FeedEntry, FeedPage, Page, PageRequest, Revision, Scope, Slug,
    StoreError, StoreErrorKind, SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::{Backlog, ChangeFeed, OutboxRecord, OutboxStore};
use stanchion_tenancy::{Tenant, TenantChange, TenantStore};
use tokio::sync::Notify;

type Tenants = BTreeMap<TenantId, Versioned<Tenant>>;

#[derive(Debug, Default)]
struct OutsideTenantStore {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    tenants: Tenants,
    /// Every change there was; a cursor is a place in it. A store that keeps only the newest sets `reset` for older cursors.
    feed: Vec<FeedEntry>,
    /// Events that wait, by their place; `places` counts all there have been.
    outbox: BTreeMap<u64, Event>,
    parked: BTreeMap<u64, Event>,
    places: u64,
}

/// Errors name the backend and the operation; what else went wrong is their `source`.
const fn error(kind: StoreErrorKind, operation: &'static str) -> StoreError {
    StoreError::new(kind, "outside", operation)
}

impl OutsideTenantStore {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every write is made up apart and put in place at once, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TenantStore for OutsideTenantStore {
    async fn revision(&self, _: SystemScope) -> Result<Revision, StoreError> {
        Ok(self.state().revision)
    }

    async fn get(&self, _: SystemScope, id: TenantId) -> Result<Option<Versioned<Tenant>>, StoreError> {
        Ok(self.state().tenants.get(&id).cloned())
    }

    async fn by_slug(&self, _: SystemScope, slug: &Slug) -> Result<Option<Versioned<Tenant>>, StoreError> {
        Ok(self.state().tenants.values().find(|tenant| tenant.value.slug == *slug).cloned())
    }

    async fn list(&self, _: SystemScope, page: &PageRequest) -> Result<Page<Versioned<Tenant>>, StoreError> {
        // A page key is what this store made of an id: anything else did not come from here.
        let after = page.key().map(str::parse::<TenantId>).transpose();
        let after = after.map_err(|cause| error(StoreErrorKind::Corrupt, "list").with_source(cause))?;
        let state = self.state();
        let rest = state.tenants.values().filter(|tenant| after.is_none_or(|after| tenant.value.id > after));
        Ok(Page::cut(rest, page, |tenant| tenant.value.id.to_string()))
    }

    async fn apply(&self, _: SystemScope, change: Change<TenantChange>) -> Result<Revision, StoreError> {
        let mut state = self.state();
        // The revision comes first: whoever is out of date is told so, whatever else is wrong.
        if state.revision != change.expected {
            return Err(error(StoreErrorKind::Conflict, "apply"));
        }
        let revision = state.revision.next();
        let mut tenants = state.tenants.clone();
        let mut keys = Vec::new();
        for TenantChange::Put(tenant) in change.changes {
            let id = tenant.id;
            // The engine has looked already, but another replica may have written since: uniqueness is the store's to keep.
            if tenants.values().any(|other| other.value.slug == tenant.slug && other.value.id != id) {
                return Err(error(StoreErrorKind::AlreadyExists, "apply"));
            }
            let written = match tenants.get(&id) {
                Some(before) => before.replaced(tenant, revision, change.at),
                None => Versioned::created(tenant, revision, change.at),
            };
            tenants.insert(id, written);
            keys.push(id.to_string().into());
        }
        state.revision = revision;
        state.tenants = tenants;
        state.feed.push(FeedEntry { scope: Scope::Platform, revision, keys });
        for event in change.events {
            let place = state.places;
            state.outbox.insert(place, event);
            state.places += 1;
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(revision)
    }
}

#[async_trait]
impl ChangeFeed for OutsideTenantStore {
    async fn changes(
        &self,
        _: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let state = self.state();
        let Some(cursor) = cursor else {
            let present = FeedCursor::new(&state.feed.len().to_string());
            return Ok(FeedPage { entries: Vec::new(), cursor: present, reset: true });
        };
        let from: Option<usize> = cursor.as_str().parse().ok();
        let rest = from.and_then(|from| state.feed.get(from..));
        let (Some(from), Some(rest)) = (from, rest) else {
            return Err(error(StoreErrorKind::Corrupt, "changes"));
        };
        let entries: Vec<FeedEntry> = rest.iter().take(limit).cloned().collect();
        let cursor = FeedCursor::new(&(from + entries.len()).to_string());
        Ok(FeedPage { entries, cursor, reset: false })
    }

    /// Spares followers the polling. A store without a bus leaves this out.
    async fn arrived(&self) {
        self.changed.notified().await;
    }
}

#[async_trait]
impl OutboxStore for OutsideTenantStore {
    async fn pending(&self, _: SystemScope, limit: usize) -> Result<Vec<OutboxRecord>, StoreError> {
        let state = self.state();
        let waiting = state.outbox.iter().take(limit);
        Ok(waiting
            .map(|(position, event)| OutboxRecord { position: *position, event: event.clone() })
            .collect())
    }

    async fn acknowledge(&self, _: SystemScope, positions: &[u64]) -> Result<(), StoreError> {
        let mut state = self.state();
        state.outbox.retain(|position, _| !positions.contains(position));
        state.parked.retain(|position, _| !positions.contains(position));
        Ok(())
    }

    async fn park(&self, _: SystemScope, position: u64, _: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(event) = state.outbox.remove(&position) {
            state.parked.insert(position, event);
        }
        Ok(())
    }

    async fn backlog(&self, _: SystemScope) -> Result<Backlog, StoreError> {
        let state = self.state();
        let count = |events: &BTreeMap<u64, Event>| u64::try_from(events.len()).unwrap_or(u64::MAX);
        Ok(Backlog { pending: count(&state.outbox), parked: count(&state.parked) })
    }
}

async fn tenants() -> stanchion_tenancy::conformance::Fixture {
    let store = Arc::new(OutsideTenantStore::default());
    stanchion_tenancy::conformance::Fixture { outbox: Arc::clone(&store) as _, store }
}

async fn outbox() -> stanchion_replica::conformance::Fixture {
    let store = Arc::new(OutsideTenantStore::default());
    let written = Arc::clone(&store);
    let commit = move |events: Vec<Event>| {
        let store = Arc::clone(&written);
        Box::pin(async move { commit(&store, events).await }) as _
    };
    stanchion_replica::conformance::Fixture { store, commit: Arc::new(commit) }
}

/// Commits events with a change that writes nothing else, as soon as nobody else writes.
async fn commit(store: &OutsideTenantStore, events: Vec<Event>) {
    const SYSTEM: SystemScope = SystemScope::new("test");
    loop {
        let expected = store.state().revision;
        let (at, actor) = (Timestamp::EPOCH, Actor::Anonymous);
        let change = Change { expected, changes: Vec::new(), at, actor, events: events.clone() };
        match store.apply(SYSTEM, change).await {
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            written => {
                written.expect("writes");
                return;
            }
        }
    }
}

stanchion_tenancy::tenant_store_conformance!(mod outside_tenant_store, tenants());
stanchion_replica::outbox_store_conformance!(mod outside_outbox_store, outbox());
