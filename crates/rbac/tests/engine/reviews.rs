//! Lists of who has what, where something does not count, does not count yet.

use std::sync::Arc;

use stanchion_core::SystemScope;
use stanchion_rbac::{
    Assignment, Config, Limits, Membership, MemorySubjectDirectory, Session, SubjectProfile,
};
use stanchion_replica::OutboxStore as _;

use crate::random::{group, write};
use crate::world::{PLATFORM, World, at, author, id, role, tenant, user};

#[tokio::test]
async fn what_a_group_has_counts_from_the_first_day_of_membership() {
    let world = World::new();
    let records = vec![
        role("a", &["a:use"], &[]).into(),
        Assignment::new(group("crew"), id("a")).into(),
        Membership::new(group("crew"), user("ada")).starting(at(10)).into(),
    ];
    write(&world, tenant(1), records).await;
    let has = async || {
        let all = world.engine.effective_permissions(tenant(1), &user("ada")).await.unwrap();
        all.permitted.len()
    };
    assert_eq!(has().await, 0);
    world.clock.set(at(10));
    assert_eq!(has().await, 1);
}

#[tokio::test]
async fn who_holds_a_role_on_some_resources_only_takes_nobodys_place() {
    let world = World::new();
    let records = vec![
        role("a", &["a:use"], &[]).into(),
        Assignment::new(user("ada"), id("a")).on("d/1".parse().unwrap()).into(),
        Assignment::new(user("abe"), id("a")).expiring(at(0)).into(),
        Assignment::new(user("bob"), id("a")).into(),
    ];
    write(&world, tenant(1), records).await;
    let holders = world.engine.holders(tenant(1), &id("a"), 1).await.unwrap();
    assert!(holders.complete);
    assert_eq!(holders.subjects, [user("bob")]);
}

#[tokio::test]
async fn a_session_of_somebody_who_is_switched_off_permits_nothing() {
    let directory = Arc::new(MemorySubjectDirectory::default());
    directory.put(tenant(1), user("ada"), SubjectProfile::default());
    let world = World::knowing(Arc::clone(&directory) as _);
    let session = Session::new("0192f0c1-2345-7abc-8def-000000000001".parse().unwrap(), user("ada"), at(100));
    let id_of = session.id;
    let records = vec![
        role("a", &["a:use"], &[]).into(),
        Assignment::new(user("ada"), id("a")).into(),
        session.with_active([id("a")]).into(),
    ];
    write(&world, tenant(1), records).await;
    let permits = async || world.engine.session_permissions(tenant(1), id_of).await.unwrap().permitted.len();
    assert_eq!(permits().await, 1);
    let mut off = SubjectProfile::default();
    off.active = false;
    directory.put(tenant(1), user("ada"), off);
    assert_eq!(permits().await, 0);
}

#[tokio::test]
async fn a_change_that_was_asked_about_in_just_as_many_tenants_as_may_be_says_nothing_of_it() {
    let limits = Limits { checked_tenants: 2, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() });
    world.put(PLATFORM, role("shared", &["x:y"], &[])).await;
    for (number, is_told) in [(1, false), (2, false), (3, true)] {
        world.assign(tenant(number), "ada", "shared").await;
        let made = role("shared", &[&format!("x:z{number}")], &[]);
        world.engine.put_role(&author(), PLATFORM, made, None).await.unwrap();
        let pending = world.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
        let details = serde_json::to_string(&pending.last().unwrap().event.details).unwrap();
        assert_eq!(details.contains("checked_tenants"), is_told, "{number} tenants: {details}");
    }
}
