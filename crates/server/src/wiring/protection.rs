//! What protects values of events.

use std::sync::Arc;
use std::time::Duration;

use stanchion_audit::{Aes256GcmCipher, LegalHolds, Protection};
use stanchion_core::{Clock, KeyRing, SystemRandom, Timer};

use crate::config::Config;
use crate::stores::Stores;

/// How often it is looked for keys that are wrapped with an older secret, which another replica may still have made.
const AGAIN: Duration = Duration::from_secs(600);

pub(super) fn open(
    config: &Config,
    secrets: KeyRing,
    stores: &Stores,
    clock: &Arc<dyn Clock>,
    timer: &Arc<dyn Timer>,
    random: &Arc<SystemRandom>,
) -> Protection {
    let holds = LegalHolds::new(Arc::clone(&stores.holds), Arc::clone(clock));
    let protection = Protection::new(
        Arc::clone(&stores.subject_keys),
        Arc::new(Aes256GcmCipher),
        secrets,
        Arc::clone(clock),
        Arc::clone(timer),
        Arc::clone(random) as _,
        Arc::clone(random) as _,
        config.audit.protect.clone(),
    );
    protection.with_holds(Arc::new(holds))
}

/// Wraps the keys of older secrets with the current one, and says what of protected values was lost.
pub(super) async fn rewrap(protection: Protection, clock: Arc<dyn Clock>, timer: Arc<dyn Timer>) {
    let mut withheld = 0;
    loop {
        match protection.rewrap().await {
            Ok(0) => {}
            Ok(keys) => tracing::info!(keys, "the keys of protected values were wrapped anew"),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "keys of protected values cannot be wrapped anew"
                );
            }
        }
        let lost = protection.stats().withheld;
        if lost > withheld {
            tracing::warn!(
                values = lost - withheld,
                "protected values were withheld and are lost: their keys were away"
            );
            withheld = lost;
        }
        timer.sleep_until(clock.now().plus(AGAIN)).await;
    }
}
