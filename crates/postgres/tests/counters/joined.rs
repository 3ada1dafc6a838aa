use sqlx::PgConnection;
use stanchion_core::{Scope, StoreErrorKind};
use stanchion_postgres::{Config, Database, PgCounterStore, TenantTx, testing};
use stanchion_ratelimit::{Adjustment, CallId, Charge, CounterStore as _, Settled, Settlement, Slot};

use super::{PATIENT, call, database, decide, left, limits, run, tenant};

/// What is charged within somebody's transaction is charged if that commits, under every kernel.
#[tokio::test]
async fn a_charge_belongs_to_the_transaction_it_is_a_part_of() {
    let (url, _admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    let records = Database::new(&url, Config { max_connections: 2, ..testing::config() });
    let Slot::Tenant(id) = tenant(1) else { unreachable!("a tenant's") };
    for (key, limit) in limits(10) {
        let charges = [Charge::new(key, limit, 4)];
        for (commits, expected) in [(false, 10), (true, 6)] {
            let mut tx = TenantTx::begin(&records, Scope::Tenant(id)).await.unwrap();
            let outcome = PgCounterStore::decide_on(&mut tx, &call(&charges, 7)).await.unwrap();
            assert!(outcome.is_admitted());
            assert_eq!(outcome.standings()[0].remaining, 6);
            if commits {
                tx.commit().await.unwrap()
            } else {
                tx.rollback().await.unwrap()
            }
            assert_eq!(left(&store, tenant(1), key, limit).await, expected, "{limit:?}");
        }
        let of = Settled { id: CallId::new(7), at: left_at(&store).await, hold: false };
        let back = [Settlement { key, limit, adjustment: Adjustment::Return(3) }];
        let mut tx = TenantTx::begin(&records, Scope::Tenant(id)).await.unwrap();
        assert!(PgCounterStore::settle_on(&mut tx, of, &back, None).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(left(&store, tenant(1), key, limit).await, 9, "{limit:?}");
    }
}

/// The database's time.
async fn left_at(store: &PgCounterStore) -> stanchion_core::Timestamp {
    decide(store, tenant(2), &[]).await.at()
}

/// It never sees what was made after it began, so it is refused, and not tried again for ever.
#[tokio::test]
async fn a_charge_in_a_transaction_that_sees_one_moment_does_not_go_round_in_circles() {
    let (url, mut admin) = database().await;
    let store = PgCounterStore::new(&url, PATIENT);
    let Slot::Tenant(id) = tenant(1) else { unreachable!("a tenant's") };
    let [(key, limit), ..] = limits(10);
    let charges = [Charge::new(key, limit, 4)];
    run(&mut admin, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    run(&mut admin, "SELECT FROM stanchion.ratelimit_counter").await;
    decide(&store, tenant(1), &charges).await;
    let mut tx = TenantTx::join(&mut admin, Scope::Tenant(id)).await.unwrap();
    let error = PgCounterStore::decide_on(&mut tx, &call(&charges, 7)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    tx.rollback().await.unwrap();
    run(&mut admin, "ROLLBACK").await;
    assert_eq!(left(&store, tenant(1), key, limit).await, 6);
}

/// Somebody locks counters one by one, in the wrong order, and waits for a decision that comes to wait for them: it lets them go on.
#[tokio::test]
async fn a_decision_that_was_undone_so_that_another_goes_on_is_made_after_it() {
    let (url, mut admin) = database().await;
    let mut third = testing::connect(&url.with_login(testing::admin_url().login())).await;
    // Whoever waits for so long looks once whether it is in a circle.
    let soon = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 50', current_database()); END $$";
    run(&mut admin, soon).await;
    run(&mut admin, "SET deadlock_timeout = '1h'").await;
    let store = PgCounterStore::new(&url, PATIENT);
    let [(_, limit), ..] = limits(10);
    let charges = [b"a", b"b", b"c"].map(|key| Charge::new(key, limit, 1));
    decide(&store, tenant(1), &charges).await;
    run(&mut admin, "BEGIN; SELECT FROM stanchion.ratelimit_counter WHERE key = 'c' FOR UPDATE").await;
    run(&mut third, "BEGIN; SELECT FROM stanchion.ratelimit_counter WHERE key = 'b' FOR UPDATE").await;
    let question = call(&charges, 2);
    let circle = async {
        waiting(&mut third, 1).await;
        let first = run(&mut admin, "SELECT FROM stanchion.ratelimit_counter WHERE key = 'a' FOR UPDATE");
        let second = async {
            waiting(&mut third, 2).await;
            run(&mut third, "COMMIT").await;
        };
        tokio::join!(first, second);
        run(&mut admin, "COMMIT").await;
    };
    let (decided, ()) = tokio::join!(store.decide(tenant(1), &question), circle);
    assert!(decided.unwrap().is_admitted());
    assert_eq!(left(&store, tenant(1), b"a", limit).await, 8);
}

/// Returns once so many wait for a lock.
async fn waiting(connection: &mut PgConnection, sessions: i64) {
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        // Within a transaction Postgres shows what it showed first, unless it is told to look again.
        run(connection, "SELECT pg_stat_clear_snapshot()").await;
        if sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut *connection).await.unwrap() >= sessions {
            return;
        }
        tokio::task::yield_now().await;
    }
}
