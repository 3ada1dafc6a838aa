//! Two replicas at once: each kind of refusal holds whoever comes first.

use std::future::Future;
use std::sync::Arc;

use stanchion_core::Author;
use stanchion_rbac::{
    Approval, Assignment, Config, Denial, Duty, Emergency, Engine, Error, Grant, Guards, Limits, Membership,
    OverDenial, Separation,
};

use crate::random::group;
use crate::world::{World, author, id, permission, role, tenant, user};

const TURNS: usize = 25;

fn with(change: impl FnOnce(&mut Config)) -> World {
    let guards = Guards { last_administrator: false, ..Guards::default() };
    let mut config = Config { guards, ..Config::default() };
    change(&mut config);
    World::with(config)
}

/// Does both at once, on two engines over one store.
async fn both<A, B, OneFuture, OtherFuture>(
    world: &World,
    config: &Config,
    one: impl FnOnce(Arc<Engine>) -> OneFuture,
    other: impl FnOnce(Arc<Engine>) -> OtherFuture,
) -> (Result<A, Error>, Result<B, Error>)
where
    A: Send + 'static,
    B: Send + 'static,
    OneFuture: Future<Output = Result<A, Error>> + Send + 'static,
    OtherFuture: Future<Output = Result<B, Error>> + Send + 'static,
{
    let there = world.replica_with(config.clone());
    let one = tokio::spawn(one(Arc::clone(&world.engine)));
    let other = tokio::spawn(other(there));
    (one.await.unwrap(), other.await.unwrap())
}

