use std::fmt;
use std::io::{self, BufRead, Read};
use std::str::FromStr;

use stanchion_core::{SubjectRef, Timestamp};

use crate::{Assignment, Error, Note, Record, ResourceSelector, RoleId};

/// How records are written one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BulkFormat {
    /// A JSON text to a line, of every kind of record, in UTF-8.
    #[default]
    JsonLines,
    /// Comma-separated values (RFC 4180) with a header, of assignments alone. Who assigned is left out.
    Csv,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Where it stands, from 1 on.
    pub line: u64,
    /// How many bytes it has.
    pub bytes: usize,
    /// What it says, or what is wrong with it.
    pub record: Result<Record, Fault>,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Which part of it.
    pub field: Option<String>,
    /// What is wrong, and what to do.
    pub why: String,
}

/// The longest line of a file, in bytes.
const LONGEST: usize = 1024 * 1024;

const COLUMNS: [&str; 6] = ["subject", "role", "resource", "not_before", "expires_at", "reason"];

impl BulkFormat {
    /// Finds the format of a name: `jsonl` or `csv`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::JsonLines, Self::Csv].into_iter().find(|format| format.as_str() == name)
    }

    /// Returns its name, which file names end with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// Returns its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/jsonl",
            Self::Csv => "text/csv",
        }
    }

    /// Returns what a file begins with.
    #[must_use]
    pub fn head(self) -> Vec<u8> {
        match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => format!("{}\r\n", COLUMNS.join(",")).into_bytes(),
        }
    }

    /// Writes records as lines. What the format has no place for is left out.
    ///
    /// # Errors
    /// None that records can cause.
    pub fn write(self, records: &[Record]) -> io::Result<Vec<u8>> {
        match self {
            Self::JsonLines => {
                let mut lines = Vec::new();
                for record in records {
                    serde_json::to_writer(&mut lines, record)?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
            Self::Csv => {
                let mut writer =
                    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
                for record in records {
                    let Record::Assignment(held) = record else { continue };
                    let text = |text: Option<String>| text.unwrap_or_default();
                    writer.write_record([
                        held.subject.to_string(),
                        held.role.to_string(),
                        text(held.resource.as_ref().map(ToString::to_string)),
                        text(held.not_before.map(|time| time.to_string())),
                        text(held.expires_at.map(|time| time.to_string())),
                        text(held.reason.as_ref().map(ToString::to_string)),
                    ])?;
                }
                writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
            }
        }
    }

    /// Reads the rows of a file, one after the other.
    ///
    /// # Errors
    /// [`Error::Import`] when a CSV file has no header that can be read.
    pub fn read<R: BufRead>(self, input: R) -> Result<Rows<R>, Error> {
        Ok(Rows(match self {
            Self::JsonLines => Reader::Lines(Lines { input, line: 0, text: Vec::new() }),
            Self::Csv => Reader::Csv(Box::new(Table::new(input)?)),
        }))
    }
}

impl fmt::Display for BulkFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fault {
    pub(super) fn of(field: &str, why: impl fmt::Display) -> Self {
        Self { field: Some(field.to_owned()), why: why.to_string() }
    }
}

/// The rows of a file. It ends with an [`Error::Import`] where it cannot be read on.
#[derive(Debug)]
pub struct Rows<R>(Reader<R>);

#[derive(Debug)]
enum Reader<R> {
    Lines(Lines<R>),
    Csv(Box<Table<R>>),
    Ended,
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.0 {
            Reader::Lines(lines) => lines.next(),
            Reader::Csv(table) => table.next(),
            Reader::Ended => None,
        };
        if !matches!(next, Some(Ok(_))) {
            self.0 = Reader::Ended;
        }
        next
    }
}

#[derive(Debug)]
struct Lines<R> {
    input: R,
    line: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Option<Result<Row, Error>> {
        loop {
            self.line += 1;
            self.text.clear();
            let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(2);
            let broken = |why: String| Some(Err(Error::Import { line: self.line, why }));
            match self.input.by_ref().take(most).read_until(b'\n', &mut self.text) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return broken(format!("it cannot be read: {error}")),
            }
            let text = self.text.trim_ascii();
            if text.len() > LONGEST {
                return broken(format!("it is longer than {LONGEST} bytes"));
            }
            if !text.is_empty() {
                return Some(Ok(Row { line: self.line, bytes: text.len(), record: parsed(text) }));
            }
        }
    }
}

