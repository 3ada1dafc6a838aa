use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stanchion_core::{Change, FeedEntry, Revision};
use stanchion_rbac::{Assignment, CheckRequest, Error, RbacChange, RbacStore, Reason};
use stanchion_replica::Follow;

use crate::world::{PLATFORM, World, at, author, check, id, permission, role, tenant, user};

#[tokio::test]
async fn a_check_reads_once_and_then_answers_at_once() {
    let world = World::new();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.assign(tenant(1), "alice", "a").await;
    world.store.by.reads();
    let (alice, what) = (user("alice"), permission("x:y"));
    let request = CheckRequest::new(tenant(1), &alice, &what);
    assert_eq!(world.engine.try_check(&request), None, "nothing has been read yet");
    assert!(world.engine.check(&request).await.unwrap().allowed);
    assert_eq!(world.store.by.reads(), (2, 1), "the platform's roles, the tenant's, and what alice holds");
    for _ in 0..10 {
        assert!(world.engine.try_check(&request).unwrap().allowed);
        assert!(!world.allows(tenant(1), "alice", "x:z").await);
    }
    assert!(!world.allows(tenant(1), "bob", "x:y").await);
    assert!(!world.allows(tenant(2), "bob", "x:y").await);
    assert_eq!(world.store.by.reads(), (1, 2), "bob twice, and another tenant's roles");
    assert!(!world.allows(tenant(2), "bob", "x:y").await);
    assert_eq!(world.store.by.reads(), (0, 0), "who holds nothing is remembered too");
}

#[tokio::test]
async fn own_writes_count_from_the_next_check_on() {
    let world = World::new();
    world.put(PLATFORM, role("base", &["x:base"], &[])).await;
    world.put(tenant(1), role("a", &["x:a"], &["base"])).await;
    assert!(!world.allows(tenant(1), "alice", "x:a").await);
    world.assign(tenant(1), "alice", "a").await;
    assert!(world.allows(tenant(1), "alice", "x:a").await);
    world.put(tenant(1), role("a", &["x:b"], &["base"])).await;
    assert!(!world.allows(tenant(1), "alice", "x:a").await);
    assert!(world.allows(tenant(1), "alice", "x:base").await);
    world.put(PLATFORM, role("base", &[], &[])).await;
    assert!(!world.allows(tenant(1), "alice", "x:base").await);
    assert!(world.allows(tenant(1), "alice", "x:b").await);
    world.revoke(tenant(1), "alice", "a").await;
    assert_eq!(world.check(tenant(1), "alice", "x:b").await.reason, Reason::UnknownSubject);
}

#[tokio::test]
async fn another_replica_sees_every_kind_of_change_once_it_has_caught_up() {
    let world = World::new();
    let other = world.replica();
    let mut follower = world.follower(&other);
    world.put(PLATFORM, role("base", &["x:base"], &[])).await;
    world.put(tenant(1), role("a", &["x:a"], &["base"])).await;
    world.assign(tenant(1), "alice", "a").await;
    world.assign(tenant(1), "alice", "base").await;
    follower.catch_up().await.unwrap();
    assert!(check(&other, tenant(1), "alice", "x:a").await.allowed);
    assert!(check(&other, tenant(1), "alice", "x:base").await.allowed);

    world.deny(tenant(1), "alice", "x:a").await;
    assert!(check(&other, tenant(1), "alice", "x:a").await.allowed, "has not heard of it");
    follower.catch_up().await.unwrap();
    assert_eq!(check(&other, tenant(1), "alice", "x:a").await.reason, Reason::DeniedExplicitly);
    world.engine.lift_denial(&author(), tenant(1), &user("alice"), &permission("x:a")).await.unwrap();
    follower.catch_up().await.unwrap();
    assert!(check(&other, tenant(1), "alice", "x:a").await.allowed);

    world.put(PLATFORM, role("base", &["x:more"], &[])).await;
    follower.catch_up().await.unwrap();
    assert!(!check(&other, tenant(1), "alice", "x:base").await.allowed);
    assert!(check(&other, tenant(1), "alice", "x:more").await.allowed);

    world.put(tenant(1), role("a", &["x:b"], &[])).await;
    follower.catch_up().await.unwrap();
    assert!(!check(&other, tenant(1), "alice", "x:a").await.allowed);
    assert!(check(&other, tenant(1), "alice", "x:b").await.allowed);

    world.revoke(tenant(1), "alice", "a").await;
    world.revoke(tenant(1), "alice", "base").await;
    assert!(check(&other, tenant(1), "alice", "x:b").await.allowed);
    follower.catch_up().await.unwrap();
    assert_eq!(check(&other, tenant(1), "alice", "x:b").await.reason, Reason::UnknownSubject);
}

