use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, StoreError, SystemScope, Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore, Records};

use crate::{RuleChange, RuleId, RuleStore, StoredRule};

/// Rules in the memory of one process; a restart forgets them.
#[derive(Debug)]
pub struct MemoryRuleStore {
    records: Records<BTreeMap<RuleId, Versioned<StoredRule>>>,
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
        Ok(self.records.read(scope, |_, rules| rules.get(id).cloned()))
    }

    async fn list(
        &self,
        scope: Scope,
        page: &PageRequest,
    ) -> Result<Page<Versioned<StoredRule>>, StoreError> {
        let id = |stored: &Versioned<StoredRule>| stored.value.rule.id.to_string();
        Ok(self.records.read(scope, |_, rules| Page::cut(rules.values(), page, id)))
    }

    async fn load(&self, scope: Scope) -> Result<(Revision, Vec<Versioned<StoredRule>>), StoreError> {
        Ok(self.records.read(scope, |revision, rules| (revision, rules.values().cloned().collect())))
    }

    async fn apply(&self, scope: Scope, change: Change<RuleChange>) -> Result<Revision, StoreError> {
        let (revision, at) = (change.expected.next(), change.at);
        let write = |rules: &mut BTreeMap<RuleId, Versioned<StoredRule>>, change| match change {
            RuleChange::Put(stored) => {
                let written = match rules.get(&stored.rule.id) {
                    Some(before) => before.replaced(stored, revision, at),
                    None => Versioned::created(stored, revision, at),
                };
                rules.insert(written.value.rule.id.clone(), written);
            }
            RuleChange::Delete(id) => {
                rules.remove(&id);
            }
        };
        self.records.apply("apply", scope, change, write, |change| change.id().shared())
    }
}
