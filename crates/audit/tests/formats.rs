//! The formats do not change: frozen fixtures made by another implementation (`fixtures/v1/make.py`), and the JCS of another crate.

#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use stanchion_audit::{
    Chain, Content, Digest, Error, Fence, Head, MAX_DEPTH, Sealer, Signer, Verdict, canonical, leaf_hash,
    link_hash, parse, verify_chain,
};
use stanchion_core::{
    Actor, AuthenticationMethod, Authorization, Category, Detail, Details, Event, EventId, FieldChange,
    KeyRing, Outcome, Recorded, ResourceRef, Scope, Secret, Severity, SubjectKind, SubjectRef, Timestamp,
};

const TENANT: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

const FIXTURES: [(&str, &[u8]); 11] = [
    ("1-minimal", include_bytes!("fixtures/v1/1-minimal.json")),
    ("2-access", include_bytes!("fixtures/v1/2-access.json")),
    ("3-text", include_bytes!("fixtures/v1/3-text.json")),
    ("4-details", include_bytes!("fixtures/v1/4-details.json")),
    ("5-system", include_bytes!("fixtures/v1/5-system.json")),
    ("6-subject", include_bytes!("fixtures/v1/6-subject.json")),
    ("7-acted-as", include_bytes!("fixtures/v1/7-acted-as.json")),
    ("8-authorization", include_bytes!("fixtures/v1/8-authorization.json")),
    ("9-changes", include_bytes!("fixtures/v1/9-changes.json")),
    ("10-reported", include_bytes!("fixtures/v1/10-reported.json")),
    ("11-producer", include_bytes!("fixtures/v1/11-producer.json")),
];

fn id(number: u8) -> EventId {
    format!("0192f0c1-2345-7abc-8def-00000000000{number:x}").parse().unwrap()
}

fn keys() -> KeyRing {
    KeyRing::new([(7, Secret::new((0..32).collect::<Vec<u8>>()))]).unwrap()
}

fn event(number: u8) -> Event {
    let at = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap();
    Event::new(id(number), at, Scope::Platform, Actor::Anonymous, "thing.done", Category::System)
}

fn subject(kind: SubjectKind, id: &'static str, key: Option<&str>) -> Actor {
    let subject = SubjectRef::new(kind, id).unwrap();
    let key = key.map(|key| key.parse().unwrap());
    Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key }
}

fn resource(kind: &'static str, id: &'static str) -> ResourceRef {
    ResourceRef::new(kind, id).unwrap()
}

