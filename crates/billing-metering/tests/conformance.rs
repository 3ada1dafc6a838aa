//! The store in memory passes the suite that every adapter passes.

use std::sync::Arc;

use stanchion_billing_metering::{MemoryUsageStore, UsageStore};

async fn memory() -> Arc<dyn UsageStore> {
    Arc::new(MemoryUsageStore::default())
}

stanchion_billing_metering::usage_store_conformance!(mod memory_usage_store, memory());
