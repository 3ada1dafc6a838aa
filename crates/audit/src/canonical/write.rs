use std::io::Write as _;
use std::net::IpAddr;

use stanchion_core::{
    Actor, Authorization, Category, Correlation, Detail, Details, Event, EventId, FieldChange, Outcome,
    ProducerNumber, Recorded, ResourceRef, Scope, Severity, Source, SubjectRef, Text, Timestamp,
};
use uuid::Uuid;

use super::{MAX_DEPTH, MAX_INTEGER, SCHEMA, name_order, time};
use crate::Error;

/// What stands in an event that was reported.
pub(super) const REPORTED: &[u8] = b",\"reported\":true";

/// Appends an event. Its fields stand in the order of their names, so each is written where it comes.
pub(super) fn event(out: &mut Vec<u8>, event: &Event) -> Result<(), Error> {
    out.push(b'{');
    acted_as(out, event.acted_as.as_ref());
    action_to_actor(out, &event.action, &event.actor);
    authorization(out, &event.authorization);
    category(out, event.category);
    changes(out, &event.changes).map_err(|refused| refused.within("changes"))?;
    correlation(out, &event.correlation);
    if !event.details.is_empty() {
        out.extend_from_slice(b",\"details\":");
        map(out, &event.details, 1).map_err(|refused| refused.within("details"))?;
    }
    id_to_outcome(out, event.id, event.occurred_at, event.outcome);
    producer(out, event.producer.as_ref());
    if let Some(reason) = &event.reason {
        out.extend_from_slice(b",\"reason\":");
        string(out, reason.as_str());
    }
    if event.reported {
        out.extend_from_slice(REPORTED);
    }
    schema_to_severity(out, event.scope, event.severity);
    source(out, &event.source);
    targets_to_end(out, &event.targets);
    Ok(())
}

fn acted_as(out: &mut Vec<u8>, subject: Option<&SubjectRef>) {
    if let Some(subject) = subject {
        out.extend_from_slice(b"\"acted_as\":\"");
        subject_text(out, subject);
        out.extend_from_slice(b"\",");
    }
}

pub(super) fn action_to_actor(out: &mut Vec<u8>, action: &Text, who: &Actor) {
    out.extend_from_slice(b"\"action\":");
    string(out, action.as_str());
    out.extend_from_slice(b",\"actor\":");
    actor(out, who);
}

fn authorization(out: &mut Vec<u8>, all: &[Authorization]) {
    for (index, one) in all.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"authorization\":[{" } else { b",{" });
        if let Some(by) = &one.by {
            out.extend_from_slice(b"\"by\":\"");
            resource_text(out, by);
            out.extend_from_slice(b"\",");
        }
        let granted: &[u8] = if one.granted { b"\"granted\":true" } else { b"\"granted\":false" };
        out.extend_from_slice(granted);
        out.extend_from_slice(b",\"permission\":");
        string(out, one.permission.as_str());
        if let Some(resource) = &one.resource {
            out.extend_from_slice(b",\"resource\":\"");
            resource_text(out, resource);
            out.push(b'"');
        }
        out.push(b'}');
    }
    if !all.is_empty() {
        out.push(b']');
    }
}

pub(super) fn category(out: &mut Vec<u8>, category: Category) {
    out.extend_from_slice(b",\"category\":\"");
    out.extend_from_slice(category.as_str().as_bytes());
    out.push(b'"');
}

pub(super) fn id_to_outcome(out: &mut Vec<u8>, id: EventId, occurred_at: Timestamp, outcome: Outcome) {
    out.extend_from_slice(b",\"id\":");
    uuid(out, id.uuid());
    out.extend_from_slice(b",\"occurred_at\":\"");
    time::write(out, occurred_at);
    out.extend_from_slice(b"\",\"outcome\":\"");
    out.extend_from_slice(outcome.as_str().as_bytes());
    out.push(b'"');
}

fn producer(out: &mut Vec<u8>, number: Option<&ProducerNumber>) {
    let Some(number) = number else { return };
    out.extend_from_slice(b",\"producer\":\"");
    out.extend_from_slice(number.producer().as_str().as_bytes());
    let mut boot = [b'/'; 38];
    number.boot().as_hyphenated().encode_lower(&mut boot[1..37]);
    out.extend_from_slice(&boot);
    integer(out, i64::try_from(number.number()).unwrap_or(MAX_INTEGER));
    out.push(b'"');
}

pub(super) fn schema_to_severity(out: &mut Vec<u8>, scope: Scope, severity: Severity) {
    out.extend_from_slice(b",\"schema\":\"");
    out.extend_from_slice(SCHEMA.as_bytes());
    out.extend_from_slice(b"\",\"scope\":");
    match scope {
        Scope::Platform => out.extend_from_slice(b"\"platform\""),
        Scope::Tenant(tenant) => uuid(out, tenant.uuid()),
    }
    out.extend_from_slice(b",\"severity\":\"");
    out.extend_from_slice(severity.as_str().as_bytes());
    out.push(b'"');
}

pub(super) fn targets_to_end(out: &mut Vec<u8>, targets: &[ResourceRef]) {
    for (index, target) in targets.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"targets\":[\"" } else { b",\"" });
        resource_text(out, target);
        out.push(b'"');
    }
    out.extend_from_slice(if targets.is_empty() { b"}" } else { b"]}" });
}

