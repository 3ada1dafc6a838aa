use std::path::Path;
use std::sync::Arc;

use stanchion_audit::{ChainId, Error, Keeper, Prover};

use super::{invalid, worker};
use crate::config::{Config, directory};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::shared;
use crate::stores::Stores;
use crate::workers::Workers;

/// Sets up what archives the ledger and drops what has served its time.
pub(super) fn keeper(
    config: &Config,
    path: &Path,
    environment: &Environment,
    prover: &Prover,
    stores: &Stores,
) -> Result<Keeper, Failure> {
    let objects = config.audit.archive.open(environment, directory(path));
    let objects = objects
        .map_err(|why| invalid("`audit.archive` does not say where archives are kept").with_lines([why]))?;
    let keeper =
        Keeper::new(prover.clone(), Arc::clone(&stores.holds), objects, config.audit.retention.clone());
    Ok(keeper.on_failure(complain))
}

/// Runs it: on one replica at a time where several share a database.
pub(super) fn start(keeper: Keeper, stores: &Stores, workers: &mut Workers) {
    match stores.shared.clone() {
        None => workers.spawn(worker::KEEPER, keeper.run()),
        Some(shared) => workers.spawn(worker::KEEPER, async move {
            let work = || keeper.clone().run();
            shared.database.lead("audit keeper", work, |lead| shared::say(worker::KEEPER, &lead)).await;
        }),
    }
}

fn complain(chain: Option<ChainId>, error: &Error) {
    let error = error as &(dyn std::error::Error + 'static);
    match chain {
        Some(chain) => tracing::warn!(%chain, error, "a chain of the ledger cannot be archived or cut"),
        None => tracing::warn!(error, "the audit ledger cannot be archived or cut"),
    }
}