/// The events of the fixtures, with details out of order.
fn events() -> [Event; 11] {
    let mut access = event(2)
        .with_target(resource("route", "orders.list"))
        .with_target(resource("document", "a/b"))
        .with_detail("status", 429_i64)
        .with_detail("method", "GET")
        .with_detail("bytes_out", 48_211_i64);
    access.action = "request.decided".into();
    access.actor = subject(SubjectKind::User, "alice", Some("0192f0c1-2345-7abc-8def-0000000000aa"));
    access.category = Category::Access;
    access.correlation.request = Some("0192f0c1-2345-7abc-8def-0000000000bb".parse().unwrap());
    access.occurred_at = Timestamp::from_micros(access.occurred_at.micros() + 1);
    access.outcome = Outcome::Denied;
    access.reason = Some("rate_limited".into());
    access.scope = Scope::Tenant(TENANT.parse().unwrap());
    access.severity = Severity::Notice;
    access.source.ip = Some([203, 0, 113, 7].into());
    access.source.user_agent = Some("curl/8.5.0".into());

    let controls: String = (0..0x20_u8).map(char::from).collect();
    let mut text = event(3)
        .with_detail("\u{fffd}", "\u{10000}\u{301}")
        .with_detail("\u{1f600}", "sorts by its surrogate, before U+FFFD")
        .with_detail("ö", "o with diaeresis")
        .with_detail("separators", "\u{2028}\u{2029}\u{a0}")
        .with_detail("controls", controls)
        .with_detail("", "empty name");
    text.action = "quote \" backslash \\ slash / delete \u{7f}".into();

    let map = |members: Vec<(&'static str, Detail)>| Detail::Map(members.into_iter().collect());
    let list = Detail::List;
    let details = event(4)
        .with_detail(
            "b",
            vec![
                Detail::Integer(1),
                list(vec![Detail::Integer(2), list(vec![]), map(vec![])]),
                map(vec![("z", Detail::Null), ("a", list(vec![Detail::Bool(true), Detail::Bool(false)]))]),
            ],
        )
        .with_detail(
            "a",
            map(vec![
                ("zero", Detail::Integer(0)),
                ("min", Detail::Integer(-9_007_199_254_740_991)),
                ("max", Detail::Integer(9_007_199_254_740_991)),
            ]),
        )
        .with_detail("c", Detail::Null)
        .with_detail("deep", (2..MAX_DEPTH).fold(list(vec![]), |inner, _| list(vec![inner])));

    let mut system = event(5);
    system.action = "key.rotated".into();
    system.actor = Actor::System("sweeper".into());
    system.category = Category::Administration;
    system.correlation.parent = Some(id(1));
    system.correlation.request = access.correlation.request;
    system.correlation.session = Some("s-1".into());
    system.correlation.trace = Some("4bf92f3577b34da6a3ce929d0e0e4736".into());
    system.occurred_at = Timestamp::MIN;
    system.outcome = Outcome::Unknown;
    system.severity = Severity::Critical;
    system.source.ip = Some("2001:DB8:0:0:8:800:200C:417A".parse().unwrap());

    let mut odd = event(6).with_target(resource("odd\"kind", "odd\\id"));
    odd.actor = subject(SubjectKind::Service, "a\"b\\c:d", None);
    odd.category = Category::DataAccess;
    odd.correlation.session = Some("s-2".into());
    odd.occurred_at = Timestamp::MAX;
    odd.outcome = Outcome::Error;
    odd.severity = Severity::High;
    odd.source.user_agent = Some("café\t☃".into());

    let mut acted_as = event(7);
    acted_as.actor = subject(SubjectKind::User, "root", None);
    acted_as.acted_as = Some(SubjectRef::user("b\"o\\b").unwrap());

    let mut authorized = event(8);
    let granted = Authorization::granted("document:read").with_decider(Some(resource("role", "editor")));
    authorized.authorization = vec![
        Authorization { resource: Some(resource("a\"b", "c\\d")), ..granted },
        Authorization::denied("document:\"write"),
    ];

    let change = |field: &'static str, before, after| FieldChange { field: field.into(), before, after };
    let value = |value| Some(Recorded::Value(value));
    let redacted = || Some(Recorded::Redacted);
    let mut changed = event(9);
    let after = map(vec![("a", "x".into()), ("b", list(vec![Detail::Integer(1), Detail::Null]))]);
    changed.changes = vec![
        change("na\"me", value("A\n".into()), value(after)),
        change("secret", redacted(), redacted()),
        change("gone", value(Detail::Null), None),
    ];

    let mut reported = event(10);
    reported.reason = Some("why".into());
    reported.reported = true;

    let mut numbered = event(11);
    numbered.producer =
        Some("gateway-1/0192f0c1-2345-7abc-8def-000000000009/9007199254740991".parse().unwrap());
    numbered.reason = Some("why".into());

    [event(1), access, text, details, system, odd, acted_as, authorized, changed, reported, numbered]
}

#[test]
fn events_have_the_bytes_of_the_fixtures() {
    for ((name, expected), event) in FIXTURES.iter().zip(events()) {
        let written = canonical(&event).unwrap();
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(expected), "{name}");
    }
}

#[test]
fn fixtures_read_back_as_the_events() {
    for ((name, bytes), event) in FIXTURES.iter().zip(events()) {
        let read = parse(bytes).unwrap();
        assert_eq!(canonical(&read).unwrap(), *bytes, "{name}");
        assert_eq!(Event { details: event.details.clone(), ..read.clone() }, event, "{name}");
        assert_eq!(read.details.len(), event.details.len(), "{name}");
    }
}

