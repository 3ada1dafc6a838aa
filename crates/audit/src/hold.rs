use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use stanchion_core::{Scope, StoreError, Text, Timestamp};
use uuid::Uuid;

use crate::{ChainId, RetentionClass};

/// A legal hold: while it stands, nothing of its chains is dropped, however long ago its time was over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Its id, unique within its scope.
    pub id: Uuid,
    /// Whose entries.
    pub scope: Scope,
    /// Of which class; of all when it is not set.
    pub class: Option<RetentionClass>,
    /// Why.
    pub reason: Text,
    /// Who placed it.
    pub placed_by: Text,
    /// Since when it stands.
    pub placed_at: Timestamp,
    /// When it ends by itself; not set, when it is lifted.
    pub until: Option<Timestamp>,
    /// Who lifted it.
    pub lifted_by: Option<Text>,
    /// When it was lifted.
    pub lifted_at: Option<Timestamp>,
}

impl Hold {
    /// Tells whether it stands now.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> bool {
        self.lifted_at.is_none() && self.until.is_none_or(|until| now < until)
    }

    /// Tells whether it is about a chain.
    #[must_use]
    pub fn covers(&self, chain: ChainId) -> bool {
        self.scope == chain.scope && self.class.is_none_or(|class| class == chain.class)
    }
}

/// Where legal holds are kept.
///
/// 1. A hold that was [put](Self::put) is durable and is listed, for good: a lifted one stays on record.
/// 2. Within a scope an id is put once; the second time nothing is written.
/// 3. A hold is [lifted](Self::lift) once; who comes later gets it as it was lifted.
/// 4. Nothing of another scope is ever returned or lifted.
/// 5. `Timeout` says that a write may have happened, `Unavailable` that it did not.
#[async_trait]
pub trait HoldStore: fmt::Debug + Send + Sync {
    /// Places a hold. Returns the one that has its id.
    ///
    /// # Errors
    /// `Unavailable` when nothing was written, `Timeout` when that is not known.
    async fn put(&self, hold: &Hold) -> Result<Hold, StoreError>;

    /// Returns all holds of a scope, those that were lifted too, in the order of their placing.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be read; `Corrupt` for a hold that is none.
    async fn list(&self, scope: Scope) -> Result<Vec<Hold>, StoreError>;

    /// Lifts a hold. Returns it as it is now; `None` when there is none of the id.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    async fn lift(
        &self,
        scope: Scope,
        id: Uuid,
        by: &Text,
        at: Timestamp,
    ) -> Result<Option<Hold>, StoreError>;
}

/// Legal holds in memory: the reference that other adapters must equal. They end with the process.
#[derive(Debug, Default)]
pub struct MemoryHoldStore {
    holds: Mutex<Vec<Hold>>,
}

impl MemoryHoldStore {
    fn lock(&self) -> MutexGuard<'_, Vec<Hold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl HoldStore for MemoryHoldStore {
    async fn put(&self, hold: &Hold) -> Result<Hold, StoreError> {
        let mut holds = self.lock();
        if let Some(known) = holds.iter().find(|known| (known.scope, known.id) == (hold.scope, hold.id)) {
            return Ok(known.clone());
        }
        holds.push(hold.clone());
        Ok(hold.clone())
    }

    async fn list(&self, scope: Scope) -> Result<Vec<Hold>, StoreError> {
        let mut holds: Vec<Hold> = self.lock().iter().filter(|hold| hold.scope == scope).cloned().collect();
        holds.sort_by_key(|hold| (hold.placed_at, hold.id));
        Ok(holds)
    }

    async fn lift(
        &self,
        scope: Scope,
        id: Uuid,
        by: &Text,
        at: Timestamp,
    ) -> Result<Option<Hold>, StoreError> {
        let mut holds = self.lock();
        let Some(hold) = holds.iter_mut().find(|hold| (hold.scope, hold.id) == (scope, id)) else {
            return Ok(None);
        };
        if hold.lifted_at.is_none() {
            hold.lifted_by = Some(by.clone());
            hold.lifted_at = Some(at);
        }
        Ok(Some(hold.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u8) -> Scope {
        format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap()
    }

    fn hold() -> Hold {
        Hold {
            id: Uuid::from_u128(1),
            scope: tenant(1),
            class: None,
            reason: "Smith v. Acme".into(),
            placed_by: "user:counsel".into(),
            placed_at: Timestamp::EPOCH,
            until: None,
            lifted_by: None,
            lifted_at: None,
        }
    }

    #[test]
    fn a_hold_stands_until_its_end_and_not_at_it() {
        let (last, end) = (Timestamp::from_micros(9), Timestamp::from_micros(10));
        let ends = Hold { until: Some(end), ..hold() };
        assert_eq!((ends.stands(last), ends.stands(end)), (true, false));
        assert!(hold().stands(Timestamp::MAX));
        let lifted = Hold { lifted_at: Some(end), ..hold() };
        assert!(!lifted.stands(last), "whatever the clock says");
    }

    #[test]
    fn a_hold_is_about_its_scope_and_class_only() {
        let chain = |scope, class| ChainId { scope, class };
        for class in RetentionClass::ALL {
            assert!(hold().covers(chain(tenant(1), class)));
            assert!(!hold().covers(chain(tenant(2), class)));
            assert!(!hold().covers(chain(Scope::Platform, class)));
        }
        let standard = Hold { class: Some(RetentionClass::Standard), ..hold() };
        assert!(standard.covers(chain(tenant(1), RetentionClass::Standard)));
        assert!(!standard.covers(chain(tenant(1), RetentionClass::Security)));
        assert!(!standard.covers(chain(tenant(2), RetentionClass::Standard)));
    }
}
