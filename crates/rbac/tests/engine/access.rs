//! What decides besides roles that are held for good: each by itself, by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use stanchion_core::{
    Event, EventSink, Outcome, ResourceRef, Revision, Scope, SeededRandom, StoreError, SubjectRef,
};
use stanchion_rbac::{
    Approval, Assignment, AttemptFilter, CheckRequest, Columns, Config, Constraint, Decision,
    DecisionRecords, Denial, Engine, Field, Filter, Grant, Membership, MemorySubjectDirectory, Missing,
    Permission, PermissionScope, Reason, Record, Resource, ResourceAttributes, Role, Rule, Session,
    SubjectProfile, Value,
};
use stanchion_replica::Follow as _;

use crate::random::{group, write};
use crate::world::{World, at, id, permission, role, tenant, user};

const HERE: u128 = 1;

async fn world(records: Vec<Record>) -> World {
    let world = World::new();
    write(&world, tenant(HERE), records).await;
    world
}

fn document(number: &str) -> Resource {
    Resource::new("document".parse().unwrap(), number.to_owned())
}

fn held(subject: &str, role: &str) -> Record {
    Assignment::new(user(subject), id(role)).into()
}

async fn on(world: &World, subject: &str, what: &str, resource: &Resource) -> Decision {
    let (subject, what) = (user(subject), permission(what));
    world.engine.check(&CheckRequest::new(tenant(HERE), &subject, &what).on(resource)).await.unwrap()
}

fn bound(rule: &str) -> Role {
    let constraint: Constraint = serde_json::from_str(rule).unwrap();
    role("bound", &["document:read"], &[]).constrained(constraint)
}

#[tokio::test]
async fn what_is_ones_own_is_told_by_its_owner_and_not_by_its_id() {
    // Seed 000 takes what begins with an id for what is owned: u1 would own what u10 has.
    let client = role("client", &["document:read:own"], &[]);
    let world = world(vec![client.into(), held("u1", "client")]).await;
    let u10 = document("u10").owned_by(user("u10"));
    assert_eq!(on(&world, "u1", "document:read", &u10).await.reason, Reason::ReachTooNarrow);
    assert!(on(&world, "u1", "document:read", &document("7").owned_by(user("u1"))).await.allowed);
    let unknown = on(&world, "u1", "document:read", &document("u1")).await;
    assert_eq!((unknown.reason, unknown.missing_attribute()), (Reason::AttributeMissing, Some("owner")));
    assert!(!world.allows(tenant(HERE), "u1", "document:read").await, "nor where no resource is named");
    let nested = document("8").inside(document("9").owned_by(user("u1")));
    assert!(on(&world, "u1", "document:read", &nested).await.allowed, "what is nested belongs to the same");
}

#[tokio::test]
async fn a_team_reaches_its_own_and_no_other() {
    let member = role("member", &["document:read:team", "document:list:department"], &[]);
    let world = world(vec![member.into(), held("alice", "member")]).await;
    let mut profile = SubjectProfile::default();
    profile.teams.insert("red".into());
    profile.departments.insert("sales".into());
    let (alice, read, list) = (user("alice"), permission("document:read"), permission("document:list"));
    let reason = async |what: &Permission, resource: Resource, profile: Option<&SubjectProfile>| {
        let mut request = CheckRequest::new(tenant(HERE), &alice, what).on(&resource);
        request.profile = profile;
        world.engine.check(&request).await.unwrap().reason
    };
    let other = || document("1").owned_by(user("bob"));
    assert_eq!(reason(&read, other().of_team("red"), Some(&profile)).await, Reason::Granted);
    assert_eq!(reason(&read, other().of_team("blue"), Some(&profile)).await, Reason::ReachTooNarrow);
    assert_eq!(reason(&read, other(), Some(&profile)).await, Reason::AttributeMissing);
    assert_eq!(reason(&read, other().of_team("red"), None).await, Reason::AttributeMissing);
    let sales = || other().of_team("blue").of_department("sales");
    assert_eq!(reason(&list, sales(), Some(&profile)).await, Reason::Granted);
    assert_eq!(reason(&read, sales(), Some(&profile)).await, Reason::ReachTooNarrow);
}

