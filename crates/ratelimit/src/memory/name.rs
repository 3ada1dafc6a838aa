use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;
use stanchion_core::TenantId;

use crate::Slot;

const SHORT: usize = 38;
const TENANT: u8 = 2;
const TENANT_LENGTH: usize = 17;

/// The whole name of a counter, slot and key, as one run of bytes. Names up to 38 bytes need no allocation: a tenant's key by user
/// id, API key or address usually is as short.
#[derive(Debug, Default)]
pub(super) enum Name {
    /// No counter has this place.
    #[default]
    Free,
    Short {
        length: u8,
        bytes: [u8; SHORT],
    },
    Long(Box<[u8]>),
}

/// A name that is looked for: the slot's bytes, which tell their own length, and the key's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    slot: &'a [u8],
    key: &'a [u8],
}

/// The bytes of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotBytes {
    bytes: [u8; TENANT_LENGTH],
    length: usize,
}

impl From<Slot> for SlotBytes {
    fn from(slot: Slot) -> Self {
        let mut bytes = [0; TENANT_LENGTH];
        let (tag, length) = match slot {
            Slot::Edge => (0, 1),
            Slot::Platform => (1, 1),
            Slot::Tenant(_) => (TENANT, TENANT_LENGTH),
        };
        let id = if let Slot::Tenant(tenant) = slot { TenantId::uuid(tenant).into_bytes() } else { [0; 16] };
        for (to, from) in bytes.iter_mut().zip(std::iter::once(tag).chain(id)) {
            *to = from;
        }
        Self { bytes, length }
    }
}

impl SlotBytes {
    pub(super) fn with<'a>(&'a self, key: &'a [u8]) -> Wanted<'a> {
        Wanted { slot: self.bytes.get(..self.length).unwrap_or_default(), key }
    }
}

impl Wanted<'_> {
    pub(super) fn hash(self, builder: &DefaultHashBuilder) -> u64 {
        let mut hasher = builder.build_hasher();
        hasher.write(self.slot);
        hasher.write(self.key);
        hasher.finish()
    }
}

impl Name {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Free => &[],
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }

    pub(super) const fn is_free(&self) -> bool {
        matches!(self, Self::Free)
    }

    pub(super) fn is(&self, wanted: Wanted<'_>) -> bool {
        let split = self.bytes().split_at_checked(wanted.slot.len());
        split.is_some_and(|(slot, key)| key == wanted.key && slot == wanted.slot)
    }

    pub(super) fn hash(&self, builder: &DefaultHashBuilder) -> u64 {
        let bytes = self.bytes();
        let length = if bytes.first() == Some(&TENANT) { TENANT_LENGTH } else { 1 };
        let (slot, key) = bytes.split_at_checked(length).unwrap_or_default();
        Wanted { slot, key }.hash(builder)
    }
}

impl From<Wanted<'_>> for Name {
    fn from(wanted: Wanted<'_>) -> Self {
        let length = wanted.slot.len() + wanted.key.len();
        match u8::try_from(length) {
            Ok(short) if length <= SHORT => {
                let mut bytes = [0; SHORT];
                for (to, from) in bytes.iter_mut().zip(wanted.slot.iter().chain(wanted.key)) {
                    *to = *from;
                }
                Self::Short { length: short, bytes }
            }
            _ => Self::Long([wanted.slot, wanted.key].concat().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use stanchion_core::{IdGen, SeededRandom, Timestamp};

    use super::*;

    #[test]
    fn a_name_is_its_slot_and_its_key_and_nothing_else() {
        let random = SeededRandom::new(1);
        let tenants = [(); 2].map(|()| Slot::Tenant(random.tenant_id(Timestamp::EPOCH)));
        let slots = [Slot::Edge, Slot::Platform, tenants[0], tenants[1]].map(SlotBytes::from);
        let keys: Vec<Vec<u8>> =
            [0, 1, 16, 21, 22, 37, 38, 300].into_iter().map(|length| vec![2; length]).collect();
        let all: Vec<Wanted<'_>> =
            slots.iter().flat_map(|slot| keys.iter().map(|key| slot.with(key))).collect();
        let builder = DefaultHashBuilder::default();
        for (index, wanted) in all.iter().enumerate() {
            let name = Name::from(*wanted);
            assert_eq!(name.hash(&builder), wanted.hash(&builder));
            for (other, unwanted) in all.iter().enumerate() {
                assert_eq!(name.is(*unwanted), index == other, "{wanted:?} {unwanted:?}");
            }
        }
    }
}
