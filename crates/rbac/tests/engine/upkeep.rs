//! What keeps a scope in order: changes of the platform's roles, what has expired, and what questions cost.

use std::sync::atomic::Ordering;

use stanchion_core::{Author, SystemScope};
use stanchion_rbac::{
    Assignment, Config, Duty, Error, Grant, Limits, Membership, OverDenial, RecordKind, Separation, Session,
    Sweep, Warning,
};
use stanchion_replica::OutboxStore;

use crate::random::group;
use crate::world::{PLATFORM, World, at, author, id, permission, role, tenant, user};

fn system() -> Author {
    Author::system("test")
}

fn in_tenant(number: u128, why: &str) -> String {
    format!("in tenant {}: {why}", tenant(number).tenant().unwrap())
}

#[tokio::test]
async fn a_role_of_the_platform_brings_nothing_together_in_a_tenant() {
    let world = World::new();
    world.put(PLATFORM, role("clerk", &["bill:write"], &[])).await;
    world.put(PLATFORM, role("approver", &["bill:pay"], &[])).await;
    world.put(PLATFORM, role("lead", &["x:y"], &[])).await;
    world.put(PLATFORM, role("chief", &[], &["lead"])).await;
    let apart = || {
        let roles = [id("clerk"), id("approver")];
        Separation::new("payments".parse().unwrap(), "P".parse().unwrap(), Duty::Static, roles)
    };
    for number in [1, 2, 3] {
        world.assign(tenant(number), "ada", "clerk").await;
    }
    for number in [2, 3] {
        world.engine.put_separation(&author(), tenant(number), apart()).await.unwrap();
    }
    world.assign(tenant(1), "ada", "lead").await;
    // By a senior of the role that is changed, which is one of the tenant's own.
    world.put(tenant(3), role("boss", &[], &["chief"])).await;
    world.assign(tenant(3), "ada", "boss").await;
    let wider = || role("lead", &["x:y"], &["approver"]);
    let refused = world.try_put(PLATFORM, wider()).await.unwrap_err();
    assert!(matches!(&refused, Error::InTenant { .. }));
    let why = "separation `payments` allows 1 of its roles: role boss would have";
    assert!(!refused.to_string().starts_with(&in_tenant(1, "")), "{refused}");
    let why_ada =
        in_tenant(3, "separation `payments` allows 1 of its roles: user:ada would have approver, clerk");
    assert_eq!(refused.to_string(), why_ada, "{why}");
    world.revoke(tenant(3), "ada", "boss").await;
    world.try_put(PLATFORM, wider()).await.expect("suits everybody now");
    let report = {
        let text = r#"{"role":{"id":"chief","name":"C","includes":["lead","clerk"]}}"#;
        world.put(tenant(2), role("own", &[], &["chief"])).await;
        let rows = stanchion_rbac::BulkFormat::JsonLines.read(text.as_bytes()).unwrap();
        world.engine.import(&author(), PLATFORM, rows, &Default::default(), &mut |_| {}).await.unwrap()
    };
    assert!(report.bad[0].why.starts_with(&in_tenant(2, "separation `payments`")), "{report:?}");
}

#[tokio::test]
async fn a_role_of_the_platform_leaves_every_tenant_an_administrator_and_few_holders() {
    let world = World::with(Config::default());
    world.put(PLATFORM, role("admin", &["*"], &[])).await;
    world.put(PLATFORM, role("few", &["x:y"], &[])).await;
    for number in [1, 2] {
        world.assign(tenant(number), "ada", "admin").await;
        world.assign(tenant(number), "ada", "few").await;
    }
    world.assign(tenant(2), "bob", "few").await;
    let refused = world.try_put(PLATFORM, role("admin", &["report:*"], &[])).await.unwrap_err();
    assert!(refused.to_string().contains("user:ada is the last administrator of "), "{refused}");
    let refused = world.try_put(PLATFORM, role("few", &["x:y"], &[]).held_by_at_most(1)).await.unwrap_err();
    let why = "role `few` may be held by 1 at most, and 2 would hold it: user:ada, user:bob";
    assert_eq!(refused.to_string(), in_tenant(2, why));
    let required = role("few", &["x:y"], &[]).requiring([id("admin")]);
    world.try_put(PLATFORM, required).await.expect("who holds it already keeps it");
    let mut renamed = role("admin", &["*"], &[]);
    renamed.description = Some("of everything".parse().unwrap());
    world.store.by.lists.store(0, Ordering::SeqCst);
    world.store.by.reads();
    world.put(PLATFORM, renamed).await;
    assert!(world.store.by.reads().0 <= 4, "tenants are not looked at for a name");
}

