//! The suite of [`HoldStore`].

use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{IdGen as _, Scope, SeededRandom, TenantId, Text};
use uuid::Uuid;

use super::fixture::NOON;
use crate::{Hold, HoldStore, RetentionClass};

type Store = Arc<dyn HoldStore>;

fn scopes() -> [Scope; 3] {
    let ids = SeededRandom::new(11);
    let tenant = || Scope::Tenant(TenantId::from_uuid(ids.event_id(NOON).uuid()));
    [tenant(), tenant(), Scope::Platform]
}

fn hold(scope: Scope, number: u8, second: u64) -> Hold {
    Hold {
        id: Uuid::from_bytes([number; 16]),
        scope,
        class: None,
        reason: "Smith v. Acme ☃".into(),
        placed_by: "user:counsel".into(),
        placed_at: NOON.plus(Duration::from_secs(second)),
        until: None,
        lifted_by: None,
        lifted_at: None,
    }
}

async fn put(store: &Store, hold: &Hold) -> Hold {
    store.put(hold).await.expect("answers")
}

async fn list(store: &Store, scope: Scope) -> Vec<Hold> {
    store.list(scope).await.expect("answers")
}

macro_rules! suite {
    ($dollar:tt $($(#[$doc:meta])* $case:ident: $store:pat => $body:block)+) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        $($(#[$doc])* pub async fn $case($store: Arc<dyn HoldStore>) $body)+

        /// Runs the suite of `HoldStore`: `hold_store_conformance!(mod memory_hold_store, factory());`, where the factory is an
        /// expression that returns a future of an empty `Arc<dyn HoldStore>`.
        #[macro_export]
        macro_rules! hold_store_conformance {
            (mod $dollar name:ident, $dollar factory:expr) => {
                mod $dollar name {
                    use super::*;
                    $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $case() {
                        $crate::conformance::hold_store::$case($dollar factory.await).await;
                    })+
                }
            };
        }
    };
}

suite! { $
    /// Every part of a hold comes back, in the order of placing.
    holds_read_back_as_placed: store => {
        let [scope, ..] = scopes();
        assert_eq!(list(&store, scope).await, []);
        let until = Some(NOON.plus(Duration::from_secs(86_400)));
        let late = hold(scope, 1, 9);
        let early = Hold { class: Some(RetentionClass::DataAccess), until, ..hold(scope, 2, 3) };
        for hold in [&late, &early] {
            assert_eq!(put(&store, hold).await, *hold);
        }
        assert_eq!(list(&store, scope).await, [early, late]);
    }

    /// The same id again changes nothing.
    a_hold_is_placed_once: store => {
        let [scope, other, _] = scopes();
        let first = hold(scope, 1, 0);
        put(&store, &first).await;
        let second = Hold { reason: "another".into(), ..hold(scope, 1, 5) };
        assert_eq!(put(&store, &second).await, first);
        assert_eq!(list(&store, scope).await, [first]);
        let elsewhere = hold(other, 1, 5);
        assert_eq!(put(&store, &elsewhere).await, elsewhere, "an id is the scope's own");
    }

    /// A lifted hold stays on record, as it was lifted first.
    a_hold_is_lifted_once_and_stays_on_record: store => {
        let [scope, ..] = scopes();
        let placed = hold(scope, 1, 0);
        put(&store, &placed).await;
        let at = |second| NOON.plus(Duration::from_secs(second));
        let lift = async |id, by: &'static str, second| {
            store.lift(scope, id, &Text::from(by), at(second)).await.expect("answers")
        };
        let lifted = Hold { lifted_by: Some("user:judge".into()), lifted_at: Some(at(60)), ..placed.clone() };
        assert_eq!(lift(placed.id, "user:judge", 60).await.as_ref(), Some(&lifted));
        assert_eq!(lift(placed.id, "user:other", 90).await.as_ref(), Some(&lifted));
        assert_eq!(lift(Uuid::from_bytes([9; 16]), "user:judge", 60).await, None);
        assert_eq!(list(&store, scope).await, [lifted]);
    }

    /// No scope sees or lifts another's holds.
    holds_are_kept_apart: store => {
        let scopes = scopes();
        for (number, scope) in (1..).zip(scopes) {
            put(&store, &hold(scope, number, 0)).await;
        }
        for (number, scope) in (1..).zip(scopes) {
            assert_eq!(list(&store, scope).await, [hold(scope, number, 0)]);
            let other = Uuid::from_bytes([number % 3 + 1; 16]);
            assert_eq!(store.lift(scope, other, &"nobody".into(), NOON).await.expect("answers"), None);
        }
        for scope in scopes {
            assert!(list(&store, scope).await.iter().all(|hold| hold.lifted_at.is_none()));
        }
    }
}
