//! The cases that read lists page by page.

use stanchion_core::PageRequest;

use super::Fixture;
use super::fixture::{assign, assignment, denial, deny, id, put_role, tenant, user};
use super::records::{grant, group, on, separation, session};
use crate::{Membership, RbacChange, Record, RecordFilter, RecordKind};

/// Reads all pages of a list, a few at a time, and returns the sort keys.
macro_rules! all_pages {
    ($limit:expr, |$page:ident| $read:expr, |$item:ident| $key:expr) => {{
        let (mut keys, mut $page) = (Vec::new(), PageRequest::first($limit));
        loop {
            let read = $read.await.expect("reads");
            assert!(read.items.len() <= $limit, "a page has no more than asked for");
            keys.extend(read.items.iter().map(|$item| $key));
            match read.next {
                Some(next) => {
                    assert_eq!(Some(&next), keys.last(), "the next page is after the last item");
                    $page = PageRequest::first($limit).after(next);
                }
                None => break keys,
            }
        }
    }};
}

pub(super) async fn roles_are_paged(fixture: &Fixture) {
    let mut names: Vec<String> = (0..23).map(|number| format!("r{number}")).collect();
    names.extend(["r".to_owned(), "r-1".to_owned(), "r.1".to_owned(), "r_1".to_owned(), "0".to_owned()]);
    fixture.apply(tenant(1), 0, names.iter().map(|name| put_role(name)).collect()).await;
    fixture.apply(tenant(2), 0, vec![put_role("r5x")]).await;
    names.sort_unstable();
    let roles = RecordFilter::all(RecordKind::Role);
    for limit in [1, 4, 28, 29] {
        let keys = all_pages!(limit, |page| fixture.store.list(tenant(1), &roles, &page), |role| role
            .value
            .key()
            .to_string());
        assert_eq!(keys, names);
    }
    let page = PageRequest::first(2).after("r2");
    let after = fixture.store.list(tenant(1), &roles, &page).await.expect("reads");
    assert_eq!(after.next.as_deref(), Some("r21"));
    assert_eq!(fixture.roles(tenant(1)).await, names);
}

pub(super) async fn assignments_are_paged(fixture: &Fixture) {
    let subjects = ["a", "a!", "a-b", "ab", "b", "B", "z~"];
    let roles = ["admin", "ad", "ad-min", "viewer"];
    let parts = subjects.iter().flat_map(|subject| roles.iter().map(move |role| assign(subject, role)));
    fixture.apply(tenant(1), 0, parts.collect()).await;
    fixture.apply(tenant(2), 0, vec![assign("a", "other")]).await;
    let mut all: Vec<String> = subjects
        .iter()
        .flat_map(|subject| roles.iter().map(move |role| format!("user:{subject} {role}")))
        .collect();
    all.sort_unstable();
    let picked = |part: &str| all.iter().filter(|key| key.contains(part)).cloned().collect::<Vec<_>>();
    let assignments = || RecordFilter::all(RecordKind::Assignment);
    let of_both = assignments().of_subject(user("ab")).of_role(id("ad"));
    for (filter, expected) in [
        (assignments(), all.clone()),
        (assignments().of_subject(user("a-b")), picked("user:a-b ")),
        (assignments().of_subject(user("nobody")), Vec::new()),
        (assignments().of_role(id("viewer")), picked(" viewer")),
        (of_both, vec!["user:ab ad".to_owned()]),
    ] {
        for limit in [1, 3, 28] {
            let keys = all_pages!(limit, |page| fixture.store.list(tenant(1), &filter, &page), |held| held
                .value
                .key()
                .to_string());
            assert_eq!(keys, expected);
        }
    }
    for after in ["", "user:ab", "user:ab ", "user:ab zz", "user:a\u{1}", "zzz", "%_'\\", "ü"] {
        let page = PageRequest::first(1).after(after);
        let filter = assignments();
        let read = fixture.store.list(tenant(1), &filter, &page).await.expect("reads");
        let first = read.items.first().map(|held| held.value.key().to_string());
        assert_eq!(first, all.iter().find(|key| key.as_str() > after).cloned(), "after {after:?}");
    }
}

pub(super) async fn denials_are_paged(fixture: &Fixture) {
    let (subjects, permissions) = (["a", "a-b", "ab", "z"], ["*:*", "x:*", "x:y", "x:y:own"]);
    let parts = subjects.iter().flat_map(|subject| permissions.iter().map(move |what| deny(subject, what)));
    fixture.apply(tenant(1), 0, parts.collect()).await;
    let mut all: Vec<String> = subjects
        .iter()
        .flat_map(|subject| permissions.iter().map(move |what| format!("user:{subject} {what}")))
        .collect();
    all.sort_unstable();
    for (subject, expected) in [
        (None, all.clone()),
        (Some(user("ab")), all.iter().filter(|key| key.starts_with("user:ab ")).cloned().collect()),
    ] {
        for limit in [1, 3, 16] {
            let mut filter = RecordFilter::all(RecordKind::Denial);
            filter.subject.clone_from(&subject);
            let keys =
                all_pages!(limit, |page| fixture.store.list(tenant(1), &filter, &page), |denied| denied
                    .value
                    .key()
                    .to_string());
            assert_eq!(keys, expected);
        }
    }
}

