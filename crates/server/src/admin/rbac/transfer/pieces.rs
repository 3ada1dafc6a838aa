//! A file, cut at the ends of rows.

use std::io;

use bytes::Bytes;
use serde_json::Value;

use super::RecordFormat;

/// A part of a file that can be sent by itself.
pub(super) struct Piece {
    pub(super) content: Bytes,
    /// The line that it begins with in the file.
    pub(super) first: u64,
    /// By how much its lines are further down in the file.
    pub(super) shift: u64,
}

/// Cuts a file at the ends of rows, but not between rows that may need each other: roles, and what one subject holds.
pub(super) struct Pieces<R> {
    input: R,
    /// A line that was read and belongs to the next piece.
    ahead: Vec<u8>,
    size: usize,
    /// How large a piece may become so that rows stay together.
    most: usize,
    cutter: Cutter,
    /// What stands before each part of a file of CSV.
    head: Vec<u8>,
}

impl<R: io::BufRead> Pieces<R> {
    pub(super) fn new(input: R, format: RecordFormat, size: usize, most: usize) -> Self {
        Self { input, ahead: Vec::new(), size, most, cutter: Cutter::new(format), head: Vec::new() }
    }

    /// Reads a line, or what is left of the file.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = std::mem::take(&mut self.ahead);
        if line.is_empty() {
            self.input.read_until(b'\n', &mut line)?;
        }
        Ok(line)
    }

    /// Tells whether the line that comes next may need this one, or be needed by it.
    fn needs_next(&mut self, line: &[u8]) -> io::Result<bool> {
        self.ahead = self.line()?;
        Ok(self.cutter.format == RecordFormat::Jsonl && belong_together(line, &self.ahead))
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        let first = self.cutter.lines + 1;
        let is_first = first == 1;
        let mut content = self.head.clone();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            content.extend_from_slice(&line);
            self.cutter.count(&line);
            if self.cutter.format == RecordFormat::Csv && self.head.is_empty() && !self.cutter.is_quoted {
                self.head = content.clone();
            }
            let is_full = content.len() >= self.size && !self.cutter.is_quoted;
            if is_full && (!self.needs_next(&line)? || content.len() + self.ahead.len() > self.most) {
                break;
            }
        }
        if content.is_empty() || (!is_first && content.len() == self.head.len()) {
            return Ok(None);
        }
        let heads = if is_first { 0 } else { lines_in(&self.head) };
        let shift = first.saturating_sub(1).saturating_sub(heads);
        Ok(Some(Piece { content: content.into(), first, shift }))
    }
}

fn belong_together(one: &[u8], other: &[u8]) -> bool {
    let read = |line: &[u8]| serde_json::from_slice::<Value>(line).unwrap_or_default();
    let (one, other) = (read(one), read(other));
    let is_role = |line: &Value| line.get("role").is_some();
    let holder = |line: &Value| line.pointer("/assignment/subject").cloned();
    (is_role(&one) && is_role(&other)) || (holder(&one).is_some() && holder(&one) == holder(&other))
}

fn lines_in(text: &[u8]) -> u64 {
    u64::try_from(text.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u64::MAX)
}

/// Counts rows: what is quoted in a file of CSV may have line breaks.
pub(super) struct Cutter {
    format: RecordFormat,
    lines: u64,
    ended: u64,
    is_quoted: bool,
}

impl Cutter {
    pub(super) const fn new(format: RecordFormat) -> Self {
        Self { format, lines: 0, ended: 0, is_quoted: false }
    }

    pub(super) fn count(&mut self, part: &[u8]) {
        for byte in part {
            match byte {
                b'"' if self.format == RecordFormat::Csv => self.is_quoted = !self.is_quoted,
                b'\n' => {
                    self.lines += 1;
                    self.ended += u64::from(!self.is_quoted);
                }
                _ => {}
            }
        }
    }

    /// How many records there were.
    pub(super) const fn rows(&self) -> u64 {
        match self.format {
            RecordFormat::Jsonl => self.ended,
            RecordFormat::Csv => self.ended.saturating_sub(1),
        }
    }
}
