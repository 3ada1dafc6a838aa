use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{Clock, Scope, StoreError, StoreErrorKind, Timestamp};

use super::{Basis, DataSubject, ErasureHolds, Exception};
use crate::HoldStore;

/// 9999-12-31T23:59:59Z: the end of a hold that has none. Whoever lifts the hold ends it sooner.
const OPEN: Timestamp = Timestamp::from_micros(253_402_300_799_000_000);

/// The legal holds of a ledger as what they also are: reasons to erase nothing of the chains they stand on.
#[derive(Debug)]
pub struct LegalHolds {
    store: Arc<dyn HoldStore>,
    clock: Arc<dyn Clock>,
}

impl LegalHolds {
    /// Asks a store of holds.
    #[must_use]
    pub fn new(store: Arc<dyn HoldStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl ErasureHolds for LegalHolds {
    async fn holds(&self, scope: Scope, _: &DataSubject) -> Result<Vec<Exception>, StoreError> {
        let now = self.clock.now();
        let holds = self.store.list(scope).await?;
        let standing = holds.into_iter().filter(|hold| hold.stands(now));
        standing
            .map(|hold| {
                let id = format!("hold-{}", hold.id).parse();
                let corrupt = |_| StoreError::new(StoreErrorKind::Corrupt, "holds", "list");
                Ok(Exception {
                    id: id.map_err(corrupt)?,
                    subject: None,
                    class: hold.class,
                    field: None,
                    basis: Basis::LegalClaims,
                    until: hold.until.unwrap_or(OPEN),
                    reason: hold.reason,
                })
            })
            .collect()
    }
}
