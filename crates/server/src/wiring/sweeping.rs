use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Clock, Timer};
use stanchion_rbac::Engine;

use super::worker;
use crate::shared;
use crate::stores::Stores;
use crate::workers::Workers;

/// How often sessions and other records of access control that have expired are looked for.
const ROUND: Duration = Duration::from_secs(60);
/// How many are removed in a round at most; the next one has the rest.
const AT_MOST: usize = 20_000;

/// Starts what removes records of access control that have expired: on one replica at a time where several share a database.
pub(super) fn start(
    rbac: Arc<Engine>,
    stores: &Stores,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    workers: &mut Workers,
) {
    match stores.shared.clone() {
        None => workers.spawn(worker::ACCESS_SWEEPER, async move { sweep(&rbac, &*clock, &*timer).await }),
        Some(shared) => workers.spawn(worker::ACCESS_SWEEPER, async move {
            let work = || sweep(&rbac, &*clock, &*timer);
            shared
                .database
                .lead("access sweeper", work, |lead| shared::say(worker::ACCESS_SWEEPER, &lead))
                .await;
        }),
    }
}

async fn sweep(rbac: &Engine, clock: &dyn Clock, timer: &dyn Timer) {
    loop {
        if let Err(error) = rbac.sweep(AT_MOST).await {
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(error, "what has expired of access control cannot be swept");
        }
        timer.sleep_until(clock.now().plus(ROUND)).await;
    }
}
