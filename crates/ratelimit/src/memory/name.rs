use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

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

/// A name that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) slot: SlotBytes,
    pub(super) key: &'a [u8],
}

/// A slot as the bytes that begin a name. They tell their own length: 17 for a tenant's, else 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotBytes([u8; TENANT_LENGTH]);

impl From<Slot> for SlotBytes {
    fn from(slot: Slot) -> Self {
        let (tag, id) = match slot {
            Slot::Edge => (0, [0; 16]),
            Slot::Platform => (1, [0; 16]),
            Slot::Tenant(tenant) => (TENANT, tenant.uuid().into_bytes()),
        };
        let mut bytes = [tag; TENANT_LENGTH];
        if let Some(rest) = bytes.last_chunk_mut() {
            *rest = id;
        }
        Self(bytes)
    }
}

impl SlotBytes {
    pub(super) const fn with(self, key: &[u8]) -> Wanted<'_> {
        Wanted { slot: self, key }
    }

    /// Reads the slot off the front of a name.
    fn split(name: &[u8]) -> Option<(Self, &[u8])> {
        match name.split_first_chunk() {
            Some((bytes, key)) if bytes.first() == Some(&TENANT) => Some((Self(*bytes), key)),
            _ => {
                let (tag, key) = name.split_first()?;
                let mut bytes = [0; TENANT_LENGTH];
                let [first, ..] = &mut bytes;
                *first = *tag;
                Some((Self(bytes), key))
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        let [tag, ..] = &self.0;
        if *tag == TENANT { &self.0 } else { std::slice::from_ref(tag) }
    }
}

impl Wanted<'_> {
    pub(super) fn hash(self, builder: &DefaultHashBuilder) -> u64 {
        let mut hasher = builder.build_hasher();
        let [tag, id @ ..] = self.slot.0;
        hasher.write_u128(u128::from_ne_bytes(id));
        hasher.write_u8(tag);
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
        SlotBytes::split(self.bytes()).is_some_and(|(slot, key)| slot.0 == wanted.slot.0 && key == wanted.key)
    }

    pub(super) fn hash(&self, builder: &DefaultHashBuilder) -> u64 {
        SlotBytes::split(self.bytes()).map_or(0, |(slot, key)| slot.with(key).hash(builder))
    }
}

impl From<Wanted<'_>> for Name {
    fn from(wanted: Wanted<'_>) -> Self {
        let (slot, key) = (wanted.slot.as_bytes(), wanted.key);
        let length = slot.len() + key.len();
        match u8::try_from(length) {
            Ok(short) if length <= SHORT => {
                let mut bytes = [0; SHORT];
                for (to, from) in bytes.iter_mut().zip(slot.iter().chain(key)) {
                    *to = *from;
                }
                Self::Short { length: short, bytes }
            }
            _ => Self::Long([slot, key].concat().into()),
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
