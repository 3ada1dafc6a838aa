use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use stanchion_core::{Scope, SubjectKind, SubjectRef};

/// A subject of a scope, as a key. Its hash is taken once: a look-up needs it several times.
#[derive(Clone, Debug)]
pub(crate) struct SubjectKey {
    hash: u64,
    scope: Scope,
    kind: SubjectKind,
    id: ShortText,
}

/// Text that is kept in place while it is short, as ids mostly are, so that comparing it reads no other memory.
#[derive(Clone, Debug)]
enum ShortText {
    InPlace { length: u8, bytes: [u8; 38] },
    Shared(Arc<[u8]>),
}

/// A [`SubjectKey`] that is only looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BorrowedKey<'a> {
    hash: u64,
    scope: Scope,
    kind: SubjectKind,
    id: &'a [u8],
}

impl SubjectKey {
    pub(crate) const fn scope(&self) -> Scope {
        self.scope
    }
}

impl<'a> BorrowedKey<'a> {
    pub(crate) fn new(hasher: &DefaultHashBuilder, scope: Scope, subject: &'a SubjectRef) -> Self {
        let hash = hasher.hash_one((scope, subject));
        Self { hash, scope, kind: subject.kind(), id: subject.id().as_str().as_bytes() }
    }

    pub(crate) fn to_owned(self) -> SubjectKey {
        SubjectKey { hash: self.hash, scope: self.scope, kind: self.kind, id: ShortText::new(self.id) }
    }
}

impl ShortText {
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; 38];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text);
                Self::InPlace { length, bytes }
            }
            _ => Self::Shared(text.into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::InPlace { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Shared(text) => text,
        }
    }
}

/// What both keys are to the cache.
pub(crate) trait Key {
    fn hash(&self) -> u64;
    fn borrowed(&self) -> BorrowedKey<'_>;
}

impl Key for SubjectKey {
    fn hash(&self) -> u64 {
        self.hash
    }

    fn borrowed(&self) -> BorrowedKey<'_> {
        BorrowedKey { hash: self.hash, scope: self.scope, kind: self.kind, id: self.id.as_bytes() }
    }
}

impl Key for BorrowedKey<'_> {
    fn hash(&self) -> u64 {
        self.hash
    }

    fn borrowed(&self) -> BorrowedKey<'_> {
        *self
    }
}

impl<'a> Borrow<dyn Key + 'a> for SubjectKey {
    fn borrow(&self) -> &(dyn Key + 'a) {
        self
    }
}

impl Hash for SubjectKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for dyn Key + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(Key::hash(self));
    }
}

impl PartialEq for SubjectKey {
    fn eq(&self, other: &Self) -> bool {
        (self as &dyn Key) == (other as &dyn Key)
    }
}

impl Eq for SubjectKey {}

impl PartialEq for dyn Key + '_ {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.borrowed(), other.borrowed());
        ours.hash == theirs.hash
            && (ours.scope, ours.kind) == (theirs.scope, theirs.kind)
            && ours.id == theirs.id
    }
}

impl Eq for dyn Key + '_ {}

#[cfg(test)]
mod tests {
    use super::*;
    use stanchion_core::TenantId;

    #[test]
    fn keys_are_told_apart_by_all_they_have_whatever_the_length() {
        let hasher = DefaultHashBuilder::default();
        let tenant: TenantId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
        let scopes = [Scope::Platform, Scope::Tenant(tenant)];
        let ids = [1, 2, 37, 38, 39, 128].map(|length| "x".repeat(length));
        let subjects: Vec<SubjectRef> = ids
            .iter()
            .flat_map(|id| ["user", "service"].map(|kind| format!("{kind}:{id}").parse().unwrap()))
            .collect();
        let all: Vec<(Scope, &SubjectRef)> =
            scopes.iter().flat_map(|scope| subjects.iter().map(move |subject| (*scope, subject))).collect();
        for (scope, subject) in &all {
            let key = BorrowedKey::new(&hasher, *scope, subject).to_owned();
            for (other_scope, other) in &all {
                let mut sought = BorrowedKey::new(&hasher, *other_scope, other);
                let same = (scope, subject) == (other_scope, other);
                assert_eq!((&key as &dyn Key) == (&sought as &dyn Key), same, "{subject} {other}");
                // Also when their hashes happen to be one.
                sought.hash = key.hash;
                assert_eq!((&key as &dyn Key) == (&sought as &dyn Key), same, "{subject} {other}");
                assert_eq!(key == sought.to_owned(), same);
            }
        }
    }
}
