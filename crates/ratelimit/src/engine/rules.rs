//! Administration of the rules, and how changes made elsewhere arrive.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use stanchion_core::{
    Author, Change, Details, Event, FeedEntry, FieldChange, Page, PageRequest, ResourceRef, Revision, Scope,
    StoreError, StoreErrorKind, Text, Timestamp, Versioned,
};
use stanchion_replica::Follow;

use super::Engine;
use crate::{Error, InvalidRule, Rule, RuleChange, RuleId, Rung, StoredRule};

/// How often a write is tried again when others change the scope at the same time.
pub(super) const ATTEMPTS: usize = 16;

impl Engine {
    /// Writes a rule, new or in place of the one with its id. What was counted stays counted, unless the rule now counts by
    /// something else or over other windows: then its counters begin anew.
    ///
    /// With `expected` the rule must be at that revision, or not exist when it is zero.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a rule that cannot be, [`Error::Stale`] when it is not at the expected revision,
    /// [`Error::TooManyRules`] for one more than a scope may have, [`Error::Store`] when the store fails.
    pub async fn put_rule(
        &self,
        author: &Author,
        scope: Scope,
        rule: Rule,
        expected: Option<Revision>,
    ) -> Result<Versioned<Rule>, Error> {
        rule.validate()?;
        if !self.counters.capabilities().kernels.contains(&rule.algorithm.kernel()) {
            let problem = format!("`{}` is not available with this counter store", rule.algorithm.as_str());
            return Err(InvalidRule::one(&rule.id, "algorithm", problem).into());
        }
        let id = rule.id.clone();
        let written = self.write(author, "limit.put", scope, &id, expected, |existing, next| {
            let kept = existing.filter(|existing| existing.rule.keeps_counters(&rule));
            let epoch = kept.map_or(next, |existing| existing.epoch);
            Ok(RuleChange::Put(StoredRule { rule: rule.clone(), epoch }))
        });
        let (before, revision, at) = written.await?;
        Ok(match before {
            Some(before) => {
                Versioned { value: rule, revision, created_at: before.created_at, updated_at: at }
            }
            None => Versioned::created(rule, revision, at),
        })
    }

    /// Deletes a rule. With `expected` it must be at that revision.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, [`Error::Stale`] when it is not at the expected revision, [`Error::Store`] when the
    /// store fails.
    pub async fn delete_rule(
        &self,
        author: &Author,
        scope: Scope,
        id: &RuleId,
        expected: Option<Revision>,
    ) -> Result<(), Error> {
        let written = self.write(author, "limit.delete", scope, id, expected, |existing, _| {
            existing.map(|_| RuleChange::Delete(id.clone())).ok_or_else(|| Error::NotFound(id.clone()))
        });
        written.await.map(drop)
    }

    /// Begins all counters of a rule anew.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such rule, [`Error::Store`] when the store fails.
    pub async fn reset_rule(&self, author: &Author, scope: Scope, id: &RuleId) -> Result<(), Error> {
        let written = self.write(author, "limit.reset", scope, id, None, |existing, next| {
            let existing = existing.ok_or_else(|| Error::NotFound(id.clone()))?;
            Ok(RuleChange::Put(StoredRule { rule: existing.rule.clone(), epoch: next }))
        });
        written.await.map(drop)
    }

