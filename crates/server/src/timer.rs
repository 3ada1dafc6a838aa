use std::sync::Arc;

use stanchion_core::{BoxFuture, Clock, SystemClock, Timer, Timestamp};

/// Wakes by the system clock, on the runtime's timer.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeTimer {
    clock: Arc<dyn Clock>,
}

impl Default for RuntimeTimer {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock) }
    }
}

impl Timer for RuntimeTimer {
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(deadline.since(self.clock.now())))
    }
}

/// Returns the present month of UTC, such as `2026-11`.
pub(crate) fn this_month() -> String {
    SystemClock.now().to_string().chars().take(7).collect()
}
