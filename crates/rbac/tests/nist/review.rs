//! The functions that grant to roles, decide, and review (sections 6.1.1 to 6.1.4, and 6.2.3 and 6.2.4 where roles inherit).

use stanchion_core::SubjectRef;
use stanchion_rbac::{
    CheckRequest, Denial, EffectivePermission, Error, Grant, OverDenial, Permission, Resource,
};

use crate::world::{World, by, group, id, ids, permission, role, scope, system, text, user};

#[tokio::test]
async fn check_access_in_and_outside_a_session() {
    let world = World::new();
    world.roles(&["clerk", "cashier"]).await;
    world.assign(user("ada"), "clerk").await.unwrap();
    world.assign(user("ada"), "cashier").await.unwrap();
    let session = world.session("ada", &["clerk"]).await.unwrap();
    let in_session = async |subject: &str, what: &str| {
        let (subject, what) = (user(subject), permission(what));
        let mut request = CheckRequest::new(scope(), &subject, &what);
        request.session = Some(session);
        world.engine.check(&request).await.unwrap().allowed
    };
    assert!(world.check_access("ada", "clerk:use").await && world.check_access("ada", "cashier:use").await);
    assert!(in_session("ada", "clerk:use").await);
    assert!(!in_session("ada", "cashier:use").await, "a role that is not active permits nothing");
    assert!(!in_session("bob", "clerk:use").await, "a session is one subject's");
    world.engine.activate_role(&by("ada"), scope(), session, &id("cashier")).await.unwrap();
    assert!(in_session("ada", "cashier:use").await);
    world.engine.drop_role(&by("ada"), scope(), session, &id("clerk")).await.unwrap();
    assert!(!in_session("ada", "clerk:use").await);
    world.engine.delete_session(&by("ada"), scope(), session).await.unwrap().expect("was there");
    assert!(!in_session("ada", "cashier:use").await);
}

#[tokio::test]
async fn add_role_delete_role() {
    let world = World::new();
    world.roles(&["clerk"]).await;
    assert_eq!(world.role_permissions("clerk").await, ["clerk:use"]);
    world.engine.delete_role(&system(), scope(), &id("clerk"), None).await.unwrap().expect("was there");
    let gone = world.engine.role_permissions(scope(), &id("clerk")).await;
    assert_eq!(text(gone), "there is no role `clerk`");
}

#[tokio::test]
async fn grant_permission_revoke_permission_to_a_role() {
    let world = World::new();
    world.put(role("clerk", &["bill:read"], &[])).await.unwrap();
    world.assign(user("ada"), "clerk").await.unwrap();
    assert!(!world.check_access("ada", "bill:pay").await);
    world.put(role("clerk", &["bill:read", "bill:pay"], &[])).await.unwrap();
    assert!(world.check_access("ada", "bill:pay").await && world.check_access("ada", "bill:read").await);
    world.put(role("clerk", &["bill:pay"], &[])).await.unwrap();
    assert!(world.check_access("ada", "bill:pay").await && !world.check_access("ada", "bill:read").await);
}

#[tokio::test]
async fn assigned_roles_are_those_that_are_held_directly() {
    let world = World::new();
    world.roles(&["junior"]).await;
    world.put(role("senior", &[], &["junior"])).await.unwrap();
    world.assign(user("ada"), "senior").await.unwrap();
    assert_eq!(world.assigned_roles("ada").await, ["senior"]);
    assert_eq!(world.assigned_roles("bob").await, [] as [&str; 0]);
}

