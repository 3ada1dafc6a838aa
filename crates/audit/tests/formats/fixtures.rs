//! The frozen fixtures, and the events that they are of.

use stanchion_audit::MAX_DEPTH;
use stanchion_core::{
    Actor, AuthenticationMethod, Authorization, Category, Detail, Event, EventId, FieldChange, KeyRing,
    Outcome, Recorded, ResourceRef, Scope, Secret, Severity, SubjectKind, SubjectRef, Timestamp,
};

pub(crate) const TENANT: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

pub(crate) const FIXTURES: [(&str, &[u8]); 11] = [
    ("1-minimal", include_bytes!("../fixtures/v1/1-minimal.json")),
    ("2-access", include_bytes!("../fixtures/v1/2-access.json")),
    ("3-text", include_bytes!("../fixtures/v1/3-text.json")),
    ("4-details", include_bytes!("../fixtures/v1/4-details.json")),
    ("5-system", include_bytes!("../fixtures/v1/5-system.json")),
    ("6-subject", include_bytes!("../fixtures/v1/6-subject.json")),
    ("7-acted-as", include_bytes!("../fixtures/v1/7-acted-as.json")),
    ("8-authorization", include_bytes!("../fixtures/v1/8-authorization.json")),
    ("9-changes", include_bytes!("../fixtures/v1/9-changes.json")),
    ("10-reported", include_bytes!("../fixtures/v1/10-reported.json")),
    ("11-producer", include_bytes!("../fixtures/v1/11-producer.json")),
];

fn id(number: u8) -> EventId {
    format!("0192f0c1-2345-7abc-8def-00000000000{number:x}").parse().unwrap()
}

pub(crate) fn keys() -> KeyRing {
    KeyRing::new([(7, Secret::new((0..32).collect::<Vec<u8>>()))]).unwrap()
}

pub(crate) fn event(number: u8) -> Event {
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
pub(crate) fn events() -> [Event; 11] {
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
