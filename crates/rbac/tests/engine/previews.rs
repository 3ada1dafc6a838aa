use stanchion_core::SubjectRef;
use stanchion_rbac::{Access, Assignment, Denial, Membership, Preview, RbacChange, RecordKey};

use crate::world::{World, id, permission, role, tenant, user};

fn texts(all: &[Access]) -> Vec<String> {
    let text = |access: &Access| {
        let on = access.resource.as_ref().map(|resource| format!(" on {resource}")).unwrap_or_default();
        format!("{} {}{on}{}", access.subject, access.permission, if access.conditional { " if" } else { "" })
    };
    all.iter().map(text).collect()
}

async fn world() -> World {
    let world = World::new();
    world.put(tenant(1), role("reader", &["x:read"], &[])).await;
    world.put(tenant(1), role("owner", &["x:write:own"], &["reader"])).await;
    world.assign(tenant(1), "alice", "reader").await;
    world
}

async fn shown(world: &World, changes: &[RbacChange]) -> Preview {
    let preview = world.engine.preview(tenant(1), changes, []).await.unwrap();
    assert!(preview.complete);
    preview
}

#[tokio::test]
async fn a_preview_tells_what_each_kind_of_change_gives_and_takes() {
    let world = world().await;
    let owner = RbacChange::put(Assignment::new(user("alice"), id("owner")));
    let preview = shown(&world, std::slice::from_ref(&owner)).await;
    assert_eq!((texts(&preview.gained), preview.lost), (vec!["user:alice x:write:own".to_owned()], vec![]));

    let narrower = RbacChange::put(role("reader", &["x:read:team"], &[]));
    let preview = shown(&world, &[narrower]).await;
    assert_eq!(texts(&preview.lost), ["user:alice x:read", "user:alice x:read:department"]);
    assert_eq!(preview.gained, []);

    let group: SubjectRef = "group:staff".parse().unwrap();
    let joins = RbacChange::put(Membership::new(group.clone(), user("bob")));
    let holds = RbacChange::put(Assignment::new(group, id("owner")).on("folder/7".parse().unwrap()));
    let preview = shown(&world, &[joins, holds]).await;
    let gained =
        ["", ":department", ":own", ":team"].map(|reach| format!("user:bob x:read{reach} on folder/7"));
    assert_eq!(texts(&preview.gained)[..4], gained);
    assert_eq!(texts(&preview.gained)[4..], ["user:bob x:write:own on folder/7"]);

    let denied = RbacChange::put(Denial::new(user("alice"), permission("x:read:own")));
    assert_eq!(texts(&shown(&world, &[denied]).await.lost), ["user:alice x:read:own"]);
    let (subject, role) = (user("alice"), id("reader"));
    let gone = RbacChange::Delete(RecordKey::Assignment { subject, role, resource: None });
    assert_eq!(shown(&world, &[gone]).await.lost.len(), 4);
    assert_eq!(shown(&world, &[owner]).await.gained.len(), 1, "nothing was written");
}
