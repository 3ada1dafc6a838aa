use std::sync::Arc;

use stanchion_core::{Actor, Author, PageRequest, ResourceRef, Revision, Scope, SystemScope};
use stanchion_rbac::{Assignment, Config, Denial, Error, Limits, RecordFilter, RecordKind};
use stanchion_replica::OutboxStore;

use crate::world::{PLATFORM, World, at, author, id, permission, role, tenant, user};

fn limited(limits: Limits) -> World {
    World::with(Config { limits, ..Config::default() })
}

#[tokio::test]
async fn a_cycle_is_refused_with_the_way_round() {
    let world = World::new();
    world.put(tenant(1), role("a", &[], &[])).await;
    world.put(tenant(1), role("b", &[], &["a"])).await;
    world.put(tenant(1), role("c", &[], &["b"])).await;
    let before = world.engine.get_role(tenant(1), &id("a")).await.unwrap();
    let error = world.try_put(tenant(1), role("a", &[], &["c"])).await.unwrap_err();
    assert_eq!(error.to_string(), "role `a` would include itself: a → c → b → a");
    assert!(matches!(error, Error::Cycle { path } if path == ["a", "c", "b", "a"].map(id)));
    let error = world.try_put(tenant(1), role("d", &[], &["d"])).await.unwrap_err();
    assert_eq!(error.to_string(), "role `d` would include itself: d → d");
    assert_eq!(world.engine.get_role(tenant(1), &id("a")).await.unwrap(), before, "nothing was written");
}

#[tokio::test]
async fn what_a_role_includes_has_to_exist() {
    let world = World::new();
    let error = world.try_put(tenant(1), role("a", &[], &["ghost"])).await.unwrap_err();
    assert_eq!(error.to_string(), "role `a` includes `ghost`, which does not exist");
    world.put(tenant(2), role("ghost", &[], &[])).await;
    world.try_put(tenant(1), role("a", &[], &["ghost"])).await.expect_err("another tenant's is not its own");
    world.put(PLATFORM, role("ghost", &[], &[])).await;
    world.put(tenant(1), role("a", &[], &["ghost"])).await;
}

#[tokio::test]
async fn limits_are_errors_and_cut_nothing_off() {
    let world = limited(Limits {
        roles: 4,
        permissions: 2,
        includes: 2,
        depth: 3,
        assignments: 2,
        denials: 1,
        ..Limits::default()
    });
    let scope = tenant(1);
    let error = world.try_put(scope, role("a", &["x:a", "x:b", "x:c"], &[])).await.unwrap_err();
    assert_eq!(error.to_string(), "too many permissions in a role: at most 2");
    for (name, includes) in [("a", &[] as &[&str]), ("b", &["a"]), ("c", &["b"])] {
        world.put(scope, role(name, &["x:a", "x:b"], includes)).await;
    }
    let error = world.try_put(scope, role("d", &[], &["a", "b", "c"])).await.unwrap_err();
    assert_eq!(error.to_string(), "too many roles included by a role: at most 2");
    let error = world.try_put(scope, role("d", &[], &["c"])).await.unwrap_err();
    assert_eq!(error.to_string(), "from role `d` down, 4 roles would include one another; at most 3 may");
    world.put(scope, role("d", &[], &[])).await;
    let error = world.try_put(scope, role("a", &[], &["d"])).await.unwrap_err();
    assert_eq!(error.to_string(), "from role `c` down, 4 roles would include one another; at most 3 may");
    let error = world.try_put(scope, role("e", &[], &[])).await.unwrap_err();
    assert_eq!(error.to_string(), "too many roles: at most 4");
    world.put(scope, role("d", &["x:d"], &[])).await;

    world.assign(scope, "alice", "a").await;
    world.assign(scope, "alice", "b").await;
    let assigned = world.engine.assign(&author(), scope, Assignment::new(user("alice"), id("c"))).await;
    assert_eq!(assigned.unwrap_err().to_string(), "too many roles held by a subject: at most 2");
    world.assign(scope, "alice", "b").await;
    world.deny(scope, "alice", "x:a").await;
    world.deny(scope, "alice", "x:a").await;
    let denied = world.engine.deny(&author(), scope, Denial::new(user("alice"), permission("x:b"))).await;
    assert_eq!(denied.unwrap_err().to_string(), "too many permissions denied to a subject: at most 1");
}

#[tokio::test]
async fn the_platforms_names_are_its_own() {
    let world = World::new();
    world.put(PLATFORM, role("viewer", &[], &[])).await;
    let error = world.try_put(tenant(1), role("viewer", &["*"], &[])).await.unwrap_err();
    assert_eq!(error.to_string(), "`viewer` is a role of the platform; give the tenant's role another name");
}

