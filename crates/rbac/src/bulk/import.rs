use std::collections::{BTreeMap, HashSet};
use std::iter::Peekable;

use stanchion_core::{Author, Revision, Scope};

use super::accept::Chunk;
use super::candidate;
use super::format::{Fault, Row};
use crate::{Engine, Error, Record, RecordKey};

/// How records are imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// How many rows, 1 to 10,000, are one change at most; besides rows before them that lacked something.
    pub chunk: usize,
    /// What becomes of an import that has a row which may not be written.
    pub bad_rows: BadRows,
    /// Whether nothing is written: everything is looked at as if it were. What the whole scope has is in memory meanwhile.
    pub dry_run: bool,
}

/// What a bad row does to an import: one that is none, or that a rule refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRows {
    /// The import ends before it. The rows before it are written.
    Stop,
    /// It is left out and reported. After so many the import ends.
    Report {
        /// How many, at least 1.
        most: usize,
    },
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { chunk: 1_000, bad_rows: BadRows::Report { most: 1_000 }, dry_run: false }
    }
}

/// How far an import has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportProgress {
    /// The rows of which it is known what became of them.
    pub rows: u64,
    /// The records that were written, or would be.
    pub written: u64,
    /// The rows that say what is there already.
    pub unchanged: u64,
    /// The rows that were passed over because they have expired, and nothing stands there that still counts.
    pub expired: u64,
    /// The rows that were left out because they are wrong or against a rule.
    pub refused: u64,
}

/// A row that was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRow {
    /// Where it stands, from 1 on.
    pub line: u64,
    /// Which part of it is wrong, as far as that can be told.
    pub field: Option<String>,
    /// What is wrong, and what to do.
    pub why: String,
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// What was done.
    pub progress: ImportProgress,
    /// The rows that were refused, in the order of their lines.
    pub bad: Vec<BadRow>,
    /// Whether it ended before the end of the file, because of bad rows.
    pub stopped: bool,
    /// The revision after the last change; zero if there was none.
    pub revision: Revision,
}

/// How many bytes of rows are one change at most.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

impl ImportOptions {
    /// Checks that every setting lies in its range.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        if !(1..=10_000).contains(&self.chunk) {
            return Err(Error::InvalidConfig { setting: "chunk", rule: "1 to 10000" });
        }
        if self.bad_rows == (BadRows::Report { most: 0 }) {
            return Err(Error::InvalidConfig { setting: "bad_rows", rule: "at least 1" });
        }
        Ok(())
    }
}

impl Engine {
    /// Writes records that stand in rows, in chunks that are each one change: a whole chunk is written, but for its bad rows, or nothing
    /// of it. What is there already is left as it is, so an import that was interrupted can be done again from the start. Nothing is
    /// removed, and no denial is lifted.
    ///
    /// Every rule holds that holds for single writes. Rows of one chunk are weighed together, roles first; a row may need others that stand
    /// before it or up to a chunk after it, so where chunks end makes no difference to rows that stand together. What has expired is
    /// passed over and counted: it is history, and an export has it. Over what still counts it is refused. Who gave a role or permission is taken from the rows only if Stanchion itself imports, and so is whether a
    /// grant in an emergency was approved. The events are those of single writes, and `access.imported` for each chunk.
    ///
    /// `progress` is called after each chunk.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for options out of their range, [`Error::Import`] where the rows cannot be read on, and
    /// [`Error::Store`] when the store fails. What was done until then stays done.
    pub async fn import(
        &self,
        author: &Author,
        scope: Scope,
        rows: impl Iterator<Item = Result<Row, Error>> + Send,
        options: &ImportOptions,
        progress: &mut (dyn FnMut(&ImportProgress) + Send),
    ) -> Result<ImportReport, Error> {
        options.validate()?;
        let mut reading = Reading { rows: rows.peekable(), ended: None };
        let mut report = ImportReport::default();
        let (mut known, mut waiting) = (None, Waiting::default());
        while !report.stopped {
            let again = waiting.rows.len();
            let (rows, bad) = reading.chunk(options, std::mem::take(&mut waiting).rows);
            if rows.is_empty() && bad.is_empty() {
                break;
            }
            let more = reading.goes_on();
            let ends = options.bad_rows == BadRows::Stop && !bad.is_empty();
            let goes_on = more && !ends && rows.len() + bad.len() > again;
            let chunk = Chunk { author, scope, options, rows: &rows, again, goes_on };
            let mut bad: Vec<BadRow> =
                bad.into_iter().map(|(line, fault)| BadRow::new(line, fault)).collect();
            let mut seen = rows.len() + bad.len();
            if !rows.is_empty() {
                let mut outcome = self.import_chunk(&chunk, known.take()).await?;
                known = outcome.ground.take();
                seen -= outcome.waiting.len();
                report.progress.written += count(outcome.written);
                report.progress.unchanged += count(outcome.unchanged.len());
                report.progress.expired += count(outcome.expired.len());
                if outcome.written > 0 && !options.dry_run {
                    report.revision = outcome.revision;
                }
                bad.extend(outcome.refused.into_iter().filter_map(|(place, error)| {
                    let mut bad = BadRow::of(rows.get(place)?, &error);
                    if place < again && more && candidate::may_come(&error) {
                        bad.why = format!("{}; {}", bad.why, within(options.chunk));
                    }
                    Some(bad)
                }));
                waiting = Waiting::new(rows, outcome.waiting);
            }
            report.progress.refused += count(bad.len());
            report.progress.rows += count(seen);
            report.bad.append(&mut bad);
            report.stopped = match options.bad_rows {
                BadRows::Stop => !report.bad.is_empty(),
                BadRows::Report { most } => report.bad.len() >= most,
            };
            progress(&report.progress);
        }
        // Where it ends before those that wait are tried again, they are left out.
        report.progress.refused += count(waiting.why.len());
        report.progress.rows += count(waiting.why.len());
        report.bad.append(&mut waiting.why);
        report.bad.sort_by_key(|bad| bad.line);
        if let BadRows::Report { most } = options.bad_rows {
            report.bad.truncate(most);
        }
        match reading.ended {
            Some(error) if !report.stopped => Err(error),
            _ => Ok(report),
        }
    }
}

