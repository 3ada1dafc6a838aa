use std::sync::Arc;

use stanchion_audit::conformance::tree_store::TreeFixture;
use stanchion_audit::{HoldStore, LedgerStore, SubjectKeyStore};
use stanchion_postgres::{PgHoldStore, PgLedgerStore, PgSubjectKeyStore, testing};

async fn store() -> Arc<dyn LedgerStore> {
    Arc::new(PgLedgerStore::new(testing::fresh().await))
}

async fn holds() -> Arc<dyn HoldStore> {
    Arc::new(PgHoldStore::new(testing::fresh().await))
}

async fn trees() -> TreeFixture {
    let store = Arc::new(PgLedgerStore::new(testing::fresh().await));
    TreeFixture { trees: Arc::clone(&store) as _, ledger: store }
}

async fn keys() -> Arc<dyn SubjectKeyStore> {
    Arc::new(PgSubjectKeyStore::new(testing::fresh().await))
}

stanchion_audit::ledger_store_conformance!(mod postgres_ledger_store, store());
stanchion_audit::tree_store_conformance!(mod postgres_tree_store, trees());
stanchion_audit::subject_key_store_conformance!(mod postgres_subject_key_store, keys());
stanchion_audit::hold_store_conformance!(mod postgres_hold_store, holds());
