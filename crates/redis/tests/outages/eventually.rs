//! Looks until there is something to see: what a server does has no clock that a test could turn.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything that must happen may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < until, "it never came to this: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same on the thread that calls.
pub(crate) fn eventually_here<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "it never came to this: {what}");
        thread::sleep(PAUSE);
    }
}