#[tokio::test]
async fn a_tenant_reaches_no_further_than_itself() {
    let world = World::new();
    let error = world.try_put(tenant(1), role("a", &["audit:read:global"], &[])).await.unwrap_err();
    assert_eq!(error.to_string(), "`audit:read:platform` reaches beyond the tenant");
    let denial = Denial::new(user("alice"), permission("audit:read:platform"));
    let denied = world.engine.deny(&author(), tenant(1), denial).await.unwrap_err();
    assert!(matches!(denied, Error::BeyondTenant(_)));
    world.put(PLATFORM, role("a", &["audit:read:global"], &[])).await;
}

#[tokio::test]
async fn system_roles_are_for_the_system_to_write() {
    let world = World::new();
    let system = Author::system("seed");
    let mut admin = role("admin", &["*"], &[]);
    admin.system = true;
    let error = world.try_put(PLATFORM, admin.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "`admin` is a system role; it cannot be changed");
    world.engine.put_role(&system, PLATFORM, admin.clone(), None).await.unwrap();
    world.try_put(PLATFORM, role("admin", &[], &[])).await.expect_err("would no longer be one");
    let deleted = world.engine.delete_role(&author(), PLATFORM, &id("admin"), None).await;
    assert!(matches!(deleted, Err(Error::SystemRole(_))));
    world.engine.delete_role(&system, PLATFORM, &id("admin"), None).await.unwrap().expect("was there");
}

#[tokio::test]
async fn a_role_in_use_stays_and_says_who_uses_it() {
    let world = World::new();
    world.put(PLATFORM, role("viewer", &["document:read"], &[])).await;
    world.put(tenant(1), role("editor", &[], &["viewer"])).await;
    world.put(tenant(1), role("chief", &[], &["editor"])).await;
    world.assign(tenant(1), "alice", "editor").await;
    world.assign(tenant(1), "bob", "editor").await;

    let delete =
        async |scope: Scope, name: &str| world.engine.delete_role(&author(), scope, &id(name), None).await;
    let error = delete(tenant(1), "editor").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "role `editor` is in use: included by chief, assigned to user:alice, assigned to user:bob"
    );
    let error = delete(PLATFORM, "viewer").await.unwrap_err();
    let tenant_id = tenant(1).tenant().unwrap();
    assert_eq!(error.to_string(), format!("role `viewer` is in use: used in tenant {tenant_id}"));

    world.revoke(tenant(1), "alice", "editor").await;
    world.revoke(tenant(1), "bob", "editor").await;
    world.put(tenant(1), role("chief", &[], &[])).await;
    assert_eq!(delete(tenant(1), "editor").await.unwrap().expect("was there").value.id, id("editor"));
    assert_eq!(delete(tenant(1), "editor").await.unwrap(), None);
    assert!(delete(PLATFORM, "viewer").await.unwrap().is_some());
}

