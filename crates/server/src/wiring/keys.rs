use std::path::Path;

use stanchion_core::{KeyRing, Random, Secret, Timestamp};

use super::evolve::{self, Evolving};
use super::invalid;
use crate::config::{Config, KeyVersions, directory};
use crate::environment::Environment;
use crate::failure::Failure;

/// The secrets that engines are given.
pub(super) struct Keys {
    pub(super) peppers: KeyRing,
    pub(super) signing: KeyRing,
    pub(super) evolving: Option<Evolving>,
    pub(super) checkpoints: KeyRing,
    pub(super) protection: KeyRing,
    pub(super) pages: KeyRing,
    pub(super) challenges: KeyRing,
}

impl Keys {
    pub(super) fn resolve(
        config: &Config,
        path: &Path,
        environment: &Environment,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let configured = |versions: &KeyVersions| {
            versions.resolve(environment, directory(path)).map_err(|problems| {
                let lines =
                    problems.into_iter().map(|(version, problem)| format!("version {version}: {problem}"));
                invalid("a secret is not where the configuration says").with_lines(lines)
            })
        };
        let resolve = |versions: &KeyVersions| match configured(versions)? {
            Some(ring) => Ok(ring),
            None => made(random).ok_or_else(|| invalid("a secret could not be made")),
        };
        let roots = configured(&config.audit.signing_keys)?;
        let (evolving, signing) = match evolve::open(config, path, roots.as_ref(), now)? {
            Some((evolving, ring)) => (Some(evolving), ring),
            None => (None, resolve(&config.audit.signing_keys)?),
        };
        let checkpoints = if config.audit.checkpoint_keys.is_empty() {
            signing.clone()
        } else {
            resolve(&config.audit.checkpoint_keys)?
        };
        let protection = if config.audit.protection_keys.is_empty() {
            signing.clone()
        } else {
            resolve(&config.audit.protection_keys)?
        };
        Ok(Self {
            peppers: resolve(&config.identity.peppers)?,
            signing,
            evolving,
            checkpoints,
            protection,
            pages: resolve(&config.admin.page_keys)?,
            challenges: resolve(&config.challenge.keys)?,
        })
    }
}

/// Makes a secret that lives as long as the process.
fn made(random: &dyn Random) -> Option<KeyRing> {
    let mut bytes = vec![0; KeyRing::MIN_BYTES];
    random.fill(&mut bytes);
    KeyRing::new([(1, Secret::new(bytes))])
}
