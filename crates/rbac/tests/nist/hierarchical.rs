use stanchion_rbac::Error;

use crate::world::{World, at, group, id, ids, role, scope, system, text, user};

#[tokio::test]
async fn add_inheritance_delete_inheritance() {
    let world = World::new();
    world.roles(&["junior", "senior"]).await;
    world.assign(user("ada"), "senior").await.unwrap();
    assert!(!world.check_access("ada", "junior:use").await);
    world.put(role("senior", &["senior:use"], &["junior"])).await.unwrap();
    assert!(world.check_access("ada", "junior:use").await && world.check_access("ada", "senior:use").await);
    assert_eq!(world.role_permissions("senior").await, ["junior:use", "senior:use"]);
    assert_eq!(world.role_permissions("junior").await, ["junior:use"], "not the other way round");
    // The standard asks that the one does not inherit from the other already.
    assert!(matches!(world.put(role("junior", &[], &["senior"])).await, Err(Error::Cycle { .. })));
    world.put(role("senior", &["senior:use"], &[])).await.unwrap();
    assert!(!world.check_access("ada", "junior:use").await);
    world.put(role("junior", &[], &["senior"])).await.unwrap();
}

#[tokio::test]
async fn delete_inheritance_leaves_what_comes_another_way() {
    // The standard: the transitive relation is what the immediate ones that are left make.
    let world = World::new();
    world.roles(&["bottom"]).await;
    world.put(role("left", &[], &["bottom"])).await.unwrap();
    world.put(role("right", &[], &["bottom"])).await.unwrap();
    world.put(role("top", &[], &["left", "right"])).await.unwrap();
    world.assign(user("ada"), "top").await.unwrap();
    world.put(role("left", &[], &[])).await.unwrap();
    assert!(world.check_access("ada", "bottom:use").await, "by the right");
    world.put(role("right", &[], &[])).await.unwrap();
    assert!(!world.check_access("ada", "bottom:use").await);
}

#[tokio::test]
async fn add_ascendant_add_descendant() {
    let world = World::new();
    world.roles(&["middle"]).await;
    // An ascendant is a new senior of a role that is there, a descendant a new junior of it.
    world.put(role("above", &["above:use"], &["middle"])).await.unwrap();
    let early = world.put(role("middle", &["middle:use"], &["below"])).await;
    assert!(matches!(early, Err(Error::UnknownInclude { .. })));
    world.roles(&["below"]).await;
    world.put(role("middle", &["middle:use"], &["below"])).await.unwrap();
    assert_eq!(world.role_permissions("above").await, ["above:use", "below:use", "middle:use"]);
    assert_eq!(world.role_permissions("below").await, ["below:use"]);
    let in_use = world.engine.delete_role(&system(), scope(), &id("below"), None).await;
    assert_eq!(text(in_use), "role `below` is in use: included by middle");
}

#[tokio::test]
async fn authorized_users_authorized_roles() {
    let world = World::new();
    world.roles(&["junior"]).await;
    world.put(role("senior", &[], &["junior"])).await.unwrap();
    world.assign(user("ada"), "senior").await.unwrap();
    world.assign(user("bob"), "junior").await.unwrap();
    world.assign(group("staff"), "senior").await.unwrap();
    world.join(group("staff"), "cid").await.unwrap();
    world.give(user("eve"), "senior", at(10), None).await;
    world.give(user("fay"), "junior", at(0), Some(at(5))).await;
    let authorized = async |name: &str| -> Vec<String> {
        let found = world.engine.holders(scope(), &id(name), 100).await.unwrap();
        assert!(found.complete);
        found.subjects.iter().map(ToString::to_string).collect()
    };
    assert_eq!(authorized("junior").await, ["user:ada", "user:bob", "user:cid", "user:fay"]);
    assert_eq!(authorized("senior").await, ["user:ada", "user:cid"]);
    world.clock.set(at(10));
    assert_eq!(authorized("junior").await, ["user:ada", "user:bob", "user:cid", "user:eve"]);
    let some = world.engine.holders(scope(), &id("junior"), 2).await.unwrap();
    assert!(some.subjects.len() <= 2 && !some.complete);
    assert_eq!(text(world.engine.holders(scope(), &id("ghost"), 9).await), "there is no role `ghost`");
    for (name, roles) in [
        ("ada", vec!["junior", "senior"]),
        ("bob", vec!["junior"]),
        ("cid", vec!["junior", "senior"]),
        ("fay", vec![]),
    ] {
        assert_eq!(world.engine.roles_of(scope(), &user(name)).await.unwrap(), ids(&roles), "{name}");
    }
}

#[tokio::test]
async fn prerequisites_and_cardinality_count_what_is_included_and_groups() {
    let world = World::new();
    world.roles(&["engineer"]).await;
    world.put(role("lead", &[], &[]).requiring(ids(&["engineer"])).held_by_at_most(1)).await.unwrap();
    world.put(role("director", &[], &["lead"])).await.unwrap();
    let missing = "role `lead` requires `engineer`, which user:ada does not hold: assign `engineer` first";
    assert_eq!(text(world.assign(user("ada"), "director").await), missing);
    world.join(group("tech"), "ada").await.unwrap();
    world.join(group("tech"), "bob").await.unwrap();
    world.assign(group("tech"), "engineer").await.unwrap();
    world.assign(user("ada"), "director").await.unwrap();
    let many = text(world.assign(user("bob"), "lead").await);
    assert_eq!(many, "role `lead` may be held by 1 at most, and 2 would hold it: user:ada, user:bob");
    assert!(matches!(world.assign(group("tech"), "lead").await, Err(Error::TooManyHolders { .. })));
}
