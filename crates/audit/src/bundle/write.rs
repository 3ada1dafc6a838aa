use super::ocsf::Carried;
use super::{ChainCount, End, ExportedEntry, Form, Line, Log, Manifest};
use crate::{ChainId, Digest, Row};
use sha2::{Digest as _, Sha256};

/// Writes a bundle piece by piece. It holds what was not taken yet, a count for each chain, and what the next line tells of those before.
#[derive(Debug)]
pub struct BundleWriter {
    form: Form,
    carried: Carried,
    out: Vec<u8>,
    hasher: Sha256,
    counts: Vec<ChainCount>,
}

impl BundleWriter {
    /// Begins a bundle. The manifest names the form.
    #[must_use]
    pub fn new(manifest: Manifest, form: Form) -> Self {
        let manifest = Manifest { format: form.name().to_owned(), ..manifest };
        let (carried, out, hasher, counts) = (Carried::default(), Vec::new(), Sha256::new(), Vec::new());
        let mut writer = Self { form, carried, out, hasher, counts };
        writer.write(&Line::Manifest(manifest));
        writer
    }

    /// Writes what the entries of a chain are proven by. Chains come in their order; of whole chains the entries of one come before
    /// the next one's log.
    pub fn log(&mut self, log: Log) {
        self.count(log.chain);
        self.write(&Line::Log(log));
    }

    /// Writes an entry. Bytes that are no text cannot be written as they are: the bundle tells then that they were altered.
    pub fn entry(&mut self, row: &Row, proof: Option<Vec<Digest>>) {
        let count = self.count(row.chain);
        count.entries = count.entries.saturating_add(1);
        self.write(&entry_of(row, proof));
    }

    /// Counts entries of a chain that no checkpoint covers and that are left out.
    pub fn newer(&mut self, chain: ChainId, entries: u64) {
        let count = self.count(chain);
        count.newer = count.newer.saturating_add(entries);
    }

    /// Returns how many entries were written of each chain.
    #[must_use]
    pub fn counts(&self) -> &[ChainCount] {
        &self.counts
    }

    /// Returns what was written since it was taken last.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Writes the end.
    pub fn end(&mut self) {
        let sha256 = Digest::from_bytes(self.hasher.clone().finalize().into());
        self.write(&Line::End(End { chains: self.counts.clone(), sha256 }));
    }

    fn count(&mut self, chain: ChainId) -> &mut ChainCount {
        let place = match self.counts.binary_search_by_key(&chain, |count| count.chain) {
            Ok(place) => place,
            Err(place) => {
                self.counts.insert(place, ChainCount { chain, entries: 0, newer: 0 });
                place
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or inserted just now")]
        &mut self.counts[place]
    }

    #[expect(
        clippy::expect_used,
        reason = "the names of a line's fields are texts, and memory takes every byte"
    )]
    fn write(&mut self, line: &Line) {
        let start = self.out.len();
        self.form.write(line, &mut self.carried, &mut self.out).expect("a line has a JSON form");
        self.out.push(b'\n');
        self.hasher.update(self.out.get(start..).unwrap_or_default());
    }
}

fn entry_of(row: &Row, proof: Option<Vec<Digest>>) -> Line {
    Line::Entry(ExportedEntry {
        chain: row.chain,
        seq: row.seq,
        recorded_at: row.recorded_at,
        link: row.link,
        mac: row.mac,
        key_epoch: row.key_epoch,
        canonical: String::from_utf8_lossy(&row.content.canonical).into_owned(),
        proof,
    })
}

/// Writes the line of an entry that is proven by the entries around it.
#[cfg(feature = "archive")]
pub(crate) fn line_of(row: &Row) -> Vec<u8> {
    let mut line = Vec::new();
    write_line(&entry_of(row, None), &mut line);
    line
}

#[cfg(feature = "archive")]
#[expect(clippy::expect_used, reason = "the names of a line's fields are texts, and memory takes every byte")]
fn write_line(line: &Line, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, line).expect("a line has a JSON form");
    out.push(b'\n');
}
