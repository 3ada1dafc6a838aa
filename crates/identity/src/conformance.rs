//! The suite of [`KeyStore`](crate::KeyStore): every adapter passes it, ours and yours.
//!
//! The factory returns an empty store, and the outbox that its changes fill.

#![expect(clippy::expect_used, reason = "a suite fails by panicking")]

use std::sync::Arc;

use stanchion_core::{KeyId, PageRequest, Revision, Scope, SeededRandom, StoreErrorKind, Versioned};

pub use self::fixture::Fixture;
use self::fixture::{SYSTEM, at, everything, generation, key, puts, rotated, tenant};
use crate::{ApiKey, Generation, KeyHash, KeyStatus};

mod fixture;
mod model;

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $fixture:ident => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($fixture: Fixture) $body)+

        /// Runs the suite of `KeyStore`: `key_store_conformance!(mod memory_key_store, factory());`, where the factory is an expression
        /// that returns a future of a [`Fixture`](crate::conformance::Fixture) whose store is empty.
        #[macro_export]
        macro_rules! key_store_conformance {
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
    /// An empty scope is at revision zero and finds nothing.
    empty_is_at_revision_zero: fixture => {
        let random = SeededRandom::new(1);
        for scope in [Scope::Platform, tenant(&random)] {
            let key = key(&random, scope, 0);
            assert_eq!(fixture.revision(scope).await, 0);
            assert_eq!(fixture.get(scope, key.id).await, None);
            assert_eq!(fixture.find(&[key.current.hash]).await, None);
            assert_eq!(everything(&*fixture.store, scope, 10).await, []);
        }
        assert_eq!(fixture.find(&[]).await, None);
    }

    /// A key is read back as it was written, with whatever can be in it.
    reads_back_what_was_written: fixture => {
        let random = SeededRandom::new(2);
        for scope in [Scope::Platform, tenant(&random)] {
            let plain = key(&random, scope, 0);
            let full = ApiKey {
                subject: "user:alice@example.com".parse().expect("a subject"),
                environment: "test1".parse().expect("an environment"),
                expires_at: Some(at(1_000)),
                status: KeyStatus::Revoked { at: at(7) },
                cidrs: ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"].map(|net| net.parse().expect("a network")).into(),
                ..rotated(&random, &key(&random, scope, 1), 3)
            };
            assert_eq!(fixture.put(scope, 0, 9, &[&plain, &full]).await, Ok(1));
            for key in [plain, full] {
                let expected = Versioned::created(key, Revision::from_number(1), at(9));
                let (id, hash) = (expected.value.id, expected.value.current.hash);
                assert_eq!(fixture.get(scope, id).await, Some(expected.clone()));
                assert_eq!(fixture.store.find(SYSTEM, &[hash]).await.expect("reads"), Some(expected));
            }
            assert_eq!(fixture.revision(scope).await, 1);
        }
    }

    /// A replaced key keeps the time of its first write; others keep their revision.
    replacing_keeps_the_first_time: fixture => {
        let random = SeededRandom::new(3);
        let scope = tenant(&random);
        let (first, other) = (key(&random, scope, 0), key(&random, scope, 0));
        fixture.put(scope, 0, 1, &[&first, &other]).await.expect("writes");
        let changed = rotated(&random, &first, 5);
        assert_eq!(fixture.put(scope, 1, 5, &[&changed]).await, Ok(2));
        let before = Versioned::created(first, Revision::from_number(1), at(1));
        let after = before.replaced(changed, Revision::from_number(2), at(5));
        assert_eq!(fixture.get(scope, after.value.id).await, Some(after));
        assert_eq!(fixture.get(scope, other.id).await.expect("is there").revision.number(), 1);
    }

    /// A change against another revision than the scope's is a conflict and leaves no trace.
    a_stale_change_leaves_no_trace: fixture => {
        let random = SeededRandom::new(4);
        let scope = tenant(&random);
        let (first, other) = (key(&random, scope, 0), key(&random, scope, 0));
        fixture.put(scope, 0, 1, &[&first]).await.expect("writes");
        let replaced = rotated(&random, &first, 2);
        let thief = ApiKey { current: first.current.clone(), ..other.clone() };
        for expected in [0, 2, 7] {
            for keys in [[&other, &replaced], [&other, &thief]] {
                assert_eq!(fixture.put(scope, expected, 2, &keys).await, Err(StoreErrorKind::Conflict), "{expected}");
            }
        }
        assert_eq!((fixture.revision(scope).await, fixture.events().await), (1, 1));
        assert_eq!(fixture.get(scope, other.id).await, None);
        assert_eq!(fixture.find(&[other.current.hash, replaced.current.hash]).await, None);
        assert_eq!(fixture.find(&[first.current.hash]).await, Some(first));
    }

    /// Scopes neither see nor count each other's keys.
    scopes_are_apart: fixture => {
        let random = SeededRandom::new(5);
        let scopes = [Scope::Platform, tenant(&random), tenant(&random)];
        let keys = scopes.map(|scope| key(&random, scope, 0));
        for (scope, key) in scopes.iter().zip(&keys) {
            assert_eq!(fixture.put(*scope, 0, 1, &[key]).await, Ok(1), "each scope has a revision of its own");
        }
        for scope in scopes {
            for key in &keys {
                let found = fixture.get(scope, key.id).await.map(|key| key.value);
                assert_eq!(found.as_ref(), (key.scope == scope).then_some(key));
            }
            let listed = everything(&*fixture.store, scope, 10).await;
            assert!(listed.iter().map(|key| &key.value).eq(keys.iter().filter(|key| key.scope == scope)));
        }
    }

    /// A change cannot write a key into a scope that it does not name.
    a_key_of_another_scope_is_refused: fixture => {
        let random = SeededRandom::new(6);
        let (here, there) = (tenant(&random), tenant(&random));
        let (own, foreign) = (key(&random, here, 0), key(&random, there, 0));
        assert_eq!(fixture.put(here, 0, 1, &[&own, &foreign]).await, Err(StoreErrorKind::Internal));
        assert_eq!((fixture.revision(here).await, fixture.revision(there).await), (0, 0));
        assert_eq!(fixture.find(&[own.current.hash, foreign.current.hash]).await, None);
    }

    /// A key is found by each of its secrets, in whatever scope, and by none that it has no more.
    a_key_is_found_by_each_of_its_secrets: fixture => {
        let random = SeededRandom::new(7);
        let scope = tenant(&random);
        let first = key(&random, scope, 0);
        let second = rotated(&random, &first, 1);
        let third = rotated(&random, &second, 2);
        for (expected, key) in (0..).zip([&first, &second, &third]) {
            fixture.put(scope, expected, 3, &[key]).await.expect("writes");
        }
        assert_eq!(fixture.find(&[third.current.hash]).await, Some(third.clone()));
        assert_eq!(fixture.find(&[second.current.hash]).await, Some(third));
        assert_eq!(fixture.find(&[first.current.hash]).await, None);
        // The same bytes under another version of the pepper are another hash.
        let other_pepper = KeyHash::from_parts(1, *second.current.hash.digest());
        assert_eq!(fixture.find(&[other_pepper]).await, None);
    }

    /// Of several hashes the first that is known counts.
    the_first_known_hash_counts: fixture => {
        let random = SeededRandom::new(8);
        let keys = [key(&random, tenant(&random), 0), key(&random, Scope::Platform, 0)];
        for key in &keys {
            fixture.put(key.scope, 0, 1, &[key]).await.expect("writes");
        }
        let [a, b] = keys;
        let unknown = generation(&random, 1, 0).hash;
        assert_eq!(fixture.find(&[unknown, a.current.hash]).await.as_ref(), Some(&a));
        assert_eq!(fixture.find(&[a.current.hash, b.current.hash]).await, Some(a.clone()));
        assert_eq!(fixture.find(&[b.current.hash, a.current.hash]).await, Some(b));
    }

    /// What was revoked or has expired is found as what it is.
    dead_keys_are_found_as_dead: fixture => {
        let random = SeededRandom::new(9);
        let scope = tenant(&random);
        let (revoked, expired) = (key(&random, scope, 0), key(&random, scope, 0));
        fixture.put(scope, 0, 1, &[&revoked]).await.expect("writes");
        let revoked = ApiKey { status: KeyStatus::Revoked { at: at(2) }, ..revoked };
        let expired = ApiKey { expires_at: Some(at(-1_000)), ..expired };
        fixture.put(scope, 1, 2, &[&revoked, &expired]).await.expect("writes");
        assert_eq!(fixture.find(&[revoked.current.hash]).await, Some(revoked));
        assert_eq!(fixture.find(&[expired.current.hash]).await, Some(expired));
    }

    /// A hash that another key has, in whatever scope, is refused, and nothing of the change is written.
    a_taken_hash_is_refused_whole: fixture => {
        let random = SeededRandom::new(10);
        let (here, there) = (tenant(&random), tenant(&random));
        let victim = rotated(&random, &key(&random, here, 0), 1);
        fixture.put(here, 0, 1, &[&victim]).await.expect("writes");
        for hash in victim.generations().map(|generation| generation.hash).collect::<Vec<_>>() {
            for scope in [here, there] {
                let (innocent, mut thief) = (key(&random, scope, 0), key(&random, scope, 0));
                thief.current.hash = hash;
                let expected = fixture.revision(scope).await;
                let refused = fixture.put(scope, expected, 2, &[&innocent, &thief]).await;
                assert_eq!(refused, Err(StoreErrorKind::AlreadyExists));
                assert_eq!(fixture.revision(scope).await, expected);
                assert_eq!(fixture.find(&[innocent.current.hash]).await, None);
            }
            assert_eq!(fixture.find(&[hash]).await.as_ref(), Some(&victim));
        }
        assert_eq!(fixture.events().await, 1);
    }

    /// Writes of one change are checked against those before them; a hash that is dropped is free.
    a_dropped_hash_is_free: fixture => {
        let random = SeededRandom::new(11);
        let scope = tenant(&random);
        let first = key(&random, scope, 0);
        let heir = ApiKey { current: first.current.clone(), ..key(&random, scope, 1) };
        assert_eq!(fixture.put(scope, 0, 1, &[&first, &heir]).await, Err(StoreErrorKind::AlreadyExists));
        let replaced = ApiKey { current: generation(&random, 2, 1), ..first.clone() };
        assert_eq!(fixture.put(scope, 0, 1, &[&first, &replaced, &heir]).await, Ok(1));
        assert_eq!(fixture.find(&[first.current.hash]).await, Some(heir));
        assert_eq!(fixture.find(&[replaced.current.hash]).await, Some(replaced.clone()));

        let again = ApiKey { current: generation(&random, 3, 2), ..replaced.clone() };
        assert_eq!(fixture.put(scope, 1, 2, &[&again]).await, Ok(2));
        assert_eq!(fixture.find(&[replaced.current.hash]).await, None);
        let elsewhere = ApiKey { current: replaced.current, ..key(&random, Scope::Platform, 2) };
        assert_eq!(fixture.put(Scope::Platform, 0, 2, &[&elsewhere]).await, Ok(1));
        assert_eq!(fixture.find(&[elsewhere.current.hash]).await, Some(elsewhere));
    }

    /// The list is in the order of the ids and its pages cover it once.
    pages_cover_the_list_once: fixture => {
        let random = SeededRandom::new(12);
        let scope = tenant(&random);
        let mut keys: Vec<ApiKey> = [5, 1, 4, 2, 3, 0, 6].into_iter().map(|second| key(&random, scope, second)).collect();
        fixture.put(scope, 0, 9, &keys.iter().collect::<Vec<_>>()).await.expect("writes");
        keys.sort_by_key(|key| key.id);
        for limit in [1, 3, 7, 10] {
            let listed = everything(&*fixture.store, scope, limit).await;
            assert!(listed.iter().map(|key| &key.value).eq(keys.iter()), "pages of {limit}");
        }
        let nonsense = PageRequest::first(10).after("nonsense");
        let error = fixture.store.list(scope, &nonsense).await.expect_err("is no page key");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }

    /// The events of a change are in the outbox, in order, and only theirs.
    events_are_committed_with_their_change: fixture => {
        let random = SeededRandom::new(13);
        let scope = tenant(&random);
        let (a, b) = (key(&random, scope, 0), key(&random, scope, 0));
        let changes = [puts(0, 1, &[&a, &b]), puts(1, 2, &[&b])];
        let expected: Vec<_> = changes.iter().flat_map(|change| change.events.clone()).collect();
        for change in changes {
            fixture.store.apply(scope, change).await.expect("writes");
        }
        let pending = fixture.outbox.pending(SYSTEM, 10).await.expect("reads");
        assert_eq!(pending.into_iter().map(|record| record.event).collect::<Vec<_>>(), expected);
    }

    /// The feed begins at the present, names what each change wrote and where, and leaves none out between two pages.
    the_feed_names_what_changed: fixture => {
        let random = SeededRandom::new(14);
        let scope = tenant(&random);
        let (a, b, platform) = (key(&random, scope, 0), key(&random, scope, 0), key(&random, Scope::Platform, 0));
        fixture.put(scope, 0, 1, &[&a]).await.expect("writes");
        let start = fixture.store.changes(SYSTEM, None, 10).await.expect("reads");
        assert!(start.reset && start.entries.is_empty());
        fixture.put(scope, 1, 2, &[&a, &b]).await.expect("writes");
        fixture.put(Scope::Platform, 0, 3, &[&platform]).await.expect("writes");
        fixture.put(scope, 2, 4, &[&b]).await.expect("writes");
        let (mut cursor, mut seen) = (start.cursor, Vec::new());
        for _ in 0..4 {
            let page = fixture.store.changes(SYSTEM, Some(&cursor), 1).await.expect("reads");
            assert!(!page.reset);
            cursor = page.cursor;
            seen.extend(page.entries.into_iter().map(|entry| {
                let keys: Vec<KeyId> = entry.keys.iter().map(|key| key.parse().expect("a key id")).collect();
                (entry.scope, entry.revision.number(), keys)
            }));
        }
        let of = |place: Scope| seen.iter().filter(move |(scope, ..)| *scope == place).cloned().collect::<Vec<_>>();
        assert_eq!(seen.len(), 3);
        assert_eq!(of(scope), [(scope, 2, vec![a.id, b.id]), (scope, 3, vec![b.id])]);
        assert_eq!(of(Scope::Platform), [(Scope::Platform, 1, vec![platform.id])]);
    }

    /// Of those who rotate a key against one revision at the same time, one succeeds: no rotation builds on one that was lost.
    rotations_at_once_lose_nothing: fixture => {
        let random = SeededRandom::new(15);
        let scope = tenant(&random);
        let first = key(&random, scope, 0);
        fixture.put(scope, 0, 0, &[&first]).await.expect("writes");
        let mut writers = tokio::task::JoinSet::new();
        for seed in 0..4 {
            let (fixture, random, id) = (fixture.clone(), SeededRandom::new(2_000 + seed), first.id);
            writers.spawn(async move {
                let mut won = Vec::new();
                for _ in 0..300 {
                    let expected = fixture.revision(scope).await;
                    let present = fixture.get(scope, id).await.expect("is there").value;
                    let rotated = rotated(&random, &present, 1);
                    match fixture.put(scope, expected, 1, &[&rotated]).await {
                        Ok(revision) => {
                            assert_eq!(revision, expected + 1);
                            won.push(rotated);
                        }
                        Err(kind) => assert_eq!(kind, StoreErrorKind::Conflict),
                    }
                }
                won
            });
        }
        let mut won: Vec<ApiKey> = writers.join_all().await.into_iter().flatten().collect();
        won.sort_by_key(|key| key.current.number);
        let mut present = first;
        for key in won {
            assert_eq!(key.former.as_ref().map(|former| &former.generation), Some(&present.current));
            present = key;
        }
        assert_eq!(fixture.revision(scope).await, u64::from(present.current.number));
        assert_eq!(fixture.find(&[present.current.hash]).await, Some(present));
    }

    /// Writers to different scopes are not in each other's way.
    scopes_do_not_contend: fixture => {
        let random = Arc::new(SeededRandom::new(16));
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (fixture, random) = (fixture.clone(), Arc::clone(&random));
            writers.spawn(async move {
                let scope = tenant(&random);
                for expected in 0..20 {
                    assert_eq!(fixture.put(scope, expected, 1, &[&key(&random, scope, 0)]).await, Ok(expected + 1));
                }
            });
        }
        writers.join_all().await;
    }

    /// Of scopes that want the same hashes at the same time, one gets each.
    one_of_many_scopes_gets_a_hash: fixture => {
        let random = SeededRandom::new(17);
        let wanted: Vec<Generation> = (0..400).map(|_| generation(&random, 1, 0)).collect();
        let mut writers = tokio::task::JoinSet::new();
        for seed in 0..4 {
            let (fixture, random, wanted) = (fixture.clone(), SeededRandom::new(1_000 + seed), wanted.clone());
            // To be refused takes less than to write, so who is behind catches up, and all of them meet at the same hash.
            writers.spawn(async move {
                let (scope, mut expected, mut got) = (tenant(&random), 0, Vec::new());
                for current in wanted {
                    let key = ApiKey { current, ..key(&random, scope, 0) };
                    match fixture.put(scope, expected, 1, &[&key]).await {
                        Ok(revision) => {
                            expected = revision;
                            got.push(key);
                        }
                        Err(kind) => assert_eq!(kind, StoreErrorKind::AlreadyExists),
                    }
                }
                got
            });
        }
        let owners: Vec<ApiKey> = writers.join_all().await.into_iter().flatten().collect();
        assert_eq!(owners.len(), wanted.len());
        for owner in owners {
            assert_eq!(fixture.find(&[owner.current.hash]).await, Some(owner));
        }
    }

    /// Random operations have the same outcome as in the memory reference.
    equals_the_memory_reference: fixture => {
        for seed in 0..4 {
            model::agrees(&*fixture.store, seed).await;
        }
    }
}
