use stanchion_core::Timestamp;

use super::{FORMAT, Line, MAX_LINE, MAX_OCSF_LINE, OCSF_FORMAT, ocsf};

/// How a bundle's lines are written. Whichever it is, the file proves itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    #[default]
    Lines,
    /// Each as an event of OCSF 1.8: entries by what they are, all other lines as events of the base class.
    Ocsf,
}

impl Form {
    /// Returns what the manifest calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lines => FORMAT,
            Self::Ocsf => OCSF_FORMAT,
        }
    }

    /// Returns the longest line, in bytes.
    #[must_use]
    pub const fn max_line(self) -> usize {
        match self {
            Self::Lines => MAX_LINE,
            Self::Ocsf => MAX_OCSF_LINE,
        }
    }

    /// Reads a line, without the line feed at its end. That it is spelled as the writer does is not checked here.
    #[must_use]
    pub fn read(self, text: &[u8]) -> Option<Line> {
        match self {
            Self::Lines => serde_json::from_slice(text).ok(),
            Self::Ocsf => ocsf::read(text),
        }
    }

    /// Tells the form of a bundle by how its first line begins.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        let begins = |beginning: &str| first.starts_with(beginning.as_bytes());
        if begins("{\"manifest\":") {
            Some(Self::Lines)
        } else if begins(ocsf::BEGINNING) {
            Some(Self::Ocsf)
        } else {
            None
        }
    }

    /// Writes a line of a bundle that was exported at that time, without a line feed.
    pub(super) fn write(
        self,
        line: &Line,
        exported_at: Timestamp,
        out: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        match self {
            Self::Lines => serde_json::to_writer(out, line),
            Self::Ocsf => ocsf::write(line, exported_at, out),
        }
    }
}
