//! The cases that need several tasks at once.

#![expect(clippy::disallowed_methods, reason = "a race needs tasks of its own, and the suite waits for them")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stanchion_core::{Revision, StoreError, StoreErrorKind};

use super::Fixture;
use super::fixture::{assign, change, id, put_role, tenant, user};
use crate::{RbacChange, RbacStore, RecordKey, RoleId};

pub(super) async fn concurrent_changes_lose_nothing(fixture: &Fixture) {
    let write = |store: Arc<dyn RbacStore>, writer: u32| async move {
        for number in 0..10 {
            loop {
                let revision = store.load(tenant(1)).await?.revision.number();
                let parts = vec![assign("alice", &format!("role-{writer}-{number}")), put_role("last")];
                match store.apply(tenant(1), change(revision, 0, parts)).await {
                    Err(error) if error.kind() == StoreErrorKind::Conflict => tokio::task::yield_now().await,
                    other => {
                        other?;
                        break;
                    }
                }
            }
        }
        Ok::<(), StoreError>(())
    };
    let writers: Vec<_> =
        (0..8).map(|writer| tokio::spawn(write(Arc::clone(&fixture.store), writer))).collect();
    for writer in writers {
        writer.await.expect("ends").expect("writes");
    }
    assert_eq!(fixture.revision(tenant(1)).await, 80);
    assert_eq!(fixture.held(tenant(1), "alice").await.len(), 80);
    let last = fixture.store.get_role(tenant(1), &id("last")).await.expect("reads").expect("is there");
    assert_eq!(last.revision.number(), 80);
}

pub(super) async fn one_of_many_wins(fixture: &Fixture) {
    const WRITERS: usize = 3;
    for revision in 0..100 {
        let ready = Arc::new(AtomicUsize::new(0));
        let tries: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, ready) = (Arc::clone(&fixture.store), Arc::clone(&ready));
                let part = assign(&format!("user-{revision}"), &format!("role-{writer}"));
                tokio::spawn(async move {
                    // Each has a thread, and none begins before all of them can: so their writes meet.
                    ready.fetch_add(1, Ordering::SeqCst);
                    while ready.load(Ordering::SeqCst) < WRITERS {
                        std::hint::spin_loop();
                    }
                    store.apply(tenant(1), change(revision, 0, vec![part])).await
                })
            })
            .collect();
        let mut written = 0;
        for one in tries {
            match one.await.expect("ends") {
                Ok(made) => {
                    assert_eq!(made.number(), revision + 1);
                    written += 1;
                }
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
            }
        }
        assert_eq!(written, 1, "writers at revision {revision}");
        assert_eq!(fixture.held(tenant(1), &format!("user-{revision}")).await.len(), 1);
    }
}

pub(super) async fn a_change_is_seen_whole(fixture: &Fixture) {
    let write = |store: Arc<dyn RbacStore>| async move {
        for revision in 0..60 {
            let name = if revision % 2 == 0 { "even" } else { "odd" };
            let other = if revision % 2 == 0 { "odd" } else { "even" };
            let parts = vec![
                RbacChange::Delete(RecordKey::Role(id(other))),
                RbacChange::Delete(RecordKey::Assignment {
                    subject: user("alice"),
                    role: id(other),
                    resource: None,
                }),
                put_role(name),
                assign("alice", name),
            ];
            store.apply(tenant(1), change(revision, 0, parts)).await?;
        }
        Ok::<(), StoreError>(())
    };
    let writer = tokio::spawn(write(Arc::clone(&fixture.store)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let store = Arc::clone(&fixture.store);
            tokio::spawn(async move {
                let mut last = 0;
                while last < 60 {
                    let snapshot = store.load(tenant(1)).await.expect("reads");
                    let records = store.subject(tenant(1), &user("alice")).await.expect("reads");
                    let expected = |revision: Revision| match revision.number() {
                        0 => BTreeSet::new(),
                        number if number % 2 == 1 => BTreeSet::from([id("even")]),
                        _ => BTreeSet::from([id("odd")]),
                    };
                    let roles: BTreeSet<RoleId> =
                        snapshot.roles.into_iter().map(|role| role.value.id).collect();
                    let held = records.assignments.into_iter().map(|held| held.value.role);
                    assert_eq!(roles, expected(snapshot.revision));
                    assert_eq!(held.collect::<BTreeSet<RoleId>>(), expected(records.revision));
                    assert!(snapshot.revision.number() >= last, "time does not run backwards");
                    assert!(records.revision >= snapshot.revision, "a later read sees no less");
                    last = records.revision.number();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    writer.await.expect("ends").expect("writes");
    for reader in readers {
        reader.await.expect("ends");
    }
}
