//! Which of several things is told: the role, the way through roles, what would help.

use std::sync::Arc;

use stanchion_core::SessionId;
use stanchion_rbac::{
    Assignment, CheckRequest, Constraint, Explanation, Grant, MemorySubjectDirectory, Missing,
    PermissionScope, Reason, Record, Resource, Rule, Session, SubjectProfile,
};

use crate::access::{document, held, world};
use crate::random::write;
use crate::world::{PLATFORM, World, at, id, permission, role, tenant, user};

const SESSION: &str = "0192f0c1-2345-7abc-8def-000000000001";

fn session(subject: &str, active: &[&str]) -> Record {
    let session = Session::new(SESSION.parse().unwrap(), user(subject), at(1_000));
    session.with_active(active.iter().map(|role| id(role))).into()
}

fn hours(text: &str) -> Constraint {
    Constraint::new(Rule::Time(text.parse().unwrap()))
}

async fn ask(world: &World, name: &str, resource: Option<&Resource>, session: bool) -> Explanation {
    let (subject, what) = (user(name), permission("document:read"));
    let mut request = CheckRequest::new(tenant(1), &subject, &what);
    request.resource = resource;
    request.session = session.then(|| SESSION.parse::<SessionId>().unwrap());
    world.engine.explain(&request).await.unwrap()
}

fn names(all: &[stanchion_rbac::RoleId]) -> Vec<&str> {
    all.iter().map(|role| role.as_str()).collect()
}

#[tokio::test]
async fn the_way_is_one_that_counts() {
    let without =
        |name: &str, below: &[&str]| role(name, &[], below).with_excludes([permission("document:read")]);
    let world = world(vec![
        role("base", &["document:read"], &[]).into(),
        without("short", &["base"]).into(),
        role("long", &[], &["longer"]).into(),
        role("longer", &[], &["base"]).into(),
        role("detour", &[], &["long", "short"]).into(),
        held("ada", "detour"),
        role("inner", &["document:read"], &[]).into(),
        role("outer", &["document:read"], &["inner"]).into(),
        held("bob", "outer"),
        session("bob", &["inner"]),
        role("low", &["document:read"], &[]).reaching(PermissionScope::Tenant).into(),
        held("cid", "low"),
    ])
    .await;
    assert_eq!(names(&ask(&world, "ada", None, false).await.path), ["detour", "long", "longer", "base"]);
    assert_eq!(names(&ask(&world, "bob", None, true).await.path), ["outer", "inner"], "by what is active");
    assert_eq!(names(&ask(&world, "bob", None, false).await.path), ["outer"]);
    assert_eq!(names(&ask(&world, "cid", None, false).await.path), ["low"], "its ceiling is just so high");
}

#[tokio::test]
async fn a_circle_of_roles_permits_nothing_by_itself() {
    let world = world(vec![
        role("p", &["document:read:own"], &["q"]).into(),
        role("q", &[], &["p"]).into(),
        held("ada", "p"),
        held("bob", "q"),
    ])
    .await;
    let others = document("1").owned_by(user("somebody"));
    let mut profile = SubjectProfile::default();
    profile.active = true;
    for name in ["ada", "bob"] {
        let (subject, what) = (user(name), permission("document:read"));
        let request = CheckRequest::new(tenant(1), &subject, &what).on(&others).with_profile(&profile);
        assert_eq!(world.engine.check(&request).await.unwrap().reason, Reason::ReachTooNarrow, "{name}");
        let plan = world.engine.plan(&CheckRequest::new(tenant(1), &subject, &what)).await.unwrap();
        assert!(!plan.filter.passes(&others), "{name}");
        assert!(plan.filter.passes(&document("1").owned_by(subject.clone())), "{name}");
    }
}

#[tokio::test]
async fn what_is_left_out_wherever_it_would_reach_is_no_narrow_reach() {
    let own = permission("document:read:own");
    let world = world(vec![
        role("own", &["document:read:own"], &[]).into(),
        role("team", &["document:read:team"], &[]).into(),
        role("never", &[], &["own"]).with_excludes([own.clone()]).into(),
        role("sometimes", &[], &["team"]).with_excludes([own]).into(),
        held("ada", "never"),
        held("bob", "sometimes"),
    ])
    .await;
    let elsewhere = document("1").owned_by(user("somebody")).of_team("theirs").of_department("theirs");
    let mut profile = SubjectProfile::default();
    profile.teams.insert("red".into());
    let ask = async |name: &str| {
        let (subject, what) = (user(name), permission("document:read"));
        let request = CheckRequest::new(tenant(1), &subject, &what).on(&elsewhere).with_profile(&profile);
        world.engine.check(&request).await.unwrap().reason
    };
    assert_eq!(ask("ada").await, Reason::NoMatchingRole);
    assert_eq!(ask("bob").await, Reason::ReachTooNarrow);
}

