//! The anchors of a configuration, and what publishes to them.

use std::path::Path;
use std::sync::Arc;

use stanchion_audit::{Anchor, ObjectName, WitnessKey};
use stanchion_core::Clock;
use stanchion_outbound::{FileAnchor, FileObjectStore, ObjectAnchor, S3ObjectStore, WitnessAnchor};

use super::{Platform, complain, invalid, worker};
use crate::config::{Config, WitnessConfig, directory};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::workers::Workers;

/// Prepares the anchors of a configuration. None of them is reached for yet.
pub(super) fn anchors(
    config: &Config,
    path: &Path,
    environment: &Environment,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Arc<dyn Anchor>>, Failure> {
    let anchors = &config.audit.anchors;
    let below = directory(path);
    let mut all: Vec<Arc<dyn Anchor>> = Vec::new();
    for file in &anchors.files {
        all.push(Arc::new(FileAnchor::new(below.join(file))));
    }
    for bucket in &anchors.buckets {
        let unusable = "a bucket of `audit.anchors` cannot be used";
        let credentials = bucket.credentials(environment, below).map_err(|problems| {
            invalid(unusable).with_lines(problems.into_iter().map(|(key, why)| format!("`{key}`: {why}")))
        })?;
        let store = S3ObjectStore::new(bucket.bucket.clone(), &credentials)
            .map_err(|error| invalid(unusable).because(&error))?;
        let prefix =
            bucket.prefix.parse::<ObjectName>().map_err(|error| invalid(unusable).because(&error))?;
        let name = format!("bucket {} {}", bucket.bucket.bucket, bucket.prefix);
        all.push(Arc::new(ObjectAnchor::new(
            name,
            Arc::new(store),
            prefix,
            bucket.keep_days,
            Arc::clone(clock),
        )));
    }
    for place in &anchors.directories {
        let store = Arc::new(FileObjectStore::new(below.join(place)));
        let prefix =
            "checkpoints".parse::<ObjectName>().map_err(|error| invalid("anchors").because(&error))?;
        let name = format!("directory {}", place.display());
        all.push(Arc::new(ObjectAnchor::new(name, store, prefix, None, Arc::clone(clock))));
    }
    for WitnessConfig { url, key, kept } in &anchors.witnesses {
        let unusable = "a witness of `audit.anchors` cannot be used";
        let key = key.parse::<WitnessKey>().map_err(|error| invalid(unusable).because(&error))?;
        let witness = WitnessAnchor::new(url, key, FileAnchor::new(below.join(kept)));
        all.push(Arc::new(witness.map_err(|error| invalid(unusable).because(&error))?));
    }
    Ok(all)
}

impl Platform {
    /// Starts what publishes checkpoints, until it is told to stop.
    pub(super) fn publish(&self, workers: &mut Workers) {
        for (anchor, config) in &self.anchors {
            let publisher = self.prover.publish_to(Arc::clone(anchor), *config);
            let publisher =
                publisher.on_failure(|error| complain("checkpoints do not reach an anchor", error));
            workers.spawn(worker::PUBLISHER, publisher.run(self.stop_publishing.wait()));
        }
    }
}