#[tokio::test]
async fn only_what_has_changed_is_read_again() {
    let world = World::new();
    let other = world.replica();
    let mut follower = world.follower(&other);
    for scope in [tenant(1), tenant(2)] {
        world.put(scope, role("a", &["x:y"], &[])).await;
        world.assign(scope, "alice", "a").await;
        world.assign(scope, "bob", "a").await;
    }
    follower.catch_up().await.unwrap();
    let all = async || {
        for (scope, subject) in
            [(tenant(1), "alice"), (tenant(1), "bob"), (tenant(2), "alice"), (tenant(2), "bob")]
        {
            check(&other, scope, subject, "x:y").await;
        }
        world.store.by.reads()
    };
    all().await;
    world.revoke(tenant(1), "bob", "a").await;
    follower.catch_up().await.unwrap();
    world.store.by.reads();
    assert_eq!(all().await, (0, 1), "bob in the first tenant");
    world.put(tenant(2), role("a", &["x:z"], &[])).await;
    follower.catch_up().await.unwrap();
    world.store.by.reads();
    assert_eq!(all().await, (1, 0), "the roles of the second tenant; who holds them is known");
    world.put(PLATFORM, role("base", &[], &[])).await;
    follower.catch_up().await.unwrap();
    world.store.by.reads();
    assert_eq!(all().await, (1, 0), "the roles of the platform alone");
}

#[tokio::test]
async fn changes_that_are_known_already_are_passed_over() {
    let world = World::new();
    let mut follower = world.follower(&world.engine);
    follower.catch_up().await.unwrap();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.assign(tenant(1), "alice", "a").await;
    assert!(world.allows(tenant(1), "alice", "x:y").await);
    world.store.by.reads();
    follower.catch_up().await.unwrap();
    assert!(world.allows(tenant(1), "alice", "x:y").await);
    assert_eq!(
        world.store.by.reads(),
        (1, 0),
        "what alice holds was its own write; roles are read again whoever wrote them"
    );
}

#[tokio::test]
async fn a_key_that_is_not_understood_makes_the_scope_be_read_again() {
    let world = World::new();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.assign(tenant(1), "alice", "a").await;
    world.allows(tenant(1), "alice", "x:y").await;
    world.allows(tenant(2), "alice", "x:y").await;
    for key in ["grant:7", "subject:alice", "subject", ""] {
        world.store.by.reads();
        let entry =
            FeedEntry { scope: tenant(1), revision: Revision::from_number(99), keys: vec![key.into()] };
        world.engine.changed(&[entry]).await.unwrap();
        world.allows(tenant(1), "alice", "x:y").await;
        world.allows(tenant(2), "alice", "x:y").await;
        assert_eq!(world.store.by.reads(), (1, 1), "{key:?}");
    }
    world.engine.reset().await.unwrap();
    world.allows(tenant(1), "alice", "x:y").await;
    world.allows(tenant(2), "alice", "x:y").await;
    assert_eq!(world.store.by.reads(), (3, 2));
}

#[tokio::test]
async fn without_a_follower_what_is_in_memory_is_read_again_in_time() {
    let world = World::new();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.assign(tenant(1), "alice", "a").await;
    assert!(world.allows(tenant(1), "alice", "x:y").await);
    // Somebody else's write, which nobody tells this engine of.
    let other = world.replica();
    other.revoke(&author(), tenant(1), &user("alice"), &id("a")).await.unwrap();
    world.advance(59);
    assert!(world.allows(tenant(1), "alice", "x:y").await);
    world.advance(1);
    assert!(!world.allows(tenant(1), "alice", "x:y").await);
}

