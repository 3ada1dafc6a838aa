//! Several entries of a chain in one row of the table: a row costs more than what is in it.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use stanchion_audit::{Digest, Row, Seal};
use stanchion_core::{KeyVersion, Timestamp};
use uuid::Uuid;

use super::row::content;
use super::{chain, digest_of, seq};
use crate::Error;
use crate::records::time;

/// So many bytes of entries go into one row. With the row's own they fit into a page of 8 KiB, so nothing is cut up beside the table.
const MOST: usize = 7_900;
/// What a digest has.
const DIGEST: usize = 32;
/// What is kept in `more` of each entry but the first: its id, and where its canonical bytes begin.
const MORE: usize = 16 + 4;

/// Entries of one chain that follow each other and share a row.
pub(super) struct Run<'a> {
    pub(super) first: &'a Row,
    last: &'a Row,
    pub(super) leaf: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mac: Vec<u8>,
    pub(super) canonical: Vec<u8>,
    more: Vec<u8>,
}

impl<'a> Run<'a> {
    /// Divides entries among as few rows as they fit in.
    pub(super) fn of(entries: &'a [Row]) -> Vec<Self> {
        let mut sorted: Vec<&Row> = entries.iter().collect();
        sorted.sort_unstable_by_key(|row| (row.chain, row.seq));
        let mut runs: Vec<Self> = Vec::new();
        for entry in sorted {
            match runs.last_mut() {
                Some(run) if run.takes(entry) => run.push(entry),
                _ => runs.push(Self::begin(entry)),
            }
        }
        runs
    }

    fn begin(first: &'a Row) -> Self {
        let mut run = Self {
            first,
            last: first,
            leaf: Vec::new(),
            link: Vec::new(),
            mac: Vec::new(),
            canonical: Vec::new(),
            more: Vec::new(),
        };
        run.keep(first);
        run
    }

    /// Tells whether an entry may share the row: what a row has once is the same, and it fits.
    fn takes(&self, next: &Row) -> bool {
        let last = self.last;
        let size = self.canonical.len() + self.more.len() + 3 * self.leaf.len();
        next.chain == last.chain
            && next.seq == last.seq + 1
            && next.recorded_at == last.recorded_at
            && next.key_epoch == last.key_epoch
            && size + next.content.canonical.len() + MORE + 3 * DIGEST <= MOST
    }

    fn push(&mut self, next: &'a Row) {
        // A row is smaller than a page, so this is no more than that.
        let begins = u32::try_from(self.canonical.len()).unwrap_or(u32::MAX);
        self.more.extend_from_slice(next.content.id.uuid().as_bytes());
        self.more.extend_from_slice(&begins.to_be_bytes());
        self.keep(next);
        self.last = next;
    }

    fn keep(&mut self, entry: &Row) {
        self.leaf.extend_from_slice(entry.content.leaf.bytes());
        self.link.extend_from_slice(entry.link.bytes());
        self.mac.extend_from_slice(entry.mac.bytes());
        self.canonical.extend_from_slice(&entry.content.canonical);
    }

    /// What is kept of the further entries, nothing if there is one alone.
    pub(super) fn more(&self) -> Option<&[u8]> {
        (!self.more.is_empty()).then_some(&*self.more)
    }
}

/// What the entries of a row have in common, and their digests.
struct Sealed<'r> {
    first: u64,
    count: u64,
    recorded_at: Timestamp,
    key_epoch: KeyVersion,
    leaf: &'r [u8],
    link: &'r [u8],
    mac: &'r [u8],
}

impl<'r> Sealed<'r> {
    fn of(row: &'r PgRow) -> Result<Self, Error> {
        let (leaf, link, mac): (&[u8], &[u8], &[u8]) =
            (row.try_get("leaf")?, row.try_get("link")?, row.try_get("mac")?);
        let count = leaf.len() / DIGEST;
        for (what, digests) in [("leaf", leaf), ("link", link), ("mac", mac)] {
            if count == 0 || digests.len() != count * DIGEST {
                return Err(Error::corrupt(what, "not 32 bytes for each entry"));
            }
        }
        let key_epoch: i64 = row.try_get("key_epoch")?;
        Ok(Self {
            first: seq(row, "seq")?,
            count: u64::try_from(count).map_err(|error| Error::corrupt("leaf", error))?,
            recorded_at: time(row, "recorded_at")?,
            key_epoch: KeyVersion::try_from(key_epoch).map_err(|error| Error::corrupt("key_epoch", error))?,
            leaf,
            link,
            mac,
        })
    }

    /// The places in the row of those entries whose numbers lie between two, both ends among them.
    fn places(&self, low: u64, high: u64) -> std::ops::Range<usize> {
        let place = |seq: u64| usize::try_from(seq.saturating_sub(self.first).min(self.count)).unwrap_or(0);
        place(low)..place(high.saturating_add(1))
    }

    fn seal(&self, place: usize) -> Result<Seal, Error> {
        let digest = |what: &'static str, digests: &[u8]| -> Result<Digest, Error> {
            let bytes = digests.get(place * DIGEST..(place + 1) * DIGEST);
            bytes.and_then(digest_of).ok_or_else(|| Error::corrupt(what, "not 32 bytes"))
        };
        Ok(Seal {
            seq: self.first.saturating_add(u64::try_from(place).unwrap_or(u64::MAX)),
            recorded_at: self.recorded_at,
            leaf: digest("leaf", self.leaf)?,
            link: digest("link", self.link)?,
            mac: digest("mac", self.mac)?,
            key_epoch: self.key_epoch,
        })
    }
}

/// Reads what stands of a row's entries without their contents, of those whose numbers lie between two.
pub(super) fn seals(row: &PgRow, low: u64, high: u64) -> Result<Vec<Seal>, Error> {
    let sealed = Sealed::of(row)?;
    sealed.places(low, high).map(|place| sealed.seal(place)).collect()
}

/// Reads a row's entries whose numbers lie between two. Of bytes that are not where they should be there is nothing: verification says
/// what is wrong with them.
pub(super) fn entries(row: &PgRow, low: u64, high: u64) -> Result<Vec<Row>, Error> {
    let sealed = Sealed::of(row)?;
    let chain = chain(row)?;
    let (canonical, more): (&[u8], Option<&[u8]>) = (row.try_get("canonical")?, row.try_get("more")?);
    let more = more.unwrap_or_default();
    let further = |place: usize| {
        let kept = more.get(place.checked_sub(1)? * MORE..)?;
        let (id, rest) = kept.split_first_chunk::<16>()?;
        let begins = usize::try_from(u32::from_be_bytes(*rest.first_chunk::<4>()?)).ok()?;
        Some((Uuid::from_bytes(*id), begins))
    };
    let entry = |place: usize| {
        let (id, begins) = match place {
            0 => (row.try_get("event_id")?, 0),
            _ => further(place).ok_or_else(|| Error::corrupt("more", "it ends too soon"))?,
        };
        let ends = further(place + 1).map_or(canonical.len(), |(_, begins)| begins);
        let Seal { seq, recorded_at, leaf, link, mac, key_epoch } = sealed.seal(place)?;
        let content = content(id, leaf, canonical.get(begins..ends).unwrap_or_default());
        Ok(Row { chain, seq, recorded_at, link, mac, key_epoch, content: Arc::new(content) })
    };
    sealed.places(low, high).map(entry).collect()
}
