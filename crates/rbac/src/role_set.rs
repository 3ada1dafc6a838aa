/// A set of roles by their numbers: a list while that is smaller, a bitset from then on. A probe costs about the same however many
/// roles are in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RoleSet {
    /// As many as need no memory of their own, and [`NOBODY`] in the places that are left.
    Few([u32; 5]),
    Sorted(Box<[u32]>),
    Bits(Box<[u64]>),
}

/// The number of no role.
const NOBODY: u32 = u32::MAX;

impl RoleSet {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Few([NOBODY, ..]))
    }

    /// Tells whether a role, which has a number, is in it.
    pub(crate) fn contains(&self, role: u32) -> bool {
        match self {
            // All of them are compared, without asking each time whether there are more.
            Self::Few(roles) => roles.iter().fold(false, |found, other| found | (*other == role)),
            Self::Sorted(roles) => roles.binary_search(&role).is_ok(),
            Self::Bits(words) => {
                let word = usize::try_from(role / 64).ok().and_then(|word| words.get(word));
                word.is_some_and(|word| word >> (role % 64) & 1 == 1)
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let (few, bits): (&[u32], &[u64]) = match self {
            Self::Few(roles) => (roles, &[]),
            Self::Sorted(roles) => (roles, &[]),
            Self::Bits(words) => (&[], words),
        };
        let set = (0..).zip(bits).flat_map(|(word, bits): (u32, &u64)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        });
        few.iter().copied().filter(|role| *role != NOBODY).chain(set)
    }
}

/// Takes numbers in any order, each as often as it comes.
impl From<Vec<u32>> for RoleSet {
    fn from(mut roles: Vec<u32>) -> Self {
        roles.sort_unstable();
        roles.dedup();
        let last = roles.last().copied().unwrap_or(0);
        let words = usize::try_from(last / 64).unwrap_or(usize::MAX).saturating_add(1);
        let mut few = [NOBODY; 5];
        if let Some(place) = few.get_mut(..roles.len()) {
            place.copy_from_slice(&roles);
            return Self::Few(few);
        }
        if roles.len() <= words.saturating_mul(2) {
            return Self::Sorted(roles.into());
        }
        let mut bits = vec![0_u64; words];
        for role in roles {
            if let Some(word) = usize::try_from(role / 64).ok().and_then(|word| bits.get_mut(word)) {
                *word |= 1 << (role % 64);
            }
        }
        Self::Bits(bits.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_hold_what_was_put_in() {
        for step in [1_u32, 2, 3, 31, 33, 64, 1_000] {
            for count in [0_u32, 1, 2, 3, 64, 65, 200] {
                let roles: Vec<u32> = (0..count).map(|role| role * step).collect();
                let set = RoleSet::from(roles.iter().rev().chain(&roles).copied().collect::<Vec<_>>());
                assert_eq!(set.iter().collect::<Vec<_>>(), roles, "{step} × {count}");
                for role in 0..count * step + 130 {
                    assert_eq!(set.contains(role), roles.contains(&role), "{role} of {step} × {count}");
                }
            }
        }
        assert!(matches!(RoleSet::from((0..64).collect::<Vec<_>>()), RoleSet::Bits(_)));
        assert!(matches!(RoleSet::from(vec![5, 900]), RoleSet::Few([5, 900, NOBODY, ..])));
        assert!(matches!(RoleSet::from(vec![5, 900, 901, 902, 903, 904]), RoleSet::Sorted(_)));
    }
}