#[tokio::test]
async fn nothing_in_memory_is_older_than_stated_whatever_it_was_put_together_from() {
    let world = World::new();
    let other = world.replica();
    world.put(PLATFORM, role("base", &["x:base"], &[])).await;
    world.put(tenant(1), role("a", &["x:a"], &[])).await;
    for (subject, name) in [("alice", "base"), ("bob", "a"), ("carol", "a")] {
        world.assign(tenant(1), subject, name).await;
    }
    // The roles of the platform are read now, those of the tenant later, what bob holds later still.
    check(&other, tenant(2), "alice", "x:base").await;
    world.advance(20);
    check(&other, tenant(1), "carol", "x:a").await;
    world.put(PLATFORM, role("base", &[], &[])).await;
    world.put(tenant(1), role("a", &[], &[])).await;
    world.advance(39);
    assert!(check(&other, tenant(1), "alice", "x:base").await.allowed);
    assert!(check(&other, tenant(1), "bob", "x:a").await.allowed);
    world.advance(1);
    assert!(!check(&other, tenant(1), "alice", "x:base").await.allowed, "the platform's roles are 60 s old");
    assert!(
        !check(&other, tenant(1), "bob", "x:a").await.allowed,
        "and a view goes with the oldest of its parts"
    );
}

#[tokio::test]
async fn roles_that_come_and_go_do_not_change_places_with_those_that_are_held() {
    let world = World::new();
    world.put(tenant(1), role("m", &["x:m"], &[])).await;
    world.put(PLATFORM, role("p", &["x:p"], &[])).await;
    world.assign(tenant(1), "alice", "m").await;
    world.assign(tenant(1), "alice", "p").await;
    let allowed = async || {
        let mut allowed = Vec::new();
        for what in ["x:a", "x:m", "x:p", "x:z"] {
            if world.allows(tenant(1), "alice", what).await {
                allowed.push(what);
            }
        }
        allowed
    };
    assert_eq!(allowed().await, ["x:m", "x:p"]);
    world.put(tenant(1), role("a", &["x:a"], &[])).await;
    assert_eq!(allowed().await, ["x:m", "x:p"]);
    world.put(PLATFORM, role("b", &["x:z"], &[])).await;
    assert_eq!(allowed().await, ["x:m", "x:p"]);
    world.engine.delete_role(&author(), tenant(1), &id("a"), None).await.unwrap();
    world.engine.delete_role(&author(), PLATFORM, &id("b"), None).await.unwrap();
    assert_eq!(allowed().await, ["x:m", "x:p"]);
}

#[tokio::test]
async fn whoever_is_not_asked_about_does_not_keep_old_roles_in_memory() {
    let world = World::new();
    for number in 0..100 {
        check(&world.engine, tenant(1), &format!("user-{number}"), "x:y").await;
    }
    assert_eq!(world.engine.in_memory().1, 100);
    for _ in 0..64 {
        world.put(tenant(1), role("a", &["x:y"], &[])).await;
    }
    assert_eq!(world.engine.in_memory().1, 0);
}

#[tokio::test]
async fn a_followed_memory_outlives_an_outage_by_the_stated_time_and_no_longer() {
    let world = World::new();
    let mut follower = world.follower(&world.engine);
    follower.catch_up().await.unwrap();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.assign(tenant(1), "alice", "a").await;
    follower.catch_up().await.unwrap();
    assert!(world.allows(tenant(1), "alice", "x:y").await);
    world.store.by.reads();
    for _ in 0..5 {
        world.advance(50);
        follower.catch_up().await.unwrap();
        assert!(world.allows(tenant(1), "alice", "x:y").await);
    }
    assert_eq!(world.store.by.reads(), (0, 0), "nothing expires while it is followed");

    world.store.by.down.store(true, Ordering::SeqCst);
    world.advance(59);
    follower.catch_up().await.unwrap_err();
    assert!(world.allows(tenant(1), "alice", "x:y").await, "serves on");
    world.clock.advance(Duration::from_secs(1));
    let (alice, what) = (user("alice"), permission("x:y"));
    let request = CheckRequest::new(tenant(1), &alice, &what);
    assert_eq!(world.engine.try_check(&request), None);
    assert!(matches!(world.engine.check(&request).await, Err(Error::Store(_))), "and then no longer");
    world.store.by.down.store(false, Ordering::SeqCst);
    assert!(world.allows(tenant(1), "alice", "x:y").await);
}