#[test]
fn hashes_are_those_that_python_computed() {
    let chain = format!("{TENANT}/standard").parse().unwrap();
    let signer = Signer::new(&keys());
    let mut link = Digest::ZERO;
    let lines = include_str!("fixtures/v1/hashes.tsv").lines();
    for ((line, (name, bytes)), seq) in lines.zip(FIXTURES).zip(1..) {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns[0], name);
        let recorded_at = Timestamp::from_micros(1_772_366_400_000_000 + i64::try_from(seq).unwrap());
        let leaf = leaf_hash(bytes);
        link = link_hash(&chain, seq, recorded_at, &link, &leaf);
        let mac = signer.mac(7, &chain, seq, &link).unwrap();
        assert_eq!([leaf, link, mac].map(|digest| digest.to_string()), columns[1..], "{name}");
    }
    assert_eq!(signer.mac(8, &chain, 1, &link), None);
}

#[test]
fn addresses_are_written_as_rfc_5952_says() {
    for (given, expected) in [
        ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("::", "::"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:192.0.2.128", "::ffff:192.0.2.128"),
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
    ] {
        let mut event = event(1);
        event.source.ip = Some(given.parse().unwrap());
        let bytes = canonical(&event).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains(&format!(r#""source":{{"ip":"{expected}"}}"#)), "{text}");
        assert_eq!(parse(&bytes).unwrap(), event);
    }
}

#[test]
fn what_json_readers_would_round_is_refused_with_its_path() {
    let nested: Details =
        [("sizes", vec![Detail::Integer(1), Detail::Integer(1 << 53)])].into_iter().collect();
    let refused = canonical(&event(1).with_detail("upload", nested)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`details.upload.sizes[1]` is 9007199254740992, beyond ±(2^53 − 1): give it as text"
    );
    let mut changed = event(1);
    let after = Some(Recorded::Value(Detail::List(vec![Detail::Integer(i64::MAX)])));
    changed.changes = vec![FieldChange { field: "size".into(), before: None, after }];
    let refused = canonical(&changed).unwrap_err();
    assert!(
        matches!(&refused, Error::IntegerTooLarge { path, .. } if path == "changes[0].after[0]"),
        "{refused}"
    );
    assert!(canonical(&event(1).with_detail("n", i64::MIN)).is_err());
    assert!(canonical(&event(1).with_detail("n", u64::MAX)).is_ok(), "core makes it text");
}

#[test]
fn details_have_a_bounded_depth_and_events_a_bounded_size() {
    let nested = |levels| (0..levels).fold(Detail::Null, |inner, _| Detail::List(vec![inner]));
    assert!(canonical(&event(1).with_detail("d", nested(MAX_DEPTH - 1))).is_ok());
    let refused = canonical(&event(1).with_detail("d", nested(MAX_DEPTH))).unwrap_err();
    assert!(matches!(refused, Error::TooDeep { path } if path.starts_with("details.d[0][0]")));
    let refused = canonical(&event(1).with_detail("d", "x".repeat(70_000))).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { bytes } if bytes > 70_000));
}

/// Every text below says the same as a fixture to a lenient reader, or is damaged; each is refused where it differs.
#[test]
fn what_is_not_canonical_is_refused() {
    let text = |index: usize| std::str::from_utf8(FIXTURES[index].1).unwrap().to_owned();
    let (access, odd, details) = (text(1), text(2), text(3));
    let (acted_as, authorized, changed) = (text(6), text(7), text(8));
    let cases = [
        (format!(" {access}"), "the field `action`"),
        (format!("{access}\n"), "nothing more"),
        (access.replacen(':', ": ", 1), "a string"),
        (access.replace("\"severity\":\"notice\"", "\"severity\":\"loud\""), "a severity"),
        (access.replace("stanchion.audit/v1", "stanchion.audit/v2"), "stanchion.audit/v1"),
        (access.replace(".000001Z", ".000001000Z"), "a UTC time with six fraction digits"),
        (access.replace(".000001Z", ".000001+00:00"), "a UTC time with six fraction digits"),
        (access.replace("2026-03-01", "2026-02-30"), "a UTC time with six fraction digits"),
        (access.replace("0000000000aa", "0000000000AA"), "a UUID in lower case"),
        (access.replace("203.0.113.7", "203.0.113.07"), "an IP address"),
        (access.replace("48211", "48211.0"), "the next name"),
        (access.replace("48211", "048211"), "a value"),
        (access.replace("48211", "4.8211e4"), "the next name"),
        (access.replace("48211", "-0"), "a value"),
        (access.replace("48211", "9007199254740992"), "a value"),
        (
            access.replace("\"method\":\"GET\",\"status\":429", "\"status\":429,\"method\":\"GET\""),
            "a later name",
        ),
        (access.replace("\"method\":\"GET\",", "\"method\":\"GET\",\"method\":\"GET\","), "a later name"),
        (access.replace("\"targets\":[", "\"targets\":[ "), "a string"),
        (access.replace("\"targets\"", "\"tagets\""), "the end of the event"),
        (access.replace("\"GET\"", "\"\\u0047ET\""), "the shortest escape"),
        (odd.replace("\\u000b", "\\u000B"), "the shortest escape"),
        (odd.replace("\\n", "\\u000a"), "the shortest escape"),
        (odd.replace("slash /", "slash \\/"), "the shortest escape"),
        (details.replace("[]]]]", "[[]]]]]"), "no deeper nesting"),
        (text(0).replace(",\"id\"", ",\"details\":{},\"id\""), "a detail"),
        (text(0).replace(",\"id\"", ",\"correlation\":{},\"id\""), "a field of the correlation"),
        (text(0).replace("\"info\"}", "\"info\",\"targets\":[]}"), "a string"),
        (text(0).replace("anonymous", "nobody"), "the field `method`"),
        (acted_as.replace("user:b", "admin:b"), "a subject"),
        (acted_as.replace("\"action\"", "\"action_\""), "the field `action`"),
        (acted_as.replace("{\"acted_as\"", "{\"acted_as\":\"user:a\",\"acted_as\""), "the field `action`"),
        (access.replace("{\"action\"", "{\"acted_by\":\"user:a\",\"action\""), "the field `action`"),
        (text(0).replace(",\"category\"", ",\"authorization\":[],\"category\""), "an authorization"),
        (authorized.replace("\"granted\":true", "\"granted\":1"), "the field `granted`"),
        (authorized.replace("\"by\":\"role/", "\"by\":\"role"), "a resource"),
        (authorized.replace("\"permission\":\"document:read\",", ""), "the field `permission`"),
        (authorized.replace("write\"}", "write\",\"scope\":\"all\"}"), "the end of an authorization"),
        (changed.replace("\"redacted\"", "\"hidden\""), "a value or `redacted`"),
        (
            changed.replace("{\"before\":{\"value\":null},", "{\"before\":{\"value\":null},\"by\":1,"),
            "the field `field`",
        ),
        (changed.replace("\"secret\"}", "\"secret\",\"hash\":\"x\"}"), "the end of a change"),
        (text(0).replace(",\"id\"", ",\"changes\":[],\"id\""), "a change"),
        (text(9).replace("\"reported\":true", "\"reported\":false"), "the field `schema`"),
        (access.chars().take(access.len() - 1).collect(), "the end of the event"),
    ];
    for (text, what) in cases {
        match parse(text.as_bytes()) {
            Err(Error::NotCanonical { expected, .. }) => assert_eq!(expected, what, "{text}"),
            other => panic!("{what}: {other:?} for {text}"),
        }
    }
    let mut broken = FIXTURES[1].1.to_vec();
    broken[20] = 0xff;
    assert!(matches!(parse(&broken), Err(Error::NotCanonical { offset: 20, expected: "UTF-8" })));
    assert!(matches!(parse(&vec![b' '; 70_000]), Err(Error::TooLarge { .. })));
}

/// The event as a JSON value, written down a second time.
fn as_value(event: &Event) -> Value {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("schema", json!("stanchion.audit/v1"));
    set("id", json!(event.id.to_string()));
    set("occurred_at", json!(event.occurred_at.to_string()));
    set("scope", json!(event.scope.to_string()));
    set("action", json!(event.action.as_str()));
    set("category", json!(event.category));
    set("outcome", json!(event.outcome));
    set("severity", json!(event.severity));
    set(
        "actor",
        match &event.actor {
            Actor::Anonymous => json!({"type": "anonymous"}),
            Actor::System(name) => json!({"type": "system", "name": name.as_str()}),
            Actor::Subject { subject, method, key } => {
                let mut actor = json!({"type": "subject", "subject": subject, "method": method});
                if let Some(key) = key {
                    actor["key"] = json!(key);
                }
                actor
            }
        },
    );
    if let Some(subject) = &event.acted_as {
        set("acted_as", json!(subject));
    }
    if !event.authorization.is_empty() {
        set("authorization", json!(event.authorization));
    }
    if event.reported {
        set("reported", json!(true));
    }
    if let Some(number) = &event.producer {
        set("producer", json!(number));
    }
    if !event.changes.is_empty() {
        set("changes", json!(event.changes));
    }
    if !event.targets.is_empty() {
        set("targets", json!(event.targets));
    }
    if let Some(reason) = &event.reason {
        set("reason", json!(reason));
    }
    if !event.details.is_empty() {
        set("details", serde_json::to_value(&event.details).unwrap());
    }
    for (name, object) in [("correlation", json!(event.correlation)), ("source", json!(event.source))] {
        let present = object.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null());
        let present: Map<String, Value> = present.collect();
        if !present.is_empty() {
            set(name, present.into());
        }
    }
    Value::Object(fields)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{0,12}",
        any::<String>(),
        prop::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter),
        "[\u{0}-\u{1f}\"\\\\/\u{7f}\u{d7ff}\u{e000}\u{ffff}\u{10000}]{0,8}",
    ]
}

