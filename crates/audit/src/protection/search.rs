//! Finding entries by a protected value.

use stanchion_core::{Detail, Page, PageRequest, Scope};

use super::path::each;
use super::{BlindIndex, FieldPath, Protection, ProtectionError, Sealed, SubjectKeyId, is_reserved};
use crate::{Entry, Ledger, Place, Query, RetentionClass};

/// So many entries are looked through before a page ends, found or not.
const LOOKED_THROUGH: usize = 20_000;

/// A place in an entry where the word stands, and with which key its value is protected.
struct Hit {
    key: SubjectKeyId,
    class: RetentionClass,
    field: String,
}

impl Protection {
    /// Returns the entries of a scope that `query` asks for and that have this value protected, and searchable, in this field, newest
    /// first. Those whose value is erased are not among them.
    ///
    /// Entries are returned as they are, closed. A page ends after so and so many entries were looked through, so it may have fewer than
    /// asked for, or none, and still be followed by another.
    ///
    /// # Errors
    /// [`ProtectionError::Value`] for a value that none is found by; failures of the stores.
    pub async fn find(
        &self,
        ledger: &Ledger,
        scope: Scope,
        query: &Query,
        (field, value): (&FieldPath, &Detail),
        page: &PageRequest,
    ) -> Result<Page<Entry>, ProtectionError> {
        let word = self.index(scope, field, value).await?;
        let words = query.text.iter().map(ToString::to_string).chain([word.to_string()]);
        let query = &Query { text: Some(words.collect::<Vec<_>>().join(" ").into()), ..query.clone() };
        let (mut items, mut looked, mut next) = (Vec::new(), 0, page.key().map(str::to_owned));
        loop {
            let mut part = PageRequest::first(PageRequest::MAX_LIMIT);
            if let Some(key) = next {
                part = part.after(key);
            }
            let read = ledger.query(scope, query, &part).await?;
            looked += read.items.len();
            next = read.next;
            for entry in self.readable(scope, read.items, &word).await? {
                items.push(entry);
                if items.len() == page.limit() {
                    let place = items.last().map(place);
                    return Ok(Page { items, next: place });
                }
            }
            if next.is_none() || looked >= LOOKED_THROUGH {
                return Ok(Page { items, next });
            }
        }
    }

    /// Keeps the entries that have the word at a value which is not erased.
    async fn readable(
        &self,
        scope: Scope,
        entries: Vec<Entry>,
        word: &BlindIndex,
    ) -> Result<Vec<Entry>, ProtectionError> {
        let mut found = Vec::new();
        for mut entry in entries {
            let hits = hits(&mut entry, word);
            if !hits.is_empty() {
                found.push((entry, hits));
            }
        }
        let mut ids: Vec<SubjectKeyId> = found.iter().flat_map(|(_, hits)| hits).map(|hit| hit.key).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let kept = self.shared.keys.store.by_id(scope, &ids).await?;
        let opens =
            |hit: &Hit| kept.iter().any(|key| key.id == hit.key && key.node.opens(hit.class, &hit.field));
        Ok(found.into_iter().filter(|(_, hits)| hits.iter().any(opens)).map(|(entry, _)| entry).collect())
    }
}

fn hits(entry: &mut Entry, word: &BlindIndex) -> Vec<Hit> {
    let class = RetentionClass::of(entry.event.category);
    let mut hits = Vec::new();
    each(&mut entry.event, &is_reserved, &mut |at, value| {
        if let Some(Sealed { key, index: Some(index), .. }) = Sealed::from_detail(value)
            && index == *word
        {
            hits.push(Hit { key, class, field: at.field.to_owned() });
        }
        value.clone()
    });
    hits
}

fn place(entry: &Entry) -> String {
    Place { recorded_at: entry.recorded_at, class: entry.chain.class, seq: entry.seq }.to_string()
}
