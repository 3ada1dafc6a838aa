use std::sync::Arc;

use serde::Serialize;
use stanchion_core::{
    Actor, Category, Event, EventId, KeyVersion, Outcome, RequestId, ResourceRef, Severity, Text, Timestamp,
};

use crate::canonical::write_canonical;
use crate::{ChainId, Digest, Error, RetentionClass, leaf_hash, parse};

/// What an entry says: an event's canonical bytes, their hash, and the columns that it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The event's id, unique within its scope.
    pub id: EventId,
    /// The leaf hash of the canonical bytes. Two events of one id are the same when their leaves are.
    pub leaf: Digest,
    /// The canonical bytes, stored verbatim.
    pub canonical: Box<[u8]>,
    /// What queries look at.
    pub projection: Projection,
}

/// The parts of an event that stand beside its canonical bytes, for queries. Verification compares them with the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Text,
    /// The family of the action.
    pub category: Category,
    /// How it ended.
    pub outcome: Outcome,
    /// How much it matters.
    pub severity: Severity,
    /// The request it belongs to.
    pub request: Option<RequestId>,
    /// What it was done to.
    pub targets: Vec<ResourceRef>,
}

impl Content {
    /// Brings an event into its canonical form and tells which chain it belongs to.
    ///
    /// # Errors
    /// As [`canonical`](crate::canonical).
    pub fn new(event: Event) -> Result<(ChainId, Self), Error> {
        let mut bytes = Vec::with_capacity(1024);
        Self::with_buffer(event, &mut bytes).map_err(|refused| refused.error)
    }

    /// As [`Content::new`], with memory that is used again; gives the event back when it is refused.
    pub(crate) fn with_buffer(event: Event, bytes: &mut Vec<u8>) -> Result<(ChainId, Self), RefusedEvent> {
        if let Err(error) = write_canonical(&event, bytes) {
            return Err(RefusedEvent { error, event: Box::new(event) });
        }
        let chain = ChainId { scope: event.scope, class: RetentionClass::of(event.category) };
        let (id, leaf) = (event.id, leaf_hash(bytes));
        Ok((chain, Self { id, leaf, canonical: bytes.as_slice().into(), projection: event.into() }))
    }

    /// Rebuilds the content of a stored entry from its canonical bytes. An adapter that keeps the projection in columns of its own
    /// sets it from those, so that verification can compare them.
    ///
    /// # Errors
    /// [`Error::NotCanonical`] or [`Error::TooLarge`].
    pub fn from_canonical(canonical: Box<[u8]>) -> Result<Self, Error> {
        let event = parse(&canonical)?;
        Ok(Self { id: event.id, leaf: leaf_hash(&canonical), canonical, projection: event.into() })
    }
}

/// An event that has no canonical form.
#[derive(Debug)]
pub(crate) struct RefusedEvent {
    pub(crate) error: Error,
    pub(crate) event: Box<Event>,
}

impl From<Event> for Projection {
    fn from(event: Event) -> Self {
        Self {
            occurred_at: event.occurred_at,
            actor: event.actor,
            action: event.action,
            category: event.category,
            outcome: event.outcome,
            severity: event.severity,
            request: event.correlation.request,
            targets: event.targets,
        }
    }
}

/// An entry as a store keeps it. Clones share the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The chain it stands in.
    pub chain: ChainId,
    /// Its number in the chain, from 1, without gaps.
    pub seq: u64,
    /// When it was recorded; within a chain never earlier than the entry before.
    pub recorded_at: Timestamp,
    /// The hash over the entry and the link before it.
    pub link: Digest,
    /// The signature of the link.
    pub mac: Digest,
    /// The version of the key it was signed with.
    pub key_epoch: KeyVersion,
    /// What it says.
    pub content: Arc<Content>,
}

/// What stands of an entry without its content: enough to follow its chain and to grow the tree over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The entry's number in the chain.
    pub seq: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The hash of its content.
    pub leaf: Digest,
    /// The hash over the entry and the link before it.
    pub link: Digest,
    /// The signature of the link.
    pub mac: Digest,
    /// The version of the key it was signed with.
    pub key_epoch: KeyVersion,
}

impl From<&Row> for Seal {
    fn from(row: &Row) -> Self {
        let Row { seq, recorded_at, link, mac, key_epoch, .. } = *row;
        Self { seq, recorded_at, leaf: row.content.leaf, link, mac, key_epoch }
    }
}

/// An entry as readers get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The chain it stands in.
    pub chain: ChainId,
    /// Its number in the chain, from 1, without gaps.
    pub seq: u64,
    /// When it was recorded, by the clock of the process that did; within a chain never earlier than the entry before.
    pub recorded_at: Timestamp,
    /// The event, read from the signed bytes.
    pub event: Event,
    /// The hash of the event's canonical bytes.
    pub leaf: Digest,
    /// The hash over the entry and the link before it.
    pub link: Digest,
    /// The signature of the link.
    pub mac: Digest,
    /// The version of the key it was signed with.
    pub key_epoch: KeyVersion,
}

impl TryFrom<&Row> for Entry {
    type Error = Error;

    fn try_from(row: &Row) -> Result<Self, Error> {
        let unreadable = |_| Error::Unreadable { chain: row.chain, seq: row.seq };
        Ok(Self {
            chain: row.chain,
            seq: row.seq,
            recorded_at: row.recorded_at,
            event: parse(&row.content.canonical).map_err(unreadable)?,
            leaf: row.content.leaf,
            link: row.link,
            mac: row.mac,
            key_epoch: row.key_epoch,
        })
    }
}

/// Proof that an event was committed: where it stands. Kept elsewhere, it shows later whether the chain still holds the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The chain.
    pub chain: ChainId,
    /// The entry's number.
    pub seq: u64,
    /// The hash of the event's canonical bytes.
    pub leaf: Digest,
}
