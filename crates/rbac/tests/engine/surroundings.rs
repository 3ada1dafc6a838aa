//! What an engine asks of others: who is known, what is known of resources, and what another replica has written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use stanchion_core::{ResourceRef, Revision, Scope, SeededRandom, StoreError};
use stanchion_rbac::{
    CheckRequest, Config, Denial, Engine, MemorySubjectDirectory, Reason, Resource, ResourceAttributes,
    SubjectProfile,
};

use crate::access::{document, held, world};
use crate::random::write;
use crate::world::{World, permission, role, tenant, user};

const HERE: u128 = 1;

#[tokio::test]
async fn whom_the_directory_does_not_know_or_has_switched_off_may_nothing() {
    let directory = Arc::new(MemorySubjectDirectory::default());
    let world = World::knowing(Arc::clone(&directory) as _);
    write(&world, tenant(HERE), vec![role("admin", &["*"], &[]).into(), held("alice", "admin")]).await;
    let reason = async || world.check(tenant(HERE), "alice", "document:read").await.reason;
    assert_eq!(reason().await, Reason::UnknownSubject);
    directory.put(tenant(HERE), user("alice"), SubjectProfile::default());
    assert_eq!(reason().await, Reason::Granted);
    let mut off = SubjectProfile::default();
    off.active = false;
    directory.put(tenant(HERE), user("alice"), off);
    assert_eq!(reason().await, Reason::InactiveSubject);
    directory.put(tenant(HERE), user("bob"), SubjectProfile::default());
    let bob = world.check(tenant(HERE), "bob", "document:read").await;
    assert_eq!(bob.reason, Reason::NoMatchingRole, "who is known and holds nothing is known");
}

#[derive(Debug, Default)]
struct Catalogue {
    known: BTreeMap<String, Resource>,
    loads: AtomicUsize,
}

#[async_trait]
impl ResourceAttributes for Catalogue {
    async fn load(&self, _: Scope, resource: &ResourceRef) -> Result<Option<Resource>, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(self.known.get(resource.id().as_str()).cloned())
    }
}

#[tokio::test]
async fn attributes_are_loaded_where_they_matter_and_nowhere_else() {
    let world = world(vec![
        role("client", &["document:read:own", "note:read"], &[]).into(),
        held("alice", "client"),
        role("admin", &["*"], &[]).into(),
        held("bob", "admin"),
        Denial::new(user("bob"), permission("document:read")).on("document/7".parse().unwrap()).into(),
    ])
    .await;
    let mut catalogue = Catalogue::default();
    catalogue.known.insert("1".into(), document("1").owned_by(user("alice")));
    catalogue.known.insert("2".into(), document("2").owned_by(user("bob")).inside(document("7")));
    let catalogue = Arc::new(catalogue);
    let engine = Engine::new(
        Arc::clone(&world.store) as _,
        Arc::clone(&world.clock) as _,
        Arc::new(SeededRandom::new(3)),
        crate::world::giving_freely(Config::default()),
    )
    .with_attributes(Arc::clone(&catalogue) as _);
    let ask = async |subject: &str, what: &str, number: &str| {
        let (subject, what, resource) = (user(subject), permission(what), document(number));
        let request = CheckRequest::new(tenant(HERE), &subject, &what).on(&resource);
        let decision = engine.check(&request).await.unwrap();
        (decision.reason, catalogue.loads.swap(0, Ordering::SeqCst))
    };
    assert_eq!(ask("alice", "document:read", "1").await, (Reason::Granted, 1));
    assert_eq!(ask("alice", "document:read", "2").await, (Reason::ReachTooNarrow, 1));
    assert_eq!(ask("alice", "document:read", "3").await, (Reason::AttributeMissing, 1));
    assert_eq!(ask("alice", "note:read", "1").await, (Reason::Granted, 0));
    assert_eq!(ask("bob", "document:read", "1").await, (Reason::Granted, 1), "it might lie in the seventh");
    assert_eq!(ask("bob", "document:read", "2").await, (Reason::DeniedExplicitly, 1), "and this one does");
    assert_eq!(ask("bob", "document:write", "2").await, (Reason::Granted, 0));
}

#[tokio::test]
async fn a_replica_reads_again_for_a_change_that_has_to_be_seen() {
    let world = World::new();
    world.put(tenant(HERE), role("viewer", &["document:read"], &[])).await;
    world.assign(tenant(HERE), "alice", "viewer").await;
    let other = world.replica();
    let (alice, read) = (user("alice"), permission("document:read"));
    let request = CheckRequest::new(tenant(HERE), &alice, &read);
    assert!(other.check(&request).await.unwrap().allowed);
    world.revoke(tenant(HERE), "alice", "viewer").await;
    assert!(other.check(&request).await.unwrap().allowed, "has not heard of it");
    let recent = request.at_least(Revision::from_number(3));
    assert_eq!(other.try_check(&recent), None);
    assert!(!other.check(&recent).await.unwrap().allowed);
    assert!(other.try_check(&recent).is_some());
    assert!(
        other.check(&request.at_least(Revision::from_number(9))).await.is_err(),
        "there is no such change"
    );
}
