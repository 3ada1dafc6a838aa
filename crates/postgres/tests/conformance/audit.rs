use std::sync::Arc;

use stanchion_audit::LedgerStore;
use stanchion_postgres::{PgLedgerStore, testing};

async fn store() -> Arc<dyn LedgerStore> {
    Arc::new(PgLedgerStore::new(testing::fresh().await))
}

stanchion_audit::ledger_store_conformance!(mod postgres_ledger_store, store());
