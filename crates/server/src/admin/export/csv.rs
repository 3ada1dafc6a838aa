//! Entries as RFC 4180 has them, for spreadsheets.

use std::io::{self, Write};

use stanchion_audit::bundle::ExportedEntry;
use stanchion_audit::parse;

const NAMES: [&str; 15] = [
    "chain",
    "sequence",
    "recorded_at",
    "event",
    "occurred_at",
    "actor",
    "action",
    "category",
    "outcome",
    "severity",
    "reason",
    "targets",
    "request",
    "source",
    "details",
];

pub(super) fn head(to: &mut impl Write) -> io::Result<()> {
    line(to, NAMES.map(str::to_owned))
}

pub(super) fn row(to: &mut impl Write, entry: &ExportedEntry) -> io::Result<()> {
    let event = parse(entry.canonical.as_bytes()).map_err(io::Error::other)?;
    let targets: Vec<String> = event.targets.iter().map(ToString::to_string).collect();
    let details = serde_json::to_string(&event.details).map_err(io::Error::other)?;
    line(
        to,
        [
            entry.chain.to_string(),
            entry.seq.to_string(),
            entry.recorded_at.to_string(),
            event.id.to_string(),
            event.occurred_at.to_string(),
            event.actor.to_string(),
            event.action.to_string(),
            event.category.as_str().to_owned(),
            event.outcome.as_str().to_owned(),
            event.severity.as_str().to_owned(),
            event.reason.map(|reason| reason.to_string()).unwrap_or_default(),
            targets.join(" "),
            event.correlation.request.map(|request| request.to_string()).unwrap_or_default(),
            event.source.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            details,
        ],
    )
}

fn line<const N: usize>(to: &mut impl Write, cells: [String; N]) -> io::Result<()> {
    let cells = cells.map(|text| cell(&text));
    write!(to, "{}\r\n", cells.join(","))
}

/// Quotes a text where it has to be. What a spreadsheet would take for a formula begins with an apostrophe.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    let text = format!("{guard}{text}");
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_as_rfc_4180_says_and_none_is_a_formula() {
        for (text, written) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }
}
