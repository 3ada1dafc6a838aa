//! Which attribute is told to be missing where several are, and when more is loaded of a resource.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use stanchion_core::{ResourceRef, Scope, SeededRandom, StoreError, Timestamp};
use stanchion_rbac::{
    Assignment, CheckRequest, Config, Constraint, Decision, Denial, Engine, Grant, Membership, Reason,
    Record, Resource, ResourceAttributes,
};

use crate::access::{document, held, world};
use crate::random::group;
use crate::world::{World, at, giving_freely, id, permission, role, tenant, user};

fn constraint(json: &str) -> Constraint {
    serde_json::from_str(json).unwrap()
}

fn region() -> Constraint {
    constraint(r#"{"rule":"equals","attribute":"region","value":"eu"}"#)
}

async fn ask(world: &World, subject: &str, resource: &Resource) -> Decision {
    let (subject, what) = (user(subject), permission("document:read"));
    world.engine.check(&CheckRequest::new(tenant(1), &subject, &what).on(resource)).await.unwrap()
}

async fn missing(world: &World, subject: &str) -> String {
    let decision = ask(world, subject, &document("1")).await;
    assert_eq!(decision.reason, Reason::AttributeMissing, "{subject}");
    decision.missing_attribute().unwrap().to_owned()
}

#[tokio::test]
async fn the_attribute_of_the_widest_reach_that_would_do_is_told() {
    let wide = role("wide", &["document:read"], &[]);
    let mut records: Vec<Record> = vec![wide.into()];
    for (scope, expected) in [("own", "owner"), ("team", "team"), ("department", "department")] {
        let by_role = format!("role-{expected}");
        let what = format!("document:read:{scope}");
        records.push(role(&by_role, &[&what], &[]).into());
        records.push(held(&by_role, &by_role));
        records.push(Grant::new(user(&format!("grant-{expected}")), permission(&what)).into());
    }
    let low = role("low", &["document:read"], &[]).reaching(stanchion_rbac::PermissionScope::Team);
    records.extend([low.into(), held("ceiling-team", "low")]);
    let world = world(records).await;
    for expected in ["owner", "team", "department"] {
        for having in ["role", "grant"] {
            assert_eq!(missing(&world, &format!("{having}-{expected}")).await, expected, "{having}");
        }
    }
    assert_eq!(missing(&world, "ceiling-team").await, "team");
}

#[tokio::test]
async fn what_would_put_the_resource_out_of_what_is_left_out_is_told() {
    let mut records: Vec<Record> = vec![role("wide", &["document:read"], &[]).into()];
    for scope in ["own", "team", "department"] {
        let without = format!("document:read:{scope}").parse().unwrap();
        records.push(role(scope, &[], &["wide"]).with_excludes([without]).into());
        records.push(held(scope, scope));
    }
    records.push(role("team-only", &["document:read:team"], &[]).into());
    records.push(role("others", &[], &["team-only"]).with_excludes([permission("document:read:own")]).into());
    records.push(held("others", "others"));
    let near = role("near", &["document:read:team"], &["wide"]).with_excludes([permission("document:read")]);
    records.extend([near.into(), held("near", "near")]);
    let world = world(records).await;
    assert_eq!(missing(&world, "own").await, "owner", "that it is somebody else's is enough");
    assert_eq!(missing(&world, "team").await, "team", "and the owner, once the team is known");
    assert_eq!(missing(&world, "department").await, "department");
    assert_eq!(missing(&world, "near").await, "team", "by itself it reaches so far");
    assert_eq!(missing(&world, "others").await, "team", "and the owner");
    // Each of them does what it promises.
    let others = document("1").owned_by(user("somebody"));
    assert!(ask(&world, "own", &others).await.allowed);
    assert_eq!(ask(&world, "team", &others).await.missing_attribute(), Some("team"));
}

#[tokio::test]
async fn what_is_held_first_is_told_first() {
    let needing = |name: &str, rules: &[&str]| {
        rules
            .iter()
            .fold(role(name, &["document:read"], &[]), |role, json| role.constrained(constraint(json)))
    };
    let organization = r#"{"rule":"organization_only"}"#;
    let owner = r#"{"rule":"owner_only"}"#;
    let zone = r#"{"rule":"equals","attribute":"zone","value":"a"}"#;
    let clearance = r#"{"rule":"equals","attribute":"level","subject":"clearance"}"#;
    let hours = r#"{"rule":"time","hours":"01:00-02:00"}"#;
    let world = world(vec![
        needing("a", &[owner, zone]).into(),
        needing("b", &[zone, owner]).into(),
        needing("c", &[organization]).into(),
        needing("d", &[clearance]).into(),
        needing("late", &[hours, zone]).into(),
        role("both", &[], &["a", "b"]).into(),
        held("ab", "b"),
        held("ab", "a"),
        held("bc", "c"),
        held("bc", "b"),
        held("d", "d"),
        held("late", "late"),
        held("both", "both"),
        held("own", "b"),
        Assignment::new(group("crew"), id("a")).into(),
        Membership::new(group("crew"), user("own")).into(),
        Membership::new(group("crew"), user("granted")).into(),
        Grant::new(user("own"), permission("document:read")).constrained(region()).into(),
        Grant::new(user("granted"), permission("document:read")).constrained(region()).into(),
        Grant::new(user("only"), permission("document:read")).constrained(region()).into(),
    ])
    .await;
    for (subject, expected) in [
        ("ab", "owner"),
        ("bc", "zone"),
        ("d", "subject.clearance"),
        ("late", "zone"),
        ("both", "owner"),
        ("own", "zone"),
        ("granted", "owner"),
        ("only", "region"),
    ] {
        assert_eq!(missing(&world, subject).await, expected, "{subject}");
    }
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

fn loading(
    world: &World,
    known: impl IntoIterator<Item = (&'static str, Resource)>,
) -> (Engine, Arc<Catalogue>) {
    let known = known.into_iter().map(|(id, resource)| (id.to_owned(), resource)).collect();
    let catalogue = Arc::new(Catalogue { known, loads: AtomicUsize::new(0) });
    let (store, clock) = (Arc::clone(&world.store) as _, Arc::clone(&world.clock) as _);
    let engine = Engine::new(store, clock, Arc::new(SeededRandom::new(3)), giving_freely(Config::default()));
    (engine.with_attributes(Arc::clone(&catalogue) as _), catalogue)
}

#[tokio::test]
async fn a_denial_that_may_be_about_a_resource_holds_no_longer_than_is_known() {
    // One denial stands for ten seconds and is about all; the other, for twenty, is about what lies in the seventh.
    let world = world(vec![
        role("can", &["document:read"], &[]).into(),
        held("ada", "can"),
        Denial::new(group("short"), permission("document:read")).into(),
        Denial::new(group("long"), permission("document:read")).on("document/7".parse().unwrap()).into(),
        Membership::new(group("short"), user("ada")).expiring(at(10)).into(),
        Membership::new(group("long"), user("ada")).expiring(at(20)).into(),
    ])
    .await;
    let (engine, catalogue) =
        loading(&world, [("1", document("1")), ("2", document("2").inside(document("7")))]);
    let ask = async |number: &str| {
        let (subject, what, resource) = (user("ada"), permission("document:read"), document(number));
        let request = CheckRequest::new(tenant(1), &subject, &what).on(&resource);
        let decision = engine.check(&request).await.unwrap();
        (decision.reason, decision.valid_until, catalogue.loads.swap(0, Ordering::SeqCst))
    };
    let denied = |until: Option<Timestamp>, loads| (Reason::DeniedExplicitly, until, loads);
    assert_eq!(ask("1").await, denied(Some(at(10)), 0), "nothing has to be loaded for what is known");
    assert_eq!(ask("2").await, denied(Some(at(10)), 0));
    world.clock.set(at(10));
    assert_eq!(ask("1").await, (Reason::Granted, None, 1));
    assert_eq!(ask("2").await, denied(Some(at(20)), 1));
    world.clock.set(at(20));
    assert_eq!(ask("2").await, (Reason::Granted, None, 0));
}

#[tokio::test]
async fn nothing_is_loaded_that_would_not_turn_the_answer() {
    let world = world(vec![
        role("near", &["document:read:own"], &[]).into(),
        role("wide", &["document:read"], &[]).into(),
        held("ada", "near"),
        Assignment::new(user("ada"), id("wide")).expiring(at(10)).into(),
        role("other", &["note:read"], &[]).into(),
        Assignment::new(user("bob"), id("other")).expiring(at(10)).into(),
    ])
    .await;
    let (engine, catalogue) = loading(&world, []);
    for (name, reason, loads) in
        [("ada", Reason::Granted, 0), ("bob", Reason::NoMatchingRole, 0), ("eve", Reason::UnknownSubject, 0)]
    {
        let (subject, what, resource) = (user(name), permission("document:read"), document("1"));
        let request = CheckRequest::new(tenant(1), &subject, &what).on(&resource);
        assert_eq!(engine.check(&request).await.unwrap().reason, reason);
        assert_eq!(catalogue.loads.swap(0, Ordering::SeqCst), loads, "{name}");
    }
    world.clock.set(at(10));
    let (subject, what, resource) = (user("ada"), permission("document:read"), document("1"));
    let request = CheckRequest::new(tenant(1), &subject, &what).on(&resource);
    assert_eq!(engine.check(&request).await.unwrap().reason, Reason::AssignmentExpired);
    assert_eq!(catalogue.loads.load(Ordering::SeqCst), 1, "it may be hers");
}

#[tokio::test]
async fn a_permit_holds_until_a_denial_begins_that_may_be_about_the_resource() {
    let world = world(vec![
        role("can", &["document:read"], &[]).into(),
        held("ada", "can"),
        Denial::new(group("late"), permission("document:read")).on("document/7".parse().unwrap()).into(),
        Membership::new(group("late"), user("ada")).starting(at(5)).into(),
    ])
    .await;
    let (engine, _) = loading(&world, [("2", document("2").inside(document("7")))]);
    let (subject, what, resource) = (user("ada"), permission("document:read"), document("2"));
    let request = CheckRequest::new(tenant(1), &subject, &what).on(&resource);
    let decision = engine.check(&request).await.unwrap();
    assert_eq!((decision.reason, decision.valid_until), (Reason::Granted, Some(at(5))));
    world.clock.set(at(5));
    assert_eq!(engine.check(&request).await.unwrap().reason, Reason::DeniedExplicitly);
}