#[tokio::test]
async fn a_write_whose_caller_goes_away_counts_all_the_same() {
    let world = World::new();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.assign(tenant(1), "alice", "a").await;
    assert!(world.allows(tenant(1), "alice", "x:y").await);
    world.store.by.mute.store(true, Ordering::SeqCst);
    let engine = Arc::clone(&world.engine);
    let revoke =
        tokio::spawn(async move { engine.revoke(&author(), tenant(1), &user("alice"), &id("a")).await });
    world.store.by.written.notified().await;
    revoke.abort();
    revoke.await.unwrap_err();
    assert!(!world.allows(tenant(1), "alice", "x:y").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_check_that_begins_after_a_revocation_is_still_permitted() {
    let world = World::new();
    world.put(PLATFORM, role("base", &["x:base"], &[])).await;
    world.put(tenant(1), role("a", &["x:y"], &["base"])).await;
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let engine = Arc::clone(&world.engine);
            tokio::spawn(async move {
                let (alice, what) = (user("alice"), permission("x:y"));
                loop {
                    engine.check(&CheckRequest::new(tenant(1), &alice, &what)).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for turn in 0..300 {
        world.assign(tenant(1), "alice", "a").await;
        assert!(world.allows_now("x:y").await && world.allows_now("x:base").await);
        match turn % 3 {
            0 => {
                world.revoke(tenant(1), "alice", "a").await;
                assert!(!world.allows_now("x:y").await);
            }
            1 => {
                world.put(tenant(1), role("a", &[], &[])).await;
                assert!(!world.allows_now("x:y").await);
                world.put(tenant(1), role("a", &["x:y"], &["base"])).await;
            }
            _ => {
                world.put(PLATFORM, role("base", &[], &[])).await;
                assert!(!world.allows_now("x:base").await);
                world.put(PLATFORM, role("base", &["x:base"], &[])).await;
            }
        }
    }
    busy.iter().for_each(tokio::task::JoinHandle::abort);
}

impl World {
    /// As `allows`, while others change what is in memory.
    async fn allows_now(&self, what: &str) -> bool {
        let (alice, what) = (user("alice"), permission(what));
        self.engine.check(&CheckRequest::new(tenant(1), &alice, &what)).await.unwrap().allowed
    }
}

#[tokio::test]
async fn a_subject_that_is_read_before_its_roles_is_found_in_them_later() {
    // What a subject holds may be newer than the roles in memory: here the role comes into being unheard of.
    let world = World::new();
    assert!(!world.allows(tenant(1), "bob", "x:y").await);
    let change = Change {
        expected: Revision::ZERO,
        changes: vec![
            RbacChange::put(role("new", &["x:y"], &[])),
            RbacChange::put(Assignment::new(user("alice"), id("new"))),
        ],
        at: at(0),
        actor: author().actor,
        events: Vec::new(),
    };
    world.store.apply(tenant(1), change).await.unwrap();
    assert_eq!(world.check(tenant(1), "alice", "x:y").await.reason, Reason::NoMatchingRole);
    let entry = FeedEntry {
        scope: tenant(1),
        revision: Revision::from_number(1),
        keys: vec!["role:new".into(), "subject:user:alice".into()],
    };
    world.engine.changed(&[entry]).await.unwrap();
    assert!(world.allows(tenant(1), "alice", "x:y").await);
}

#[tokio::test]
async fn roles_read_anew_for_one_subject_do_not_hide_a_change_from_another() {
    let world = World::new();
    world.put(tenant(1), role("a", &["x:y"], &[])).await;
    world.assign(tenant(1), "alice", "a").await;
    world.assign(tenant(1), "bob", "a").await;
    let other = world.replica_with(stanchion_rbac::Config { cached_scopes: 16, ..Default::default() });
    let mut follower = world.follower(&other);
    follower.catch_up().await.unwrap();
    assert!(check(&other, tenant(1), "alice", "x:y").await.allowed);
    world.put(tenant(1), role("a", &[], &[])).await;
    // So many tenants that the roles fall out of memory, and are read again for bob before the change is followed.
    for number in 2..200 {
        check(&other, tenant(number), "alice", "x:y").await;
    }
    assert!(!check(&other, tenant(1), "bob", "x:y").await.allowed);
    follower.catch_up().await.unwrap();
    assert!(!check(&other, tenant(1), "alice", "x:y").await.allowed);
}

#[tokio::test]
async fn memory_is_bounded_and_old_roles_are_let_go() {
    let config = stanchion_rbac::Config { cached_scopes: 16, cached_subjects: 64, ..Default::default() };
    let world = World::with(config);
    for number in 0..1_000 {
        world.put(tenant(number % 40), role("a", &["x:y"], &[])).await;
        let subject = format!("user-{number}");
        world
            .engine
            .check(&CheckRequest::new(tenant(number % 40), &user(&subject), &permission("x:y")))
            .await
            .unwrap();
    }
    let (scopes, subjects) = world.engine.in_memory();
    assert!((1..=16).contains(&scopes) && (1..=64).contains(&subjects), "{scopes} {subjects}");
}
