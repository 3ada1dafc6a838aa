use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, StoreError, SystemScope, Timestamp,
    Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore, Records};

use crate::{Control, ControlId, RuleChange, RuleId, RuleSet, RuleStore, StoredRule};

/// Rules in the memory of one process; a restart forgets them.
#[derive(Debug)]
pub struct MemoryRuleStore {
    records: Records<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    rules: BTreeMap<RuleId, Versioned<StoredRule>>,
    controls: BTreeMap<ControlId, Versioned<Control>>,
}

impl MemoryRuleStore {
    /// Makes an empty store. Without an outbox the events of changes are discarded.
    #[must_use]
    pub fn new(outbox: Option<Arc<MemoryOutboxStore>>) -> Self {
        Self { records: Records::new(outbox) }
    }
}

#[async_trait]
impl ChangeFeed for MemoryRuleStore {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.records.changes(system, cursor, limit).await
    }

    async fn arrived(&self) {
        self.records.arrived().await;
    }
}

#[async_trait]
impl RuleStore for MemoryRuleStore {
    async fn get(&self, scope: Scope, id: &RuleId) -> Result<Option<Versioned<StoredRule>>, StoreError> {
        Ok(self.records.read(scope, |_, kept| kept.rules.get(id).cloned()))
    }

    async fn list(
        &self,
        scope: Scope,
        page: &PageRequest,
    ) -> Result<Page<Versioned<StoredRule>>, StoreError> {
        let id = |stored: &Versioned<StoredRule>| stored.value.rule.id.to_string();
        Ok(self.records.read(scope, |_, kept| Page::cut(kept.rules.values(), page, id)))
    }

    async fn load(&self, scope: Scope) -> Result<(Revision, RuleSet), StoreError> {
        Ok(self.records.read(scope, |revision, kept| {
            let rules = kept.rules.values().cloned().collect();
            (revision, RuleSet { rules, controls: kept.controls.values().cloned().collect() })
        }))
    }

    async fn apply(&self, scope: Scope, change: Change<RuleChange>) -> Result<Revision, StoreError> {
        let (revision, at) = (change.expected.next(), change.at);
        let write = |kept: &mut Kept, change| match change {
            RuleChange::Put(stored) => put(&mut kept.rules, stored.rule.id.clone(), stored, revision, at),
            RuleChange::Delete(id) => {
                kept.rules.remove(&id);
            }
            RuleChange::PutControl(control) => put(&mut kept.controls, control.id(), control, revision, at),
            RuleChange::DeleteControl(id) => {
                kept.controls.remove(&id);
            }
        };
        self.records.apply("apply", scope, change, write, RuleChange::key)
    }
}

fn put<K: Ord, V>(kept: &mut BTreeMap<K, Versioned<V>>, id: K, value: V, revision: Revision, at: Timestamp) {
    let written = match kept.get(&id) {
        Some(before) => before.replaced(value, revision, at),
        None => Versioned::created(value, revision, at),
    };
    kept.insert(id, written);
}
