use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use stanchion_core::{KeyId, SubjectRef, TenantId};
use uuid::Uuid;

use super::*;

fn key_of(spec: KeySpec, on_missing: OnMissingIdentifier, request: &Request<'_>) -> Option<Vec<u8>> {
    let mut bytes = KeyBytes::new();
    KeyPrefix::new(Scope::Platform, Revision::from_number(1), Revision::ZERO)
        .write(Revision::ZERO, &mut bytes);
    write_key(spec, on_missing, request, &mut bytes).ok().map(|()| bytes.to_vec())
}

fn by_ip(ip: &str) -> Vec<u8> {
    let request = Request { ip: Some(ip.parse().unwrap()), ..Request::default() };
    key_of(Dimension::Ip.into(), OnMissingIdentifier::Skip, &request).unwrap()
}

#[test]
fn an_ipv6_subscriber_is_one_caller_and_mapped_ipv4_is_ipv4() {
    assert_eq!(by_ip("2001:db8:1:2::1"), by_ip("2001:db8:1:2:ffff::9"));
    assert_ne!(by_ip("2001:db8:1:2::1"), by_ip("2001:db8:1:3::1"));
    assert_eq!(by_ip("::ffff:192.0.2.1"), by_ip("192.0.2.1"));
    assert_ne!(by_ip("192.0.2.1"), by_ip("192.0.2.2"));
}

#[test]
fn the_bytes_of_a_key_are_those_that_are_documented() {
    // Stored counters outlive a release: epoch 1 of the platform (1 << 1), user `bob` (u, length 3), route `chat` (r, length 4).
    let bob = SubjectRef::user("bob").unwrap();
    let request = Request { subject: Some(&bob), route: Some("chat"), ..Request::default() };
    let spec = KeySpec::new([Dimension::Endpoint, Dimension::User]).unwrap();
    assert_eq!(key_of(spec, OnMissingIdentifier::Skip, &request).unwrap(), b"\x02u\x03bobr\x04chat");
    // Epoch 300 of a tenant: 601 = 0b100_1011001, low seven bits first.
    let tenant = Scope::Tenant(TenantId::from_uuid(Uuid::nil()));
    let prefix = |scope, epoch, of_scope, of_caller| {
        let mut bytes = KeyBytes::new();
        let number = Revision::from_number;
        KeyPrefix::new(scope, number(epoch), number(of_scope)).write(number(of_caller), &mut bytes);
        bytes.to_vec()
    };
    assert_eq!(prefix(tenant, 300, 0, 0), [0b1101_1001, 0b0000_0100]);
    let most = u64::MAX >> 1;
    assert_eq!(prefix(Scope::Platform, most - 1, most, 0).len(), 20);
    // A reset counts when it is later than the rule's own epoch, and the latest of them.
    assert_eq!(prefix(Scope::Platform, 5, 4, 3), b"\x0a");
    assert_eq!(prefix(Scope::Platform, 5, 7, 6), b"\x0az\x07");
    assert_eq!(prefix(Scope::Platform, 5, 7, 9), b"\x0az\x09");
}

#[test]
fn a_missing_identifier_is_told_or_replaced_by_the_address() {
    let nobody = Request::default();
    let somewhere = Request { ip: Some(Ipv4Addr::LOCALHOST.into()), ..Request::default() };
    for dimension in [Dimension::Tenant, Dimension::User, Dimension::ApiKey, Dimension::Endpoint] {
        let spec = KeySpec::from(dimension);
        assert_eq!(key_of(spec, OnMissingIdentifier::Skip, &somewhere), None);
        assert_eq!(key_of(spec, OnMissingIdentifier::Ip, &nobody), None);
        assert_eq!(key_of(spec, OnMissingIdentifier::Ip, &somewhere).unwrap(), b"\x024\x7f\0\0\x01");
    }
    assert_eq!(key_of(Dimension::Ip.into(), OnMissingIdentifier::Ip, &nobody), None);
    assert_eq!(key_of(Dimension::Global.into(), OnMissingIdentifier::Deny, &nobody).unwrap(), b"\x02");
}

#[test]
fn what_is_no_key_is_refused_with_the_way_out() {
    let read = |json| serde_json::from_str::<KeySpec>(json);
    assert_eq!(
        serde_json::to_string(&read(r#"["endpoint","user"]"#).unwrap()).unwrap(),
        r#"["user","endpoint"]"#
    );
    for (json, problem) in [
        ("[]", "a key has a dimension"),
        (r#"["ip","ip"]"#, "each dimension once"),
        (r#"["ip","global"]"#, "`global` stands alone"),
        (r#"["planet"]"#, "unknown variant `planet`"),
    ] {
        let error = read(json).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

type Caller = (Option<(u8, String)>, Option<u128>, Option<IpAddr>, Option<String>);

fn caller() -> impl Strategy<Value = Caller> {
    // Few letters, so that texts begin alike and contain each other's tags.
    let text = "[u4rk]{1,3}";
    let ip = prop_oneof![
        any::<u8>().prop_map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
        any::<u8>().prop_map(|last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, last.into(), 0, 0, 0, 0))),
    ];
    (
        prop::option::of((0_u8..3, text)),
        prop::option::of(0_u128..4),
        prop::option::of(ip),
        prop::option::of(text),
    )
}

proptest! {
    /// Two callers share a counter if and only if they are the same in everything the rule counts by.
    #[test]
    fn keys_are_equal_only_for_the_same_caller(spec in 1_u8..32, a in caller(), b in caller()) {
        let dimensions = Dimension::ALL[1..].iter().enumerate().filter(|(bit, _)| spec & (1 << bit) != 0);
        let spec = KeySpec::new(dimensions.map(|(_, dimension)| *dimension)).unwrap();
        let key = |(subject, key, ip, route): &Caller| {
            let subject = subject.as_ref().map(|(kind, id)| {
                let kind = [SubjectKind::User, SubjectKind::Service, SubjectKind::Group][usize::from(*kind)];
                SubjectRef::new(kind, id.clone()).unwrap()
            });
            let request = Request {
                tenant: Some(TenantId::from_uuid(Uuid::nil())),
                subject: subject.as_ref(),
                key: key.map(|number| KeyId::from_uuid(Uuid::from_u128(number))),
                ip: *ip,
                route: route.as_deref(),
                ..Request::default()
            };
            key_of(spec, OnMissingIdentifier::Skip, &request)
        };
        let same = (!spec.has(Dimension::User) || a.0 == b.0)
            && (!spec.has(Dimension::ApiKey) || a.1 == b.1)
            && (!spec.has(Dimension::Ip) || a.2 == b.2)
            && (!spec.has(Dimension::Endpoint) || a.3 == b.3);
        if let (Some(a), Some(b)) = (key(&a), key(&b)) {
            prop_assert_eq!(a == b, same);
        }
    }
}
