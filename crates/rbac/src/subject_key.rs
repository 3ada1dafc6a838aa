use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::Equivalent;
use stanchion_core::{Scope, SubjectKind, SubjectRef};

/// A subject of a scope, as a key.
#[derive(Clone, Debug)]
pub(crate) struct SubjectKey {
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BorrowedKey<'a> {
    scope: Scope,
    kind: SubjectKind,
    id: &'a [u8],
}

impl SubjectKey {
    pub(crate) const fn scope(&self) -> Scope {
        self.scope
    }

    fn borrowed(&self) -> BorrowedKey<'_> {
        BorrowedKey { scope: self.scope, kind: self.kind, id: self.id.as_bytes() }
    }
}

impl<'a> BorrowedKey<'a> {
    pub(crate) fn new(scope: Scope, subject: &'a SubjectRef) -> Self {
        Self { scope, kind: subject.kind(), id: subject.id().as_str().as_bytes() }
    }

    pub(crate) fn to_owned(self) -> SubjectKey {
        SubjectKey { scope: self.scope, kind: self.kind, id: ShortText::new(self.id) }
    }
}

impl Hash for BorrowedKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Nothing but what tells keys apart, in few pieces: the id comes last, so how long it is need not be said.
        state.write_u128(self.scope.tenant().map_or(0, |tenant| tenant.uuid().as_u128()));
        state.write_u8(self.kind as u8);
        state.write(self.id);
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

impl Equivalent<SubjectKey> for BorrowedKey<'_> {
    fn equivalent(&self, key: &SubjectKey) -> bool {
        *self == key.borrowed()
    }
}

impl Hash for SubjectKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

impl PartialEq for SubjectKey {
    fn eq(&self, other: &Self) -> bool {
        self.borrowed() == other.borrowed()
    }
}

impl Eq for SubjectKey {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    use stanchion_core::TenantId;

    #[test]
    fn keys_are_told_apart_by_all_they_have_whatever_the_length() {
        let hasher = RandomState::new();
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
            let key = BorrowedKey::new(*scope, subject).to_owned();
            for (other_scope, other) in &all {
                let sought = BorrowedKey::new(*other_scope, other);
                let same = (scope, subject) == (other_scope, other);
                assert_eq!(sought.equivalent(&key), same, "{subject} {other}");
                assert_eq!(key == sought.to_owned(), same);
                assert_eq!(hasher.hash_one(&key) == hasher.hash_one(sought), same, "{subject} {other}");
            }
        }
    }
}
