//! The functions on sets of roles that are kept apart (sections 6.3.1, 6.3.2, 6.4.1 and 6.4.3). The cardinality *n* of the standard
//! forbids *n* roles together; ours allows `at_most`, one less.

use std::collections::BTreeMap;

use stanchion_rbac::{Duty, Error, Separation};

use crate::world::{World, apart, id, role, scope, system, text, user};

const BOTH: [Duty; 2] = [Duty::Static, Duty::Dynamic];

/// SsdRoleSets, SsdRoleSetRoles and SsdRoleSetCardinality, or those of dynamic sets: by name the roles and how many are allowed.
async fn sets(world: &World, duty: Duty) -> BTreeMap<String, (Vec<String>, u32)> {
    let page = stanchion_core::PageRequest::default();
    let all = stanchion_rbac::RecordFilter::all(stanchion_rbac::RecordKind::Separation);
    let found = world.engine.list::<Separation>(scope(), &all, &page).await.unwrap().items;
    let of = found.into_iter().map(|set| set.value).filter(|set| set.duty == duty);
    of.map(|set| (set.id.to_string(), (set.roles.iter().map(ToString::to_string).collect(), set.at_most)))
        .collect()
}

fn set(roles: &[&str], at_most: u32) -> (Vec<String>, u32) {
    (roles.iter().map(|role| (*role).to_owned()).collect(), at_most)
}

/// Whether somebody may have these roles together: be assigned them, or have them active in one session.
async fn together(world: &World, duty: Duty, who: &str, roles: &[&str]) -> bool {
    for role in roles {
        match world.assign(user(who), role).await {
            Ok(()) => {}
            Err(Error::Separated { .. }) => return false,
            Err(error) => panic!("{error}"),
        }
    }
    match duty {
        Duty::Static => true,
        _ => match world.session(who, roles).await {
            Ok(_) => true,
            Err(Error::Separated { .. }) => false,
            Err(error) => panic!("{error}"),
        },
    }
}

#[tokio::test]
async fn create_set_delete_set_and_the_sets() {
    for duty in BOTH {
        let world = World::new();
        world.roles(&["a", "b", "c"]).await;
        assert!(sets(&world, duty).await.is_empty());
        world.separate(apart("one", duty, &["a", "b"])).await.unwrap();
        world.separate(apart("two", duty, &["b", "c"])).await.unwrap();
        let found = sets(&world, duty).await;
        let expected = [("one".to_owned(), set(&["a", "b"], 1)), ("two".to_owned(), set(&["b", "c"], 1))];
        assert_eq!(found, BTreeMap::from(expected));
        let other = if duty == Duty::Static { Duty::Dynamic } else { Duty::Static };
        assert!(sets(&world, other).await.is_empty(), "each has its own");
        assert!(together(&world, duty, "ada", &["a", "c"]).await);
        assert!(!together(&world, duty, "bob", &["a", "b"]).await);
        let delete = async |name: &str| {
            world.engine.delete_separation(&system(), scope(), &name.parse().unwrap()).await.unwrap()
        };
        assert!(delete("one").await.is_some() && delete("one").await.is_none());
        assert!(together(&world, duty, "cid", &["a", "b"]).await);
        assert!(!together(&world, duty, "dan", &["b", "c"]).await, "the other stands");
    }
}

#[tokio::test]
async fn add_role_member_delete_role_member() {
    for duty in BOTH {
        let world = World::new();
        world.roles(&["a", "b", "c"]).await;
        world.separate(apart("set", duty, &["a", "b"])).await.unwrap();
        assert!(together(&world, duty, "ada", &["a", "c"]).await);
        let wider = world.separate(apart("set", duty, &["a", "b", "c"])).await;
        assert!(matches!(wider, Err(Error::Separated { .. })), "she has both");
        world.engine.revoke(&system(), scope(), &user("ada"), &id("c")).await.unwrap();
        for session in world.engine.sessions_of(scope(), &user("ada")).await.unwrap() {
            world.engine.delete_session(&system(), scope(), session.value.id).await.unwrap();
        }
        world.separate(apart("set", duty, &["a", "b", "c"])).await.unwrap();
        assert_eq!(sets(&world, duty).await["set"], set(&["a", "b", "c"], 1));
        assert!(!together(&world, duty, "bob", &["a", "c"]).await);
        world.separate(apart("set", duty, &["a", "b"])).await.unwrap();
        assert!(together(&world, duty, "cid", &["a", "c"]).await);
        assert!(!together(&world, duty, "dan", &["a", "b"]).await);
        let narrow = text(world.separate(apart("set", duty, &["a"])).await);
        assert_eq!(narrow, "`roles` of separation `set` names two roles or more");
    }
}

#[tokio::test]
async fn set_cardinality() {
    for duty in BOTH {
        let world = World::new();
        world.roles(&["a", "b", "c"]).await;
        let of = |at_most| apart("set", duty, &["a", "b", "c"]).allowing(at_most);
        world.separate(of(2)).await.unwrap();
        assert!(together(&world, duty, "ada", &["a", "b"]).await);
        assert!(!together(&world, duty, "bob", &["a", "b", "c"]).await);
        let lower = world.separate(of(1)).await;
        assert!(matches!(lower, Err(Error::Separated { at_most: 1, .. })), "ada has two");
        for at_most in [0, 3, 4] {
            let rule = "`at_most` of separation `set` is at least 1 and less than the number of its roles";
            assert_eq!(text(world.separate(of(at_most)).await), rule);
        }
        assert_eq!(sets(&world, duty).await["set"].1, 2);
    }
}

#[tokio::test]
async fn sets_count_what_is_inherited() {
    for duty in BOTH {
        let world = World::new();
        world.roles(&["a", "b"]).await;
        world.put(role("senior", &[], &["a"])).await.unwrap();
        world.separate(apart("set", duty, &["a", "b"])).await.unwrap();
        assert!(!together(&world, duty, "ada", &["senior", "b"]).await);
        world.put(role("senior", &[], &[])).await.unwrap();
        assert!(together(&world, duty, "bob", &["senior", "b"]).await);
    }
}

#[tokio::test]
async fn deassign_user_and_drop_active_role_make_room() {
    let world = World::new();
    world.roles(&["a", "b"]).await;
    world.separate(apart("set", Duty::Static, &["a", "b"])).await.unwrap();
    world.assign(user("ada"), "a").await.unwrap();
    assert!(world.assign(user("ada"), "b").await.is_err());
    world.engine.revoke(&system(), scope(), &user("ada"), &id("a")).await.unwrap();
    world.assign(user("ada"), "b").await.unwrap();
}
