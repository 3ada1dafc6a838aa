use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When a [`Breaker`] opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// How many failures in a row open it, at least 1.
    pub failures: u32,
    /// How long it stays open the first time; each further time twice as long.
    pub rest: Duration,
    /// The longest that it stays open.
    pub longest_rest: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, rest: Duration::from_millis(100), longest_rest: Duration::from_secs(2) }
    }
}

/// Spares callers the wait for a backend that did not answer lately, and the backend the callers.
///
/// Closed, it lets every call through. After some failures in a row it opens, and calls are refused at once. When its rest is over it
/// lets one call through as a probe: if that succeeds it closes, else it rests again.
///
/// Time is what has passed since any fixed moment, by a clock that is never set.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    failures: u32,
    /// Until when calls are refused; `None` while closed.
    open_until: Option<Duration>,
    rest: Duration,
}

impl Breaker {
    /// Makes a closed breaker.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        Self { config, state: Mutex::default() }
    }

    /// Tells whether a call may be made at `now`. Whoever is told so [reports](Self::report) how it ended; a probe that nobody reports
    /// on is given up after another rest.
    #[must_use]
    pub fn admits(&self, now: Duration) -> bool {
        let mut state = self.state();
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.open_until = Some(now.saturating_add(state.rest.max(self.config.rest)));
                true
            }
        }
    }

    /// Takes in how a call ended.
    pub fn report(&self, succeeded: bool, now: Duration) {
        let mut state = self.state();
        if succeeded {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.config.failures.max(1) {
            state.rest = match state.rest {
                Duration::ZERO => self.config.rest,
                rest => rest.saturating_mul(2).min(self.config.longest_rest),
            };
            state.open_until = Some(now.saturating_add(state.rest));
        }
    }

    /// Tells whether calls are refused, but for probes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state().open_until.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerConfig { failures: 3, rest: at(100), longest_rest: at(300) })
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_probe() {
        let breaker = breaker();
        for succeeded in [false, false, true, false, false] {
            assert!(breaker.admits(at(0)));
            breaker.report(succeeded, at(0));
        }
        assert!(
            breaker.admits(at(0)) && !breaker.is_open(),
            "a success in between counts from the beginning"
        );
        breaker.report(false, at(0));
        assert!(!breaker.admits(at(0)) && !breaker.admits(at(99)));
        assert!(breaker.admits(at(100)), "one call is let through");
        assert!(!breaker.admits(at(100)) && !breaker.admits(at(199)), "and no other");
        breaker.report(true, at(150));
        assert!(breaker.admits(at(150)) && !breaker.is_open());
    }

    #[test]
    fn each_rest_is_twice_the_one_before_up_to_the_longest() {
        let breaker = breaker();
        (0..3).for_each(|_| breaker.report(false, at(0)));
        let mut now = 0;
        for rest in [100, 200, 300, 300] {
            assert!(!breaker.admits(at(now + rest - 1)), "{rest}");
            now += rest;
            assert!(breaker.admits(at(now)), "{rest}");
            breaker.report(false, at(now));
        }
    }

    #[test]
    fn a_probe_that_nobody_reports_on_is_given_up() {
        let breaker = breaker();
        (0..3).for_each(|_| breaker.report(false, at(0)));
        assert!(breaker.admits(at(100)) && !breaker.admits(at(150)));
        assert!(breaker.admits(at(200)));
    }
}
