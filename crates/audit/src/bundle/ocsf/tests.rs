use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use stanchion_core::{
    Actor, AuthenticationMethod, Authorization, Category, Event, EventId, FieldChange, KeyId, Outcome,
    Recorded, RequestId, ResourceRef, Scope, Severity, SubjectRef, TenantId, Timestamp,
};
use uuid::Uuid;

use super::*;
use crate::bundle::{ChainCount, End, ExportedEntry, Log, Manifest, OCSF_FORMAT};
use crate::{ChainId, Digest, RetentionClass, canonical};

const NOON: Timestamp = Timestamp::from_micros(1_772_366_400_123_456);

/// The published schema of the classes that the table names, of OCSF 1.8.0, without descriptions.
struct Schema(Vec<(u64, jsonschema::Validator)>);

impl Schema {
    /// Is read once for all tests: that takes long.
    fn published() -> &'static Self {
        static PUBLISHED: LazyLock<Schema> = LazyLock::new(Schema::read);
        &PUBLISHED
    }

    fn read() -> Self {
        let all: Value = serde_json::from_str(include_str!("../../../tests/data/ocsf-1.8.0.json")).unwrap();
        let classes = all["classes"].as_object().unwrap().values().map(|class| {
            let mut class = class.clone();
            class["$defs"] = all["$defs"].clone();
            let uid = class["properties"]["class_uid"]["const"].as_u64().unwrap();
            (uid, jsonschema::draft202012::new(&class).unwrap())
        });
        Self(classes.collect())
    }

    /// Says what is wrong with an event.
    fn complaint(&self, event: &Value) -> Option<String> {
        let uid = event["class_uid"].as_u64().unwrap();
        let (_, class) = self.0.iter().find(|(of, _)| *of == uid).unwrap_or_else(|| panic!("class {uid}"));
        let found = class.iter_errors(event).map(|error| format!("{}: {error}", error.instance_path()));
        let found: Vec<String> = found.collect();
        (!found.is_empty()).then(|| format!("{found:?} in {event}"))
    }
}

fn entry(event: Event) -> ExportedEntry {
    let chain = ChainId { scope: event.scope, class: RetentionClass::of(event.category) };
    let canonical = String::from_utf8(canonical(&event).unwrap()).unwrap();
    let (link, mac) = (Digest::ZERO, Digest::ZERO);
    ExportedEntry { chain, seq: 7, recorded_at: NOON, link, mac, key_epoch: 1, canonical, proof: None }
}

fn written(line: &Line) -> Value {
    let mut out = Vec::new();
    write(line, NOON, &mut out).unwrap();
    assert_eq!(read(&out).as_ref(), Some(line));
    serde_json::from_slice(&out).unwrap()
}

fn text() -> impl Strategy<Value = String> {
    "[a-z \\\\\"é\u{1F600}\n]{0,12}"
}

fn action() -> impl Strategy<Value = String> {
    let known: Vec<String> = crate::Actions::default().iter().map(|known| known.action.to_string()).collect();
    let all: Vec<String> = known.into_iter().chain(classes::actions()).collect();
    prop_oneof![9 => prop::sample::select(all), 1 => "[a-z]{1,8}\\.[a-z]{1,8}"]
}

fn actor() -> impl Strategy<Value = Actor> {
    let subject = prop_oneof![
        Just(SubjectRef::user("alice").unwrap()),
        Just(SubjectRef::service("etl:nightly").unwrap()),
    ];
    let key = prop::option::of(any::<u128>().prop_map(|id| KeyId::from_uuid(Uuid::from_u128(id))));
    prop_oneof![
        3 => (subject, key).prop_map(|(subject, key)| Actor::Subject {
            subject, method: AuthenticationMethod::ApiKey, key,
        }),
        1 => Just(Actor::System("sweeper".into())),
        1 => Just(Actor::Anonymous),
    ]
}

fn target() -> impl Strategy<Value = ResourceRef> {
    let kind = prop::sample::select(vec!["user", "service", "role", "route", "document"]);
    (kind, "[!-~]{1,12}").prop_map(|(kind, id)| ResourceRef::new(kind, id).unwrap())
}