fn texts(all: &[EffectivePermission]) -> Vec<String> {
    let mut texts: Vec<String> = all
        .iter()
        .map(|one| {
            let role = one.role.as_ref().map_or("-", |role| role.as_str());
            format!("{role} {}{}", one.permission, if one.constrained { " if" } else { "" })
        })
        .collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn role_permissions_are_a_roles_own_and_inherited_ones() {
    let world = World::new();
    world.put(role("reader", &["bill:read"], &[])).await.unwrap();
    world.put(role("payer", &["bill:pay:team", "bill:*"], &["reader"])).await.unwrap();
    let narrow = role("narrow", &[], &["payer"]).reaching(stanchion_rbac::PermissionScope::Own);
    let narrow = narrow.with_excludes([permission("bill:read")]);
    let owner = stanchion_rbac::Constraint::new(stanchion_rbac::Rule::OwnerOnly);
    world.put(narrow.constrained(owner)).await.unwrap();
    let of = async |name: &str| texts(&world.engine.role_permissions(scope(), &id(name)).await.unwrap());
    assert_eq!(of("payer").await, ["payer bill:*", "payer bill:pay:team", "payer bill:read"]);
    assert_eq!(
        of("narrow").await,
        ["narrow bill:*:own if", "narrow bill:pay:own if", "narrow bill:read:own if"]
    );
    let all = world.engine.role_permissions(scope(), &id("narrow")).await.unwrap();
    let without: Vec<&[Permission]> = all.iter().map(|one| one.without.as_slice()).collect();
    assert!(without.contains(&[permission("bill:read")].as_slice()), "{all:?}");
}

#[tokio::test]
async fn user_permissions_are_those_of_roles_groups_and_grants() {
    let world = World::new();
    world.put(role("reader", &["bill:read"], &[])).await.unwrap();
    world.put(role("payer", &["bill:pay"], &["reader"])).await.unwrap();
    world.assign(user("ada"), "payer").await.unwrap();
    world.assign(group("staff"), "reader").await.unwrap();
    world.join(group("staff"), "ada").await.unwrap();
    let grant = Grant::new(user("ada"), permission("safe:open"));
    world.engine.grant(&system(), scope(), grant, OverDenial::Refuse).await.unwrap();
    world.engine.deny(&system(), scope(), Denial::new(user("ada"), permission("bill:*"))).await.unwrap();
    let found = world.engine.effective_permissions(scope(), &user("ada")).await.unwrap();
    assert_eq!(
        texts(&found.permitted),
        ["- safe:open", "payer bill:pay", "payer bill:read", "reader bill:read"]
    );
    assert_eq!(found.denied, [(permission("bill:*"), None)]);
    let nobody = world.engine.effective_permissions(scope(), &user("bob")).await.unwrap();
    assert!(nobody.permitted.is_empty() && nobody.denied.is_empty());
}

#[tokio::test]
async fn session_roles_session_permissions() {
    let world = World::new();
    world.put(role("reader", &["bill:read"], &[])).await.unwrap();
    world.put(role("payer", &["bill:pay"], &["reader"])).await.unwrap();
    let owner = stanchion_rbac::Constraint::new(stanchion_rbac::Rule::OwnerOnly);
    world.put(role("bound", &["note:read"], &["payer"]).constrained(owner)).await.unwrap();
    world.assign(user("ada"), "payer").await.unwrap();
    world.assign(user("bob"), "bound").await.unwrap();
    let session_roles =
        async |session| world.engine.session(scope(), session).await.unwrap().unwrap().value.active;
    let permissions =
        async |session| texts(&world.engine.session_permissions(scope(), session).await.unwrap().permitted);
    let made = world.session("ada", &["reader"]).await.unwrap();
    assert_eq!(session_roles(made).await, ids(&["reader"]));
    assert_eq!(permissions(made).await, ["payer bill:read"], "the payer lets her have it, and is not active");
    world.engine.activate_role(&by("ada"), scope(), made, &id("payer")).await.unwrap();
    assert_eq!(session_roles(made).await, ids(&["payer", "reader"]));
    assert_eq!(permissions(made).await, ["payer bill:pay", "payer bill:read"]);
    world.engine.revoke(&system(), scope(), &user("ada"), &id("payer")).await.unwrap().expect("was held");
    assert_eq!(permissions(made).await, [] as [&str; 0], "what is not held any more is of no use");
    let made = world.session("bob", &["payer"]).await.unwrap();
    assert_eq!(permissions(made).await, ["bound bill:pay if", "bound bill:read if"], "as he holds it");
    world.engine.delete_session(&by("bob"), scope(), made).await.unwrap().expect("was there");
    assert!(matches!(world.engine.session_permissions(scope(), made).await, Err(Error::UnknownSession(_))));
}

/// The operations of a registry, to ask about one by one.
const OPERATIONS: [&str; 3] = ["read", "pay", "burn"];

#[tokio::test]
async fn user_operations_on_object() {
    let world = World::new();
    world.put(role("reader", &["bill:read"], &[])).await.unwrap();
    world.put(role("owner", &["bill:*:own"], &["reader"])).await.unwrap();
    world.assign(user("ada"), "owner").await.unwrap();
    world
        .engine
        .deny(
            &system(),
            scope(),
            Denial::new(user("ada"), permission("bill:burn")).on("bill/7".parse().unwrap()),
        )
        .await
        .unwrap();
    let among = OPERATIONS.map(|operation| permission(&format!("bill:{operation}")));
    let operations = async |number: &str, owner: SubjectRef| -> Vec<String> {
        let object = Resource::new("bill".parse().unwrap(), number.to_owned()).owned_by(owner);
        let can = world.engine.what_can(scope(), &user("ada"), &among, Some(&object)).await.unwrap();
        can.iter().map(|(permission, _)| permission.action().to_owned()).collect()
    };
    assert_eq!(operations("1", user("ada")).await, ["read", "pay", "burn"]);
    assert_eq!(operations("7", user("ada")).await, ["read", "pay"]);
    assert_eq!(operations("1", user("bob")).await, ["read"]);
}

#[tokio::test]
async fn role_operations_on_object() {
    // What whoever held nothing but the role might do to it: the role is asked as one who holds it is.
    let world = World::new();
    world.put(role("reader", &["bill:read"], &[])).await.unwrap();
    world.put(role("owner", &["bill:pay:own"], &["reader"])).await.unwrap();
    world.assign(user("probe"), "owner").await.unwrap();
    let among = OPERATIONS.map(|operation| permission(&format!("bill:{operation}")));
    let operations = async |owner: SubjectRef| -> Vec<String> {
        let object = Resource::new("bill".parse().unwrap(), "1").owned_by(owner);
        let can = world.engine.what_can(scope(), &user("probe"), &among, Some(&object)).await.unwrap();
        can.iter().map(|(permission, _)| permission.action().to_owned()).collect()
    };
    assert_eq!(operations(user("probe")).await, ["read", "pay"]);
    assert_eq!(operations(user("bob")).await, ["read"]);
    let of_role = world.engine.role_permissions(scope(), &id("owner")).await.unwrap();
    let on_bills = of_role.iter().filter(|one| one.permission.resource() == "bill");
    let named: Vec<String> = on_bills.map(|one| one.permission.action().to_owned()).collect();
    assert_eq!(named, ["pay", "read"]);
}