fn detail() -> impl Strategy<Value = Detail> {
    let leaf = prop_oneof![
        Just(Detail::Null),
        any::<bool>().prop_map(Detail::Bool),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Detail::Integer),
        (-1000_i64..1000).prop_map(Detail::Integer),
        text().prop_map(|text| Detail::Text(text.into())),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let map = prop::collection::vec((text(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Detail::List),
            map.prop_map(|members| Detail::Map(members.into_iter().collect())),
        ]
    })
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        Just(Actor::Anonymous),
        text().prop_map(|name| Actor::System(name.into())),
        ("[!-~]{1,128}", any::<Option<u128>>()).prop_map(|(id, key)| {
            let subject = SubjectRef::service(id).unwrap();
            let key = key.map(|key| uuid(key).parse().unwrap());
            Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key }
        }),
    ]
}

fn any_resource() -> impl Strategy<Value = ResourceRef> {
    ("[!-.0-~]{1,128}", "[!-~]{1,128}").prop_map(|(kind, id)| ResourceRef::new(kind, id).unwrap())
}

fn authorization() -> impl Strategy<Value = Authorization> {
    let optional = || prop::option::of(any_resource());
    (text(), optional(), any::<bool>(), optional()).prop_map(|(permission, resource, granted, by)| {
        Authorization { permission: permission.into(), resource, granted, by }
    })
}

