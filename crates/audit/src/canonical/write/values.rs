//! Values of any kind, and what they are made of.

use std::io::Write as _;
use std::net::IpAddr;

use stanchion_core::{Detail, Details, Text};
use uuid::Uuid;

use super::super::{MAX_DEPTH, MAX_INTEGER, name_order};
use crate::Error;

/// Why details have no canonical form, and where; the path grows on the way out.
pub(super) enum Refused {
    Integer { path: String, value: i64 },
    Depth { path: String },
}

impl Refused {
    pub(super) fn within(mut self, name: &str) -> Error {
        self.prefix(name);
        match self {
            Self::Integer { path, value } => Error::IntegerTooLarge { path, value },
            Self::Depth { path } => Error::TooDeep { path },
        }
    }

    pub(super) fn prefix(&mut self, segment: &str) {
        let (Self::Integer { path, .. } | Self::Depth { path }) = self;
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        *path = format!("{segment}{dot}{path}");
    }
}

pub(super) fn map(out: &mut Vec<u8>, details: &Details, depth: usize) -> Result<(), Refused> {
    let mut last: Option<&Text> = None;
    let mut in_order = true;
    for (name, _) in details.iter() {
        in_order &= last.is_none_or(|last| name_order(last.as_str(), name.as_str()).is_lt());
        last = Some(name);
    }
    out.push(b'{');
    if in_order {
        for (index, (name, detail)) in details.iter().enumerate() {
            member(out, index, name, detail, depth)?;
        }
    } else {
        let mut members: Vec<_> = details.iter().collect();
        members.sort_unstable_by(|(a, _), (b, _)| name_order(a.as_str(), b.as_str()));
        for (index, (name, detail)) in members.into_iter().enumerate() {
            member(out, index, name, detail, depth)?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn member(
    out: &mut Vec<u8>,
    index: usize,
    name: &Text,
    detail: &Detail,
    depth: usize,
) -> Result<(), Refused> {
    if index > 0 {
        out.push(b',');
    }
    string(out, name.as_str());
    out.push(b':');
    value(out, detail, depth).map_err(|mut refused| {
        refused.prefix(name.as_str());
        refused
    })
}

/// Appends a value by itself; `None` when it has no canonical form.
pub(in crate::canonical) fn detail(out: &mut Vec<u8>, detail: &Detail) -> Option<()> {
    value(out, detail, 1).ok()
}

pub(super) fn value(out: &mut Vec<u8>, detail: &Detail, depth: usize) -> Result<(), Refused> {
    let nested = matches!(detail, Detail::List(_) | Detail::Map(_));
    if nested && depth == MAX_DEPTH {
        return Err(Refused::Depth { path: String::new() });
    }
    match detail {
        Detail::Null => out.extend_from_slice(b"null"),
        Detail::Bool(true) => out.extend_from_slice(b"true"),
        Detail::Bool(false) => out.extend_from_slice(b"false"),
        Detail::Integer(value) if value.unsigned_abs() > MAX_INTEGER.unsigned_abs() => {
            return Err(Refused::Integer { path: String::new(), value: *value });
        }
        Detail::Integer(value) => integer(out, *value),
        Detail::Text(text) => string(out, text.as_str()),
        Detail::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                value(out, item, depth + 1).map_err(|mut refused| {
                    refused.prefix(&format!("[{index}]"));
                    refused
                })?;
            }
            out.push(b']');
        }
        Detail::Map(details) => map(out, details, depth + 1)?,
    }
    Ok(())
}

pub(super) fn integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0; 20];
    let mut rest = value.unsigned_abs();
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

pub(in crate::canonical) fn uuid(out: &mut Vec<u8>, uuid: Uuid) {
    let mut text = [b'"'; 38];
    uuid.as_hyphenated().encode_lower(&mut text[1..37]);
    out.extend_from_slice(&text);
}

pub(super) fn ip(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                integer(out, octet.into());
            }
        }
        // RFC 5952, as the standard library writes it; a vector cannot fail to be written to.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
    out.push(b'"');
}

pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escaped(out, text);
    out.push(b'"');
}

/// RFC 8785 §3.2.2.2: only what JSON cannot hold literally is escaped, in the shortest way.
pub(super) fn escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // No early exit: so it is a vector loop, and text without escapes is the rule.
    let dirty = bytes.iter().fold(false, |dirty, byte| dirty | needs_escape(*byte));
    if !dirty {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        match *byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            control @ 0..=0x1f => drop(write!(out, "\\u{control:04x}")),
            other => out.push(other),
        }
    }
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}
