//! An event of ours as one of OCSF.

use serde_json::{Map, Value, json};
use stanchion_core::{Actor, Event, Outcome, ResourceRef, Severity, SubjectKind, SubjectRef, Timestamp};

use super::classes::{self, Part};
use crate::bundle::ExportedEntry;
use crate::parse;

/// The version of OCSF that the events are of.
const VERSION: &str = "1.8.0";
const UNKNOWN: &str = "unknown";

/// Makes an event of the base class, which says nothing but what `unmapped` has.
pub(super) fn base(message: &str, time: Timestamp) -> Map<String, Value> {
    object(json!({
        "activity_id": 99,
        "activity_name": message,
        "category_uid": 0,
        "class_name": classes::BASE.name,
        "class_uid": 0,
        "message": message,
        "metadata": {"log_provider": "Stanchion", "product": product(), "version": VERSION},
        "severity_id": 1,
        "time": millis(time),
        "type_uid": 99,
    }))
}

/// Makes the event of an entry. Nothing but what the file has is in it, so that whoever has the file can make it again.
pub(super) fn of_entry(entry: &ExportedEntry, attestation: Value) -> Map<String, Value> {
    let Ok(event) = parse(entry.canonical.as_bytes()) else {
        let mut made = base("unreadable", entry.recorded_at);
        made.insert("raw_data".to_owned(), json!(entry.canonical));
        made.insert("unmapped".to_owned(), json!({ "attestation": attestation }));
        return made;
    };
    let (class, activity) = classes::of(&event);
    let mut made = object(json!({
        "activity_id": activity,
        "category_uid": class.uid / 1000,
        "class_name": class.name,
        "class_uid": class.uid,
        "message": format!("{} {}", event.action, event.outcome),
        "metadata": metadata(entry, &event),
        "raw_data": entry.canonical,
        "severity": event.severity.as_str(),
        "severity_id": severity(event.severity),
        "status": event.outcome.as_str(),
        "status_id": status(event.outcome),
        "time": millis(event.occurred_at),
        "type_uid": class.uid * 100 + activity,
    }));
    if activity == 99 {
        made.insert("activity_name".to_owned(), json!(event.action.as_str()));
    }
    if let Some(reason) = &event.reason {
        made.insert("status_code".to_owned(), json!(reason.as_str()));
    }
    for part in class.parts {
        if let Some((name, value)) = part_of(*part, entry, &event) {
            made.insert(name.to_owned(), value);
        }
    }
    made.insert("unmapped".to_owned(), unmapped(&event, attestation));
    made
}

fn metadata(entry: &ExportedEntry, event: &Event) -> Value {
    let mut made = object(json!({
        "event_code": event.action.as_str(),
        "log_name": entry.chain.to_string(),
        "log_provider": "Stanchion",
        "log_version": crate::SCHEMA,
        "logged_time": millis(entry.recorded_at),
        "original_time": event.occurred_at.to_string(),
        "product": product(),
        "sequence": entry.seq,
        "tenant_uid": entry.chain.scope.to_string(),
        "uid": event.id.to_string(),
        "version": VERSION,
    }));
    let correlation = &event.correlation;
    let trace = correlation.trace.as_ref().map(ToString::to_string);
    let together = correlation.request.map(|request| request.to_string()).or(trace);
    made.extend(together.map(|uid| ("correlation_uid".to_owned(), json!(uid))));
    Value::Object(made)
}

/// What OCSF 1.8 has no place for. `attestation` has the names of the object of that name in the schema's next version.
fn unmapped(event: &Event, attestation: Value) -> Value {
    let mut made = Map::from_iter([("attestation".to_owned(), attestation)]);
    made.extend(event.acted_as.as_ref().map(|subject| ("acted_as".to_owned(), json!(subject.to_string()))));
    let has = [
        ("changes", !event.changes.is_empty(), json!(event.changes)),
        ("details", !event.details.is_empty(), json!(event.details)),
        ("reported", event.reported, json!(true)),
        ("targets", !event.targets.is_empty(), json!(event.targets)),
        ("trace", event.correlation.trace.is_some(), json!(event.correlation.trace)),
        ("parent", event.correlation.parent.is_some(), json!(event.correlation.parent)),
    ];
    let has = has.into_iter().filter(|(_, is_there, _)| *is_there);
    made.extend(has.map(|(name, _, value)| (name.to_owned(), value)));
    Value::Object(made)
}

