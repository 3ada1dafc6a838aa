mod values;

use stanchion_core::{
    Actor, Authorization, Category, Correlation, Event, EventId, FieldChange, Outcome, ProducerNumber,
    Recorded, ResourceRef, Scope, Severity, Source, SubjectRef, Text, Timestamp,
};

use self::values::{Refused, escaped, integer, ip, map, string, value};
pub(super) use self::values::{detail, uuid};
use super::{MAX_INTEGER, SCHEMA, time};
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
