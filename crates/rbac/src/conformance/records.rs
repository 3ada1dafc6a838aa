//! The cases that are about every kind of record.

use std::collections::BTreeMap;

use stanchion_core::{
    Author, IdGen as _, PageRequest, Revision, Scope, SeededRandom, SessionId, SubjectRef, Timestamp,
    Versioned,
};

use super::Fixture;
use super::fixture::{SYSTEM, assignment, at, denial, id, role, tenant, user};
use crate::{
    Approval, Assignment, Constraint, Denial, Duty, Equality, Grant, Membership, Operand, PermissionScope,
    RbacChange, Record, RecordFilter, RecordKey, RecordKind, ResourceSelector, Rule, Separation, Session,
    Value,
};

pub(super) fn group(name: &str) -> SubjectRef {
    format!("group:{name}").parse().expect("a group")
}

pub(super) fn on(selector: &str) -> ResourceSelector {
    selector.parse().expect("a selector")
}

pub(super) fn grant(subject: &str, permission: &str) -> Grant {
    Grant::new(user(subject), permission.parse().expect("a permission"))
}

pub(super) fn separation(name: &str, roles: &[&str]) -> Separation {
    let (key, title) = (name.parse().expect("an id"), name.parse().expect("a name"));
    Separation::new(key, title, Duty::Static, roles.iter().map(|role| id(role)))
}

pub(super) fn session_id(number: u64) -> SessionId {
    SessionId::from_uuid(SeededRandom::new(number).uuid(at(0)))
}

pub(super) fn session(number: u64, subject: &str) -> Session {
    Session::new(session_id(number), user(subject), at(900))
}

pub(super) fn constraints() -> Vec<Constraint> {
    let equals = |attribute: &str, to| {
        Rule::Equals(Equality { attribute: attribute.parse().expect("an attribute"), to })
    };
    let values = ["eu \u{1f30d}", "\"quoted\\\" 'too'", "\0"].map(|text| Value::Text(text.into()));
    let list =
        Value::List(values.into_iter().chain([Value::Integer(i64::MIN), Value::Bool(false)]).collect());
    vec![
        Constraint::new(equals("region", Operand::Value(list))),
        Constraint::new(Rule::OwnerOnly).on("invoices.*".parse().expect("a pattern")),
        Constraint::new(equals("level", Operand::Subject("clearance".parse().expect("an attribute")))),
        Constraint::new(Rule::OrganizationOnly),
    ]
}

/// One record of each kind with nothing left out, and one of the same key with as little as can be.
fn each_kind() -> Vec<(Record, Record)> {
    let to_the_microsecond = Timestamp::from_micros(at(9).micros() + 123_456);
    let reason = || "it's \"urgent\" \\ \u{1f319}\nsecond line".parse().expect("a note");
    let approver = Author::system("approver").actor;

    let mut full_role = role("admin")
        .with_excludes([
            "invoice:delete".parse().expect("a permission"),
            "*:*:own".parse().expect("a permission"),
        ])
        .reaching(PermissionScope::Department);
    full_role.constraints = constraints();
    full_role.requires = [id("viewer"), id("0")].into();
    full_role.max_holders = Some(u32::MAX);
    full_role.metadata = BTreeMap::from([
        ("cost-center".parse().expect("a slug"), "4711 'x' \\ \0 \u{1f4b6}".into()),
        ("empty".parse().expect("a slug"), "".into()),
    ]);

    let mut full_assignment = assignment("o'neil\\", "admin")
        .on(on("document/42"))
        .starting(Timestamp::MIN)
        .expiring(to_the_microsecond)
        .because(reason());
    full_assignment.granted_by = Some(Author::system("seed").actor);

    let mut full_grant = grant("o'neil\\", "document:*:own")
        .on(on("folder/*"))
        .starting(to_the_microsecond)
        .expiring(Timestamp::MAX)
        .because(reason());
    full_grant.constraints = constraints();
    full_grant.granted_by = Some(Author::system("seed").actor);
    full_grant.emergency = Some(Approval::Given(approver));
    let mut plain_grant = grant("o'neil\\", "document:*:own").on(on("folder/*"));
    plain_grant.emergency = Some(Approval::Awaited);

    let full_denial = denial("o'neil\\", "*:*").on(on("document/a/b'\\")).because(reason());
    let full_membership = Membership::new(group("devs"), user("o'neil\\"))
        .starting(to_the_microsecond)
        .expiring(Timestamp::MAX);
    let mut full_separation = separation("payments", &["ask", "approve", "pay"]).allowing(2);
    full_separation.duty = Duty::Dynamic;
    let mut full_session = session(1, "o'neil\\").with_active([id("b"), id("a")]);
    full_session.expires_at = to_the_microsecond;

    vec![
        (full_role.into(), role("admin").into()),
        (full_assignment.into(), assignment("o'neil\\", "admin").on(on("document/42")).into()),
        (full_grant.into(), plain_grant.into()),
        (full_denial.into(), denial("o'neil\\", "*:*").on(on("document/a/b'\\")).into()),
        (full_membership.into(), Membership::new(group("devs"), user("o'neil\\")).into()),
        (full_separation.into(), separation("payments", &["ask", "pay"]).into()),
        (full_session.into(), session(1, "o'neil\\").into()),
    ]
}

