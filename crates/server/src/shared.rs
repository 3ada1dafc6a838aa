use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Clock, SystemScope, Timer};
use stanchion_postgres::{FEED_KEPT, Leadership};
use stanchion_replica::Relay;

use crate::stores::Shared;
use crate::wiring::{complain, relay_trouble, worker};
use crate::workers::Workers;

/// How often what has aged is swept out of the database.
const SWEEP: Duration = Duration::from_secs(300);

/// Starts what has to run beside the requests where replicas share a database: every replica listens, one relays, one sweeps.
pub(crate) fn start(
    shared: Shared,
    relay: Arc<Relay>,
    clock: &Arc<dyn Clock>,
    timer: &Arc<dyn Timer>,
    workers: &mut Workers,
) {
    let listening = shared.database.clone().listen(|error| {
        tracing::warn!(error = error as &(dyn Error + 'static), "changes of other replicas are polled for");
    });
    workers.spawn(worker::BUS, listening);

    if let Some(wake) = shared.wake.clone() {
        workers.spawn(
            worker::WAKE,
            wake.run(|error| complain("changed roles are not told of by Redis; they are looked for", error)),
        );
    }

    let database = shared.database.clone();
    workers.spawn(worker::RELAY, async move {
        let relay = || relay.run(relay_trouble);
        database.lead("relay", relay, |lead| say(worker::RELAY, &lead)).await;
    });

    let (clock, timer) = (Arc::clone(clock), Arc::clone(timer));
    workers.spawn(worker::SWEEPER, async move {
        let sweep = || sweep(&shared, &*clock, &*timer);
        shared.database.lead("sweep", sweep, |lead| say(worker::SWEEPER, &lead)).await;
    });
}

async fn sweep(shared: &Shared, clock: &dyn Clock, timer: &dyn Timer) {
    let system = SystemScope::new("sweep what has aged");
    loop {
        if let Err(error) = shared.database.sweep_feed(system, FEED_KEPT).await {
            complain("the change feed cannot be swept", &error);
        }
        if let Err(error) = shared.usage.maintain(system, clock.now()).await {
            complain("usage events cannot be swept", &error);
        }
        if let Err(error) = shared.ledger.maintain(system, clock.now()).await {
            complain("months of the audit ledger cannot be made ahead", &error);
        }
        // There are some if rate limits are counted here, or were.
        if let Err(error) = shared.database.sweep_counters(system).await {
            complain("rate-limit counters cannot be swept", &error);
        }
        timer.sleep_until(clock.now().plus(SWEEP)).await;
    }
}

pub(crate) fn say(worker: &'static str, lead: &Leadership<'_>) {
    let (error, what): (&(dyn Error + 'static), _) = match lead {
        Leadership::Lost(error) => (*error, "the lead was lost"),
        Leadership::Unknown(error) => (*error, "nobody can be asked for the lead"),
        _ => return tracing::info!(worker, "this replica leads"),
    };
    tracing::warn!(worker, error, "{what}");
}
