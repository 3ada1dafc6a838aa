//! Words of protected values that nothing is found by any longer.

use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{Detail, Details, Event};

use super::path::each;
use super::{FieldPath, KeyNode, Sealed, SubjectKeyId, is_reserved};
use crate::{Content, RetentionClass, parse};

/// The action of the event that records an erasure.
pub(super) const ERASED: &str = "audit.subject_erased";

/// Destroyed keys, and which parts of what each protected can still be opened. What was protected with one of them, but for those parts, is
/// no longer found by its [words](super::BlindIndex).
///
/// It only grows: of a key that is withdrawn twice, only what was kept both times is still found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn(BTreeMap<SubjectKeyId, BTreeSet<KeyNode>>);

impl Withdrawn {
    /// Adds a key, of which these parts are kept.
    pub fn insert(&mut self, key: SubjectKeyId, keeps: impl IntoIterator<Item = KeyNode>) {
        let keeps: BTreeSet<KeyNode> = keeps.into_iter().collect();
        if keeps.contains(&KeyNode::Root) {
            return;
        }
        let keeps = match self.0.get(&key) {
            Some(before) => of_both(before, &keeps),
            None => keeps,
        };
        self.0.insert(key, keeps);
    }

    /// Adds keys that were withdrawn elsewhere.
    pub fn extend(&mut self, other: &Self) {
        other.iter().for_each(|(key, keeps)| self.insert(key, keeps.iter().cloned()));
    }