/// Everything a scope has, by every way to read it.
async fn read(fixture: &Fixture) -> (Vec<Versioned<Record>>, Vec<Versioned<Record>>) {
    fn all<T: Into<Record>>(records: Vec<Versioned<T>>) -> impl Iterator<Item = Versioned<Record>> {
        records.into_iter().map(|record| record.map(Into::into))
    }
    let mut listed = Vec::new();
    for kind in RecordKind::ALL {
        let page = fixture.store.list(tenant(1), &RecordFilter::all(kind), &PageRequest::default()).await;
        listed.extend(page.expect("reads").items);
    }
    let snapshot = fixture.store.load(tenant(1)).await.expect("reads");
    let held = fixture.store.subject(tenant(1), &user("o'neil\\")).await.expect("reads");
    assert_eq!(snapshot.revision, held.revision);
    let session = fixture.store.get_session(tenant(1), session_id(1)).await.expect("reads");
    let found = all(snapshot.roles)
        .chain(all(held.assignments))
        .chain(all(held.grants))
        .chain(all(held.denials))
        .chain(all(held.memberships))
        .chain(all(snapshot.separations))
        .chain(all(session.into_iter().collect()));
    (listed, found.collect())
}

pub(super) async fn every_kind_reads_back(fixture: &Fixture) {
    let (full, plain): (Vec<Record>, Vec<Record>) = each_kind().into_iter().unzip();
    let put = |records: &[Record]| records.iter().cloned().map(RbacChange::Put).collect::<Vec<_>>();
    let revision = Revision::from_number;

    fixture.apply(tenant(1), 0, put(&full)).await;
    let created: Vec<_> =
        full.into_iter().map(|record| Versioned::created(record, revision(1), at(0))).collect();
    let (listed, found) = read(fixture).await;
    assert_eq!(listed, created);
    assert_eq!(found, created);

    fixture.apply(tenant(1), 1, put(&plain)).await;
    let replaced: Vec<_> =
        created.iter().zip(&plain).map(|(was, is)| was.replaced(is.clone(), revision(2), at(1))).collect();
    let (listed, found) = read(fixture).await;
    assert_eq!(listed, replaced);
    assert_eq!(found, replaced);

    let gone = plain.iter().map(|record| RbacChange::Delete(record.key())).collect();
    fixture.apply(tenant(1), 2, gone).await;
    let (listed, found) = read(fixture).await;
    assert_eq!((listed, found), (Vec::new(), Vec::new()));
}

pub(super) async fn the_last_of_two_puts_of_a_record_stands(fixture: &Fixture) {
    let parts = each_kind().into_iter().flat_map(|(full, plain)| [full, plain]).map(RbacChange::Put);
    fixture.apply(tenant(1), 0, parts.collect()).await;
    let last: Vec<_> = each_kind()
        .into_iter()
        .map(|(_, plain)| Versioned::created(plain, Revision::from_number(1), at(0)))
        .collect();
    let (listed, found) = read(fixture).await;
    assert_eq!(listed, last);
    assert_eq!(found, last);
}