#[tokio::test]
async fn where_too_many_tenants_use_a_role_whoever_changes_it_is_told() {
    let limits = Limits { checked_tenants: 2, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() });
    world.put(PLATFORM, role("shared", &["x:y"], &[])).await;
    let put = async |made| world.engine.put_role(&author(), PLATFORM, made, None).await.unwrap().warnings;
    for number in [1, 2] {
        world.assign(tenant(number), "ada", "shared").await;
    }
    assert_eq!(put(role("shared", &["x:z"], &[])).await, []);
    // By way of a role that includes it, it is used all the same.
    world.put(PLATFORM, role("senior", &[], &["shared"])).await;
    world.assign(tenant(3), "ada", "senior").await;
    assert_eq!(put(role("shared", &["x:a"], &[])).await, [Warning::TenantsNotChecked { checked: 2 }]);
    let pending = world.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
    let details = serde_json::to_string(&pending.last().unwrap().event.details).unwrap();
    assert!(details.contains(r#""checked_tenants":2"#), "{details}");
}

async fn count(world: &World, scope: stanchion_core::Scope, kind: RecordKind) -> usize {
    let mut export = world.engine.export(scope, &[kind]).await.unwrap();
    let mut all = 0;
    while let Some(found) = export.next().await.unwrap() {
        all += found.len();
    }
    all
}

#[tokio::test]
async fn what_has_expired_is_swept_and_what_has_not_stays() {
    let sweep = Sweep { keep_days: Some(1) };
    let guards = stanchion_rbac::Guards { last_administrator: false, ..Default::default() };
    let world = World::with(Config { sweep, guards, ..Config::default() });
    const DAY: u64 = 86_400;
    for scope in [PLATFORM, tenant(1)] {
        let name = if scope == PLATFORM { "p" } else { "t" };
        world.put(scope, role(name, &["x:y"], &[])).await;
        for (subject, until) in [("alice", Some(at(60))), ("bob", None), ("cid", Some(at(9_999_999)))] {
            let mut held = Assignment::new(user(subject), id(name));
            let mut grant = Grant::new(user(subject), permission("a:b")).on("d/1".parse().unwrap());
            let mut member = Membership::new(group("g"), user(subject));
            (held.expires_at, grant.expires_at, member.expires_at) = (until, until, until);
            world.give(scope, held).await;
            world.engine.grant(&author(), scope, grant, OverDenial::Refuse).await.unwrap();
            world.engine.add_member(&author(), scope, member).await.unwrap();
        }
        let lasting = std::time::Duration::from_secs(60);
        world
            .engine
            .create_session(&author(), scope, &user("alice"), [].into(), Some(lasting))
            .await
            .unwrap();
        world.engine.create_session(&author(), scope, &user("bob"), [].into(), None).await.unwrap();
    }
    assert_eq!(world.engine.sweep(100).await.unwrap(), 0);
    world.advance(60);
    assert_eq!(world.engine.sweep(100).await.unwrap(), 2, "sessions at once");
    for scope in [PLATFORM, tenant(1)] {
        assert_eq!(count(&world, scope, RecordKind::Session).await, 1);
        assert_eq!(count(&world, scope, RecordKind::Assignment).await, 3, "the others are kept for a day");
    }
    world.advance(DAY);
    assert_eq!(world.engine.sweep(3).await.unwrap(), 3, "no more than so many");
    assert_eq!(world.engine.sweep(100).await.unwrap(), 5, "the others, and bob's sessions");
    for scope in [PLATFORM, tenant(1)] {
        for kind in [RecordKind::Assignment, RecordKind::Grant, RecordKind::Membership] {
            assert_eq!(count(&world, scope, kind).await, 2, "{kind:?}");
        }
        assert_eq!(count(&world, scope, RecordKind::Session).await, 0);
    }
    let pending = world.outbox.pending(SystemScope::new("test"), 1_000).await.unwrap();
    let mut told: Vec<String> = pending
        .iter()
        .filter(|record| record.event.scope == PLATFORM && record.event.action.as_str().contains("d"))
        .filter(|record| record.event.occurred_at > at(0))
        .map(|record| {
            let event = &record.event;
            let targets =
                event.targets.iter().map(ToString::to_string).filter(|one| !one.starts_with("session"));
            format!("{} {}", event.action, targets.collect::<Vec<_>>().join(" "))
        })
        .collect();
    told.sort();
    let expected = [
        "assignment.expired role/p user/alice",
        "grant.expired user/alice",
        "membership.expired user/alice",
        "session.ended user/alice",
        "session.ended user/bob",
    ];
    assert_eq!(told, expected);
    assert_eq!(world.engine.sweep(100).await.unwrap(), 0);
}

#[tokio::test]
async fn without_a_time_to_keep_only_sessions_are_swept_and_what_was_prolonged_stays() {
    let world = World::new();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.give(tenant(1), Assignment::new(user("alice"), id("a")).expiring(at(60))).await;
    world.clock.set(at(99_999_999));
    assert_eq!(world.engine.sweep(100).await.unwrap(), 0);
    assert_eq!(count(&world, tenant(1), RecordKind::Assignment).await, 1);
    assert!(Config { sweep: Sweep { keep_days: Some(0) }, ..Config::default() }.validate().is_err());
    let other = world.replica();
    let (alice, mine) = (
        user("alice"),
        Session::new("0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap(), user("alice"), at(1)),
    );
    crate::random::write_on(&world, tenant(1), vec![stanchion_rbac::RbacChange::put(mine)]).await;
    // Of two that sweep at once the one that comes second finds nothing.
    let (one, two) = tokio::join!(world.engine.sweep(100), other.sweep(100));
    assert_eq!(one.unwrap() + two.unwrap(), 1);
    assert_eq!(world.engine.sessions_of(tenant(1), &alice).await.unwrap(), []);
}

#[tokio::test]
async fn who_can_costs_by_who_holds_what_permits_and_not_by_how_many_there_are() {
    let world = World::new();
    world.put(tenant(1), role("many", &["x:y"], &[])).await;
    world.put(tenant(1), role("rare", &["x:rare"], &[])).await;
    world.put(tenant(1), role("senior", &[], &["rare"])).await;
    let records = (0..5_000).map(|number| Assignment::new(user(&format!("u{number}")), id("many")).into());
    let text = stanchion_rbac::BulkFormat::JsonLines.write(&records.collect::<Vec<_>>()).unwrap();
    let rows = stanchion_rbac::BulkFormat::JsonLines.read(&*text).unwrap();
    world.engine.import(&system(), tenant(1), rows, &Default::default(), &mut |_| {}).await.unwrap();
    world.assign(tenant(1), "alice", "rare").await;
    world.assign(tenant(1), "bob", "senior").await;
    world.store.by.lists.store(0, Ordering::SeqCst);
    let found = world.engine.who_can(tenant(1), &permission("x:rare"), None, 100).await.unwrap();
    let names: Vec<String> = found.subjects.iter().map(|(subject, _)| subject.to_string()).collect();
    assert_eq!((names, found.complete), (vec!["user:alice".to_owned(), "user:bob".to_owned()], true));
    assert_eq!(world.store.by.lists.load(Ordering::SeqCst), 3, "holders of two roles, and grants");
    let all = world.engine.who_can(tenant(1), &permission("x:y"), None, 10_000).await.unwrap();
    assert_eq!(all.subjects.len(), 5_000);
}
