//! Opening what is protected, for those who may read it.

use hashbrown::HashMap;
use serde::Serialize;
use stanchion_core::{Detail, Event, Scope};

use super::derive::{self, Bound, Key};
use super::keyring::FieldKeys;
use super::path::{At, each};
use super::sealed::absent;
use super::{KeyNode, Protection, ProtectionError, Sealed, SubjectKeyId, is_reserved};
use crate::RetentionClass;

/// How many values were found protected, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// Those that can be read now.
    pub opened: u64,
    /// Those whose keys are destroyed.
    pub erased: u64,
    /// Those that do not open: they were moved, altered, or never were what they say.
    pub unreadable: u64,
}

type Nodes = HashMap<SubjectKeyId, Vec<(KeyNode, Key)>>;

impl Protection {
    /// Opens every protected value of events of a scope, in place. What is erased or does not open says so where it stands. The events
    /// are no longer what was hashed.
    ///
    /// # Errors
    /// [`ProtectionError::Store`] when the keys cannot be read; [`ProtectionError::NoVersion`] when the secret of one is missing.
    pub async fn open(&self, scope: Scope, events: &mut [Event]) -> Result<Opened, ProtectionError> {
        let mut ids = Vec::new();
        for event in events.iter_mut() {
            each(event, &is_reserved, &mut |_, value| {
                ids.extend(Sealed::from_detail(value).map(|sealed| sealed.key));
                value.clone()
            });
        }
        ids.sort_unstable();
        ids.dedup();
        let mut nodes = Nodes::new();
        if !ids.is_empty() {
            for stored in self.shared.keys.store.by_id(scope, &ids).await? {
                let key = self.shared.keys.unwrapped(&stored)?;
                nodes.entry(stored.id).or_default().push((stored.node, key));
            }
        }
        let mut count = Opened::default();
        for event in events {
            let (id, class, of) = (event.id, RetentionClass::of(event.category), event.scope);
            each(event, &is_reserved, &mut |at, value| {
                let Some(sealed) = Sealed::from_detail(value) else {
                    // Withheld from the beginning; or nothing that was ever protected.
                    return value.clone();
                };
                let bound = Bound {
                    scope: of,
                    class,
                    event: id,
                    field: at.field,
                    side: at.side,
                    key: sealed.key,
                    cipher: sealed.cipher.as_str(),
                };
                self.open_one(&at, class, &sealed, &bound, &nodes, &mut count)
            });
        }
        Ok(count)
    }

    fn open_one(
        &self,
        at: &At<'_>,
        class: RetentionClass,
        sealed: &Sealed,
        bound: &Bound<'_>,
        nodes: &Nodes,
        count: &mut Opened,
    ) -> Detail {
        let above = nodes.get(&sealed.key).map(Vec::as_slice).unwrap_or_default();
        let Some(field) = above.iter().find_map(|(node, key)| derive::below(node, key, class, at.field))
        else {
            count.erased += 1;
            return absent("erased");
        };
        let cipher = &self.shared.keys.cipher;
        let clear = (sealed.cipher.as_str() == cipher.name()).then(|| {
            let seal = FieldKeys::new(field).seal;
            cipher.open(&seal, &sealed.nonce, &bound.additional(), &sealed.ciphertext).ok()
        });
        let value = clear.flatten().and_then(|clear| serde_json::from_slice(&clear).ok());
        if let Some(value) = value {
            count.opened += 1;
            return value;
        }
        count.unreadable += 1;
        absent("unreadable")
    }
}