#[tokio::test]
async fn of_several_roles_the_first_of_those_that_last_longest_is_told() {
    let until = |name: &str, role: &str, seconds: i64| {
        Record::from(Assignment::new(user(name), id(role)).expiring(at(seconds)))
    };
    let from = |name: &str, role: &str, seconds: i64| {
        Record::from(Assignment::new(user(name), id(role)).starting(at(seconds)))
    };
    let world = world(vec![
        role("a", &["document:read"], &[]).into(),
        role("b", &["document:read"], &[]).into(),
        role("c", &["document:read"], &[]).constrained(hours("12:00-12:01 UTC")).into(),
        role("d", &["document:read"], &[]).into(),
        until("ada", "a", 100),
        until("ada", "b", 100),
        held("bob", "c"),
        until("bob", "d", 120),
        from("cid", "a", 40),
        from("cid", "b", 30),
        from("cid", "d", 35),
        until("dan", "a", 10),
        Assignment::new(user("dan"), id("b")).starting(at(-5)).expiring(at(10)).into(),
        Assignment::new(user("eve"), id("a")).starting(at(-5)).expiring(at(10)).into(),
        until("eve", "b", 10),
        Assignment::new(user("fay"), id("c")).expiring(at(10)).into(),
    ])
    .await;
    let told = async |name: &str| {
        let decision = ask(&world, name, None, false).await.decision;
        (
            decision.reason,
            decision.role.map(|role| role.to_string()),
            decision.valid_until,
            decision.rules.is_empty(),
        )
    };
    let expected =
        |reason, role: &str, until: Option<i64>| (reason, Some(role.to_owned()), until.map(at), true);
    assert_eq!(told("ada").await, expected(Reason::Granted, "a", Some(100)));
    assert_eq!(told("bob").await, expected(Reason::Granted, "d", Some(120)), "the hours end before");
    assert_eq!(told("cid").await, expected(Reason::AssignmentNotYetValid, "b", Some(30)));
    world.clock.set(at(20));
    assert_eq!(
        told("dan").await,
        expected(Reason::AssignmentExpired, "a", None),
        "the first, whenever it began"
    );
    assert_eq!(told("eve").await, expected(Reason::AssignmentExpired, "a", None));
    world.clock.set(at(70));
    assert_eq!(told("fay").await, expected(Reason::AssignmentExpired, "c", None), "whatever it demands");
}

#[tokio::test]
async fn what_would_help_lies_ahead() {
    let world = world(vec![
        role("a", &["document:read"], &[]).into(),
        role("b", &["document:read"], &[]).into(),
        role("hours", &["document:read"], &[]).constrained(hours("11:00-12:01 UTC")).into(),
        Assignment::new(user("ada"), id("a")).starting(at(-50)).expiring(at(-10)).into(),
        Assignment::new(user("ada"), id("b")).starting(at(50)).into(),
        Assignment::new(user("bob"), id("hours")).starting(at(90)).into(),
    ])
    .await;
    let explanation = ask(&world, "ada", None, false).await;
    assert_eq!(explanation.decision.reason, Reason::AssignmentNotYetValid);
    assert_eq!(explanation.missing, Some(Missing::Time(at(50))));
    let explanation = ask(&world, "bob", None, false).await;
    assert_eq!(explanation.missing, Some(Missing::Time(at(60))), "by then the hours are over");
}

#[tokio::test]
async fn in_a_session_what_a_role_does_in_it_is_told_first() {
    let world = world(vec![
        role("wide", &["document:read"], &[]).into(),
        role("near", &["document:read:own"], &[]).into(),
        role("both", &[], &["wide", "near"]).into(),
        held("ada", "both"),
        session("ada", &["near"]),
    ])
    .await;
    let resource = document("1");
    let explanation = ask(&world, "ada", Some(&resource), true).await;
    assert_eq!(explanation.decision.missing_attribute(), Some("owner"));
    assert!(ask(&world, "ada", Some(&resource.owned_by(user("ada"))), true).await.decision.allowed);
}

#[tokio::test]
async fn a_role_on_another_resource_is_not_missed_in_a_session() {
    let world = world(vec![
        role("wide", &["document:read"], &[]).into(),
        Assignment::new(user("ada"), id("wide")).on("document/2".parse().unwrap()).into(),
        session("ada", &[]),
    ])
    .await;
    let reason = async |number: &str| ask(&world, "ada", Some(&document(number)), true).await.decision.reason;
    assert_eq!(reason("1").await, Reason::NoMatchingRole);
    assert_eq!(reason("2").await, Reason::RoleNotInSession);
}

#[tokio::test]
async fn a_permission_that_does_not_reach_everything_is_too_narrow_for_it() {
    let world = world(vec![Grant::new(user("ada"), permission("document:read:own")).into()]).await;
    assert_eq!(ask(&world, "ada", None, false).await.decision.reason, Reason::ReachTooNarrow);
}

#[tokio::test]
async fn who_is_known_is_known_in_a_session_too() {
    let directory = Arc::new(MemorySubjectDirectory::default());
    directory.put(tenant(1), user("ada"), SubjectProfile::default());
    let world = World::knowing(directory);
    write(&world, tenant(1), vec![session("ada", &[])]).await;
    assert_eq!(ask(&world, "ada", None, true).await.decision.reason, Reason::NoMatchingRole);
}

#[tokio::test]
async fn roles_that_would_help_are_listed_once_by_name_and_not_beyond_the_most() {
    let world = World::new();
    write(&world, PLATFORM, vec![role("a", &["document:read"], &[]).into()]).await;
    write(
        &world,
        tenant(1),
        vec![
            role("z", &["document:read"], &["a"]).into(),
            role("m", &[], &["a"]).into(),
            role("n", &["document:*"], &[]).into(),
        ],
    )
    .await;
    assert_eq!(names(&ask(&world, "ada", None, false).await.candidates), ["a", "m", "n", "z"]);
    let many = (0..Explanation::MAX_CANDIDATES)
        .map(|number| role(&format!("b{number:02}"), &["document:read"], &[]).into());
    write(&world, tenant(2), many.collect()).await;
    let (subject, what) = (user("ada"), permission("document:read"));
    let explanation = world.engine.explain(&CheckRequest::new(tenant(2), &subject, &what)).await.unwrap();
    assert_eq!(explanation.candidates.len(), Explanation::MAX_CANDIDATES);
    assert_eq!(names(&explanation.candidates)[..2], ["a", "b00"]);
}