fn part_of(part: Part, entry: &ExportedEntry, event: &Event) -> Option<(&'static str, Value)> {
    let first = event.targets.first();
    Some(match part {
        Part::Actor => ("actor", actor(event)),
        Part::Api => ("api", api(event)),
        Part::Application => ("app", product()),
        Part::Bucket => {
            let name = first.map_or_else(|| UNKNOWN.to_owned(), ToString::to_string);
            ("databucket", json!({ "name": name, "type_id": 0 }))
        }
        Part::Entity => ("entity", first.map_or_else(|| json!({ "name": UNKNOWN }), resource)),
        Part::Finding => {
            let finding = json!({
                "title": event.action.as_str(),
                "types": [event.action.as_str()],
                "uid": event.id.to_string(),
            });
            ("finding_info", finding)
        }
        Part::Group => {
            let group = first.map_or_else(
                || json!({ "name": UNKNOWN }),
                |target| json!({ "type": target.kind().as_str(), "uid": target.id().as_str() }),
            );
            ("group", group)
        }
        Part::HttpRequest => {
            let agent = event.source.user_agent.as_ref()?;
            ("http_request", json!({ "user_agent": agent.as_str() }))
        }
        Part::LogName => ("log_name", json!(entry.chain.to_string())),
        Part::Privileges => ("privileges", json!(privileges(event))),
        Part::Resources => {
            let resources: Vec<Value> = event.targets.iter().map(resource).collect();
            return (!resources.is_empty()).then(|| ("resources", json!(resources)));
        }
        Part::Service => ("service", json!({ "name": "Stanchion" })),
        Part::Session => {
            let session = event.correlation.session.as_ref()?;
            ("session", json!({ "uid": session.as_str() }))
        }
        Part::Source => {
            let unknown = || json!({ "name": UNKNOWN });
            ("src_endpoint", event.source.ip.map_or_else(unknown, |ip| json!({ "ip": ip.to_string() })))
        }
        Part::SourceIfKnown => ("src_endpoint", json!({ "ip": event.source.ip?.to_string() })),
        Part::User => ("user", user(event)),
    })
}

fn actor(event: &Event) -> Value {
    let authorizations: Vec<Value> = event
        .authorization
        .iter()
        .map(|found| {
            let decision = if found.granted { "granted" } else { "denied" };
            let mut policy = object(json!({ "name": found.permission.as_str() }));
            policy.extend(found.by.as_ref().map(|by| ("uid".to_owned(), json!(by.to_string()))));
            json!({ "decision": decision, "policy": policy })
        })
        .collect();
    let mut made = match &event.actor {
        Actor::Subject { subject, key, .. } => {
            let mut user = subject_of(subject);
            user.extend(key.map(|key| ("credential_uid".to_owned(), json!(key.to_string()))));
            Map::from_iter([("user".to_owned(), Value::Object(user))])
        }
        actor => object(json!({ "app_name": actor.to_string() })),
    };
    if !authorizations.is_empty() {
        made.insert("authorizations".to_owned(), json!(authorizations));
    }
    Value::Object(made)
}

/// Whom it was done to: a target that is a subject, else whoever it was done for, else who did it.
fn user(event: &Event) -> Value {
    let is_user = |target: &&ResourceRef| matches!(target.kind().as_str(), "user" | "service" | "group");
    if let Some(target) = event.targets.iter().find(is_user) {
        let type_id = if target.kind().as_str() == "user" { 1 } else { 4 };
        return json!({ "type": target.kind().as_str(), "type_id": type_id, "uid": target.id().as_str() });
    }
    match (&event.acted_as, &event.actor) {
        (Some(subject), _) | (None, Actor::Subject { subject, .. }) => Value::Object(subject_of(subject)),
        (None, actor) => json!({ "name": actor.to_string() }),
    }
}

fn subject_of(subject: &SubjectRef) -> Map<String, Value> {
    let type_id = match subject.kind() {
        SubjectKind::User => 1,
        SubjectKind::Service => 4,
        SubjectKind::Group => 99,
    };
    object(json!({ "type": subject.kind().as_str(), "type_id": type_id, "uid": subject.id().as_str() }))
}

/// What was given or taken: the targets that are no subjects, or, when there are none, the action itself.
fn privileges(event: &Event) -> Vec<String> {
    let is_other = |target: &&ResourceRef| !matches!(target.kind().as_str(), "user" | "service" | "group");
    let others: Vec<String> = event.targets.iter().filter(is_other).map(ToString::to_string).collect();
    if others.is_empty() { vec![event.action.to_string()] } else { others }
}

fn api(event: &Event) -> Value {
    let mut made = object(json!({
        "operation": event.action.as_str(),
        "service": {"name": "Stanchion"},
    }));
    let request = event.correlation.request.map(|request| json!({ "uid": request.to_string() }));
    made.extend(request.map(|request| ("request".to_owned(), request)));
    Value::Object(made)
}

fn resource(target: &ResourceRef) -> Value {
    json!({ "type": target.kind().as_str(), "uid": target.id().as_str() })
}

fn product() -> Value {
    json!({ "name": "Stanchion", "vendor_name": "Stanchion" })
}

const fn severity(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 1,
        Severity::Notice => 2,
        Severity::Warning => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

const fn status(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Unknown => 0,
        Outcome::Success => 1,
        Outcome::Denied | Outcome::Failure | Outcome::Error => 2,
    }
}

/// OCSF counts in milliseconds; what is lost stands in `original_time` and in the entry.
pub(super) const fn millis(at: Timestamp) -> i64 {
    at.micros().div_euclid(1000)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
