use std::sync::Arc;

use stanchion_core::StoreError;
use stanchion_replica::RelayTrouble;

use super::{Evolves, Platform, Work, protection, retention, sweeping};
use crate::workers::Workers;
use crate::{load, shared};

/// The names of workers.
pub(crate) mod worker {
    pub(crate) const SEQUENCER: &str = "audit sequencer";
    pub(crate) const CHECKPOINTER: &str = "audit checkpointer";
    pub(crate) const EXPORTS: &str = "audit exports";
    pub(crate) const EVOLVER: &str = "signing key evolution";
    pub(crate) const PROTECTION_KEYS: &str = "protection keys";
    pub(crate) const KEEPER: &str = "audit keeper";
    pub(crate) const PUBLISHER: &str = "audit publisher";
    pub(crate) const PROJECTOR: &str = "audit projector";
    pub(crate) const RECORDER: &str = "usage recorder";
    pub(crate) const RELAY: &str = "outbox relay";
    pub(crate) const BUS: &str = "change bus";
    pub(crate) const WAKE: &str = "change wake";
    pub(crate) const SWEEPER: &str = "sweeper";
    pub(crate) const ACCESS_SWEEPER: &str = "access sweeper";
    pub(crate) const SUMMARIES: &str = "refusal summaries";
    pub(crate) const LEASES: &str = "limits' leases";
    pub(crate) const ERRANDS: &str = "limits' errands";
    pub(crate) const LOAD: &str = "limits' load";
}

impl Platform {
    /// Starts what has to run beside the requests.
    pub(crate) fn start(&self, work: Work, workers: &mut Workers) {
        let Work { sequencer, checkpointer, projector, recorder, followers, evolving } = work;
        if let Evolves::Begun(evolver) = evolving {
            workers.spawn(worker::EVOLVER, evolver.run());
        }
        let sequencer = sequencer.on_failure(|error| complain("the audit ledger cannot commit", error));
        for sequencer in sequencer.split() {
            workers.spawn(worker::SEQUENCER, async move {
                if let Err(error) = sequencer.run().await {
                    tracing::error!(%error, "a shard of the audit ledger takes no more: another writer has it");
                }
            });
        }
        let checkpointer = checkpointer.on_failure(|error| complain("audit checkpoints wait", error));
        workers.spawn(worker::CHECKPOINTER, checkpointer.run());
        let projector = projector.on_failure(|error| complain("the audit search is behind", error));
        workers.spawn(worker::PROJECTOR, projector.run());
        let (exports, timer) = (self.exports.clone(), Arc::clone(&self.timer));
        workers.spawn(worker::EXPORTS, async move { exports.run(&*timer).await });
        let (protection, clock, timer) =
            (self.protection.clone(), Arc::clone(&self.clock), Arc::clone(&self.timer));
        workers.spawn(worker::PROTECTION_KEYS, protection::rewrap(protection, clock, timer));
        retention::start(self.keeper.clone(), &self.stores, workers);
        let rbac = Arc::clone(&self.pipeline.engines().rbac);
        let (clock, timer) = (Arc::clone(&self.clock), Arc::clone(&self.timer));
        sweeping::start(rbac, &self.stores, clock, timer, workers);
        self.publish(workers);
        workers.spawn(worker::RECORDER, recorder.run());
        match self.stores.shared.clone() {
            None => {
                let relay = self.relay();
                workers.spawn(worker::RELAY, async move { relay.run(relay_trouble).await });
            }
            Some(shared) => shared::start(shared, Arc::new(self.relay()), &self.clock, &self.timer, workers),
        }
        let (limits, timer) = (Arc::clone(&self.pipeline.engines().ratelimit), Arc::clone(&self.timer));
        workers.spawn(worker::ERRANDS, async move { limits.run(&*timer).await });
        let (limits, proxy) = (Arc::clone(&self.pipeline.engines().ratelimit), self.proxy.clone());
        let (clock, timer) = (Arc::clone(&self.clock), Arc::clone(&self.timer));
        workers.spawn(worker::LOAD, load::follow(limits, proxy, clock, timer));
        if let Some(leased) = self.leased.clone() {
            let timer = Arc::clone(&self.timer);
            workers.spawn(worker::LEASES, async move {
                leased.run(&*timer, |error| complain("unused quota cannot be given back", error)).await;
            });
        }
        workers.spawn(worker::SUMMARIES, self.pipeline.clone().run_summaries(Arc::clone(&self.timer)));
        for (name, follower) in followers {
            workers.spawn(
                name,
                follower.run(move |error| {
                    tracing::warn!(
                        follower = name,
                        error = error as &dyn std::error::Error,
                        "changes cannot be followed"
                    );
                }),
            );
        }
    }
}

pub(crate) fn relay_trouble(trouble: RelayTrouble<'_>) {
    match trouble {
        RelayTrouble::Failed(error) => complain("events of changes wait", error),
        RelayTrouble::Parked { event, error } => tracing::error!(
            event = %event.id,
            action = %event.action,
            error = error as &dyn std::error::Error,
            "an event of a change was parked: nobody could take it"
        ),
        _ => {}
    }
}

pub(crate) fn complain(what: &'static str, error: &StoreError) {
    tracing::warn!(error = error as &dyn std::error::Error, "{what}");
}
