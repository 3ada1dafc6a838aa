//! A bundle as events of OCSF: every line is one, and from every line the bundle's own comes back.

mod carried;
mod classes;
mod event;

use serde_json::{Map, Value};

pub(super) use carried::{Attested, Carried};

use super::Line;

/// Where the bundle's line stands within `unmapped`.
const OURS: &str = "stanchion";

/// What the first line begins with.
pub(super) const BEGINNING: &str = "{\"activity_id\":99,\"activity_name\":\"export begun\",";

/// Writes a line as an event, in its one spelling: names in the order of their bytes, no white space.
pub(super) fn write(
    line: &Line,
    carried: &mut Carried,
    attested: Attested,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let exported_at = carried.exported_at();
    let mut ours = serde_json::to_value(line)?;
    let mut made = match line {
        Line::Manifest(_) => event::base("export begun", exported_at),
        Line::Log(_) => event::base("log", exported_at),
        Line::Entry(entry) => event::of_entry(entry, carried.attestation(entry, attested)),
        Line::End(_) => event::base("export ended", exported_at),
    };
    // It stands in `raw_data`.
    if let Some(entry) = ours.get_mut("entry").and_then(Value::as_object_mut) {
        entry.remove("canonical");
    }
    if let Line::Entry(entry) = line {
        carried.go_on(entry, &made);
    }
    let unmapped = made.entry("unmapped").or_insert_with(|| Value::Object(Map::new()));
    if let Some(unmapped) = unmapped.as_object_mut() {
        unmapped.insert(OURS.to_owned(), ours);
    }
    let mut made = Value::Object(made);
    made.sort_all_objects();
    serde_json::to_writer(out, &made)
}

/// Reads the bundle's line back. That the event around it is the one that was written, only writing it again tells.
pub(super) fn read(text: &[u8]) -> Option<Line> {
    let mut event: Value = serde_json::from_slice(text).ok()?;
    let canonical = event.get_mut("raw_data").map(Value::take);
    let mut ours = event.get_mut("unmapped")?.get_mut(OURS)?.take();
    if let (Some(entry), Some(canonical)) = (ours.get_mut("entry").and_then(Value::as_object_mut), canonical)
    {
        entry.insert("canonical".to_owned(), canonical);
    }
    serde_json::from_value(ours).ok()
}

#[cfg(test)]
mod tests;