/// What is said of a row for which nothing came that it needs, where the file goes on.
fn within(chunk: usize) -> String {
    format!(
        "what a row needs stands before it or in the {chunk} rows after it, and so do rows that need one another in a circle"
    )
}

impl BadRow {
    fn of((line, record): &Lined<Record>, error: &Error) -> Self {
        let field = candidate::field(record.kind(), error).map(str::to_owned);
        Self { line: *line, field, why: error.to_string() }
    }

    fn new(line: u64, fault: Fault) -> Self {
        Self { line, field: fault.field, why: fault.why }
    }
}

/// Something of a row, with its line.
type Lined<T> = (u64, T);

/// Rows that are tried again with those that follow them.
#[derive(Default)]
struct Waiting {
    rows: Vec<Lined<Record>>,
    /// What they lacked.
    why: Vec<BadRow>,
}

impl Waiting {
    fn new(rows: Vec<Lined<Record>>, places: BTreeMap<usize, Option<Error>>) -> Self {
        let why =
            places.iter().filter_map(|(place, error)| Some(BadRow::of(rows.get(*place)?, error.as_ref()?)));
        let why = why.collect();
        let rows = rows.into_iter().enumerate().filter(|(place, _)| places.contains_key(place));
        Self { rows: rows.map(|(_, row)| row).collect(), why }
    }
}

/// The rows that are still to come.
struct Reading<I: Iterator> {
    rows: Peekable<I>,
    /// Why it cannot be read on.
    ended: Option<Error>,
}

impl<I: Iterator<Item = Result<Row, Error>>> Reading<I> {
    /// Reads as many rows as one change may be, besides those that are tried again: no record twice.
    fn chunk(
        &mut self,
        options: &ImportOptions,
        again: Vec<Lined<Record>>,
    ) -> (Vec<Lined<Record>>, Vec<Lined<Fault>>) {
        let mut keys: HashSet<RecordKey> = again.iter().map(|(_, record)| record.key()).collect();
        let (most, mut bytes) = (again.len() + options.chunk, 0_usize);
        let (mut rows, mut bad) = (again, Vec::new());
        while rows.len() + bad.len() < most {
            if let Some(Ok(Row { bytes: size, record: Ok(record), .. })) = self.rows.peek() {
                let is_full = bytes > 0 && bytes + size > CHUNK_BYTES;
                if is_full || keys.contains(&record.key()) {
                    break;
                }
            }
            match self.rows.next() {
                None => break,
                Some(Err(error)) => {
                    self.ended = Some(error);
                    break;
                }
                Some(Ok(Row { line, record: Err(fault), .. })) => {
                    bad.push((line, fault));
                    if options.bad_rows == BadRows::Stop {
                        break;
                    }
                }
                Some(Ok(Row { line, bytes: size, record: Ok(record) })) => {
                    bytes += size;
                    keys.insert(record.key());
                    rows.push((line, record));
                }
            }
        }
        (rows, bad)
    }

    /// Tells whether there is another row.
    fn goes_on(&mut self) -> bool {
        matches!(self.rows.peek(), Some(Ok(_)))
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
