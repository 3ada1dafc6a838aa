use std::sync::Arc;

use stanchion_rbac::{Assignment, Duty, Error, Membership};

use crate::world::{World, apart, at, group, id, role, scope, system, text, user};

async fn kept_apart() -> World {
    let world = World::new();
    world.roles(&["clerk", "approver"]).await;
    world.put(role("chief", &[], &["approver"])).await.unwrap();
    world.separate(apart("payments", Duty::Static, &["clerk", "approver"])).await.unwrap();
    world
}

const ADA: &str = "separation `payments` allows 1 of its roles: user:ada would have approver, clerk";

#[tokio::test]
async fn create_ssd_set_and_set_cardinality_refuse_what_they_cannot_mean() {
    let world = kept_apart().await;
    let refused = world.separate(apart("x", Duty::Static, &["clerk"])).await;
    assert_eq!(text(refused), "`roles` of separation `x` names two roles or more");
    let refused = world.separate(apart("x", Duty::Static, &["clerk", "approver"]).allowing(2)).await;
    let rule = "`at_most` of separation `x` is at least 1 and less than the number of its roles";
    assert_eq!(text(refused), rule);
    let refused = world.separate(apart("x", Duty::Static, &["clerk", "ghost"])).await;
    assert_eq!(text(refused), "there is no role `ghost`");
}

#[tokio::test]
async fn assign_user_is_refused_through_inclusion_and_in_the_future() {
    let world = kept_apart().await;
    world.assign(user("ada"), "clerk").await.unwrap();
    assert_eq!(text(world.assign(user("ada"), "chief").await), ADA);
    let later = Assignment::new(user("ada"), id("approver")).starting(at(1_000));
    assert_eq!(text(world.engine.assign(&system(), scope(), later).await), ADA);
}

#[tokio::test]
async fn groups_bring_no_roles_together() {
    let world = kept_apart().await;
    world.assign(user("ada"), "clerk").await.unwrap();
    world.assign(group("bosses"), "chief").await.unwrap();
    assert_eq!(text(world.join(group("bosses"), "ada").await), ADA);
    world.join(group("all"), "ada").await.unwrap();
    assert_eq!(text(world.assign(group("all"), "approver").await), ADA);
    let inner = Membership::new(group("all"), group("bosses"));
    let nested = world.engine.add_member(&system(), scope(), inner).await;
    assert_eq!(text(nested), "a group cannot belong to a group; add its members instead");
}

#[tokio::test]
async fn add_inheritance_is_refused_within_a_role_and_for_who_holds_it() {
    let world = kept_apart().await;
    world.roles(&["guest"]).await;
    let refused = world.put(role("guest", &[], &["clerk", "approver"])).await;
    let within = "separation `payments` allows 1 of its roles: role guest would have approver, clerk";
    assert_eq!(text(refused), within);
    world.assign(user("ada"), "clerk").await.unwrap();
    world.assign(user("ada"), "guest").await.unwrap();
    assert_eq!(text(world.put(role("guest", &[], &["approver"])).await), ADA);
}

#[tokio::test]
async fn add_ssd_role_member_names_who_violates_it_and_delete_ssd_set_lets_it_be() {
    let world = World::new();
    world.roles(&["clerk", "approver"]).await;
    for name in ["ada", "bob", "cid", "dan", "eve", "fay", "gus"] {
        world.assign(user(name), "clerk").await.unwrap();
        world.assign(user(name), "approver").await.unwrap();
    }
    let refused = text(world.separate(apart("payments", Duty::Static, &["clerk", "approver"])).await);
    assert!(refused.starts_with(ADA) && refused.ends_with("; and 2 more"), "{refused}");
    let world = kept_apart().await;
    world.assign(user("ada"), "clerk").await.unwrap();
    let payments = "payments".parse().unwrap();
    world.engine.delete_separation(&system(), scope(), &payments).await.unwrap().expect("was there");
    world.assign(user("ada"), "approver").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_administrators_at_once_one_wins() {
    for _ in 0..50 {
        let world = kept_apart().await;
        let give = |name: &'static str| {
            let engine = Arc::clone(&world.engine);
            tokio::spawn(async move {
                engine.assign(&system(), scope(), Assignment::new(user("ada"), id(name))).await.map(drop)
            })
        };
        let (one, other) = (give("clerk"), give("approver"));
        let outcomes = [one.await.unwrap(), other.await.unwrap()];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Separated { .. }))));
    }
}