prop_compose! {
    fn event()(
        action in action(),
        actor in actor(),
        category in prop::sample::select(Category::ALL.to_vec()),
        outcome in prop::sample::select(Outcome::ALL.to_vec()),
        severity in prop::sample::select(Severity::ALL.to_vec()),
        targets in prop::collection::vec(target(), 0..3),
        (tenant, request, parent) in (
            prop::option::of(any::<u128>()), prop::option::of(any::<u128>()), prop::option::of(any::<u128>()),
        ),
        (trace, session, reason, agent) in (
            prop::option::of(text()), prop::option::of(text()), prop::option::of(text()),
            prop::option::of(text()),
        ),
        ip in prop::option::of(any::<std::net::IpAddr>()),
        method in prop::option::of(prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PURGE"])),
        said in text(),
        (is_reported, is_changed, acts_for) in (any::<bool>(), any::<bool>(), any::<bool>()),
        micros in 0_i64..4_000_000_000_000_000,
    ) -> Event {
        let uuid = Uuid::from_u128;
        let scope = tenant.map_or(Scope::Platform, |id| Scope::Tenant(TenantId::from_uuid(uuid(id))));
        let at = Timestamp::from_micros(micros);
        let mut event = Event::new(EventId::from_uuid(uuid(5)), at, scope, actor, action, category);
        event.outcome = outcome;
        event.severity = severity;
        event.targets = targets;
        event.reason = reason.map(Into::into);
        event.reported = is_reported;
        event.acted_as = acts_for.then(|| SubjectRef::user("bob").unwrap());
        event.correlation.request = request.map(|id| RequestId::from_uuid(uuid(id)));
        event.correlation.parent = parent.map(|id| EventId::from_uuid(uuid(id)));
        event.correlation.trace = trace.map(Into::into);
        event.correlation.session = session.map(Into::into);
        event.source.ip = ip;
        event.source.user_agent = agent.map(Into::into);
        event.details.push("said", said);
        if let Some(method) = method {
            event.details.push("method", method);
        }
        if is_changed {
            let after = Some(Recorded::Redacted);
            event.changes = vec![FieldChange { field: "secret".into(), before: None, after }];
            let by = ResourceRef::new("role", "editor").ok();
            event.authorization = vec![Authorization::granted("role:write").with_decider(by)];
        }
        event
    }
}

#[test]
fn thousands_of_events_of_every_class_are_valid_by_the_published_schema() {
    let schema = Schema::published();
    let mut seen = BTreeSet::new();
    let config = ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let check = |event: Event| {
        let made = written(&Line::Entry(entry(event)));
        prop_assert_eq!(schema.complaint(&made), None);
        Ok(made["class_uid"].as_u64().unwrap())
    };
    let classes = std::cell::RefCell::new(&mut seen);
    runner
        .run(&event(), |event| {
            classes.borrow_mut().insert(check(event)?);
            Ok(())
        })
        .unwrap();
    let entries = classes::ALL.iter().filter(|class| **class != classes::BASE);
    let entries: BTreeSet<u64> = entries.map(|class| class.uid.into()).collect();
    assert_eq!(seen, entries, "each class of the table was made");
}

#[test]
fn the_lines_around_the_entries_are_valid_events_of_the_base_class() {
    let schema = Schema::published();
    let chain = ChainId { scope: Scope::Platform, class: RetentionClass::Security };
    let manifest = Manifest {
        format: OCSF_FORMAT.to_owned(),
        scope: Scope::Platform,
        exported_at: NOON,
        class: None,
        query: None,
    };
    let log = Log { chain, checkpoint: "a\nb".to_owned(), verifier_keys: vec![], base: None };
    let end = End { chains: vec![ChainCount { chain, entries: 1, newer: 0 }], sha256: Digest::ZERO };
    let unreadable = ExportedEntry { canonical: "{}".to_owned(), ..entry(login()) };
    for line in [Line::Manifest(manifest), Line::Log(log), Line::End(end), Line::Entry(unreadable)] {
        let made = written(&line);
        assert_eq!(made["class_uid"], 0, "{made}");
        assert_eq!(schema.complaint(&made), None);
    }
}

#[test]
fn the_schema_would_complain() {
    let schema = Schema::published();
    let mut made = written(&Line::Entry(entry(login())));
    made["severity_id"] = json!(7);
    assert!(schema.complaint(&made).unwrap().contains("/severity_id"));
    made["severity_id"] = json!(1);
    made["attestation"] = json!({});
    assert!(schema.complaint(&made).unwrap().contains("attestation"), "1.8 has no such attribute");
}

fn login() -> Event {
    let actor = Actor::Subject {
        subject: SubjectRef::user("alice").unwrap(),
        method: AuthenticationMethod::ApiKey,
        key: None,
    };
    let id = EventId::from_uuid(Uuid::from_u128(5));
    Event::new(id, NOON, Scope::Platform, actor, "user.login", Category::Authentication)
}

#[test]
fn a_login_is_what_a_reader_of_ocsf_expects() {
    let made = written(&Line::Entry(entry(login())));
    let found = |pointer: &str| made.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!((found("/class_uid"), found("/type_uid")), (json!(3002), json!(300_201)));
    assert_eq!((found("/user/uid"), found("/status_id")), (json!("alice"), json!(1)));
    assert_eq!(found("/time"), json!(1_772_366_400_123_i64));
    assert_eq!(found("/metadata/original_time"), json!("2026-03-01T12:00:00.123456Z"));
    assert_eq!((found("/metadata/sequence"), found("/metadata/version")), (json!(7), json!("1.8.0")));
    let raw = found("/raw_data");
    let leaf = crate::leaf_hash(raw.as_str().unwrap().as_bytes());
    assert_eq!(found("/unmapped/attestation/fingerprint/value"), json!(leaf.to_string()));
}
