//! The cases that read lists page by page.

use stanchion_core::PageRequest;

use super::Fixture;
use super::fixture::{assign, deny, id, put_role, tenant, user};
use crate::{RecordFilter, RecordKind};

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
