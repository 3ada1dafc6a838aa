use super::super::messages::Entry;
use super::*;

fn descriptor(entries: &[(&str, &str)]) -> RateLimitDescriptor {
    let entry = |(key, value): &(&str, &str)| Entry { key: (*key).to_owned(), value: (*value).into() };
    RateLimitDescriptor { entries: entries.iter().map(entry).collect(), ..RateLimitDescriptor::default() }
}

fn edge() -> RateLimitRequest {
    RateLimitRequest { domain: "edge".to_owned(), ..RateLimitRequest::default() }
}

/// Reads entries and compares them with what they are to be read as; the domain is always an attribute.
#[track_caller]
fn check(entries: &[(&str, &str)], uses: &[(&str, EntryUse)], expected: Descriptor<'_>) {
    let uses = uses.iter().map(|(key, stands_for)| ((*key).to_owned(), *stands_for)).collect();
    let (request, descriptor) = (edge(), descriptor(entries));
    let attributes = [("domain", "edge")].into_iter().chain(expected.attributes).collect();
    let expected = Descriptor { attributes, cost: 1, ..expected };
    assert_eq!(Descriptor::read(&request, &descriptor, &uses), expected, "{entries:?}");
}

#[test]
fn well_known_entries_say_who_calls_from_where_for_what() {
    let id = "0192f0c1-2345-7abc-8def-0123456789ab";
    check(
        &[
            ("remote_address", "203.0.113.7"),
            ("user_id", "alice"),
            ("api_key", id),
            ("tenant", "acme"),
            ("route", "chat"),
            ("generic_key", "writes"),
            ("method", "POST"),
        ],
        &[],
        Descriptor {
            tenant: Some("acme"),
            subject: Some(SubjectRef::user("alice").unwrap()),
            key: Some(id.parse().unwrap()),
            ip: Some("203.0.113.7".parse().unwrap()),
            route: Some("chat"),
            labels: vec!["writes".parse().unwrap()],
            attributes: vec![("generic_key", "writes"), ("method", "POST")],
            ..Descriptor::default()
        },
    );
}

#[test]
fn a_domain_says_what_its_own_entries_stand_for() {
    check(
        &[("client_id", "service:robot"), ("user", "alice"), ("path", "/chat")],
        &[("client_id", EntryUse::User), ("user", EntryUse::Attribute), ("path", EntryUse::Endpoint)],
        Descriptor {
            subject: Some(SubjectRef::service("robot").unwrap()),
            route: Some("/chat"),
            attributes: vec![("user", "alice")],
            ..Descriptor::default()
        },
    );
}

#[test]
fn a_masked_address_stands_for_its_network() {
    for (value, ip) in [
        ("203.0.113.0/24", "203.0.113.0"),
        ("203.0.113.9/24", "203.0.113.0"),
        ("2001:db8:0:1::/64", "2001:db8:0:1::"),
    ] {
        let ip = Some(ip.parse().unwrap());
        check(&[("masked_remote_address", value)], &[], Descriptor { ip, ..Descriptor::default() });
    }
}

#[test]
fn of_two_entries_for_one_thing_the_first_counts_and_labels_add_up() {
    check(
        &[
            ("user", "alice"),
            ("user_id", "mallory"),
            ("generic_key", "a"),
            ("generic_key", "b"),
            ("generic_key", "a"),
        ],
        &[],
        Descriptor {
            subject: Some(SubjectRef::user("alice").unwrap()),
            labels: vec!["a".parse().unwrap(), "b".parse().unwrap()],
            attributes: vec![("generic_key", "a"), ("generic_key", "b"), ("generic_key", "a")],
            ..Descriptor::default()
        },
    );
}

#[test]
fn what_an_entry_cannot_be_is_counted_and_otherwise_as_if_it_were_not_there() {
    for (key, value) in [("remote_address", "somewhere"), ("ip", "10.0.0.0/33"), ("user", ""), ("tenant", "")]
    {
        check(&[(key, value)], &[], Descriptor { unusable: 1, ..Descriptor::default() });
    }
    // A label that no limit can name is an attribute all the same.
    let attributes = vec![("generic_key", "Not A Label")];
    check(&[("generic_key", "Not A Label")], &[], Descriptor { attributes, ..Descriptor::default() });
}

#[test]
fn nobody_gets_past_a_limit_by_an_odd_name() {
    // echo -n 'zoë' | sha256sum
    let hash = "sha256:2752b88686847fa5c86f47b94ce652b7b3f22a91c37617d451a4db9afa431450";
    let subject = Some(SubjectRef::user(hash).unwrap());
    check(&[("user", "zoë")], &[], Descriptor { subject, ..Descriptor::default() });
    let long = "a".repeat(129);
    let (request, odd) = (edge(), descriptor(&[("user", &long)]));
    assert!(Descriptor::read(&request, &odd, &BTreeMap::new()).subject.is_some());
    // What a client sends need not even be text.
    let mut odd = descriptor(&[("user", ""), ("api_key", ""), ("remote_address", ""), ("method", "")]);
    odd.entries.iter_mut().for_each(|entry| entry.value = vec![0xff]);
    let read = Descriptor::read(&request, &odd, &BTreeMap::new());
    // printf '\xff' | sha256sum
    let hash = "sha256:a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89";
    assert_eq!(read.subject, Some(SubjectRef::user(hash).unwrap()));
    assert_eq!(read.key, Some("a8100ae6-aa19-80d0-b663-bb31cd466142".parse().unwrap()));
    assert_eq!((read.attributes, read.unusable), (vec![("domain", "edge")], 2));
}

#[test]
fn a_presented_key_is_counted_by_its_hash_alone() {
    // echo -n 'secret' | sha256sum begins with 2bb80d537b1da3e38bd30361aa855686; then version and variant of UUIDv8.
    let key = Some("2bb80d53-7b1d-83e3-8bd3-0361aa855686".parse().unwrap());
    check(&[("api_key", "secret")], &[], Descriptor { key, ..Descriptor::default() });
}

#[test]
fn a_request_counts_once_unless_it_says_otherwise() {
    let cost = |of_request, of_descriptor| {
        let request = RateLimitRequest { hits_addend: of_request, ..edge() };
        let descriptor = RateLimitDescriptor { hits_addend: of_descriptor, ..descriptor(&[]) };
        Descriptor::read(&request, &descriptor, &BTreeMap::new()).cost
    };
    assert_eq!([cost(0, None), cost(1, None), cost(7, None)], [1, 1, 7]);
    assert_eq!([cost(7, Some(3)), cost(0, Some(0)), cost(0, Some(u64::MAX))], [3, 0, u64::MAX]);
}