fn change() -> impl Strategy<Value = FieldChange> {
    let value = prop_oneof![Just(Recorded::Redacted), detail().prop_map(Recorded::Value)];
    let value = prop::option::of(value).boxed();
    (text(), value.clone(), value).prop_map(|(field, before, after)| FieldChange {
        field: field.into(),
        before,
        after,
    })
}

fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

prop_compose! {
    fn any_event()(
        ids in any::<[u128; 2]>(),
        optional in (any::<Option<u128>>(), any::<Option<u128>>()),
        micros in Timestamp::MIN.micros()..=Timestamp::MAX.micros(),
        flags in any::<[bool; 2]>(),
        actor in actor(),
        acted_as in prop::option::of("[!-~]{1,128}"),
        lists in (prop::collection::vec(authorization(), 0..3), prop::collection::vec(change(), 0..3)),
        action in text(),
        names in (0..Category::ALL.len(), 0..Outcome::ALL.len(), 0..Severity::ALL.len()),
        texts in (prop::option::of(text()), prop::option::of(text()), prop::option::of(text()), prop::option::of(text())),
        ip in any::<Option<std::net::IpAddr>>(),
        targets in prop::collection::vec(("[!-.0-~]{1,128}", "[!-~]{1,128}"), 0..3),
        details in prop::collection::vec((text(), detail()), 0..6),
    ) -> Event {
        let scope = if flags[0] { Scope::Tenant(uuid(ids[0]).parse().unwrap()) } else { Scope::Platform };
        let id = uuid(ids[1]).parse().unwrap();
        let mut event =
            Event::new(id, Timestamp::from_micros(micros), scope, actor, action, Category::ALL[names.0]);
        event.reported = flags[1];
        event.producer = (ids[0] % 2 == 0).then(|| format!("p/{}/{}", uuid(ids[1]), ids[0] % 1000 + 1).parse().unwrap());
        event.acted_as = acted_as.map(|id| SubjectRef::user(id).unwrap());
        (event.authorization, event.changes) = lists;
        event.outcome = Outcome::ALL[names.1];
        event.severity = Severity::ALL[names.2];
        event.reason = texts.0.map(Into::into);
        event.correlation.parent = optional.0.map(|bits| uuid(bits).parse().unwrap());
        event.correlation.request = optional.1.map(|bits| uuid(bits).parse().unwrap());
        event.correlation.session = texts.1.map(Into::into);
        event.correlation.trace = texts.2.map(Into::into);
        event.source.ip = ip;
        event.source.user_agent = texts.3.map(Into::into);
        event.targets = targets.into_iter().map(|(kind, id)| ResourceRef::new(kind, id).unwrap()).collect();
        event.details = details.into_iter().collect();
        event
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The writer gives what another crate's JCS gives for the same document.
    #[test]
    fn the_bytes_are_those_of_another_jcs(event in any_event()) {
        let ours = String::from_utf8(canonical(&event).unwrap()).unwrap();
        prop_assert_eq!(ours, serde_json_canonicalizer::to_string(&as_value(&event)).unwrap());
    }

    #[test]
    fn every_event_reads_back(event in any_event()) {
        let bytes = canonical(&event).unwrap();
        let read = parse(&bytes).unwrap();
        prop_assert_eq!(canonical(&read).unwrap(), bytes);
        prop_assert_eq!(as_value(&read), as_value(&event));
    }

    /// The columns of an event agree with its bytes, and those of another one do not.
    #[test]
    fn every_event_verifies_with_its_own_columns_only(event in any_event(), other in any_event()) {
        let (id, own) = Content::new(event).unwrap();
        let (_, other) = Content::new(other).unwrap();
        let swapped = Content { projection: other.projection.clone(), ..own.clone() };
        for (content, is_intact) in [(&own, true), (&swapped, own.projection == other.projection)] {
            let mut sealer = Sealer::new(Arc::new(Signer::new(&keys())));
            sealer.set_head(id, Head::EMPTY);
            let content = Arc::new(content.clone());
            let batch = sealer.seal(Fence::from_number(1), Timestamp::EPOCH, [(id, &content)]);
            let chain = Chain { id, base: Head::EMPTY, head: batch.moves()[0].to };
            let verdict = verify_chain(&chain, batch.rows(), &keys());
            prop_assert_eq!(matches!(verdict, Verdict::Intact { .. }), is_intact, "{:?}", verdict);
        }
    }

    /// No byte can be changed into something that is read and means the same, nor into something that is not canonical itself.
    #[test]
    fn what_is_read_is_canonical(event in any_event(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = canonical(&event).unwrap();
        let place = place.index(bytes.len());
        let before = std::mem::replace(&mut bytes[place], byte);
        if let Ok(read) = parse(&bytes) {
            prop_assert_eq!(canonical(&read).unwrap(), bytes);
            prop_assert_eq!(before == byte, as_value(&read) == as_value(&event));
        }
    }
}
