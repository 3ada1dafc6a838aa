//! Who may give what, at the edges of the guards.

use stanchion_core::{Actor, Author, KeyId};
use stanchion_rbac::{
    Assignment, Config, Emergency, Error, Grant, Guards, Limits, Membership, OverDenial, Role,
};

use crate::random::group;
use crate::world::{World, at, author, id, permission, role, tenant, user};

fn by(name: &str, key: Option<KeyId>) -> Author {
    let method = stanchion_core::AuthenticationMethod::ApiKey;
    Author { actor: Actor::Subject { subject: user(name), method, key }, ..author() }
}

async fn put(world: &World, made: Role) {
    world.engine.put_role(&Author::system("test"), tenant(1), made, None).await.unwrap();
}

async fn give(world: &World, author: &Author, held: Assignment) -> Result<(), Error> {
    world.engine.assign(author, tenant(1), held).await.map(drop)
}

fn held(subject: &str, role: &str) -> Assignment {
    Assignment::new(user(subject), id(role))
}

#[tokio::test]
async fn who_has_it_everywhere_may_give_it_somewhere_and_half_a_power_is_none() {
    let guards = Guards { last_administrator: false, ..Guards::default() };
    let world = World::guarded(Config { guards, ..Config::default() });
    for made in [
        role("reader", &["x:read"], &[]),
        role("burner", &["x:burn"], &[]),
        role("near-granter", &["role:grant:own"], &[]),
        role("granter", &["role:grant"], &[]),
    ] {
        put(&world, made).await;
    }
    let system = Author::system("test");
    give(&world, &system, held("bob", "reader")).await.unwrap();
    give(&world, &system, held("dan", "near-granter")).await.unwrap();
    give(&world, &system, held("eve", "granter")).await.unwrap();
    give(&world, &by("bob", None), held("cid", "reader").on("d/1".parse().unwrap())).await.unwrap();
    let refused = give(&world, &by("dan", None), held("cid", "burner")).await;
    assert!(matches!(refused, Err(Error::SelfElevation { to_self: false, .. })), "{refused:?}");
    give(&world, &by("eve", None), held("cid", "burner")).await.unwrap();
}

#[tokio::test]
async fn who_has_a_part_of_what_makes_an_administrator_is_none() {
    let administrative = ["role:write", "user:write"].map(permission).to_vec();
    let guards = Guards { administrative, ..Guards::default() };
    let world = World::with(Config { guards, ..Config::default() });
    world.put(tenant(1), role("admin", &["*"], &[])).await;
    world.put(tenant(1), role("half", &["role:*"], &[])).await;
    world.put(tenant(1), role("other-half", &["user:write"], &[])).await;
    world.assign(tenant(1), "ada", "admin").await;
    world.assign(tenant(1), "bob", "half").await;
    let revoke = async || world.engine.revoke(&author(), tenant(1), &user("ada"), &id("admin")).await;
    assert!(matches!(revoke().await, Err(Error::LastAdministrator { .. })));
    world.assign(tenant(1), "bob", "other-half").await;
    revoke().await.expect("bob has both now");
}

#[tokio::test]
async fn nobody_approves_what_they_granted_with_another_key() {
    let emergency = Emergency { max_minutes: 30, second_approver: true };
    let world = World::with(Config { emergency, ..Config::default() });
    let key = |digit: u8| Some(format!("0192f0c1-2345-7abc-8def-00000000000{digit}").parse().unwrap());
    let fire =
        Grant::new(user("cid"), permission("safe:open")).because("fire".parse().unwrap()).in_emergency();
    let fire = fire.expiring(at(60));
    world.engine.grant(&by("eve", key(1)), tenant(1), fire, OverDenial::Refuse).await.unwrap();
    let approve = async |author: &Author| {
        world.engine.approve_grant(author, tenant(1), &user("cid"), &permission("safe:open"), None).await
    };
    let refused = approve(&by("eve", key(2))).await.unwrap_err();
    assert!(refused.to_string().contains("granted it"), "{refused}");
    approve(&by("fay", key(3))).await.unwrap();
}

#[tokio::test]
async fn a_group_has_no_more_members_than_it_may() {
    let limits = Limits { members: 2, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() });
    let join = async |name: &str| {
        let member = Membership::new(group("crew"), user(name));
        world.engine.add_member(&author(), tenant(1), member).await
    };
    join("ada").await.unwrap();
    join("bob").await.unwrap();
    assert!(matches!(join("cid").await, Err(Error::TooMany { .. })));
    join("bob").await.expect("is one of them already");
}