fn parsed(text: &[u8]) -> Result<Record, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let record = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        let field = (error.path().iter().next().is_some()).then_some(field);
        Fault { field, why: error.inner().to_string() }
    })?;
    reader.end().map_err(|error| Fault { field: None, why: error.to_string() })?;
    Ok(record)
}

/// Ends lines by line feeds alone: else those that end by two characters are counted one too low. No field has the other.
#[derive(Debug)]
struct PlainLines<R>(R);

impl<R: Read> Read for PlainLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.0.read(buffer)?;
            let Some(filled) = buffer.get_mut(..read) else { return Ok(read) };
            let mut kept = 0;
            for place in 0..filled.len() {
                if filled.get(place) != Some(&b'\r') {
                    filled.swap(kept, place);
                    kept += 1;
                }
            }
            if kept > 0 || read == 0 {
                return Ok(kept);
            }
        }
    }
}

#[derive(Debug)]
struct Table<R> {
    reader: csv::Reader<PlainLines<R>>,
    /// Which of the columns each field is.
    columns: Vec<usize>,
    row: csv::StringRecord,
}

impl<R: Read> Table<R> {
    fn new(input: R) -> Result<Self, Error> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(PlainLines(input));
        let wrong = |why: String| Error::Import { line: 1, why };
        let head = reader.headers().map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        let mut columns = Vec::new();
        for name in head {
            let place = COLUMNS.iter().position(|column| *column == name);
            let place = place.filter(|place| !columns.contains(place));
            columns.push(place.ok_or_else(|| {
                wrong(format!("`{name}` is no column, or stands there twice; use {}", COLUMNS.join(", ")))
            })?);
        }
        if !(columns.contains(&0) && columns.contains(&1)) {
            return Err(wrong("it has to name the columns, `subject` and `role` among them".to_owned()));
        }
        Ok(Self { reader, columns, row: csv::StringRecord::new() })
    }

    fn next(&mut self) -> Option<Result<Row, Error>> {
        let line = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
        match self.reader.read_record(&mut self.row) {
            Ok(false) => None,
            Ok(true) => {
                let line = line(self.row.position());
                Some(Ok(Row { line, bytes: self.row.as_slice().len(), record: self.assignment() }))
            }
            Err(error) => {
                let line = line(error.position());
                Some(match error.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        let why = format!("it has {len} fields, and the header has {expected_len}");
                        Ok(Row { line, bytes: 0, record: Err(Fault { field: None, why }) })
                    }
                    _ => Err(Error::Import { line, why: format!("it cannot be read: {error}") }),
                })
            }
        }
    }

    fn assignment(&self) -> Result<Record, Fault> {
        let mut fields = [""; COLUMNS.len()];
        for (column, text) in self.columns.iter().zip(&self.row) {
            if let Some(field) = fields.get_mut(*column) {
                *field = text;
            }
        }
        let [subject, role, resource, not_before, expires_at, reason] = fields;
        let mut held =
            Assignment::new(needed::<SubjectRef>("subject", subject)?, needed::<RoleId>("role", role)?);
        held.resource = given::<ResourceSelector>("resource", resource)?;
        held.not_before = time("not_before", not_before)?;
        held.expires_at = time("expires_at", expires_at)?;
        held.reason = given::<Note>("reason", reason)?;
        Ok(Record::Assignment(held))
    }
}

fn needed<T: FromStr<Err: fmt::Display>>(field: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|error| Fault::of(field, error))
}

fn time(field: &str, text: &str) -> Result<Option<Timestamp>, Fault> {
    let read = |text| Timestamp::parse_rfc3339(text).map_err(|error| Fault::of(field, error));
    (!text.is_empty()).then(|| read(text)).transpose()
}

fn given<T: FromStr<Err: fmt::Display>>(field: &str, text: &str) -> Result<Option<T>, Fault> {
    if text.is_empty() { Ok(None) } else { needed(field, text).map(Some) }
}
