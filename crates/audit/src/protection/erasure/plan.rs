//! What of a subject's keys is destroyed, and what is kept.

use std::collections::BTreeSet;

use stanchion_core::{Slug, Text};

use super::{ErasureOutcome, Kept};
use crate::RetentionClass;
use crate::protection::{
    Exception, KeyNode, KeyPlace, Protection, ProtectionError, StoredKey, SubjectKeyId, Withdrawn, derive,
};

/// What is to be done with the keys of a subject.
pub(super) struct Plan {
    pub(super) had: Vec<KeyPlace>,
    pub(super) keeps: Vec<StoredKey>,
    pub(super) destroyed: Vec<SubjectKeyId>,
    pub(super) periods: Vec<Text>,
    pub(super) kept: Vec<Kept>,
    pub(super) outcome: ErasureOutcome,
}

impl Plan {
    /// Returns what is no longer found by its words.
    pub(super) fn withdrawn(&self) -> Withdrawn {
        let mut gone = Withdrawn::default();
        for id in &self.destroyed {
            let keeps = self.keeps.iter().filter(|key| key.id == *id);
            gone.insert(*id, keeps.map(|key| key.node.clone()));
        }
        gone
    }
}

impl Protection {
    /// Judges what of a subject's keys has to be kept.
    pub(super) fn plan(&self, keys: Vec<StoredKey>, holding: &[Exception]) -> Result<Plan, ProtectionError> {
        let had: Vec<KeyPlace> = keys.iter().map(StoredKey::place).collect();
        let (mut keeps, mut destroyed, mut periods) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut holds_something = BTreeSet::new();
        for key in keys {
            let nodes = kept_of(&key.node, holding, &mut holds_something);
            if nodes.contains(&key.node) {
                keeps.push(key);
                continue;
            }
            destroyed.insert(key.id);
            periods.insert(key.name.period.clone());
            let clear = if nodes.is_empty() { None } else { Some(self.shared.keys.unwrapped(&key)?) };
            for node in nodes {
                let Some(part) = clear.as_ref().and_then(|clear| part_of(&key.node, clear, &node)) else {
                    continue;
                };
                keeps.push(self.shared.keys.wrapped(
                    key.id,
                    node,
                    key.name.clone(),
                    key.created_at,
                    &part,
                )?);
            }
        }
        let outcome = match (destroyed.is_empty(), keeps.is_empty()) {
            (_, true) => ErasureOutcome::Complete,
            (false, false) => ErasureOutcome::Partial,
            (true, false) => ErasureOutcome::Refused,
        };
        let kept = holding
            .iter()
            .filter(|exception| holds_something.contains(&exception.id))
            .map(Kept::from)
            .collect();
        let (destroyed, periods) = (destroyed.into_iter().collect(), periods.into_iter().collect());
        Ok(Plan { had, keeps, destroyed, periods, kept, outcome })
    }
}

/// Returns which parts of what a node opens are kept: the node itself if all of it is.
fn kept_of(node: &KeyNode, holding: &[Exception], why: &mut BTreeSet<Slug>) -> BTreeSet<KeyNode> {
    let mut kept = BTreeSet::new();
    for exception in holding {
        let classes: Vec<RetentionClass> = match (node, exception.class) {
            (KeyNode::Class(of) | KeyNode::Field(of, _), class) => {
                class.is_none_or(|class| class == *of).then_some(*of).into_iter().collect()
            }
            (KeyNode::Root, Some(class)) => vec![class],
            (KeyNode::Root, None) => RetentionClass::ALL.to_vec(),
        };
        let field = exception.field.as_ref().map(|field| Text::from(field.stored().to_owned()));
        let parts: Vec<KeyNode> = match (node, exception.class, field) {
            (KeyNode::Root, None, None) => vec![KeyNode::Root],
            (KeyNode::Root | KeyNode::Class(_), _, None) => classes.into_iter().map(KeyNode::Class).collect(),
            (KeyNode::Root | KeyNode::Class(_), _, Some(field)) => {
                classes.into_iter().map(|class| KeyNode::Field(class, field.clone())).collect()
            }
            (KeyNode::Field(_, of), _, field) => {
                let is_it = field.is_none_or(|field| field == *of);
                classes.into_iter().filter(|_| is_it).map(|class| KeyNode::Field(class, of.clone())).collect()
            }
        };
        if !parts.is_empty() {
            why.insert(exception.id.clone());
        }
        kept.extend(parts);
    }
    // What is kept as a whole need not be kept in parts.
    let whole: BTreeSet<RetentionClass> = kept
        .iter()
        .filter_map(|node| match node {
            KeyNode::Class(class) => Some(*class),
            _ => None,
        })
        .collect();
    if kept.contains(node) {
        return BTreeSet::from([node.clone()]);
    }
    kept.retain(|node| !matches!(node, KeyNode::Field(class, _) if whole.contains(class)));
    kept
}

/// Derives the key of a node below another one.
fn part_of(from: &KeyNode, key: &[u8; 32], node: &KeyNode) -> Option<derive::Key> {
    match node {
        KeyNode::Field(class, field) => derive::below(from, key, *class, field.as_str()),
        KeyNode::Class(class) if *from == KeyNode::Root => Some(derive::class(key, *class)),
        _ => None,
    }
}

impl From<&Exception> for Kept {
    fn from(exception: &Exception) -> Self {
        let Exception { id, class, field, basis, until, reason, .. } = exception.clone();
        Self { exception: id, basis, class, field, until, reason }
    }
}
