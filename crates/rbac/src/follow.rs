use async_trait::async_trait;
use stanchion_core::{FeedEntry, Scope, SessionId, StoreError, SubjectRef, Timestamp};
use stanchion_replica::Follow;

use crate::Engine;
use crate::holdings::Holdings;
use crate::subject_key::BorrowedKey;

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
        self.sessions.clear();
        self.views.clear();
        self.forget_roles(Scope::Platform);
        Ok(())
    }

    fn caught_up(&self, as_of: Timestamp) {
        let until = as_of.plus(self.config.max_stale());
        self.views.trust_until(until);
        self.subjects.trust_until(until);
        self.sessions.trust_until(until);
    }
}

impl Engine {
    fn forget_key(&self, entry: &FeedEntry, key: &str) {
        let scope = entry.scope;
        match key.split_once(':') {
            // Also when the roles in memory have the change: subjects may have been found in older ones.
            Some(("role", _)) => self.forget_roles(scope),
            Some(("subject", subject)) => {
                let Ok(subject) = subject.parse::<SubjectRef>() else {
                    return self.forget_everything_of(scope);
                };
                // What was read at or after the revision has the change, this engine's own changes above all.
                let has_it = |held: &Holdings| held.revision >= entry.revision;
                let key = BorrowedKey::new(scope, &subject);
                if self.subjects.with(&key, Timestamp::MIN, has_it) != Some(true) {
                    self.forget_subject(scope, &subject);
                }
            }
            Some(("session", session)) => match session.parse::<SessionId>() {
                Ok(session) => self.forget_session(scope, session),
                Err(_) => self.forget_everything_of(scope),
            },
            // Separations are looked at when something is written.
            Some(("separation", _)) => {}
            // A kind of record that this version does not know: everything of the scope may depend on it.
            _ => self.forget_everything_of(scope),
        }
    }
}