fn actor(out: &mut Vec<u8>, actor: &Actor) {
    match actor {
        Actor::Subject { subject, method, key } => {
            out.push(b'{');
            if let Some(key) = key {
                out.extend_from_slice(b"\"key\":");
                uuid(out, key.uuid());
                out.push(b',');
            }
            out.extend_from_slice(b"\"method\":\"");
            out.extend_from_slice(method.as_str().as_bytes());
            out.extend_from_slice(b"\",\"subject\":\"");
            subject_text(out, subject);
            out.extend_from_slice(b"\",\"type\":\"subject\"}");
        }
        Actor::System(name) => {
            out.extend_from_slice(b"{\"name\":");
            string(out, name.as_str());
            out.extend_from_slice(b",\"type\":\"system\"}");
        }
        Actor::Anonymous => out.extend_from_slice(b"{\"type\":\"anonymous\"}"),
    }
}

fn subject_text(out: &mut Vec<u8>, subject: &SubjectRef) {
    out.extend_from_slice(subject.kind().as_str().as_bytes());
    out.push(b':');
    escaped(out, subject.id().as_str());
}

fn resource_text(out: &mut Vec<u8>, resource: &ResourceRef) {
    escaped(out, resource.kind().as_str());
    out.push(b'/');
    escaped(out, resource.id().as_str());
}

fn changes(out: &mut Vec<u8>, all: &[FieldChange]) -> Result<(), Refused> {
    for (index, change) in all.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"changes\":[{" } else { b",{" });
        for (name, recorded) in [("after", &change.after), ("before", &change.before)] {
            let Some(recorded) = recorded else { continue };
            string(out, name);
            match recorded {
                Recorded::Redacted => out.extend_from_slice(b":\"redacted\","),
                Recorded::Value(detail) => {
                    out.extend_from_slice(b":{\"value\":");
                    value(out, detail, 1).map_err(|mut refused| {
                        refused.prefix(name);
                        refused.prefix(&format!("[{index}]"));
                        refused
                    })?;
                    out.extend_from_slice(b"},");
                }
            }
        }
        out.extend_from_slice(b"\"field\":");
        string(out, change.field.as_str());
        out.push(b'}');
    }
    if !all.is_empty() {
        out.push(b']');
    }
    Ok(())
}

fn correlation(out: &mut Vec<u8>, correlation: &Correlation) {
    let mut object = Object::new(out, b",\"correlation\":{");
    if let Some(parent) = correlation.parent {
        uuid(object.field(b"\"parent\":"), parent.uuid());
    }
    if let Some(request) = correlation.request {
        uuid(object.field(b"\"request\":"), request.uuid());
    }
    if let Some(session) = &correlation.session {
        string(object.field(b"\"session\":"), session.as_str());
    }
    if let Some(trace) = &correlation.trace {
        string(object.field(b"\"trace\":"), trace.as_str());
    }
    object.end();
}

fn source(out: &mut Vec<u8>, source: &Source) {
    let mut object = Object::new(out, b",\"source\":{");
    if let Some(address) = source.ip {
        ip(object.field(b"\"ip\":"), address);
    }
    if let Some(user_agent) = &source.user_agent {
        string(object.field(b"\"user_agent\":"), user_agent.as_str());
    }
    object.end();
}

/// An object that is left out when it has no field.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    open: &'static [u8],
    is_open: bool,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut Vec<u8>, open: &'static [u8]) -> Self {
        Self { out, open, is_open: false }
    }

    fn field(&mut self, name: &'static [u8]) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.is_open { b"," } else { self.open });
        self.is_open = true;
        self.out.extend_from_slice(name);
        self.out
    }

    fn end(self) {
        if self.is_open {
            self.out.push(b'}');
        }
    }
}

/// Why details have no canonical form, and where; the path grows on the way out.
enum Refused {
    Integer { path: String, value: i64 },
    Depth { path: String },
}

impl Refused {
    fn within(mut self, name: &str) -> Error {
        self.prefix(name);
        match self {
            Self::Integer { path, value } => Error::IntegerTooLarge { path, value },
            Self::Depth { path } => Error::TooDeep { path },
        }
    }

    fn prefix(&mut self, segment: &str) {
        let (Self::Integer { path, .. } | Self::Depth { path }) = self;
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        *path = format!("{segment}{dot}{path}");
    }
}

fn map(out: &mut Vec<u8>, details: &Details, depth: usize) -> Result<(), Refused> {
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
pub(super) fn detail(out: &mut Vec<u8>, detail: &Detail) -> Option<()> {
    value(out, detail, 1).ok()
}

fn value(out: &mut Vec<u8>, detail: &Detail, depth: usize) -> Result<(), Refused> {
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

fn integer(out: &mut Vec<u8>, value: i64) {
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

pub(super) fn uuid(out: &mut Vec<u8>, uuid: Uuid) {
    let mut text = [b'"'; 38];
    uuid.as_hyphenated().encode_lower(&mut text[1..37]);
    out.extend_from_slice(&text);
}

fn ip(out: &mut Vec<u8>, address: IpAddr) {
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

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escaped(out, text);
    out.push(b'"');
}

/// RFC 8785 §3.2.2.2: only what JSON cannot hold literally is escaped, in the shortest way.
fn escaped(out: &mut Vec<u8>, text: &str) {
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
