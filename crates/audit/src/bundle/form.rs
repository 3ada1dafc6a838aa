use super::ocsf::Carried;
use super::{FORMAT, Line, MAX_LINE, MAX_OCSF_LINE, OCSF_FORMAT, OCSF_FORMAT_1, ocsf};

/// How a bundle's lines are written. Whichever it is, the file proves itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    #[default]
    Lines,
    /// Each as an event of OCSF 1.8: entries by what they are, all other lines as events of the base class.
    Ocsf,
    /// As that, without what comes before an event and who signed for it. It is read, and should not be written any longer.
    Ocsf1,
}

impl Form {
    /// Returns what the manifest calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lines => FORMAT,
            Self::Ocsf => OCSF_FORMAT,
            Self::Ocsf1 => OCSF_FORMAT_1,
        }
    }

    /// Returns the longest line, in bytes.
    #[must_use]
    pub const fn max_line(self) -> usize {
        match self {
            Self::Lines => MAX_LINE,
            Self::Ocsf | Self::Ocsf1 => MAX_OCSF_LINE,
        }
    }

    /// Reads a line, without the line feed at its end. That it is spelled as the writer does is not checked here.
    #[must_use]
    pub fn read(self, text: &[u8]) -> Option<Line> {
        match self {
            Self::Lines => serde_json::from_slice(text).ok(),
            Self::Ocsf | Self::Ocsf1 => ocsf::read(text),
        }
    }

    /// Tells the form of a bundle by how its first line begins; which one of OCSF it is, the line itself says.
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

    /// Tells which form a manifest names, of those that begin as this one does.
    pub(super) fn named(self, format: &str) -> Self {
        if self == Self::Ocsf && format == OCSF_FORMAT_1 { Self::Ocsf1 } else { self }
    }

    /// Writes the next line of a bundle, without a line feed. `carried` is what the lines before leave for it.
    pub(super) fn write(
        self,
        line: &Line,
        carried: &mut Carried,
        out: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        carried.begin(line);
        match self {
            Self::Lines => serde_json::to_writer(out, line),
            Self::Ocsf => ocsf::write(line, carried, ocsf::Attested::Chained, out),
            Self::Ocsf1 => ocsf::write(line, carried, ocsf::Attested::Alone, out),
        }
    }
}
