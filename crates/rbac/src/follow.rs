use async_trait::async_trait;
use stanchion_core::{FeedEntry, Scope, StoreError, SubjectRef, Timestamp};
use stanchion_replica::Follow;

use crate::Engine;
use crate::engine::InScope;

/// Lets go of what others have changed; the next check that needs it reads it again.
#[async_trait]
impl Follow for Engine {
    async fn changed(&self, entries: &[FeedEntry]) -> Result<(), StoreError> {
        for entry in entries {
            for key in &entry.keys {
                self.forget_key(entry, key);
            }
        }
        Ok(())
    }

    async fn reset(&self) -> Result<(), StoreError> {
        self.subjects.clear();
        self.views.clear();
        self.forget_roles(Scope::Platform);
        Ok(())
    }

    fn caught_up(&self, as_of: Timestamp) {
        self.trust_until(as_of.plus(self.config.max_stale()));
    }
}

impl Engine {
    /// What was read at or after the revision is kept: it has the change.
    fn forget_key(&self, entry: &FeedEntry, key: &str) {
        let (scope, now) = (entry.scope, Timestamp::MIN);
        match key.split_once(':') {
            Some(("role", _)) => {
                let has_it = self.views.with(&scope, now, |view| view.own.revision >= entry.revision);
                if has_it != Some(true) {
                    self.forget_roles(scope);
                }
            }
            Some(("subject", subject)) if subject.parse::<SubjectRef>().is_ok() => {
                let Ok(subject) = subject.parse::<SubjectRef>() else { return };
                let key: &dyn InScope = &(scope, &subject);
                let has_it = self.subjects.with(key, now, |held| held.revision >= entry.revision);
                if has_it != Some(true) {
                    self.forget_subject(scope, &subject);
                }
            }
            _ => {
                // A kind of record that this version does not know: everything of the scope may depend on it.
                self.forget_roles(scope);
                self.subjects.remove_if(|key, _| key.scope() == scope);
            }
        }
    }
}
