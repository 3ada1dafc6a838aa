//! Questions besides a check: who and what, plans, explanations, and what is told of decisions.

use std::sync::{Arc, Mutex};

use stanchion_core::{Event, EventSink, Outcome, SeededRandom, SubjectRef};
use stanchion_rbac::{
    Assignment, AttemptFilter, CheckRequest, Columns, Config, DecisionRecords, Denial, Engine, Field, Filter,
    Grant, Membership, Missing, SubjectProfile, Value,
};
use stanchion_replica::Follow as _;

use crate::access::{held, world};
use crate::random::group;
use crate::world::{at, id, permission, role, tenant, user};

const HERE: u128 = 1;

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
