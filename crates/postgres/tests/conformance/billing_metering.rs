use std::sync::Arc;

use stanchion_billing_metering::UsageStore;
use stanchion_postgres::{PgUsageStore, testing};

async fn store() -> Arc<dyn UsageStore> {
    Arc::new(PgUsageStore::new(testing::fresh().await))
}

stanchion_billing_metering::usage_store_conformance!(mod postgres_usage_store, store());
