//! What decides besides roles that are held for good: each by itself, by name.

use stanchion_core::Revision;
use stanchion_rbac::{
    Approval, Assignment, CheckRequest, Constraint, Decision, Denial, Grant, Membership, Permission,
    PermissionScope, Reason, Record, Resource, Role, Rule, Session, SubjectProfile,
};

use crate::random::{group, write};
use crate::world::{World, at, id, permission, role, tenant, user};

const HERE: u128 = 1;

pub(crate) async fn world(records: Vec<Record>) -> World {
    let world = World::new();
    write(&world, tenant(HERE), records).await;
    world
}

pub(crate) fn document(number: &str) -> Resource {
    Resource::new("document".parse().unwrap(), number.to_owned())
}

pub(crate) fn held(subject: &str, role: &str) -> Record {
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
