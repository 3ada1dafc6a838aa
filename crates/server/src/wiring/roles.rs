use std::path::Path;
use std::sync::Arc;

use stanchion_core::{Clock, SystemRandom};
use stanchion_rbac::{Engine, Registry};

use super::invalid;
use crate::config::Config;
use crate::failure::Failure;
use crate::stores::Stores;

/// Makes the engine that decides who may do what. Where a directory tells who there is, it is asked first.
pub(super) fn engine(
    config: &Config,
    stores: &Stores,
    clock: &Arc<dyn Clock>,
    random: &Arc<SystemRandom>,
) -> Engine {
    let (store, ids) = (Arc::clone(&stores.roles), Arc::clone(random) as _);
    let engine = Engine::new(store, Arc::clone(clock), ids, config.rbac.clone());
    match &stores.directory {
        Some(directory) => engine.with_directory(Arc::clone(directory)),
        None => engine,
    }
}

/// Returns what there is to permit.
pub(super) fn registry(config: &Config, path: &Path) -> Result<Registry, Failure> {
    config.registry(path).map_err(|problems| {
        let lines = problems.into_iter().map(|problem| problem.why);
        invalid("what there is to permit is not well said").with_lines(lines)
    })
}
