//! The removal of what has served its time.

use std::collections::BTreeMap;
use std::time::Duration;

use stanchion_core::{Author, Scope, StoreErrorKind, SystemScope, Timestamp};

use crate::write::Prepared;
use crate::{Engine, Error, RbacChange, RbacStoreExt as _, RecordFilter, RecordKey, RecordKind, Session};

/// How many records of a kind are removed in one change at most.
const AT_ONCE: usize = 500;

impl Engine {
    /// Removes what has expired, at most `most` records in all scopes together: sessions as soon as they have, assignments, grants and
    /// memberships once `sweep.keep_days` have passed since, if that is set. Returns how many it removed; if as many as it might, there
    /// may be more. Nothing of it counts any more, so no decision changes, but the reason of a refusal may: what is gone was never there.
    ///
    /// The events are `session.ended`, `assignment.expired`, `grant.expired` and `membership.expired`. Several engines may sweep at once.
    ///
    /// # Errors
    /// [`Error::Store`] when the store fails. What was removed until then stays removed.
    pub async fn sweep(&self, most: usize) -> Result<usize, Error> {
        let author = Author::system("sweeper");
        let mut removed = 0;
        for kind in [RecordKind::Session, RecordKind::Assignment, RecordKind::Grant, RecordKind::Membership] {
            let Some(before) = self.served_until(kind) else { continue };
            while removed < most {
                let system = SystemScope::new("remove what has expired");
                let limit = AT_ONCE.min(most - removed);
                let found = self.store.expired(system, kind, before, limit).await?;
                let count = found.len();
                let mut by_scope: BTreeMap<Scope, Vec<RecordKey>> = BTreeMap::new();
                for (scope, key) in found {
                    by_scope.entry(scope).or_default().push(key);
                }
                let mut gone = 0;
                for (scope, keys) in by_scope {
                    gone += self.remove_expired(&author, scope, &keys).await?;
                }
                removed += gone;
                if count < limit || gone == 0 {
                    break;
                }
            }
        }
        Ok(removed)
    }

    /// Until when a record of a kind must have expired to be removed now.
    fn served_until(&self, kind: RecordKind) -> Option<Timestamp> {
        let now = self.clock.now();
        match kind {
            RecordKind::Session => Some(now),
            _ => {
                let days = self.config.sweep.keep_days?;
                Some(now.minus(Duration::from_secs(86_400 * u64::from(days))))
            }
        }
    }

    /// Removes those of the records that have expired still, and returns how many those were.
    async fn remove_expired(
        &self,
        author: &Author,
        scope: Scope,
        keys: &[RecordKey],
    ) -> Result<usize, Error> {
        let removed = std::sync::atomic::AtomicUsize::new(0);
        let prepare = |at| -> stanchion_core::BoxFuture<'_, _> {
            let removed = &removed;
            Box::pin(async move {
                let expected = self.store.load(scope).await?.revision;
                let (mut changes, mut events) = (Vec::new(), Vec::new());
                for key in keys {
                    let Some(before) = self.served_until(key.kind()) else { continue };
                    // It may have been prolonged since it was found.
                    let Some(event) = self.expiry(author, at, scope, key, before).await? else { continue };
                    changes.push(RbacChange::Delete(key.clone()));
                    events.push(event);
                }
                removed.store(changes.len(), std::sync::atomic::Ordering::Relaxed);
                Ok(Prepared::<Session> { expected, before: None, changes, events })
            })
        };
        match self.write(author, scope, prepare).await {
            Ok(_) => Ok(removed.into_inner()),
            // Others keep changing the scope; the next round comes.
            Err(Error::Store(error)) if error.kind() == StoreErrorKind::Conflict => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The event of a record that is removed because it has expired, if it has.
    async fn expiry(
        &self,
        author: &Author,
        at: Timestamp,
        scope: Scope,
        key: &RecordKey,
        before: Timestamp,
    ) -> Result<Option<stanchion_core::Event>, Error> {
        let is_over =
            |expires_at: Option<Timestamp>| expires_at.is_some_and(|expires_at| expires_at <= before);
        let event = match key {
            RecordKey::Session(id) => {
                let session = self.store.get_session(scope, *id).await?;
                let session = session.filter(|session| is_over(Some(session.value.expires_at)));
                session.map(|session| self.of_session(author, at, scope, "session.ended", &session.value))
            }
            RecordKey::Assignment { subject, role, resource } => {
                let held = self.store.subject(scope, subject).await?.assignments;
                let is_it = held.iter().any(|held| {
                    let held = &held.value;
                    (&held.role, &held.resource) == (role, resource) && is_over(held.expires_at)
                });
                let event = || self.event(author, at, scope, "assignment.expired", Some(role), Some(subject));
                is_it.then(|| crate::admin::on(event(), resource.as_ref()))
            }
            RecordKey::Grant { subject, permission, resource } => {
                let had = self.store.subject(scope, subject).await?.grants;
                let is_it = had.iter().any(|had| {
                    let had = &had.value;
                    (&had.permission, &had.resource) == (permission, resource) && is_over(had.expires_at)
                });
                let event = || self.event(author, at, scope, "grant.expired", None, Some(subject));
                let event = || event().with_detail("permission", permission.to_string());
                is_it.then(|| crate::admin::on(event(), resource.as_ref()))
            }
            RecordKey::Membership { group, member } => {
                let filter = RecordFilter::all(RecordKind::Membership)
                    .of_group(group.clone())
                    .of_subject(member.clone());
                let page = stanchion_core::PageRequest::first(1);
                let found = self.store.list_of::<crate::Membership>(scope, &filter, &page).await?.items;
                let event = || self.event(author, at, scope, "membership.expired", None, Some(member));
                let is_it = found.first().is_some_and(|found| is_over(found.value.expires_at));
                is_it.then(|| event().with_detail("group", group.to_string()))
            }
            RecordKey::Role(_) | RecordKey::Denial { .. } | RecordKey::Separation(_) => None,
        };
        Ok(event)
    }
}
