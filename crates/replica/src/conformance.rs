//! The suite of [`OutboxStore`]: every adapter passes it, ours and yours.
//!
//! The factory returns the store and a function that commits events to it, as the adapter's record ports do.

#![expect(clippy::expect_used, reason = "a suite fails by panicking")]

use std::sync::Arc;

use stanchion_core::{
    Actor, BoxFuture, Category, Event, IdGen, Scope, SeededRandom, SystemScope, TenantId, Timestamp,
};

use crate::{Backlog, OutboxStore};

/// A store under test and the way events get into it.
#[derive(Clone)]
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn OutboxStore>,
    /// Commits events as one change.
    pub commit: Arc<dyn Fn(Vec<Event>) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture").field("store", &self.store).finish_non_exhaustive()
    }
}

const SYSTEM: SystemScope = SystemScope::new("conformance");

fn events(seed: u64, count: usize) -> Vec<Event> {
    let ids = SeededRandom::new(seed);
    let scope = Scope::Tenant(TenantId::from_uuid(ids.uuid(Timestamp::EPOCH)));
    let event = |_| {
        let id = ids.event_id(Timestamp::EPOCH);
        Event::new(id, Timestamp::EPOCH, scope, Actor::Anonymous, "test.happened", Category::System)
    };
    (0..count).map(event).collect()
}

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $fixture:ident => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($fixture: Fixture) $body)+

        /// Runs the suite of `OutboxStore`: `outbox_store_conformance!(mod memory_outbox_store, factory());`, where the factory is
        /// an expression that returns a future of a [`Fixture`](crate::conformance::Fixture).
        #[macro_export]
        macro_rules! outbox_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() { $crate::conformance::$case($dollar factory.await).await; })+
                }
            };
        }
    };
}

suite! { $
    /// An empty outbox has nothing pending.
    empty_has_nothing_pending: fixture => {
        assert!(fixture.store.pending(SYSTEM, 10).await.expect("reads").is_empty());
    }

    /// Events come in the order of their changes, as they were written.
    events_come_in_order: fixture => {
        let all = events(1, 7);
        for event in &all {
            (fixture.commit)(vec![event.clone()]).await;
        }
        let pending = fixture.store.pending(SYSTEM, 5).await.expect("reads");
        let read: Vec<Event> = pending.into_iter().map(|record| record.event).collect();
        assert_eq!(read, all.into_iter().take(5).collect::<Vec<_>>());
    }

    /// What is not acknowledged comes again.
    unacknowledged_comes_again: fixture => {
        (fixture.commit)(events(2, 3)).await;
        let first = fixture.store.pending(SYSTEM, 10).await.expect("reads");
        assert_eq!(fixture.store.pending(SYSTEM, 10).await.expect("reads"), first);
    }

    /// What is acknowledged is gone, and acknowledging twice does nothing.
    acknowledged_is_gone: fixture => {
        (fixture.commit)(events(3, 3)).await;
        let pending = fixture.store.pending(SYSTEM, 10).await.expect("reads");
        let done: Vec<u64> = pending.iter().take(2).map(|record| record.position).collect();
        fixture.store.acknowledge(SYSTEM, &done).await.expect("writes");
        fixture.store.acknowledge(SYSTEM, &done).await.expect("writes");
        let rest = fixture.store.pending(SYSTEM, 10).await.expect("reads");
        assert_eq!(rest, pending.into_iter().skip(2).collect::<Vec<_>>());
    }

    /// What is parked is pending no more and not lost; acknowledged, it is gone.
    parked_is_put_aside: fixture => {
        (fixture.commit)(events(4, 3)).await;
        let pending = fixture.store.pending(SYSTEM, 10).await.expect("reads");
        let poison = pending.first().expect("is there").position;
        fixture.store.park(SYSTEM, poison, "nobody can read it").await.expect("writes");
        fixture.store.park(SYSTEM, u64::MAX / 4, "never was").await.expect("writes");
        let rest = fixture.store.pending(SYSTEM, 10).await.expect("reads");
        assert_eq!(rest, pending.into_iter().skip(1).collect::<Vec<_>>());
        let backlog = fixture.store.backlog(SYSTEM).await.expect("reads");
        assert_eq!(backlog, Backlog { pending: 2, parked: 1 });
        fixture.store.acknowledge(SYSTEM, &[poison]).await.expect("writes");
        let backlog = fixture.store.backlog(SYSTEM).await.expect("reads");
        assert_eq!(backlog, Backlog { pending: 2, parked: 0 });
    }

    /// Concurrent commits lose nothing.
    concurrent_commits_lose_nothing: fixture => {
        let commits = (0..8).map(|seed| {
            let commit = std::sync::Arc::clone(&fixture.commit);
            async move {
                for event in events(100 + seed, 25) {
                    commit(vec![event]).await;
                }
            }
        });
        futures_util::future::join_all(commits).await;
        let pending = fixture.store.pending(SYSTEM, 1_000).await.expect("reads");
        let ids: std::collections::HashSet<_> = pending.iter().map(|record| record.event.id).collect();
        assert_eq!((pending.len(), ids.len()), (200, 200));
    }
}