fn system() -> Author {
    Author::system("test")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_grant_and_the_denial_of_it() {
    for _ in 0..TURNS {
        let world = with(|_| {});
        let grant = |engine: Arc<Engine>| async move {
            let grant = Grant::new(user("alice"), permission("x:y"));
            engine.grant(&author(), tenant(1), grant, OverDenial::Refuse).await
        };
        let deny = |engine: Arc<Engine>| async move {
            engine.deny(&author(), tenant(1), Denial::new(user("alice"), permission("x:*"))).await
        };
        match both(&world, &Config::default(), grant, deny).await {
            // Denied after it was granted, it is denied.
            (Ok(granted), Ok(denied)) => assert!(granted.revision < denied.revision),
            (Err(Error::DenialStands { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_approval_is_given_once() {
    let emergency = Emergency { max_minutes: 30, second_approver: true };
    for _ in 0..TURNS {
        let world = with(|config| config.emergency = emergency.clone());
        let grant =
            Grant::new(user("alice"), permission("x:y")).because("fire".parse().unwrap()).in_emergency();
        world.engine.grant(&author(), tenant(1), grant, OverDenial::Refuse).await.unwrap();
        let approve = |engine: Arc<Engine>| async move {
            engine.approve_grant(&system(), tenant(1), &user("alice"), &permission("x:y"), None).await
        };
        match both(&world, &Config { emergency: emergency.clone(), ..Config::default() }, approve, approve)
            .await
        {
            (Ok(made), Err(Error::NothingToApprove { .. }))
            | (Err(Error::NothingToApprove { .. }), Ok(made)) => {
                assert!(matches!(made.value.emergency, Some(Approval::Given(_))));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn roles_apart_come_not_together_by_a_group() {
    for _ in 0..TURNS {
        let world = with(|_| {});
        for name in ["clerk", "approver"] {
            world.put(tenant(1), role(name, &[&format!("{name}:use")], &[])).await;
        }
        world.give(tenant(1), Assignment::new(group("bosses"), id("approver"))).await;
        let roles = [id("clerk"), id("approver")];
        let apart = Separation::new("p".parse().unwrap(), "P".parse().unwrap(), Duty::Static, roles);
        world.engine.put_separation(&author(), tenant(1), apart).await.unwrap();
        let assign = |engine: Arc<Engine>| async move {
            engine.assign(&author(), tenant(1), Assignment::new(user("alice"), id("clerk"))).await
        };
        let join = |engine: Arc<Engine>| async move {
            engine.add_member(&author(), tenant(1), Membership::new(group("bosses"), user("alice"))).await
        };
        match both(&world, &Config::default(), assign, join).await {
            (Ok(_), Err(Error::Separated { .. })) | (Err(Error::Separated { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn roles_are_not_kept_apart_while_they_come_together() {
    for _ in 0..TURNS {
        let world = with(|_| {});
        for name in ["clerk", "approver"] {
            world.put(tenant(1), role(name, &[&format!("{name}:use")], &[])).await;
        }
        world.assign(tenant(1), "alice", "clerk").await;
        let separate = |engine: Arc<Engine>| async move {
            let roles = [id("clerk"), id("approver")];
            let apart = Separation::new("p".parse().unwrap(), "P".parse().unwrap(), Duty::Static, roles);
            engine.put_separation(&author(), tenant(1), apart).await
        };
        let assign = |engine: Arc<Engine>| async move {
            engine.assign(&author(), tenant(1), Assignment::new(user("alice"), id("approver"))).await
        };
        match both(&world, &Config::default(), separate, assign).await {
            (Ok(_), Err(Error::Separated { .. })) | (Err(Error::Separated { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_role_is_not_kept_apart_while_it_is_deleted() {
    for _ in 0..TURNS {
        let world = with(|_| {});
        for name in ["clerk", "approver"] {
            world.put(tenant(1), role(name, &[], &[])).await;
        }
        let separate = |engine: Arc<Engine>| async move {
            let roles = [id("clerk"), id("approver")];
            let apart = Separation::new("p".parse().unwrap(), "P".parse().unwrap(), Duty::Dynamic, roles);
            engine.put_separation(&author(), tenant(1), apart).await
        };
        let delete = |engine: Arc<Engine>| async move {
            engine.delete_role(&author(), tenant(1), &id("clerk"), None).await
        };
        match both(&world, &Config::default(), separate, delete).await {
            (Ok(_), Err(Error::RoleInUse { .. })) | (Err(Error::UnknownRole(_)), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_role_for_few_is_held_by_few() {
    for _ in 0..TURNS {
        let world = with(|_| {});
        world.put(tenant(1), role("few", &["x:y"], &[]).held_by_at_most(1)).await;
        let assign = |subject: &'static str| {
            move |engine: Arc<Engine>| async move {
                engine.assign(&author(), tenant(1), Assignment::new(user(subject), id("few"))).await
            }
        };
        match both(&world, &Config::default(), assign("alice"), assign("bob")).await {
            (Ok(_), Err(Error::TooManyHolders { .. })) | (Err(Error::TooManyHolders { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_administrators_do_not_depose_each_other() {
    for _ in 0..TURNS {
        let world = World::with(Config::default());
        world.put(tenant(1), role("admin", &["*"], &[])).await;
        world.assign(tenant(1), "alice", "admin").await;
        world.assign(tenant(1), "bob", "admin").await;
        let revoke = |subject: &'static str| {
            move |engine: Arc<Engine>| async move {
                engine.revoke(&author(), tenant(1), &user(subject), &id("admin")).await
            }
        };
        match both(&world, &Config::default(), revoke("alice"), revoke("bob")).await {
            (Ok(_), Err(Error::LastAdministrator { .. })) | (Err(Error::LastAdministrator { .. }), Ok(_)) => {
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_grants_and_sessions_keep_their_limits() {
    let limits = Limits { members: 1, grants: 1, sessions: 1, ..Limits::default() };
    let config = Config { limits: limits.clone(), ..Config::default() };
    for _ in 0..TURNS {
        let world = with(|config| config.limits = limits.clone());
        let join = |subject: &'static str| {
            move |engine: Arc<Engine>| async move {
                engine.add_member(&author(), tenant(1), Membership::new(group("g"), user(subject))).await
            }
        };
        match both(&world, &config, join("alice"), join("bob")).await {
            (Ok(_), Err(Error::TooMany { .. })) | (Err(Error::TooMany { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
        let grant = |what: &'static str| {
            move |engine: Arc<Engine>| async move {
                let grant = Grant::new(user("alice"), permission(what));
                engine.grant(&author(), tenant(1), grant, OverDenial::Refuse).await
            }
        };
        match both(&world, &config, grant("x:y"), grant("x:z")).await {
            (Ok(_), Err(Error::TooMany { .. })) | (Err(Error::TooMany { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
        let begin = |engine: Arc<Engine>| async move {
            engine.create_session(&author(), tenant(1), &user("alice"), [].into(), None).await
        };
        match both(&world, &config, begin, begin).await {
            (Ok(_), Err(Error::TooMany { .. })) | (Err(Error::TooMany { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_has_no_role_that_is_taken_away_meanwhile() {
    for _ in 0..TURNS {
        let world = with(|_| {});
        world.put(tenant(1), role("clerk", &["x:y"], &[])).await;
        world.assign(tenant(1), "alice", "clerk").await;
        let begin = |engine: Arc<Engine>| async move {
            engine.create_session(&author(), tenant(1), &user("alice"), [id("clerk")].into(), None).await
        };
        let revoke = |engine: Arc<Engine>| async move {
            engine.revoke(&author(), tenant(1), &user("alice"), &id("clerk")).await
        };
        match both(&world, &Config::default(), begin, revoke).await {
            (Ok(begun), Ok(_)) => assert_eq!(begun.revision.number(), 3, "before it was revoked"),
            (Err(Error::RoleNotHeld { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn roles_of_one_session_come_not_together_by_two() {
    for _ in 0..TURNS {
        let world = with(|_| {});
        for name in ["clerk", "approver"] {
            world.put(tenant(1), role(name, &["x:y"], &[])).await;
            world.assign(tenant(1), "alice", name).await;
        }
        let roles = [id("clerk"), id("approver")];
        let apart = Separation::new("p".parse().unwrap(), "P".parse().unwrap(), Duty::Dynamic, roles);
        world.engine.put_separation(&author(), tenant(1), apart).await.unwrap();
        let made = world.engine.create_session(&author(), tenant(1), &user("alice"), [].into(), None).await;
        let session = made.unwrap().value.id;
        let activate = |name: &'static str| {
            move |engine: Arc<Engine>| async move {
                engine.activate_role(&author(), tenant(1), session, &id(name)).await
            }
        };
        match both(&world, &Config::default(), activate("clerk"), activate("approver")).await {
            (Ok(_), Err(Error::Separated { .. })) | (Err(Error::Separated { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}