    /// Returns a rule.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn get_rule(&self, scope: Scope, id: &RuleId) -> Result<Option<Versioned<Rule>>, Error> {
        Ok(self.rules.get(scope, id).await?.map(without_epoch))
    }

    /// Returns a page of a scope's rules, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn list_rules(&self, scope: Scope, page: &PageRequest) -> Result<Page<Versioned<Rule>>, Error> {
        Ok(self.rules.list(scope, page).await?.map(without_epoch))
    }

    /// Writes what `change` makes of the rule as it is and of the revision to come, and again when the scope moved meanwhile.
    /// Returns the rule as it was, and revision and time of the change.
    async fn write(
        &self,
        author: &Author,
        action: &'static str,
        scope: Scope,
        id: &RuleId,
        expected: Option<Revision>,
        change: impl Fn(Option<&StoredRule>, Revision) -> Result<RuleChange, Error>,
    ) -> Result<(Option<Versioned<StoredRule>>, Revision, Timestamp), Error> {
        let mut attempt = 1;
        loop {
            let (revision, set) = self.rules.load(scope).await?;
            let count = set.rules.len();
            let before = set.rules.into_iter().find(|stored| stored.value.rule.id == *id);
            let current = before.as_ref().map_or(Revision::ZERO, |stored| stored.revision);
            if expected.is_some_and(|expected| expected != current) {
                return Err(Error::Stale { id: id.clone(), current });
            }
            let change = change(before.as_ref().map(|stored| &stored.value), revision.next())?;
            if before.is_none() && count >= self.config.rules_per_scope {
                return Err(Error::TooManyRules(self.config.rules_per_scope));
            }
            let at = self.clock.now();
            let change = Change {
                expected: revision,
                at,
                actor: author.actor.clone(),
                events: vec![self.event(author, action, scope, at, &change, before.as_ref())],
                changes: vec![change],
            };
            match self.rules.apply(scope, change).await {
                Ok(revision) => {
                    self.taken_in(scope, revision).await;
                    return Ok((before, revision, at));
                }
                Err(error) if error.kind() == StoreErrorKind::Conflict && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn event(
        &self,
        author: &Author,
        action: &'static str,
        scope: Scope,
        at: Timestamp,
        change: &RuleChange,
        before: Option<&Versioned<StoredRule>>,
    ) -> Event {
        let mut event = author.event(&*self.ids, at, scope, action);
        event.targets.extend(ResourceRef::new("limit", change.key()));
        let before = before.map(|before| describe(&before.value.rule)).unwrap_or_default();
        match change {
            RuleChange::Put(stored) => {
                let after = describe(&stored.rule);
                event.changes = FieldChange::between(&before, &after);
                event.with_detail("rule", after)
            }
            RuleChange::Delete(_) => {
                event.changes = FieldChange::between(&before, &Details::default());
                event
            }
            _ => event,
        }
    }

    /// Sees to it that the next decision knows a change that was made here.
    pub(super) async fn taken_in(&self, scope: Scope, revision: Revision) {
        if self.take_in(scope, revision).await.is_err() {
            // The change is made; what is kept is known to be old, and is read again when it is next asked for.
            self.platform.store(None);
        }
    }

    /// Sees to it that the next decision knows a change of `scope`.
    async fn take_in(&self, scope: Scope, revision: Revision) -> Result<(), StoreError> {
        match scope {
            Scope::Platform => {
                let _turn = self.reading.lock().await;
                let older = self.platform.load().as_ref().is_some_and(|kept| kept.revision < revision);
                if older {
                    self.replace_platform().await?;
                }
            }
            Scope::Tenant(tenant) => {
                let known = self.tenants.with(&tenant, self.clock.now(), |kept| kept.revision >= revision);
                // Also when nothing is kept: what is being read just now may be older than the change.
                if known != Some(true) {
                    self.tenants.remove(&tenant);
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Follow for Engine {
    async fn changed(&self, entries: &[FeedEntry]) -> Result<(), StoreError> {
        for entry in entries {
            self.take_in(entry.scope, entry.revision).await?;
        }
        Ok(())
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.tenants.clear();
        let _turn = self.reading.lock().await;
        self.platform.store(None);
        Ok(())
    }

    fn caught_up(&self, as_of: Timestamp) {
        self.caught_up.fetch_max(as_of.micros(), Ordering::Relaxed);
    }
}

fn without_epoch(stored: Versioned<StoredRule>) -> Versioned<Rule> {
    let Versioned { value, revision, created_at, updated_at } = stored;
    Versioned { value: value.rule, revision, created_at, updated_at }
}

/// What a record of a change says about a rule.
fn describe(rule: &Rule) -> Details {
    let mut details = Details::default();
    details.push("key", rule.key.to_string());
    details.push("limit", rule.limit);
    details.push("burst", rule.burst);
    details.push("window", rule.window.to_string());
    details.push("zone", rule.zone.to_string());
    details.push("algorithm", rule.algorithm.as_str());
    details.push("action", rule.action.as_str());
    if !rule.conditions.is_empty() {
        details.push("conditions", u64::try_from(rule.conditions.len()).unwrap_or(u64::MAX));
    }
    if !rule.ladder.is_empty() {
        let rung =
            |rung: &Rung| Text::from(format!("{} at {}", rung.action.as_str(), rung.violations)).into();
        details.push("ladder", rule.ladder.iter().map(rung).collect::<Vec<_>>());
    }
    details.push("priority", i64::from(rule.priority));
    details.push("enabled", rule.enabled);
    details.push("shadow", rule.shadow);
    for (name, selectors) in [("routes", &rule.routes), ("labels", &rule.labels)] {
        if !selectors.is_empty() {
            details
                .push(name, selectors.iter().map(|one| Text::from(one.shared()).into()).collect::<Vec<_>>());
        }
    }
    details
}