pub(super) async fn resources_are_told_apart(fixture: &Fixture) {
    let resources = [None, Some("document/*"), Some("document/1"), Some("document/10"), Some("folder/1")];
    let with = |resource: Option<&str>| -> [Record; 3] {
        let (mut held, mut given, mut denied) = (assignment("a", "r"), grant("a", "x:y"), denial("a", "x:y"));
        held.resource = resource.map(on);
        given.resource = resource.map(on);
        denied.resource = resource.map(on);
        [held.into(), given.into(), denied.into()]
    };
    let parts = resources.iter().flat_map(|resource| with(*resource)).map(RbacChange::Put);
    fixture.apply(tenant(1), 0, parts.collect()).await;
    let mut left = resources.to_vec();
    // First the one in the middle, then the one that is about nothing in particular.
    for (expected, gone) in [(1, Some("document/1")), (2, None), (3, Some("folder/1"))] {
        let parts = with(gone).map(|record| RbacChange::Delete(record.key()));
        fixture.apply(tenant(1), expected, parts.into()).await;
        left.retain(|resource| *resource != gone);
        let records = fixture.store.subject(tenant(1), &user("a")).await.expect("reads");
        let texts = |resource: Option<&ResourceSelector>| resource.map(ToString::to_string);
        let wanted: Vec<Option<String>> = left.iter().map(|resource| resource.map(str::to_owned)).collect();
        let held = records
            .assignments
            .iter()
            .map(|held: &Versioned<Assignment>| texts(held.value.resource.as_ref()));
        let given =
            records.grants.iter().map(|given: &Versioned<Grant>| texts(given.value.resource.as_ref()));
        let denied =
            records.denials.iter().map(|denied: &Versioned<Denial>| texts(denied.value.resource.as_ref()));
        assert_eq!(held.collect::<Vec<_>>(), wanted);
        assert_eq!(given.collect::<Vec<_>>(), wanted);
        assert_eq!(denied.collect::<Vec<_>>(), wanted);
    }
}

pub(super) async fn members_know_their_groups(fixture: &Fixture) {
    let member = |of: &str, member: &str| {
        RbacChange::put(Membership::new(group(of), member.parse().expect("a subject")))
    };
    let parts = vec![
        member("devs", "user:alice"),
        member("devs", "service:alice"),
        member("ops", "user:alice"),
        member("dev", "user:alice!"),
    ];
    fixture.apply(tenant(1), 0, parts).await;
    fixture.apply(tenant(2), 0, vec![member("other", "user:alice")]).await;
    let gone =
        RecordKey::Membership { group: group("ops"), member: "service:alice".parse().expect("a subject") };
    fixture.apply(tenant(1), 1, vec![RbacChange::Delete(gone)]).await;
    for (of, groups) in [
        ("user:alice", vec!["group:devs", "group:ops"]),
        ("service:alice", vec!["group:devs"]),
        ("user:alice!", vec!["group:dev"]),
        ("group:devs", vec![]),
        ("user:nobody", vec![]),
    ] {
        let records = fixture.store.subject(tenant(1), &of.parse().expect("a subject")).await.expect("reads");
        let found: Vec<String> = records.memberships.iter().map(|one| one.value.group.to_string()).collect();
        assert_eq!(found, groups, "{of}");
        assert_eq!(records.revision.number(), 2);
    }
}

pub(super) async fn what_has_expired_is_found(fixture: &Fixture) {
    let until = |seconds| {
        let mut member = Membership::new(group("devs"), user("alice"));
        member.expires_at = Some(at(seconds));
        vec![
            RbacChange::put(assignment("alice", "admin").expiring(at(seconds))),
            RbacChange::put(grant("alice", "x:y").on(on("document/1")).expiring(at(seconds))),
            RbacChange::put(member),
            RbacChange::put(Session::new(session_id(7), user("alice"), at(seconds))),
        ]
    };
    let endless = vec![RbacChange::put(assignment("bob", "admin")), RbacChange::put(grant("bob", "x:y"))];
    fixture.apply(tenant(1), 0, until(10)).await;
    fixture.apply(tenant(1), 1, endless).await;
    fixture.apply(Scope::Platform, 0, until(20)).await;
    for (kind, key) in [
        (RecordKind::Assignment, "user:alice admin"),
        (RecordKind::Grant, "user:alice x:y document/1"),
        (RecordKind::Membership, "group:devs user:alice"),
        (RecordKind::Session, &*session_id(7).to_string()),
    ] {
        let expired = async |seconds, limit| {
            let found = fixture.store.expired(SYSTEM, kind, at(seconds), limit).await.expect("reads");
            let mut found: Vec<_> = found.into_iter().map(|(scope, key)| (scope, key.to_string())).collect();
            found.sort();
            found
        };
        assert_eq!(expired(9, 10).await, [], "{kind:?}");
        assert_eq!(expired(10, 10).await, [(tenant(1), key.to_owned())]);
        let both = [(Scope::Platform, key.to_owned()), (tenant(1), key.to_owned())];
        assert_eq!(expired(20, 10).await, both);
        assert_eq!(expired(20, 1).await.len(), 1);
    }
    for kind in [RecordKind::Role, RecordKind::Denial, RecordKind::Separation] {
        assert_eq!(fixture.store.expired(SYSTEM, kind, at(1_000), 10).await.expect("reads"), []);
    }
}

