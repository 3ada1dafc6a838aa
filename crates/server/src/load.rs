use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Clock, Timer};
use stanchion_gateway::{Proxy, UpstreamLoad};
use stanchion_ratelimit::{Engine, Load};

use crate::config::Config;

/// How often the limits are told how loaded the upstreams are.
const LOOK: Duration = Duration::from_millis(250);
/// By how many thousandths the load has to move for the log to say so.
const NOTABLE: u16 = 100;

/// Tells the rate limits how loaded the upstreams are, for ever. Where that is not measured there is no load.
pub(crate) async fn follow(engine: Arc<Engine>, proxy: Proxy, clock: Arc<dyn Clock>, timer: Arc<dyn Timer>) {
    let mut said = Load::IDLE;
    loop {
        timer.sleep_until(clock.now().plus(LOOK)).await;
        let UpstreamLoad { load, slowest, in_flight } = proxy.upstreams().load(LOOK);
        let applied = engine.set_load(load);
        if is_notable(said, applied) {
            let (upstream, latency) = slowest.unzip();
            let latency_ms = latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
            let permille = applied.permille();
            tracing::info!(permille, in_flight, upstream, latency_ms, "adaptive limits follow another load");
            said = applied;
        }
    }
}

/// Says that limits are to shrink with a load that nobody measures.
pub(crate) fn warn_if_unmeasured(config: &Config) {
    let adaptive = || config.limits.iter().filter(|rule| rule.adaptive.is_some());
    if let (None, Some(limit)) = (config.ratelimit.load, adaptive().next()) {
        let limits = adaptive().count();
        tracing::warn!(limits, first = %limit.id, "limits with `adaptive` do not shrink: `ratelimit.load` is not set");
    }
}

fn is_notable(said: Load, applied: Load) -> bool {
    let has_ended = applied == Load::IDLE && said != Load::IDLE;
    has_ended || applied.permille().abs_diff(said.permille()) >= NOTABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_of_a_load_that_moves_or_ends() {
        let check = |said, applied| is_notable(Load::from_permille(said), Load::from_permille(applied));
        assert!(check(0, 100) && check(900, 800) && check(50, 0));
        assert!(!check(0, 99) && !check(900, 850) && !check(0, 0));
    }
}
