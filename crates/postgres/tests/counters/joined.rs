use stanchion_core::Scope;
use stanchion_postgres::{Config, Database, PgCounterStore, TenantTx, testing};
use stanchion_ratelimit::{Adjustment, CallId, Charge, Settled, Settlement, Slot};

use super::{PATIENT, call, database, decide, left, limits, tenant};

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
