use std::thread;
use std::time::{Duration, Instant};

/// How long anything that must happen may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest pause between two looks: what takes long is not worth looking at often.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Looks until there is something to see: what another process does has no clock that a test could turn.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "it never came to this: {what}");
        thread::sleep(pause);
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Does something and says how long it took.
pub(crate) fn elapsed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}
