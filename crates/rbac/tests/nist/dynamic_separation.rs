use stanchion_rbac::Duty;

use crate::world::{World, apart, by, id, role, scope, text, user};

#[tokio::test]
async fn create_session_and_add_active_role_keep_roles_apart_through_inclusion() {
    let world = World::new();
    world.roles(&["clerk", "approver"]).await;
    world.put(role("chief", &[], &["approver"])).await.unwrap();
    world.separate(apart("payments", Duty::Dynamic, &["clerk", "approver"])).await.unwrap();
    world.assign(user("ada"), "clerk").await.unwrap();
    world.assign(user("ada"), "chief").await.unwrap();
    let refused = world.session("ada", &["clerk", "chief"]).await;
    let apart = "separation `payments` allows 1 of its roles: the session of user:ada would have approver, clerk active";
    assert_eq!(text(refused), apart);
    let made = world.session("ada", &["clerk"]).await.unwrap();
    let activate = async || world.engine.activate_role(&by("ada"), scope(), made, &id("chief")).await;
    assert_eq!(text(activate().await), apart);
    world.engine.drop_role(&by("ada"), scope(), made, &id("clerk")).await.unwrap();
    activate().await.unwrap();
}

#[tokio::test]
async fn create_dsd_set_names_the_sessions_that_violate_it() {
    let world = World::new();
    world.roles(&["clerk", "approver"]).await;
    world.assign(user("ada"), "clerk").await.unwrap();
    world.assign(user("ada"), "approver").await.unwrap();
    world.session("ada", &["clerk", "approver"]).await.unwrap();
    let refused = world.separate(apart("payments", Duty::Dynamic, &["clerk", "approver"])).await;
    let names =
        "separation `payments` allows 1 of its roles: a session of user:ada has approver, clerk active";
    assert_eq!(text(refused), names);
}
