//! What a store keeps beside the entries for queries, where it keeps that apart.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};
use stanchion_core::{Detail, Details, Event, Recorded, Scope, Text};

use crate::protection::found_by;
use crate::{Content, Error, Projection, Sealed, Withdrawn, parse};

/// The most letters of a word; longer ones are cut off there, in an event and in what is searched for.
const LONGEST: usize = 64;

/// What queries look at of an entry. It follows from the canonical bytes and from what was erased, so it can be made anew, and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchRow {
    /// The entry's number.
    pub seq: u64,
    /// What every query may look at.
    pub projection: Projection,
    /// The session that it belongs to.
    pub session: Option<Text>,
    /// The trace that it belongs to.
    pub trace: Option<Text>,
    /// Every [`term`] that the entry is found by, in order, each once.
    pub terms: Vec<i64>,
}

/// Up to which number a chain's entries have their [`SearchRow`]s, and some of those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// The last entry that is to have one, 0 for none.
    pub until: u64,
    /// The rows, in the order of their numbers.
    pub rows: Vec<SearchRow>,
}

/// What came of bringing what queries look at up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projected {
    /// How many entries it was done for.
    pub entries: u64,
    /// The chains that have more, and how many.
    pub left: Vec<(crate::ChainId, u64)>,
}

impl SearchRow {
    /// Makes the row of an entry from its bytes, without the words that are withdrawn.
    ///
    /// # Errors
    /// [`Error::NotCanonical`] when the bytes are no event.
    pub fn of(scope: Scope, seq: u64, content: &Content, withdrawn: &Withdrawn) -> Result<Self, Error> {
        let mut event = parse(&content.canonical)?;
        withdrawn.clear(&mut event);
        let keys = found_by(&mut event);
        let mut terms: Vec<i64> = words(&event).iter().map(|word| term(scope, Facet::Word, word)).collect();
        let mut add = |facet, value: &str| terms.push(term(scope, facet, value));
        add(Facet::Action, event.action.as_str());
        add(Facet::Actor, &event.actor.to_string());
        event.targets.iter().for_each(|target| add(Facet::Target, &target.to_string()));
        keys.iter().for_each(|key| add(Facet::Key, &key.to_string()));
        let correlation = &event.correlation;
        if let Some(request) = correlation.request {
            add(Facet::Request, &request.to_string());
        }
        let (session, trace) = (correlation.session.clone(), correlation.trace.clone());
        if let Some(session) = &session {
            add(Facet::Session, session.as_str());
        }
        if let Some(trace) = &trace {
            add(Facet::Trace, trace.as_str());
        }
        terms.sort_unstable();
        terms.dedup();
        Ok(Self { seq, projection: event.into(), session, trace, terms })
    }
}

/// What a [`term`] is the value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// A word of its texts.
    Word,
    /// The action, whole.
    Action,
    /// The actor, as its text.
    Actor,
    /// A target.
    Target,
    /// The request.
    Request,
    /// The session.
    Session,
    /// The trace.
    Trace,
    /// A key with which a value is protected that has a word. What was protected with it is found when it is destroyed.
    Key,
}

/// Hashes a value that entries of a scope are found by: the first eight bytes of SHA-256. Every scope has terms of its own, so an index
/// over them never leads from one to another. Two values may have one term, once in very many: what is found has to be looked at.
#[must_use]
pub fn term(scope: Scope, facet: Facet, value: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update(b"stanchion-term-v1");
    hash.update([facet as u8]);
    match scope {
        Scope::Platform => hash.update([0; 16]),
        Scope::Tenant(tenant) => hash.update(tenant.uuid().as_bytes()),
    }
    hash.update(value.as_bytes());
    let first = hash.finalize().first_chunk::<8>().copied();
    i64::from_be_bytes(first.unwrap_or_default())
}

/// Returns the words of a text: its letters and digits as far as they stand together, in small letters, at most 64 of each.
pub fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().flat_map(char::to_lowercase).take(LONGEST).collect())
}

/// Returns the words of an event's texts: of its action, reason, actor, whom it acted as, targets, permissions, fields, user agent, and of
/// every text in its changes and details, or of one that is protected its index. Names of details are none of them, nor are ids.
#[must_use]
pub fn words(event: &Event) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut add = |text: &str| words.extend(words_of(text));
    add(event.action.as_str());
    add(&event.actor.to_string());
    event.reason.iter().for_each(|reason| add(reason.as_str()));
    event.acted_as.iter().for_each(|subject| add(&subject.to_string()));
    event.targets.iter().for_each(|target| add(&target.to_string()));
    event.authorization.iter().for_each(|one| add(one.permission.as_str()));
    event.source.user_agent.iter().for_each(|agent| add(agent.as_str()));
    for change in &event.changes {
        add(change.field.as_str());
        for value in [&change.before, &change.after].into_iter().flatten() {
            if let Recorded::Value(value) = value {
                in_detail(value, &mut add);
            }
        }
    }
    in_details(&event.details, &mut add);
    words
}

fn in_details(details: &Details, add: &mut impl FnMut(&str)) {
    details.iter().for_each(|(_, value)| in_detail(value, add));
}

fn in_detail(detail: &Detail, add: &mut impl FnMut(&str)) {
    match detail {
        Detail::Text(text) => add(text.as_str()),
        Detail::List(list) => list.iter().for_each(|value| in_detail(value, add)),
        // Ciphertext has no words; what it is found by is its index.
        Detail::Map(map) => match Sealed::from_detail(detail) {
            Some(sealed) => sealed.index.iter().for_each(|index| add(&index.to_string())),
            None => in_details(map, add),
        },
        _ => {}
    }
}