#[tokio::test]
async fn a_write_may_insist_on_what_it_replaces() {
    let world = World::new();
    let put = async |expected: Option<u64>| {
        let expected = expected.map(Revision::from_number);
        world
            .engine
            .put_role(&author(), tenant(1), role("a", &[], &[]), expected)
            .await
            .map(|written| written.role)
    };
    assert_eq!(put(Some(0)).await.unwrap().revision.number(), 1);
    let error = put(Some(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "the role was changed since it was read: it is at revision 1, not 0");
    world.advance(5);
    let replaced = put(Some(1)).await.unwrap();
    assert_eq!((replaced.revision.number(), replaced.created_at, replaced.updated_at), (2, at(0), at(5)));
    let delete = async |expected| {
        world.engine.delete_role(&author(), tenant(1), &id("a"), Some(Revision::from_number(expected))).await
    };
    assert!(matches!(delete(1).await, Err(Error::Stale { .. })));
    assert!(delete(2).await.unwrap().is_some());
    assert!(matches!(delete(2).await, Err(Error::Stale { .. })), "there is none any more");
}

#[tokio::test]
async fn an_assignment_that_could_not_count_is_refused() {
    let world = World::new();
    world.put(tenant(1), role("a", &[], &[])).await;
    let assign = async |assignment| world.engine.assign(&author(), tenant(1), assignment).await;
    let alice = || Assignment::new(user("alice"), id("a"));
    let error = assign(alice().expiring(at(0))).await.unwrap_err();
    assert_eq!(error.to_string(), "the assignment would never count: it has expired already");
    let error = assign(alice().starting(at(10)).expiring(at(10))).await.unwrap_err();
    assert_eq!(error.to_string(), "the assignment would never count: it expires before it begins");
    let error = assign(Assignment::new(user("alice"), id("ghost"))).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no role `ghost`");
}

#[tokio::test]
async fn a_second_assignment_of_a_role_updates_the_first() {
    let world = World::new();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.give(tenant(1), Assignment::new(user("alice"), id("a")).expiring(at(10))).await;
    world.advance(5);
    let mut forged = Assignment::new(user("alice"), id("a")).expiring(at(50));
    forged.granted_by = Some(Actor::Anonymous);
    let held = world.engine.assign(&author(), tenant(1), forged).await.unwrap();
    assert_eq!((held.created_at, held.updated_at), (at(0), at(5)));
    assert_eq!(held.value.granted_by, Some(author().actor), "whoever writes is whoever grants");
    let filter = RecordFilter::all(RecordKind::Assignment).of_subject(user("alice"));
    let page = world.engine.list::<Assignment>(tenant(1), &filter, &PageRequest::default()).await.unwrap();
    assert_eq!(page.items, [held]);
    world.clock.set(at(20));
    assert!(world.allows(tenant(1), "alice", "x:y").await);
}

#[tokio::test]
async fn revoking_in_one_tenant_leaves_the_others() {
    // Seed 001 revokes in all tenants when none is named; here one always is.
    let world = World::new();
    for scope in [tenant(1), tenant(2)] {
        world.put(scope, role("a", &["x:y"], &[])).await;
        world.assign(scope, "alice", "a").await;
    }
    world.revoke(tenant(1), "alice", "a").await;
    assert!(!world.allows(tenant(1), "alice", "x:y").await);
    assert!(world.allows(tenant(2), "alice", "x:y").await);
    let again = world.engine.revoke(&author(), tenant(1), &user("alice"), &id("a")).await.unwrap();
    assert_eq!(again, None);
}

#[tokio::test]
async fn every_write_leaves_one_event_and_what_changes_nothing_leaves_none() {
    let world = World::new();
    let scope = tenant(1);
    world.put(scope, role("viewer", &[], &[])).await;
    world.put(scope, role("editor", &["x:y", "a:b:own"], &["viewer"])).await;
    let because = |text: &str| text.parse().unwrap();
    let assignment =
        Assignment::new(user("alice"), id("editor")).expiring(at(60)).because(because("on call"));
    world.give(scope, assignment).await;
    let denial = Denial::new(user("alice"), permission("x:z")).because(because("leaves soon"));
    world.engine.deny(&author(), scope, denial).await.unwrap();
    for _ in 0..2 {
        world.engine.lift_denial(&author(), scope, &user("alice"), &permission("x:z")).await.unwrap();
        world.engine.revoke(&author(), scope, &user("alice"), &id("editor")).await.unwrap();
        world.engine.delete_role(&author(), scope, &id("editor"), None).await.unwrap();
    }
    world.try_put(scope, role("a", &[], &["ghost"])).await.unwrap_err();

    let pending = world.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
    let seen: Vec<String> = pending
        .iter()
        .map(|record| {
            let event = &record.event;
            assert_eq!((event.scope, &event.actor, event.occurred_at), (scope, &author().actor, at(0)));
            let targets = event.targets.iter().map(ResourceRef::to_string).collect::<Vec<_>>().join(" ");
            format!("{} {targets} {}", event.action, serde_json::to_string(&event.details).unwrap())
        })
        .collect();
    assert_eq!(
        seen,
        [
            r#"role.put role/viewer {"active":true,"permissions":[],"includes":[]}"#,
            r#"role.put role/editor {"active":true,"permissions":["a:b:own","x:y"],"includes":["viewer"]}"#,
            r#"assignment.put role/editor user/alice {"expires_at":"2026-03-01T12:01:00.000000Z","reason":"on call"}"#,
            r#"denial.put user/alice {"permission":"x:z","reason":"leaves soon"}"#,
            r#"denial.lift user/alice {"permission":"x:z"}"#,
            "assignment.revoke role/editor user/alice {}",
            "role.delete role/editor {}",
        ]
    );
}

#[tokio::test]
async fn a_write_tells_what_stood_there_before_and_what_stands_there_now() {
    let world = World::new();
    let scope = tenant(1);
    world.put(scope, role("viewer", &["x:y"], &[])).await;
    let again = role("viewer", &["x:y", "x:z"], &[]);
    let again = world.engine.put_role(&author(), scope, again, None).await.unwrap().role;
    let revision = Some(again.revision);
    let assignment = || Assignment::new(user("alice"), id("viewer"));
    world.give(scope, assignment().expiring(at(60))).await;
    world.give(scope, assignment()).await;
    world.revoke(scope, "alice", "viewer").await;
    world.engine.delete_role(&author(), scope, &id("viewer"), revision).await.unwrap();
    let denial = || Denial::new(user("alice"), permission("x:z"));
    world.engine.deny(&author(), scope, denial().because("leaves".parse().unwrap())).await.unwrap();
    world.engine.deny(&author(), scope, denial()).await.unwrap();
    world.engine.lift_denial(&author(), scope, &user("alice"), &permission("x:z")).await.unwrap();
    let pending = world.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
    let told = pending.iter().map(|record| {
        let event = &record.event;
        format!("{} {}", event.action, serde_json::to_string(&event.changes).unwrap())
    });
    let all = |side: &str, permissions: &str| {
        format!(
            r#"[{{"field":"name","{side}":{{"value":"viewer"}}}},{{"field":"permissions","{side}":{{"value":{permissions}}}}},{{"field":"includes","{side}":{{"value":[]}}}},{{"field":"active","{side}":{{"value":true}}}}]"#
        )
    };
    let expiry = r#"{"value":"2026-03-01T12:01:00.000000Z"}"#;
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            format!("role.put {}", all("after", r#"["x:y"]"#)),
            r#"role.put [{"field":"permissions","before":{"value":["x:y"]},"after":{"value":["x:y","x:z"]}}]"#.to_owned(),
            format!(r#"assignment.put [{{"field":"expires_at","after":{expiry}}}]"#),
            format!(r#"assignment.put [{{"field":"expires_at","before":{expiry}}}]"#),
            "assignment.revoke []".to_owned(),
            format!("role.delete {}", all("before", r#"["x:y","x:z"]"#)),
            r#"denial.put [{"field":"permission","after":{"value":"x:z"}},{"field":"reason","after":{"value":"leaves"}}]"#.to_owned(),
            r#"denial.put [{"field":"reason","before":{"value":"leaves"}}]"#.to_owned(),
            r#"denial.lift [{"field":"permission","before":{"value":"x:z"}}]"#.to_owned(),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_roles_do_not_come_to_include_each_other() {
    for _ in 0..50 {
        let world = World::new();
        world.put(tenant(1), role("a", &[], &[])).await;
        world.put(tenant(1), role("b", &[], &[])).await;
        let (here, there) = (Arc::clone(&world.engine), world.replica());
        let put = |engine: Arc<stanchion_rbac::Engine>, role| async move {
            engine.put_role(&author(), tenant(1), role, None).await
        };
        let one = tokio::spawn(put(here, role("a", &[], &["b"])));
        let other = tokio::spawn(put(there, role("b", &[], &["a"])));
        let outcomes = [one.await.unwrap(), other.await.unwrap()];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Cycle { .. }))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_role_is_not_assigned_while_it_is_deleted() {
    for _ in 0..50 {
        let world = World::new();
        world.put(tenant(1), role("a", &[], &[])).await;
        let (here, there) = (Arc::clone(&world.engine), world.replica());
        let delete =
            tokio::spawn(
                async move { here.delete_role(&author(), tenant(1), &id("a"), None).await.map(|_| ()) },
            );
        let assign = tokio::spawn(async move {
            there.assign(&author(), tenant(1), Assignment::new(user("alice"), id("a"))).await.map(|_| ())
        });
        match (delete.await.unwrap(), assign.await.unwrap()) {
            (Ok(()), Err(Error::UnknownRole(_))) | (Err(Error::RoleInUse { .. }), Ok(())) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_comes_between_the_rules_and_the_write_is_seen() {
    let world = World::new();
    world.put(tenant(1), role("a", &[], &[])).await;
    let other = world.replica();
    let intruder = async move {
        other.assign(&author(), tenant(1), Assignment::new(user("alice"), id("a"))).await.unwrap();
    };
    *world.store.by.intruder.lock().unwrap() = Some(Box::pin(intruder));
    let error = world.engine.delete_role(&author(), tenant(1), &id("a"), None).await.unwrap_err();
    assert_eq!(error.to_string(), "role `a` is in use: assigned to user:alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writes_are_tried_again_until_they_are_done() {
    let world = World::new();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    let engines = [Arc::clone(&world.engine), world.replica()];
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let engine = Arc::clone(&engines[number % 2]);
            tokio::spawn(async move {
                for turn in 0..5 {
                    let subject = user(&format!("user-{number}-{turn}"));
                    engine.assign(&author(), tenant(1), Assignment::new(subject, id("a"))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let page = PageRequest::first(100);
    let filter = RecordFilter::all(RecordKind::Assignment).of_role(id("a"));
    let held = world.engine.list::<Assignment>(tenant(1), &filter, &page).await;
    assert_eq!(held.unwrap().items.len(), 40);
}
