use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

use crate::Slot;

const TENANT_KEY: usize = 22;
const OTHER_KEY: usize = 37;

/// The whole name of a counter, slot and key. Keys of tenants up to 22 bytes, and of the other slots up to 37, need no allocation:
/// one by user id, API key or address usually is as short.
#[derive(Debug, Default)]
pub(crate) enum Name {
    /// No counter has this place.
    #[default]
    Free,
    OfTenant {
        length: u8,
        id: [u8; 16],
        key: [u8; TENANT_KEY],
    },
    Other {
        kind: SlotKind,
        length: u8,
        key: [u8; OTHER_KEY],
    },
    Long {
        kind: SlotKind,
        id: [u8; 16],
        key: Box<[u8]>,
    },
}

/// A name that is looked for.
///
/// Every name there is reads as one, so that what is looked for and what is there cannot be compared or hashed differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    slot: SlotId,
    key: &'a [u8],
}

/// A slot as two plain numbers, which stay in registers where a [`Slot`] of 17 bytes is copied piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    kind: SlotKind,
    id: u128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotKind {
    Edge,
    Platform,
    Tenant,
}

impl From<Slot> for SlotId {
    #[inline]
    fn from(slot: Slot) -> Self {
        match slot {
            Slot::Edge => Self { kind: SlotKind::Edge, id: 0 },
            Slot::Platform => Self { kind: SlotKind::Platform, id: 0 },
            Slot::Tenant(tenant) => Self { kind: SlotKind::Tenant, id: tenant.uuid().as_u128() },
        }
    }
}

impl SlotId {
    pub(crate) const fn with(self, key: &[u8]) -> Wanted<'_> {
        Wanted { slot: self, key }
    }
}

impl Wanted<'_> {
    #[inline]
    pub(crate) fn hash(self, builder: &DefaultHashBuilder) -> u64 {
        let mut hasher = builder.build_hasher();
        // The slot comes last, and mixes the key once more: else short keys that are alike crowd into few parts. Which kind of slot it
        // is only decides between equal hashes.
        hasher.write(self.key);
        hasher.write_u128(self.slot.id);
        hasher.finish()
    }
}

impl Name {
    pub(crate) const fn is_free(&self) -> bool {
        matches!(self, Self::Free)
    }

    #[inline]
    /// Returns the key alone; none for a place without a counter.
    pub(crate) fn key(&self) -> &[u8] {
        self.read().map_or(&[], |name| name.key)
    }

    pub(crate) fn is(&self, wanted: Wanted<'_>) -> bool {
        self.read() == Some(wanted)
    }

    pub(crate) fn hash(&self, builder: &DefaultHashBuilder) -> u64 {
        self.read().map_or(0, |name| name.hash(builder))
    }

    #[inline]
    fn read(&self) -> Option<Wanted<'_>> {
        let (kind, id, key) = match self {
            Self::Free => return None,
            Self::OfTenant { length, id, key } => (SlotKind::Tenant, *id, key.get(..usize::from(*length))?),
            Self::Other { kind, length, key } => (*kind, [0; 16], key.get(..usize::from(*length))?),
            Self::Long { kind, id, key } => (*kind, *id, &**key),
        };
        Some(SlotId { kind, id: u128::from_ne_bytes(id) }.with(key))
    }
}

impl From<Wanted<'_>> for Name {
    fn from(wanted: Wanted<'_>) -> Self {
        let Wanted { slot: SlotId { kind, id }, key } = wanted;
        let id = id.to_ne_bytes();
        if kind == SlotKind::Tenant
            && let Some((length, key)) = padded(key)
        {
            Self::OfTenant { length, id, key }
        } else if kind != SlotKind::Tenant
            && let Some((length, key)) = padded(key)
        {
            Self::Other { kind, length, key }
        } else {
            Self::Long { kind, id, key: key.into() }
        }
    }
}

/// A key that fits, with its length.
fn padded<const ROOM: usize>(key: &[u8]) -> Option<(u8, [u8; ROOM])> {
    let mut bytes = [0; ROOM];
    bytes.get_mut(..key.len())?.copy_from_slice(key);
    Some((u8::try_from(key.len()).ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use stanchion_core::{IdGen, SeededRandom, Timestamp};

    use super::*;

    #[test]
    fn a_name_is_its_slot_and_its_key_and_nothing_else() {
        let random = SeededRandom::new(1);
        let tenants = [(); 2].map(|()| Slot::Tenant(random.tenant_id(Timestamp::EPOCH)));
        let slots = [Slot::Edge, Slot::Platform, tenants[0], tenants[1]].map(SlotId::from);
        let keys: Vec<Vec<u8>> =
            [0, 1, 16, 21, 22, 23, 36, 37, 38, 300].into_iter().map(|length| vec![2; length]).collect();
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