pub(super) async fn grants_of_what_covers_a_permission_are_paged(fixture: &Fixture) {
    let permissions = [
        "*:*",
        "*:read",
        "*:re*",
        "d*:*",
        "document:*",
        "document:read",
        "document:read:own",
        "doc:read",
        "documents:read",
        "document:reads",
        "document:read*:platform",
        "other:read",
    ];
    // Of some a few have many, of others many have few.
    let mut all: Vec<Record> = Vec::new();
    for (number, what) in permissions.into_iter().enumerate() {
        for subject in 0..40_usize {
            if subject % (number + 1) == 0 {
                all.push(grant(&format!("u{subject}"), what).into());
            }
        }
    }
    let mut one = grant("u7", "document:read");
    one.resource = Some(on("document/7"));
    all.push(one.into());
    fixture.apply(tenant(1), 0, all.iter().cloned().map(RbacChange::Put).collect()).await;
    fixture.apply(tenant(2), 0, vec![RbacChange::put(grant("other", "document:read"))]).await;
    let revoked = all.remove(3).key();
    fixture.apply(tenant(1), 1, vec![RbacChange::Delete(revoked)]).await;
    for wanted in ["document:read", "doc:read", "document:write", "nothing:here", "document:*", "*:*"] {
        let filter = RecordFilter::all(RecordKind::Grant).covering(wanted.parse().expect("a permission"));
        let picked = all.iter().filter(|record| filter.picks(record));
        let mut expected: Vec<String> = picked.map(|record| record.key().to_string()).collect();
        expected.sort_unstable();
        for limit in [1, 7, 1_000] {
            let keys =
                all_pages!(limit, |page| fixture.store.list(tenant(1), &filter, &page), |record| record
                    .value
                    .key()
                    .to_string());
            assert_eq!(keys, expected, "{wanted}");
        }
    }
}

pub(super) async fn every_kind_is_paged(fixture: &Fixture) {
    let (subjects, resources) = (["a", "a!", "ab", "b"], [None, Some("document/*"), Some("document/1")]);
    let mut all: Vec<Record> = Vec::new();
    for (number, subject) in (1..).zip(subjects) {
        for resource in resources.map(|resource| resource.map(on)) {
            for (name, what) in [("r", "x:y"), ("r-1", "x:*")] {
                let mut held = assignment(subject, name);
                let (mut given, mut denied) = (grant(subject, what), denial(subject, what));
                held.resource.clone_from(&resource);
                given.resource.clone_from(&resource);
                denied.resource.clone_from(&resource);
                all.extend([Record::from(held), given.into(), denied.into()]);
            }
        }
        for of in ["dev", "devs", "dev!"] {
            all.push(Membership::new(group(of), user(subject)).into());
        }
        all.push(separation(&format!("s{number}"), &["a", "b"]).into());
        all.extend([session(number, subject).into(), Record::from(session(100 + number, subject))]);
    }
    fixture.apply(tenant(1), 0, all.iter().cloned().map(RbacChange::Put).collect()).await;
    let other = [Record::from(session(200, "a")), Membership::new(group("dev"), user("a")).into()];
    fixture.apply(tenant(2), 0, other.into_iter().map(RbacChange::Put).collect()).await;
    for kind in RecordKind::ALL {
        let filters = [
            RecordFilter::all(kind),
            RecordFilter::all(kind).of_subject(user("a")),
            RecordFilter::all(kind).of_subject(user("nobody")),
            RecordFilter::all(kind).of_role(id("r")),
            RecordFilter::all(kind).of_group(group("dev")),
            RecordFilter::all(kind).of_group(group("dev")).of_subject(user("ab")),
            RecordFilter::all(kind).covering("x:y".parse().expect("a permission")),
            RecordFilter::all(kind).covering("x:*".parse().expect("a permission")).of_subject(user("ab")),
            RecordFilter::all(kind).covering("y:x".parse().expect("a permission")),
        ];
        for filter in filters {
            let mut expected: Vec<String> = all
                .iter()
                .filter(|record| filter.picks(record))
                .map(|record| record.key().to_string())
                .collect();
            expected.sort_unstable();
            for limit in [1, 5, 100] {
                let keys =
                    all_pages!(limit, |page| fixture.store.list(tenant(1), &filter, &page), |record| record
                        .value
                        .key()
                        .to_string());
                assert_eq!(keys, expected, "{filter:?}");
            }
        }
        let after = [
            "",
            "user:a",
            "user:a r",
            "user:a r ",
            "user:a r d",
            "user:a x:y\t",
            "group:dev user:a",
            "s1",
            "0",
            "\u{1}",
        ];
        for after in after {
            let filter = RecordFilter::all(kind);
            let page = PageRequest::first(1).after(after);
            let read = fixture.store.list(tenant(1), &filter, &page).await.expect("reads");
            let mut expected: Vec<String> = all
                .iter()
                .filter(|record| filter.picks(record))
                .map(|record| record.key().to_string())
                .filter(|key| key.as_str() > after)
                .collect();
            expected.sort_unstable();
            let first = read.items.first().map(|record| record.value.key().to_string());
            assert_eq!(first.as_ref(), expected.first(), "{kind:?} after {after:?}");
        }
    }
}