#[tokio::test]
async fn a_constraint_binds_its_own_role_and_never_another() {
    // Seed 000 asks for what all roles demand together, so that a second role takes access away.
    let free = role("free", &["document:read"], &[]);
    let world = world(vec![
        bound(r#"{"rule":"owner_only"}"#).into(),
        free.into(),
        held("alice", "bound"),
        held("bob", "bound"),
        held("bob", "free"),
    ])
    .await;
    let theirs = document("1").owned_by(user("carol"));
    let refused = on(&world, "alice", "document:read", &theirs).await;
    assert_eq!(refused.reason, Reason::ConstraintUnmet);
    assert_eq!(refused.rules.iter().collect::<Vec<_>>(), ["owner_only"]);
    assert!(on(&world, "bob", "document:read", &theirs).await.allowed);
    let own = on(&world, "alice", "document:read", &document("1").owned_by(user("alice"))).await;
    assert!(own.allowed && own.rules.iter().eq(["owner_only"]));
}

#[tokio::test]
async fn a_missing_attribute_never_helps() {
    // Seed 001 takes "not equal" and "not in" of what is missing for true.
    let world = world(vec![
        bound(r#"{"rule":"equals","attribute":"region","value":"eu"}"#).into(),
        held("alice", "bound"),
    ])
    .await;
    let refused = on(&world, "alice", "document:read", &document("1")).await;
    assert_eq!((refused.reason, refused.missing_attribute()), (Reason::AttributeMissing, Some("region")));
    let with = |region: &'static str| document("1").with_attribute("region".parse().unwrap(), region.into());
    assert!(on(&world, "alice", "document:read", &with("eu")).await.allowed);
    assert_eq!(on(&world, "alice", "document:read", &with("us")).await.reason, Reason::ConstraintUnmet);
}

#[tokio::test]
async fn a_night_shift_belongs_to_the_day_it_begins_on() {
    // Seeds 000 and 001 ask which day it is now, by the machine's clock, so Friday's shift ends at midnight.
    let world = world(vec![
        bound(r#"{"rule":"time","hours":"22:00-06:00","days":["sun"],"zone":"UTC"}"#).into(),
        held("alice", "bound"),
    ])
    .await;
    // The tests begin on a Sunday at noon.
    for (hours, allowed, edge) in [(0, false, 10), (10, true, 18), (14, true, 18), (18, false, 178)] {
        world.clock.set(at(hours * 3_600));
        let decision = on(&world, "alice", "document:read", &document("1")).await;
        assert_eq!((decision.allowed, decision.valid_until), (allowed, Some(at(edge * 3_600))), "{hours} h");
    }
}

#[tokio::test]
async fn a_grant_is_bound_by_its_constraints_and_waits_for_its_approval() {
    // Seed 000 lets single permissions pass whatever is demanded.
    let owner = Constraint::new(Rule::OwnerOnly);
    let mut emergency = Grant::new(user("bob"), permission("document:read"));
    emergency.emergency = Some(Approval::Awaited);
    let world = world(vec![
        Grant::new(user("alice"), permission("document:read")).constrained(owner).into(),
        emergency.into(),
        Grant::new(user("carol"), permission("document:*"))
            .on("document/1".parse().unwrap())
            .expiring(at(10))
            .into(),
    ])
    .await;
    let theirs = document("1").owned_by(user("dave"));
    assert_eq!(on(&world, "alice", "document:read", &theirs).await.reason, Reason::ConstraintUnmet);
    assert_eq!(on(&world, "bob", "document:read", &theirs).await.reason, Reason::ApprovalAwaited);
    let granted = on(&world, "carol", "document:read", &theirs).await;
    assert_eq!((granted.allowed, granted.role, granted.valid_until), (true, None, Some(at(10))));
    assert_eq!(on(&world, "carol", "document:read", &document("2")).await.reason, Reason::OtherResource);
    assert!(!world.allows(tenant(HERE), "carol", "document:read").await);
    world.clock.set(at(10));
    assert_eq!(on(&world, "carol", "document:read", &theirs).await.reason, Reason::AssignmentExpired);
}

#[tokio::test]
async fn a_denial_on_one_resource_leaves_the_others() {
    let world = world(vec![
        role("admin", &["*"], &[]).into(),
        held("alice", "admin"),
        Denial::new(user("alice"), permission("document:delete:own")).into(),
        Denial::new(user("alice"), permission("document:read")).on("document/1".parse().unwrap()).into(),
    ])
    .await;
    assert_eq!(on(&world, "alice", "document:read", &document("1")).await.reason, Reason::DeniedExplicitly);
    assert!(on(&world, "alice", "document:read", &document("2")).await.allowed);
    assert!(!world.allows(tenant(HERE), "alice", "document:read").await, "it may be the first");
    let (own, other) = (document("3").owned_by(user("alice")), document("3").owned_by(user("bob")));
    assert!(!on(&world, "alice", "document:delete", &own).await.allowed);
    assert!(!on(&world, "alice", "document:delete", &document("3")).await.allowed, "it may be her own");
    assert!(on(&world, "alice", "document:delete", &other).await.allowed);
}

#[tokio::test]
async fn what_a_role_leaves_out_it_leaves_out_and_never_more() {
    let world = world(vec![
        role("viewer", &["document:read", "document:list"], &[]).into(),
        role("guest", &["note:read"], &["viewer"])
            .with_excludes([permission("document:read"), permission("note:read")])
            .into(),
        role("low", &[], &["viewer"]).reaching(PermissionScope::Own).into(),
        held("alice", "guest"),
        held("bob", "low"),
    ])
    .await;
    assert!(!world.allows(tenant(HERE), "alice", "document:read").await);
    assert!(world.allows(tenant(HERE), "alice", "document:list").await);
    assert!(world.allows(tenant(HERE), "alice", "note:read").await, "what it names itself it keeps");
    assert!(!world.allows(tenant(HERE), "bob", "document:read").await);
    assert!(on(&world, "bob", "document:read", &document("1").owned_by(user("bob"))).await.allowed);
    let has = world.engine.effective_permissions(tenant(HERE), &user("bob")).await.unwrap();
    let has: Vec<String> = has.permitted.iter().map(|one| one.permission.to_string()).collect();
    assert_eq!(has, ["document:list:own", "document:read:own"]);
}

#[tokio::test]
async fn a_change_of_a_group_counts_for_its_members_from_the_next_check_on() {
    let member = Membership::new(group("crew"), user("alice")).starting(at(5)).expiring(at(20));
    let world = world(vec![role("viewer", &["document:read"], &[]).into(), member.into()]).await;
    let alice = async || world.check(tenant(HERE), "alice", "document:read").await;
    let assign = Assignment::new(group("crew"), id("viewer"));
    let apply = async |records: Vec<Record>, expected: u64| {
        let change = stanchion_core::Change {
            expected: Revision::from_number(expected),
            changes: records.into_iter().map(stanchion_rbac::RbacChange::Put).collect(),
            at: at(0),
            actor: crate::world::author().actor,
            events: Vec::new(),
        };
        stanchion_rbac::RbacStore::apply(&*world.store, tenant(HERE), change).await.unwrap();
    };
    assert!(!alice().await.allowed);
    let mut follower = world.follower(&world.engine);
    follower.catch_up().await.unwrap();
    apply(vec![assign.into()], 1).await;
    follower.catch_up().await.unwrap();
    let early = alice().await;
    assert_eq!((early.reason, early.valid_until), (Reason::AssignmentNotYetValid, Some(at(5))));
    world.clock.set(at(5));
    let decision = alice().await;
    assert_eq!((decision.allowed, decision.valid_until), (true, Some(at(20))));
    assert!(world.engine.has_role(tenant(HERE), &user("alice"), &id("viewer")).await.unwrap());
    apply(vec![Denial::new(group("crew"), permission("document:*")).into()], 2).await;
    follower.catch_up().await.unwrap();
    let denied = alice().await;
    assert_eq!((denied.reason, denied.valid_until), (Reason::DeniedExplicitly, Some(at(20))));
}

#[tokio::test]
async fn in_a_session_only_its_active_roles_count() {
    let number = |digit: u8| format!("0192f0c1-2345-7abc-8def-00000000000{digit}").parse().unwrap();
    let session = |digit, subject: &str, roles: &[&str]| {
        Session::new(number(digit), user(subject), at(30)).with_active(roles.iter().map(|role| id(role)))
    };
    let world = world(vec![
        role("viewer", &["document:read"], &[]).into(),
        role("editor", &["document:write"], &["viewer"]).into(),
        held("alice", "editor"),
        Grant::new(user("alice"), permission("note:read")).into(),
        session(1, "alice", &["viewer"]).into(),
        session(2, "bob", &["editor"]).into(),
    ])
    .await;
    let reason = async |what: &str, digit| {
        let (alice, what) = (user("alice"), permission(what));
        let request = CheckRequest::new(tenant(HERE), &alice, &what).in_session(number(digit));
        world.engine.check(&request).await.unwrap().reason
    };
    assert_eq!(reason("document:read", 1).await, Reason::Granted);
    assert_eq!(reason("document:write", 1).await, Reason::RoleNotInSession);
    assert_eq!(reason("note:read", 1).await, Reason::Granted);
    assert_eq!(reason("document:read", 2).await, Reason::SessionNotActive, "it is somebody else's");
    assert_eq!(reason("document:read", 3).await, Reason::SessionNotActive, "there is none");
    world.clock.set(at(30));
    assert_eq!(reason("note:read", 1).await, Reason::SessionNotActive);
}

#[tokio::test]
async fn whom_the_directory_does_not_know_or_has_switched_off_may_nothing() {
    let directory = Arc::new(MemorySubjectDirectory::default());
    let world = World::knowing(Arc::clone(&directory) as _);
    write(&world, tenant(HERE), vec![role("admin", &["*"], &[]).into(), held("alice", "admin")]).await;
    let reason = async || world.check(tenant(HERE), "alice", "document:read").await.reason;
    assert_eq!(reason().await, Reason::UnknownSubject);
    directory.put(tenant(HERE), user("alice"), SubjectProfile::default());
    assert_eq!(reason().await, Reason::Granted);
    let mut off = SubjectProfile::default();
    off.active = false;
    directory.put(tenant(HERE), user("alice"), off);
    assert_eq!(reason().await, Reason::InactiveSubject);
    directory.put(tenant(HERE), user("bob"), SubjectProfile::default());
    let bob = world.check(tenant(HERE), "bob", "document:read").await;
    assert_eq!(bob.reason, Reason::NoMatchingRole, "who is known and holds nothing is known");
}

#[derive(Debug, Default)]
struct Catalogue {
    known: BTreeMap<String, Resource>,
    loads: AtomicUsize,
}

#[async_trait]
impl ResourceAttributes for Catalogue {
    async fn load(&self, _: Scope, resource: &ResourceRef) -> Result<Option<Resource>, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(self.known.get(resource.id().as_str()).cloned())
    }
}

#[tokio::test]
async fn attributes_are_loaded_where_they_matter_and_nowhere_else() {
    let world = world(vec![
        role("client", &["document:read:own", "note:read"], &[]).into(),
        held("alice", "client"),
        role("admin", &["*"], &[]).into(),
        held("bob", "admin"),
        Denial::new(user("bob"), permission("document:read")).on("document/7".parse().unwrap()).into(),
    ])
    .await;
    let mut catalogue = Catalogue::default();
    catalogue.known.insert("1".into(), document("1").owned_by(user("alice")));
    catalogue.known.insert("2".into(), document("2").owned_by(user("bob")).inside(document("7")));
    let catalogue = Arc::new(catalogue);
    let engine = Engine::new(
        Arc::clone(&world.store) as _,
        Arc::clone(&world.clock) as _,
        Arc::new(SeededRandom::new(3)),
        crate::world::giving_freely(Config::default()),
    )
    .with_attributes(Arc::clone(&catalogue) as _);
    let ask = async |subject: &str, what: &str, number: &str| {
        let (subject, what, resource) = (user(subject), permission(what), document(number));
        let request = CheckRequest::new(tenant(HERE), &subject, &what).on(&resource);
        let decision = engine.check(&request).await.unwrap();
        (decision.reason, catalogue.loads.swap(0, Ordering::SeqCst))
    };
    assert_eq!(ask("alice", "document:read", "1").await, (Reason::Granted, 1));
    assert_eq!(ask("alice", "document:read", "2").await, (Reason::ReachTooNarrow, 1));
    assert_eq!(ask("alice", "document:read", "3").await, (Reason::AttributeMissing, 1));
    assert_eq!(ask("alice", "note:read", "1").await, (Reason::Granted, 0));
    assert_eq!(ask("bob", "document:read", "1").await, (Reason::Granted, 1), "it might lie in the seventh");
    assert_eq!(ask("bob", "document:read", "2").await, (Reason::DeniedExplicitly, 1), "and this one does");
    assert_eq!(ask("bob", "document:write", "2").await, (Reason::Granted, 0));
}

#[tokio::test]
async fn a_replica_reads_again_for_a_change_that_has_to_be_seen() {
    let world = World::new();
    world.put(tenant(HERE), role("viewer", &["document:read"], &[])).await;
    world.assign(tenant(HERE), "alice", "viewer").await;
    let other = world.replica();
    let (alice, read) = (user("alice"), permission("document:read"));
    let request = CheckRequest::new(tenant(HERE), &alice, &read);
    assert!(other.check(&request).await.unwrap().allowed);
    world.revoke(tenant(HERE), "alice", "viewer").await;
    assert!(other.check(&request).await.unwrap().allowed, "has not heard of it");
    let recent = request.at_least(Revision::from_number(3));
    assert_eq!(other.try_check(&recent), None);
    assert!(!other.check(&recent).await.unwrap().allowed);
    assert!(other.try_check(&recent).is_some());
    assert!(
        other.check(&request.at_least(Revision::from_number(9))).await.is_err(),
        "there is no such change"
    );
}

#[tokio::test]
async fn lists_of_who_and_what_agree_with_checks() {
    let world = world(vec![
        role("viewer", &["document:read"], &[]).into(),
        role("chief", &["role:put", "role:delete"], &["viewer"]).into(),
        held("alice", "chief"),
        held("bob", "viewer"),
        Denial::new(user("bob"), permission("document:read")).into(),
        Grant::new(user("dave"), permission("document:*")).into(),
        Assignment::new(group("crew"), id("viewer")).into(),
        Membership::new(group("crew"), user("carol")).into(),
    ])
    .await;
    let (engine, scope) = (&world.engine, tenant(HERE));
    let who = engine.who_can(scope, &permission("document:read"), None, 100).await.unwrap();
    let names: Vec<String> = who.subjects.iter().map(|(subject, _)| subject.to_string()).collect();
    assert_eq!(
        (names, who.complete),
        (["user:alice", "user:carol", "user:dave"].map(String::from).to_vec(), true)
    );
    assert!(!engine.who_can(scope, &permission("document:read"), None, 2).await.unwrap().complete);
    let registry = ["document:read", "document:write", "role:put", "role:delete"].map(permission);
    let can = engine.what_can(scope, &user("alice"), &registry, None).await.unwrap();
    assert_eq!(can.len(), 3);
    for (subject, is_admin) in [("alice", true), ("bob", false), ("nobody", false)] {
        assert_eq!(
            engine.is_admin(scope, &user(subject), &registry[2..]).await.unwrap(),
            is_admin,
            "{subject}"
        );
        assert!(!engine.is_admin(tenant(2), &user(subject), &registry[2..]).await.unwrap(), "elsewhere");
        assert!(!engine.is_admin(scope, &user(subject), &[]).await.unwrap());
    }
    assert!(engine.has_role(scope, &user("alice"), &id("viewer")).await.unwrap());
    assert!(!engine.has_role(scope, &user("bob"), &id("chief")).await.unwrap());
    assert!(!engine.has_role(tenant(2), &user("alice"), &id("viewer")).await.unwrap());
    let (alice, bob) = (user("alice"), user("bob"));
    let subjects = [&alice, &alice, &alice, &bob, &bob];
    let requests: Vec<_> = subjects
        .iter()
        .zip(registry.iter().cycle())
        .map(|(one, what)| CheckRequest::new(scope, one, what))
        .collect();
    for _ in 0..2 {
        let batch = engine.check_batch(&requests).await.unwrap();
        for (request, decision) in requests.iter().zip(batch) {
            assert_eq!(engine.check(request).await.unwrap(), decision, "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_filter_becomes_sql_with_nothing_but_numbers_in_it() {
    let world = world(vec![
        role("client", &["document:read:team"], &[]).into(),
        held("o'neil", "client"),
        Denial::new(user("o'neil"), permission("document:read")).on("document/13".parse().unwrap()).into(),
    ])
    .await;
    let (subject, read) = (user("o'neil"), permission("document:read"));
    let mut profile = SubjectProfile::default();
    profile.teams.insert("red".into());
    let request = CheckRequest::new(tenant(HERE), &subject, &read).with_profile(&profile);
    let plan = world.engine.plan(&request).await.unwrap();
    let mut columns = Columns { id: Some("d.id".into()), ..Columns::default() };
    columns.fields.insert(Field::Owner, "d.owner".into());
    assert_eq!(plan.to_sql(&columns, 1).unwrap_err().to_string(), "no column is named for `team`");
    columns.fields.insert(Field::Team, "d.team".into());
    let sql = plan.to_sql(&columns, 2).unwrap();
    let text = "((COALESCE(d.owner IN ($2), FALSE) OR COALESCE(d.team IN ($3), FALSE)) AND NOT (COALESCE(d.id IN ($4), FALSE)))";
    assert_eq!(sql.text, text);
    assert_eq!(sql.parameters, ["user:o'neil", "red", "13"].map(Value::from));
    let write = permission("document:write");
    let plan = world.engine.plan(&CheckRequest::new(tenant(HERE), &subject, &write)).await.unwrap();
    assert_eq!((&plan.filter, plan.to_sql(&columns, 1).unwrap().text.as_str()), (&Filter::Never, "FALSE"));
    assert!(
        world
            .engine
            .plan(&CheckRequest::new(tenant(HERE), &subject, &permission("document:*")))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_explanation_of_a_refusal_names_the_least_that_is_missing() {
    let mut off = role("off", &["job:stop"], &[]);
    off.active = false;
    let world = world(vec![
        off.into(),
        role("operator", &["job:run"], &[]).into(),
        held("alice", "off"),
        Assignment::new(user("alice"), id("operator")).starting(at(9)).into(),
        Denial::new(user("alice"), permission("note:*")).into(),
    ])
    .await;
    for (what, missing) in [
        ("job:run", Missing::Time(at(9))),
        ("job:stop", Missing::RoleSwitchedOn(id("off"))),
        ("note:read", Missing::DenialLifted(permission("note:*"))),
        ("file:read", Missing::Permission(permission("file:read"))),
    ] {
        let (alice, asked) = (user("alice"), permission(what));
        let request = CheckRequest::new(tenant(HERE), &alice, &asked);
        assert_eq!(world.engine.explain(&request).await.unwrap().missing, Some(missing), "{what}");
    }
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Event>>);

impl EventSink for Heard {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test]
async fn refusals_are_told_all_and_permits_one_in_so_many() {
    let world = world(vec![role("viewer", &["document:read"], &[]).into(), held("alice", "viewer")]).await;
    let heard = Arc::new(Heard::default());
    let decisions = DecisionRecords { permits: 10, recent: 5 };
    let config = Config { decisions, ..Config::default() };
    let (store, clock) = (Arc::clone(&world.store) as _, Arc::clone(&world.clock) as _);
    let engine =
        Engine::new(store, clock, Arc::new(SeededRandom::new(3)), config).with_sink(Arc::clone(&heard) as _);
    let (alice, read, write) = (user("alice"), permission("document:read"), permission("document:write"));
    for number in 0..100 {
        engine.check(&CheckRequest::new(tenant(HERE), &alice, &read)).await.unwrap();
        if number % 25 == 0 {
            engine.check(&CheckRequest::new(tenant(HERE), &alice, &write)).await.unwrap();
        }
    }
    let events = heard.0.lock().unwrap();
    let denied: Vec<&Event> = events.iter().filter(|event| event.outcome == Outcome::Denied).collect();
    assert_eq!((events.len(), denied.len()), (14, 4));
    assert_eq!((denied[0].action.as_str(), denied[0].scope), ("access.denied", tenant(HERE)));
    assert_eq!(denied[0].reason.as_ref().unwrap().as_str(), "no_matching_role");
    assert_eq!(denied[0].targets[0].to_string(), "user/alice");
    let statistics = engine.statistics();
    assert_eq!((statistics.checks, statistics.permitted, statistics.from_memory), (104, 100, 103));
    assert_eq!(statistics.permitted_per_million(), 961_538);
    assert!(statistics.nanos_per_check().is_some());
    let all = engine.recent_attempts(tenant(HERE), &AttemptFilter::default(), 100);
    assert_eq!(all.len(), 5, "no more are kept");
    let refused = AttemptFilter { subject: Some(alice), allowed: Some(false) };
    let refused = engine.recent_attempts(tenant(HERE), &refused, 1);
    assert_eq!(refused[0].permission, write);
    assert_eq!(engine.recent_attempts(tenant(2), &AttemptFilter::default(), 100), []);
}

#[tokio::test]
async fn what_is_asked_of_a_group_is_asked_of_the_group_alone() {
    let world = world(vec![
        role("viewer", &["document:read"], &[]).into(),
        Assignment::new(group("crew"), id("viewer")).into(),
    ])
    .await;
    let (crew, read): (SubjectRef, _) = (group("crew"), permission("document:read"));
    assert!(world.engine.check(&CheckRequest::new(tenant(HERE), &crew, &read)).await.unwrap().allowed);
    assert!(!world.allows(tenant(HERE), "crew", "document:read").await);
    world.engine.reset().await.unwrap();
    assert!(!world.allows(tenant(HERE), "crew", "document:read").await);
}
