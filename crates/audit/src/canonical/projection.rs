//! Whether a canonical event says what the columns beside it say.

use stanchion_core::{EventId, RequestId, Scope};

use super::write;
use crate::Projection;

/// Tells whether a canonical event says what its projection says. `expected` is memory to work in.
pub(crate) fn is_projection(
    canonical: &[u8],
    id: EventId,
    scope: Scope,
    projection: &Projection,
    expected: &mut Vec<u8>,
) -> bool {
    let mut rest = canonical;
    let mut follows = |rest: &mut &[u8], write: &dyn Fn(&mut Vec<u8>)| {
        expected.clear();
        write(expected);
        rest.strip_prefix(expected.as_slice()).map(|after| *rest = after).is_some()
    };
    let Projection { occurred_at, actor, action, category, outcome, severity, request, targets } = projection;
    skip_acted_as(&mut rest)
        && follows(&mut rest, &|out| write::action_to_actor(out, action, actor))
        && skip_field(&mut rest, b",\"authorization\":")
        && follows(&mut rest, &|out| write::category(out, *category))
        && skip_field(&mut rest, b",\"changes\":")
        && skip_correlation(&mut rest, *request)
        && skip_field(&mut rest, b",\"details\":")
        && follows(&mut rest, &|out| write::id_to_outcome(out, id, *occurred_at, *outcome))
        && skip_field(&mut rest, b",\"producer\":")
        && skip_field(&mut rest, b",\"reason\":")
        && skip_reported(&mut rest)
        && follows(&mut rest, &|out| write::schema_to_severity(out, scope, *severity))
        && skip_field(&mut rest, b",\"source\":")
        && follows(&mut rest, &|out| write::targets_to_end(out, targets))
        && rest.is_empty()
}

/// Passes over the mark of a report, if it stands there.
fn skip_reported(rest: &mut &[u8]) -> bool {
    *rest = rest.strip_prefix(write::REPORTED).unwrap_or(rest);
    true
}

/// Passes over the opening brace, and over `acted_as` if it comes first.
fn skip_acted_as(rest: &mut &[u8]) -> bool {
    let Some(fields) = rest.strip_prefix(b"{") else { return false };
    let value = fields.strip_prefix(b"\"acted_as\":\"");
    *rest = value.map_or(fields, |value| {
        let after = after_string(value);
        after.strip_prefix(b",").unwrap_or(after)
    });
    true
}

/// Passes over a field that need not be there. Only for bytes that this crate wrote: what was altered fails at a later comparison,
/// or at the leaf.
fn skip_field(rest: &mut &[u8], name: &[u8]) -> bool {
    let Some(mut value) = rest.strip_prefix(name) else { return true };
    let mut depth = 0_usize;
    while let Some((byte, after)) = value.split_first() {
        value = after;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => value = after_string(after),
            _ => continue,
        }
        if depth == 0 {
            *rest = value;
            return true;
        }
    }
    false
}

/// Returns what follows a string's closing quote.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(length) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        let is_end = rest.get(length) == Some(&b'"');
        rest = rest.get(length + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

/// Passes over the correlation, in which `request` is to stand, or none.
fn skip_correlation(rest: &mut &[u8], request: Option<RequestId>) -> bool {
    const OPEN: &[u8] = b",\"correlation\":";
    let before = *rest;
    if !skip_field(rest, OPEN) {
        return false;
    }
    let length = before.len() - rest.len();
    let object = before.get(..length).and_then(|field| field.strip_prefix(OPEN)).unwrap_or_default();
    let mut fields = object.strip_prefix(b"{").unwrap_or_default();
    const PARENT: usize = b"\"parent\":\"0192f0c1-2345-7abc-8def-0123456789ab\",".len();
    if fields.starts_with(b"\"parent\":") {
        fields = fields.get(PARENT..).unwrap_or_default();
    }
    match request {
        Some(request) => {
            let mut expected = b"\"request\":".to_vec();
            write::uuid(&mut expected, request.uuid());
            fields.starts_with(&expected)
        }
        None => !fields.starts_with(b"\"request\":"),
    }
}
