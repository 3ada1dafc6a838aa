//! Erasures, as the ledger tells of them.

use stanchion_core::{Detail, Event, EventId, Scope, Text};

use super::{DataSubject, ErasureOutcome, Protection, ProtectionError, WordsLeft, withdrawn};
use crate::{Ledger, Receipt, Withdrawn, parse};

/// An erasure that the ledger tells of, and how far the words are gone now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedErasure {
    /// The event that records it.
    pub event: EventId,
    /// Where it stands.
    pub receipt: Receipt,
    /// Whose keys.
    pub subject: DataSubject,
    /// What became of them.
    pub outcome: ErasureOutcome,
    /// How many data keys were destroyed, but for what was kept of them.
    pub keys: u64,
    /// The months they were for.
    pub periods: Vec<Text>,
    /// What became of the words that it was found by; of the first 1,000 keys, which the record names.
    pub words: WordsLeft,
}

impl Protection {
    /// Finds an erasure by the event that records it, and asks the store how far the words are gone; `None` when there is no such event, or
    /// it records something else.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn erasure(
        &self,
        ledger: &Ledger,
        scope: Scope,
        event: EventId,
    ) -> Result<Option<RecordedErasure>, ProtectionError> {
        let store = &ledger.shared().store;
        let Some(row) = store.get(scope, event).await? else { return Ok(None) };
        let recorded = parse(&row.content.canonical)
            .ok()
            .filter(|event| event.action.as_str() == withdrawn::ERASED && !event.reported);
        let Some((recorded, subject, outcome)) = recorded.and_then(told) else { return Ok(None) };
        let gone = Withdrawn::told_by(&row.content);
        let left = if gone.is_empty() { 0 } else { store.unfinished(scope, &gone).await? };
        let periods = match recorded.details.get("periods") {
            Some(Detail::List(periods)) => periods.iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        let keys = match recorded.details.get("keys") {
            Some(Detail::Integer(keys)) => u64::try_from(*keys).unwrap_or(0),
            _ => 0,
        };
        let receipt = Receipt { chain: row.chain, seq: row.seq, leaf: row.content.leaf };
        let words = WordsLeft { keys: left, at: self.shared.keys.clock.now() };
        Ok(Some(RecordedErasure { event, receipt, subject, outcome, keys, periods, words }))
    }
}

fn told(event: Event) -> Option<(Event, DataSubject, ErasureOutcome)> {
    let subject = event
        .targets
        .iter()
        .find(|target| target.kind().as_str() == "subject")?
        .id()
        .as_str()
        .parse()
        .ok()?;
    let all = [ErasureOutcome::Complete, ErasureOutcome::Partial, ErasureOutcome::Refused];
    let reason = event.reason.as_ref()?.as_str();
    let outcome = all.into_iter().find(|outcome| outcome.as_str() == reason)?;
    Some((event, subject, outcome))
}

fn text(detail: &Detail) -> Option<Text> {
    match detail {
        Detail::Text(text) => Some(text.clone()),
        _ => None,
    }
}
