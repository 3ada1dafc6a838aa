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
    written_after(&mut Carried::default(), line, Attested::Chained)
}

/// Writes the next line of a file, and reads it back.
fn written_after(carried: &mut Carried, line: &Line, attested: Attested) -> Value {
    let mut out = Vec::new();
    carried.begin(line);
    write(line, carried, attested, &mut out).unwrap();
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
        let mut carried = Carried::default();
        let before = ExportedEntry { seq: 6, ..entry(login()) };
        let entry = entry(event);
        let before = ExportedEntry { chain: entry.chain, ..before };
        written_after(&mut carried, &Line::Log(log(entry.chain)), Attested::Chained);
        written_after(&mut carried, &Line::Entry(before), Attested::Chained);
        let made = written_after(&mut carried, &Line::Entry(entry), Attested::Chained);
        prop_assert_eq!(schema.complaint(&made), None);
        prop_assert_eq!(strange(&made["unmapped"]["attestation"]), None);
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

/// A log whose checkpoint two keys signed.
fn log(chain: ChainId) -> Log {
    let secret = |byte| stanchion_core::Secret::new([byte; 32]);
    let keys = stanchion_core::KeyRing::new([(1, secret(1)), (2, secret(2))]).unwrap();
    let signer = crate::CheckpointSigner::new(&keys, "audit.example.com").unwrap();
    let checkpoint = signer.sign(chain, 9, Digest::from_bytes([3; 32]), NOON).note.to_string();
    Log { chain, checkpoint, verifier_keys: vec![], base: None }
}

/// Says what the object `attestation` of the schema's main branch (and those in it) would not have, as of its files
/// `objects/{attestation,prev_event,digital_signature,fingerprint}.json`.
fn strange(attestation: &Value) -> Option<String> {
    let check = |object: &Value, may: &[&str], must: &[&str]| {
        let fields = object.as_object()?;
        let is_known = |name: &&String| may.contains(&name.as_str()) || must.contains(&name.as_str());
        let unknown = fields.keys().find(|name| !is_known(name)).map(|name| format!("{name} in {object}"));
        unknown.or_else(|| {
            must.iter().find(|name| !fields.contains_key(**name)).map(|name| format!("no {name} in {object}"))
        })
    };
    let fingerprint = |object: &Value| check(object, &["algorithm"], &["algorithm_id", "value"]);
    let own = ["authority_uid", "chain_uid", "prev_event", "uid"];
    let digital = ["algorithm", "created_time", "developer_uid", "digest"];
    check(attestation, &own, &["fingerprint", "signatures"])
        .or_else(|| fingerprint(&attestation["fingerprint"]))
        .or_else(|| check(&attestation["prev_event"], &["type_uid", "fingerprint"], &["uid"]))
        .or_else(|| fingerprint(&attestation["prev_event"]["fingerprint"]))
        .or_else(|| {
            let signatures = attestation["signatures"].as_array()?;
            signatures.iter().find_map(|one| {
                check(one, &digital, &["algorithm_id"]).or_else(|| fingerprint(&one["digest"]))
            })
        })
}

#[test]
fn an_event_tells_which_one_comes_before_it_and_who_signed_for_it() {
    let mut carried = Carried::default();
    let mut next =
        |line: &Line| written_after(&mut carried, line, Attested::Chained)["unmapped"]["attestation"].clone();
    let first = entry(login());
    let chain = first.chain;
    let signed = log(chain);
    next(&Line::Log(signed.clone()));
    let of_first = next(&Line::Entry(first.clone()));
    assert_eq!(
        of_first.get("prev_event"),
        None,
        "what stands before the first line is not there to be told of"
    );
    let mut role = login();
    role.action = "role.put".into();
    role.id = EventId::from_uuid(Uuid::from_u128(8));
    let second =
        ExportedEntry { seq: 8, key_epoch: 3, link: Digest::from_bytes([5; 32]), chain, ..entry(role) };
    let of_second = next(&Line::Entry(second.clone()));
    let before =
        json!({ "uid": login().id.to_string(), "type_uid": 300_201, "fingerprint": of_first["fingerprint"] });
    assert_eq!(of_second["prev_event"], before);
    let [own, newest, older] = of_second["signatures"].as_array().unwrap().as_slice() else {
        panic!("{of_second}")
    };
    let link = json!({ "algorithm": "SHA-256", "algorithm_id": 3, "value": second.link.to_string() });
    let key = format!("{chain}/3");
    let mac = json!({
        "algorithm": "HMAC-SHA256", "algorithm_id": 99, "created_time": 1_772_366_400_123_i64,
        "developer_uid": key, "digest": link,
    });
    assert_eq!(own, &mac);
    let root = Digest::from_bytes([3; 32]).to_string();
    for (one, line) in [newest, older].into_iter().zip(signed.checkpoint.lines().skip(4)) {
        assert_eq!(
            (one["algorithm"].as_str(), one["digest"]["value"].as_str()),
            (Some("Ed25519"), Some(root.as_str()))
        );
        let (name, signature) = line.strip_prefix(crate::note::DASH).unwrap().split_once(' ').unwrap();
        let bytes = base64::Engine::decode(&crate::note::BASE64, signature).unwrap();
        let id: String = bytes[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(one["developer_uid"], json!(format!("{name}+{id}")));
    }
    // Of a query the one before is another: nothing is claimed of it.
    for other in [ExportedEntry { seq: 10, ..second.clone() }, ExportedEntry { seq: 7, ..second.clone() }] {
        assert_eq!(next(&Line::Entry(other)).get("prev_event"), None);
    }
    let elsewhere = ChainId { class: RetentionClass::DataAccess, ..chain };
    let elsewhere = next(&Line::Entry(ExportedEntry { chain: elsewhere, seq: 8, ..second }));
    assert_eq!(elsewhere.get("prev_event"), None, "another chain");
    assert_eq!(elsewhere["signatures"].as_array().unwrap().len(), 1, "and its log is not here");
}

#[test]
fn after_bytes_that_are_no_event_the_place_stands_for_the_id() {
    let mut carried = Carried::default();
    let unreadable = ExportedEntry { canonical: "{}".to_owned(), ..entry(login()) };
    written_after(&mut carried, &Line::Entry(unreadable), Attested::Chained);
    let next = ExportedEntry { seq: 8, ..entry(login()) };
    let made = written_after(&mut carried, &Line::Entry(next.clone()), Attested::Chained);
    let before = &made["unmapped"]["attestation"]["prev_event"];
    assert_eq!((&before["uid"], &before["type_uid"]), (&json!(format!("{}/7", next.chain)), &json!(99)));
}

#[test]
fn an_event_of_the_first_version_stands_alone() {
    let mut carried = Carried::default();
    for seq in [7, 8] {
        let made = written_after(
            &mut carried,
            &Line::Entry(ExportedEntry { seq, ..entry(login()) }),
            Attested::Alone,
        );
        let attestation = made["unmapped"]["attestation"].as_object().unwrap();
        let names: Vec<&str> = attestation.keys().map(String::as_str).collect();
        assert_eq!(names, ["authority_uid", "chain_uid", "fingerprint", "uid"]);
    }
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