    /// Goes through the keys, each with what is kept of it.
    pub fn iter(&self) -> impl Iterator<Item = (SubjectKeyId, &BTreeSet<KeyNode>)> {
        self.0.iter().map(|(key, keeps)| (*key, keeps))
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    /// Returns how many of the keys others do not withdraw as far as these do.
    #[must_use]
    pub fn beyond(&self, others: &Self) -> u64 {
        let is_within = |(key, keeps): &(&SubjectKeyId, &BTreeSet<KeyNode>)| {
            others.0.get(key).is_some_and(|known| of_both(known, keeps) == *known)
        };
        let count = self.0.iter().filter(|key| !is_within(key)).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Returns those among some keys.
    #[must_use]
    pub fn among(&self, keys: &[SubjectKeyId]) -> Self {
        Self(keys.iter().filter_map(|key| Some((*key, self.0.get(key)?.clone()))).collect())
    }

    /// Tells whether what a key protects in a field of a class is no longer found.
    #[must_use]
    pub fn has(&self, key: SubjectKeyId, class: RetentionClass, field: &str) -> bool {
        self.0.get(&key).is_some_and(|keeps| !keeps.iter().any(|node| node.opens(class, field)))
    }

    /// Reads what an entry withdraws: of the record of an erasure the keys it names, of any other nothing. Only what the ledger's own
    /// processes recorded is believed.
    #[must_use]
    pub fn told_by(content: &Content) -> Self {
        let mut told = Self::default();
        if !mentions(content, ERASED) {
            return told;
        }
        let Ok(event) = parse(&content.canonical) else { return told };
        if event.action.as_str() != ERASED || event.reported {
            return told;
        }
        let list = |name| match event.details.get(name) {
            Some(Detail::List(list)) => list.as_slice(),
            _ => &[],
        };
        let keeps: BTreeSet<KeyNode> = list("kept").iter().flat_map(nodes).collect();
        for id in list("key_ids") {
            if let Detail::Text(id) = id
                && let Ok(id) = id.as_str().parse()
            {
                told.insert(SubjectKeyId::from_uuid(id), keeps.iter().cloned());
            }
        }
        told
    }

    /// Returns the keys with which values of an entry are protected that it is found by, each once.
    #[must_use]
    pub fn keys_of(content: &Content) -> Vec<SubjectKeyId> {
        if !mentions(content, "\"sealed\"") {
            return Vec::new();
        }
        parse(&content.canonical).map(|mut event| found_by(&mut event)).unwrap_or_default()
    }

    /// Takes the words of an event that are withdrawn from its values.
    pub(crate) fn clear(&self, event: &mut Event) {
        if self.is_empty() {
            return;
        }
        let class = RetentionClass::of(event.category);
        each(event, &is_reserved, &mut |at, value| match Sealed::from_detail(value) {
            Some(sealed) if sealed.index.is_some() && self.has(sealed.key, class, at.field) => {
                Sealed { index: None, ..sealed }.to_detail()
            }
            _ => value.clone(),
        });
    }
}

/// Returns the keys with which values of an event are protected that it is found by, each once.
pub(crate) fn found_by(event: &mut Event) -> Vec<SubjectKeyId> {
    let mut keys = Vec::new();
    each(event, &is_reserved, &mut |_, value| {
        keys.extend(
            Sealed::from_detail(value).filter(|sealed| sealed.index.is_some()).map(|sealed| sealed.key),
        );
        value.clone()
    });
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Looks for a text without reading the event, which most entries are spared.
fn mentions(content: &Content, text: &str) -> bool {
    std::str::from_utf8(&content.canonical).is_ok_and(|canonical| canonical.contains(text))
}

/// Reads which parts of a key an exception keeps, as the record of an erasure names it.
fn nodes(kept: &Detail) -> Vec<KeyNode> {
    let Detail::Map(kept) = kept else { return Vec::new() };
    let class = text(kept, "class").map(RetentionClass::from_name);
    let field = text(kept, "field").map(str::parse::<FieldPath>);
    let classes = match class {
        None if field.is_none() => return vec![KeyNode::Root],
        None => RetentionClass::ALL.to_vec(),
        Some(class) => class.into_iter().collect(),
    };
    match field {
        None => classes.into_iter().map(KeyNode::Class).collect(),
        Some(Ok(field)) => {
            let field = |class| KeyNode::Field(class, field.stored().to_owned().into());
            classes.into_iter().map(field).collect()
        }
        Some(Err(_)) => Vec::new(),
    }
}

fn text<'d>(details: &'d Details, name: &str) -> Option<&'d str> {
    match details.get(name) {
        Some(Detail::Text(text)) => Some(text.as_str()),
        _ => None,
    }
}

/// Returns what is in both of two sets of parts.
fn of_both(one: &BTreeSet<KeyNode>, other: &BTreeSet<KeyNode>) -> BTreeSet<KeyNode> {
    let mut both = BTreeSet::new();
    for (one, other) in one.iter().flat_map(|one| other.iter().map(move |other| (one, other))) {
        if one.contains(other) {
            both.insert(other.clone());
        } else if other.contains(one) {
            both.insert(one.clone());
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    use RetentionClass::{DataAccess, Security, Standard};

    fn key(number: u128) -> SubjectKeyId {
        SubjectKeyId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn field(class: RetentionClass) -> KeyNode {
        KeyNode::Field(class, "details.email".into())
    }

    #[test]
    fn what_was_withdrawn_twice_keeps_what_both_kept() {
        let classes = [KeyNode::Class(Security), KeyNode::Class(DataAccess)];
        let cases: [(&[KeyNode], &[KeyNode], &[KeyNode]); 6] = [
            (&classes, &classes[..1], &classes[..1]),
            (&classes[..1], &classes, &classes[..1]),
            (&classes, &[field(DataAccess)], &[field(DataAccess)]),
            (&[field(DataAccess)], &classes, &[field(DataAccess)]),
            (&classes, &[field(Standard)], &[]),
            (&classes, &[], &[]),
        ];
        for (one, other, both) in cases {
            let mut withdrawn = Withdrawn::default();
            withdrawn.insert(key(1), one.iter().cloned());
            withdrawn.insert(key(1), other.iter().cloned());
            let mut expected = Withdrawn::default();
            expected.insert(key(1), both.iter().cloned());
            assert_eq!(withdrawn, expected, "{one:?} and {other:?}");
        }
    }

    #[test]
    fn what_keeps_no_more_is_not_beyond() {
        let of = |keys: &[(u128, &[KeyNode])]| {
            let mut withdrawn = Withdrawn::default();
            keys.iter().for_each(|(number, keeps)| withdrawn.insert(key(*number), keeps.iter().cloned()));
            withdrawn
        };
        let class = [KeyNode::Class(DataAccess)];
        let part = [field(DataAccess)];
        let cases: [(&[KeyNode], &[KeyNode], u64); 7] = [
            (&[], &[], 0),
            (&class, &class, 0),
            (&class, &part, 0),
            (&class, &[], 0),
            (&part, &class, 1),
            (&[], &part, 1),
            (&[KeyNode::Class(Security)], &class, 1),
        ];
        for (these, others, beyond) in cases {
            assert_eq!(of(&[(1, these)]).beyond(&of(&[(1, others)])), beyond, "{these:?} and {others:?}");
        }
        assert_eq!(of(&[(1, &[]), (2, &[])]).beyond(&of(&[(2, &[]), (3, &[])])), 1, "one is not there");
        assert_eq!(of(&[]).beyond(&of(&[(3, &[])])), 0);
        assert_eq!(of(&[(1, &[]), (2, &[])]).len(), 2);
    }

    #[test]
    fn a_key_of_which_all_is_kept_is_not_withdrawn() {
        let mut withdrawn = Withdrawn::default();
        withdrawn.insert(key(1), [KeyNode::Root]);
        assert!(withdrawn.is_empty());
        withdrawn.insert(key(1), [field(Security)]);
        withdrawn.insert(key(1), [KeyNode::Root, KeyNode::Class(Standard)]);
        assert!(!withdrawn.has(key(1), Security, "details.email"));
        assert!(withdrawn.has(key(1), Security, "details.name"));
        assert!(withdrawn.has(key(1), Standard, "details.email"));
        assert!(!withdrawn.has(key(2), Standard, "details.email"), "another key");
        assert_eq!(withdrawn.among(&[key(2)]), Withdrawn::default());
        assert_eq!(withdrawn.among(&[key(2), key(1)]), withdrawn);
    }

    #[test]
    fn the_record_of_an_erasure_tells_what_it_withdraws() {
        let kept = |members: &[(&'static str, &'static str)]| {
            Detail::Map(members.iter().map(|(name, value)| (*name, Detail::from(*value))).collect())
        };
        let ids = vec![Detail::from(key(1).to_string()), Detail::from("no id")];
        let kept = vec![
            kept(&[("class", "security")]),
            kept(&[("class", "data_access"), ("field", "source.ip")]),
            kept(&[("field", "details.email")]),
            kept(&[("class", "none")]),
            kept(&[("class", "standard"), ("field", "none")]),
        ];
        let at = stanchion_core::Timestamp::EPOCH;
        let id = stanchion_core::EventId::from_uuid(uuid::Uuid::from_u128(7));
        let actor = stanchion_core::Actor::Anonymous;
        let category = stanchion_core::Category::Administration;
        let scope = stanchion_core::Scope::Platform;
        let event = Event::new(id, at, scope, actor, ERASED, category);
        let event = event.with_detail("key_ids", ids).with_detail("kept", kept);
        let told = |event: &Event| Withdrawn::told_by(&Content::new(event.clone()).unwrap().1);
        let mut expected = Withdrawn::default();
        let mut keeps =
            vec![KeyNode::Class(Security), KeyNode::Field(DataAccess, "details.source_ip".into())];
        keeps.extend(RetentionClass::ALL.map(field));
        expected.insert(key(1), keeps);
        assert_eq!(told(&event), expected);
        assert!(
            told(&Event { reported: true, ..event.clone() }).is_empty(),
            "what others report is not believed"
        );
        assert!(told(&Event { action: "audit.other".into(), ..event.clone() }).is_empty());
        assert!(
            told(&Event { action: "audit.other".into(), reason: Some(ERASED.into()), ..event }).is_empty()
        );
    }
}
