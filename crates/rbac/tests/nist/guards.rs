use stanchion_rbac::{Assignment, Config, Denial, Error, Grant, OverDenial};

use crate::world::{World, at, by, group, id, permission, role, scope, system, text, user};

fn guarded() -> World {
    World::with(Config::default())
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have_and_nobody_gives_it_to_themselves() {
    let world = guarded();
    world.put(role("reader", &["report:read"], &[])).await.unwrap();
    world.put(role("writer", &["report:write"], &["reader"])).await.unwrap();
    world.put(role("granter", &["role:grant"], &[])).await.unwrap();
    world.assign(user("ada"), "reader").await.unwrap();
    let give = async |author: &str, subject: &str, name: &str| {
        let assignment = Assignment::new(user(subject), id(name));
        world.engine.assign(&by(author), scope(), assignment).await
    };
    give("ada", "bob", "reader").await.unwrap();
    let refused = text(give("ada", "bob", "writer").await);
    assert!(refused.starts_with("user:ada does not have `report:write"), "{refused}");
    world.assign(user("ada"), "granter").await.unwrap();
    give("ada", "bob", "writer").await.unwrap();
    let refused = text(give("ada", "ada", "writer").await);
    assert!(refused.ends_with("to itself: let somebody else do it"), "{refused}");
    let grant = Grant::new(user("ada"), permission("report:write"));
    let refused = world.engine.grant(&by("ada"), scope(), grant, OverDenial::Refuse).await;
    assert!(matches!(refused, Err(Error::SelfElevation { to_self: true, .. })));
    let wider = role("reader", &["report:read", "report:burn"], &[]);
    let refused = world.engine.put_role(&by("ada"), scope(), wider, None).await;
    assert!(matches!(refused, Err(Error::SelfElevation { to_self: true, .. })));
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let world = World::new();
    world.put(role("admin", &["*"], &[])).await.unwrap();
    world.assign(user("ada"), "admin").await.unwrap();
    let last = "user:ada is the last administrator of ";
    let revoke = async || world.engine.revoke(&system(), scope(), &user("ada"), &id("admin")).await;
    assert!(text(revoke().await).starts_with(last));
    let denial = Denial::new(user("ada"), permission("*"));
    assert!(text(world.engine.deny(&system(), scope(), denial).await).starts_with(last));
    assert!(text(world.put(role("admin", &["report:read"], &[])).await).starts_with(last));
    let shorter = Assignment::new(user("ada"), id("admin")).expiring(at(60));
    assert!(text(world.engine.assign(&system(), scope(), shorter).await).starts_with(last));
    world.join(group("bosses"), "bob").await.unwrap();
    world.assign(group("bosses"), "admin").await.unwrap();
    revoke().await.unwrap().expect("was held");
    let left = world.engine.remove_member(&system(), scope(), &group("bosses"), &user("bob")).await;
    assert!(text(left).starts_with("user:bob is the last administrator of "));
}