pub(super) async fn many_subjects_are_read_as_each_is(fixture: &Fixture) {
    let records: Vec<Record> = each_kind().into_iter().map(|(full, _)| full).collect();
    fixture.apply(tenant(1), 0, records.into_iter().map(RbacChange::Put).collect()).await;
    let others = ["alice", "bob", "o'neil"].map(|name| RbacChange::put(assignment(name, "admin")));
    fixture.apply(tenant(1), 1, others.to_vec()).await;
    fixture.apply(tenant(2), 0, vec![RbacChange::put(assignment("bob", "elsewhere"))]).await;
    let mut asked: Vec<SubjectRef> = vec![user("nobody"), user("bob"), user("o'neil"), user("bob")];
    let page = PageRequest::first(PageRequest::MAX_LIMIT);
    for kind in [RecordKind::Assignment, RecordKind::Grant, RecordKind::Denial, RecordKind::Membership] {
        let all = fixture.store.list(tenant(1), &RecordFilter::all(kind), &page).await.expect("reads");
        asked.extend(all.items.into_iter().filter_map(|record| match record.value {
            Record::Assignment(Assignment { subject, .. })
            | Record::Grant(Grant { subject, .. })
            | Record::Denial(Denial { subject, .. })
            | Record::Membership(Membership { member: subject, .. }) => Some(subject),
            Record::Role(_) | Record::Separation(_) | Record::Session(_) => None,
        }));
    }
    let found = fixture.store.subjects(tenant(1), &asked).await.expect("reads");
    assert_eq!(found.len(), asked.len());
    for (subject, found) in asked.iter().zip(found) {
        assert_eq!(found, fixture.store.subject(tenant(1), subject).await.expect("reads"), "{subject}");
    }
    assert_eq!(fixture.store.subjects(tenant(1), &[]).await.expect("reads"), []);
    let unknown = fixture.store.subjects(tenant(3), &[user("bob")]).await.expect("reads");
    assert_eq!(unknown, [crate::SubjectRecords::none(Revision::ZERO)]);
}

pub(super) async fn the_feed_names_every_kind(fixture: &Fixture) {
    let (_, cursor) = fixture.feed(None).await;
    let records: Vec<Record> = each_kind().into_iter().map(|(full, _)| full).collect();
    fixture.apply(tenant(1), 0, records.iter().cloned().map(RbacChange::Put).collect()).await;
    let gone = records.iter().map(|record| RbacChange::Delete(record.key())).collect();
    fixture.apply(tenant(1), 1, gone).await;
    let about = "subject:user:o'neil\\".to_owned();
    let keys = [
        "role:admin".to_owned(),
        about.clone(),
        about.clone(),
        about.clone(),
        about,
        "separation:payments".to_owned(),
        format!("session:{}", session_id(1)),
    ];
    let page = fixture.store.changes(SYSTEM, Some(&cursor), 10).await.expect("reads");
    assert_eq!(page.entries.len(), 2);
    for entry in page.entries {
        assert_eq!(entry.keys.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), keys);
    }
}

/// More than an adapter would put into one statement, some of it twice.
pub(super) async fn a_change_of_many_parts_is_written_whole(fixture: &Fixture) {
    const MANY: usize = 12_000;
    let name = |number: usize| format!("user-{number}");
    let mut parts: Vec<RbacChange> =
        (0..MANY).map(|number| RbacChange::put(assignment(&name(number), "first"))).collect();
    let again = assignment(&name(7), "first").because("again".parse().expect("a note"));
    parts.push(RbacChange::put(again.clone()));
    parts.push(RbacChange::Delete(assignment_key(&name(8))));
    parts.push(RbacChange::Delete(assignment_key(&name(8))));
    parts.push(RbacChange::put(assignment(&name(9), "second")));
    fixture.apply(tenant(1), 0, parts).await;
    let held = async |number| fixture.store.subject(tenant(1), &user(&name(number))).await.expect("reads");
    let written = Versioned::created(again, Revision::from_number(1), at(0));
    assert_eq!(held(7).await.assignments, [written]);
    assert_eq!(held(8).await.assignments, []);
    assert_eq!(held(9).await.assignments.len(), 2);
    assert_eq!(held(MANY - 1).await.assignments.len(), 1);
    let filter = RecordFilter::all(RecordKind::Assignment).of_role(id("first"));
    let (mut seen, mut page) = (0, PageRequest::first(PageRequest::MAX_LIMIT));
    loop {
        let read = fixture.store.list(tenant(1), &filter, &page).await.expect("reads");
        seen += read.items.len();
        match read.next {
            Some(next) => page = PageRequest::first(PageRequest::MAX_LIMIT).after(next),
            None => break,
        }
    }
    assert_eq!(seen, MANY - 1);
}

fn assignment_key(subject: &str) -> RecordKey {
    RecordKey::Assignment { subject: user(subject), role: id("first"), resource: None }
}
