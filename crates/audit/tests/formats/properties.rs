//! What holds for every event.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use stanchion_audit::{Chain, Content, Fence, Head, Sealer, Signer, Verdict, canonical, parse, verify_chain};
use stanchion_core::{
    Actor, AuthenticationMethod, Authorization, Category, Detail, Event, FieldChange, Outcome, Recorded,
    ResourceRef, Scope, Severity, SubjectRef, Timestamp,
};

use crate::fixtures::keys;

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
