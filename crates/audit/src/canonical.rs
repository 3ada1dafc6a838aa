//! The canonical form of an event: what is hashed, signed and stored.

mod projection;
mod read;
mod time;
mod write;

use stanchion_core::Event;

use crate::Error;

pub(crate) use projection::is_projection;

/// The name of the event format, the value of `schema` in every canonical event.
pub const SCHEMA: &str = "stanchion.audit/v1";

/// The most bytes a canonical event may have.
pub const MAX_EVENT_BYTES: usize = 65_535;

/// The most levels that lists and maps may be nested within an event's details; the details themselves are the first.
pub const MAX_DEPTH: usize = 16;

/// The largest integer that every JSON reader keeps exactly, 2^53 − 1 (RFC 7493 §2.2).
pub(crate) const MAX_INTEGER: i64 = 9_007_199_254_740_991;

/// Writes an event in its canonical form, described in [`format`](crate::format): equal events give equal bytes, and unequal events
/// different ones. The order in which details were added is not part of an event.
///
/// # Errors
/// [`Error::IntegerTooLarge`], [`Error::TooDeep`] or [`Error::TooLarge`] when the event has no canonical form.
pub fn canonical(event: &Event) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(1024);
    write_canonical(event, &mut out)?;
    Ok(out)
}

/// Writes an event in its canonical form over `out`, whose allocation is used again.
pub(crate) fn write_canonical(event: &Event, out: &mut Vec<u8>) -> Result<(), Error> {
    out.clear();
    write::event(out, event)?;
    if out.len() > MAX_EVENT_BYTES { Err(Error::TooLarge { bytes: out.len() }) } else { Ok(()) }
}

/// Reads a canonical event. The details come in the order of their names.
///
/// Whatever [`canonical`] would not have written is refused: another order, white space, a name twice, another spelling of a string
/// or number, an unknown field or schema. So two readers cannot understand the same bytes differently.
///
/// # Errors
/// [`Error::NotCanonical`] with the place and what was expected there.
pub fn parse(canonical: &[u8]) -> Result<Event, Error> {
    read::event(canonical)
}

/// Appends the canonical form of a value of an event; `None` when it has none.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &stanchion_core::Detail) -> Option<()> {
    write::detail(out, value)
}

/// Orders names by their UTF-16 code units, as RFC 8785 §3.2.3 asks.
fn name_order(a: &str, b: &str) -> std::cmp::Ordering {
    // Only beyond U+D7FF does the order of UTF-8 bytes differ, and ASCII is what names are made of.
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}
