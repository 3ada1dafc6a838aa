//! What an operator sets: one TOML file, the environment's overrides, and the line of everything that is wrong.

mod actions;
mod anchors;
mod archive;
mod document;
mod evolve;
mod permissions;
mod problem;
mod read;
mod rules;
mod secret;
mod storage;
mod validate;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanchion_api::{EnvoyConfig, ExportsConfig, FollowersConfig};
use stanchion_audit as audit;
use stanchion_billing_metering::{self as metering, Catalog, Meter, RateCard};
use stanchion_core::{KeyRing, KeyVersion, Secret, Text};
use stanchion_gateway::{GatewayConfig, UpstreamConfig};
use stanchion_identity as identity;
use stanchion_pipeline::RouteConfig;
use stanchion_ratelimit as ratelimit;
use stanchion_rbac as rbac;
use stanchion_tenancy as tenancy;
use stanchion_tower::Dialects;

use crate::environment::Environment;
use crate::log::LogConfig;

pub use actions::{ActionConfig, SchemaConfig};
pub use anchors::{AnchorBucketConfig, AnchorsConfig, WitnessConfig};
pub use archive::ArchiveConfig;
pub use evolve::EvolveConfig;
pub use problem::{Place, Problem};
pub use secret::SecretRef;
pub use storage::{
    Backend, Counters, Invalidation, MemoryConfig, PostgresConfig, RedisConfig, StorageConfig,
};

/// Everything an operator sets, as one TOML file says it. What is left out has a safe default.
///
/// A variable overrides the setting it names: `STANCHION__GATEWAY__LISTEN` overrides `listen` of `[gateway]`, and
/// `STANCHION__ROUTES__0__TIMEOUT_MS` overrides `timeout_ms` of the first of the `[[routes]]`. Its value is read as TOML, and as text
/// when it is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The listener that requests come in by.
    pub gateway: GatewayConfig,
    /// The listener of the admin API.
    pub admin: AdminConfig,
    /// The rate-limit service for Envoy, and for Istio, Contour and others that are built on it. How to set it up: [envoy.md](../envoy.md).
    pub envoy: EnvoyConfig,
    /// What the process says of itself.
    pub log: LogConfig,
    /// How the process ends.
    pub shutdown: ShutdownConfig,
    /// Where everything is kept.
    pub storage: StorageConfig,
    /// The services that requests are forwarded to.
    pub upstreams: Vec<UpstreamConfig>,
    /// What is let in, by whom, and where it goes.
    pub routes: Vec<RouteConfig>,
    /// The platform's rate limits: they hold for every tenant. Of those that the admin API has put under the same id they take the
    /// place, at the start and at each reload.
    pub limits: Vec<ratelimit::Rule>,
    /// Presets of limits that are added to `limits`: `default`. A limit of `limits` takes the place of one with its id.
    pub limit_presets: Vec<String>,
    /// Files with more limits, a list `rules` in each, as TOML or, if their name ends in `.json`, as JSON.
    pub limit_files: Vec<PathBuf>,
    /// What is counted for billing, and what it costs.
    pub metering: MeteringConfig,
    /// How tenants are kept in memory.
    pub tenancy: tenancy::Config,
    /// How callers are told apart.
    pub identity: IdentityConfig,
    /// How roles and assignments are kept in memory.
    pub rbac: rbac::Config,
    /// Presets of roles whose permissions are known besides Stanchion's own: `ai-platform`, `back-office`, `metadata-service`,
    /// `security-operations`. Known permissions are for whoever writes roles; checks do not ask whether one is known.
    pub permission_presets: Vec<String>,
    /// Files with more known permissions, relative to the configuration: `{"resources": [{"id", "name", "actions": [{"id"}]}]}` as
    /// TOML or, if their name ends in `.json`, as JSON.
    pub permission_files: Vec<PathBuf>,
    /// How rate limits are kept and counted.
    pub ratelimit: ratelimit::Config,
    /// What callers have to solve that a limit challenges (`action = "captcha"`).
    pub challenge: ChallengeConfig,
    /// How the audit ledger is signed and written.
    pub audit: AuditConfig,
}

/// What callers have to solve that a limit challenges: to find a number with which SHA-256 of a token begins with so many zero bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChallengeConfig {
    /// The secrets that tokens are made with, by version; the highest makes, all are understood. Left out, one is made at each start,
    /// which is of use for one replica only.
    pub keys: KeyVersions,
    /// How many zero bits, 1 to 30: each doubles the work. A browser does 20 in a second or two.
    pub bits: u32,
    /// For how many seconds a token can be solved, 1 to 86,400.
    pub lifetime_seconds: u32,
}

impl Default for ChallengeConfig {
    fn default() -> Self {
        Self { keys: KeyVersions::default(), bits: 20, lifetime_seconds: 120 }
    }
}

impl ChallengeConfig {
    fn validate(&self) -> Result<(), String> {
        if !(1..=30).contains(&self.bits) {
            return Err("`bits` must be 1 to 30".to_owned());
        }
        if !(1..=86_400).contains(&self.lifetime_seconds) {
            return Err("`lifetime_seconds` must be 1 to 86400".to_owned());
        }
        Ok(())
    }
}

/// The listener of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Where to listen. It speaks plain HTTP: keep it on the loopback or behind something that speaks TLS.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Networks of proxies whose `X-Forwarded-For` is believed. Empty: nobody's.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// The secrets that page tokens are made with, by version; the highest is used, all are understood. Left out, one is made at each
    /// start, and tokens end with the process.
    pub page_keys: KeyVersions,
    /// Where to put the key of the first administrator, whom a server in memory makes at its start, for this file's owner alone to
    /// read. Left out, it is written to the terminal, once. Elsewhere `stanchion key create --admin` makes one.
    pub first_key_file: Option<PathBuf>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            trusted_proxies: Vec::new(),
            page_keys: KeyVersions::default(),
            first_key_file: None,
        }
    }
}

/// How the process ends once it is told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownConfig {
    /// How long requests are still taken after `/readyz` has begun to answer 503, in milliseconds: the time a load balancer needs to
    /// notice. At most 600,000.
    pub delay_ms: u64,
}

impl ShutdownConfig {
    fn validate(&self) -> Result<(), String> {
        if self.delay_ms <= 600_000 { Ok(()) } else { Err("`delay_ms` must be 0 to 600000".to_owned()) }
    }
}

/// What is counted for billing, and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeteringConfig {
    /// What can be counted.
    pub meters: Vec<Meter>,
    /// What it costs. Left out, everything is counted and nothing is charged for.
    pub rate_card: Option<RateCard>,
    /// Which usage is taken, and how it is written.
    pub recording: metering::Config,
}

/// How callers are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// The secrets that API keys are hashed with, by version; the highest hashes new keys, all are understood. Left out, one is made at
    /// each start, which is of use in memory only.
    pub peppers: KeyVersions,
    /// How API keys are made and kept in memory.
    pub api_keys: identity::Config,
}

/// How the audit ledger is signed and written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// The secrets that entries are signed with, by version; the highest signs, all verify. Left out, one is made at each start, which
    /// is of use in memory only.
    pub signing_keys: KeyVersions,
    /// Whether the signing key evolves.
    pub evolve: EvolveConfig,
    /// How entries are queued and committed.
    pub ledger: audit::Config,
    /// What the names of the logs begin with, in their checkpoints: 1 to 200 bytes, without spaces and plus signs, such as
    /// `audit.example.com`. Once checkpoints were handed out it must not change.
    pub deployment: Text,
    /// The secrets that checkpoints are signed with, by version; the newest two sign, all verify. Left out, they are made from the
    /// signing keys: then whoever may verify signatures of entries can also sign checkpoints.
    pub checkpoint_keys: KeyVersions,
    /// The secrets that the keys of protected values are wrapped with, by version; the highest wraps, all are understood, and keys of older
    /// versions are wrapped anew at the start. Without them protected values cannot be read. Left out, they are made from the signing keys.
    pub protection_keys: KeyVersions,
    /// Which values are encrypted before they are recorded.
    pub protect: audit::ProtectConfig,
    /// How often checkpoints are made, and told.
    pub checkpoints: audit::CheckpointConfig,
    /// Exports that are made into files.
    pub exports: ExportsConfig,
    /// How many may wait for what is recorded.
    pub followers: FollowersConfig,
    /// What becomes of reported events whose action is not known: `accept` or `refuse`.
    pub unknown_actions: audit::UnknownActions,
    /// Actions that are known beside those that always are.
    pub actions: Vec<ActionConfig>,
    /// For how long entries are kept.
    pub retention: audit::RetentionConfig,
    /// Where they are archived.
    pub archive: ArchiveConfig,
    /// Where checkpoints are put out of reach.
    pub anchors: AnchorsConfig,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            signing_keys: KeyVersions::default(),
            evolve: EvolveConfig::default(),
            ledger: audit::Config::default(),
            deployment: "stanchion".into(),
            checkpoint_keys: KeyVersions::default(),
            protection_keys: KeyVersions::default(),
            protect: audit::ProtectConfig::default(),
            checkpoints: audit::CheckpointConfig::default(),
            exports: ExportsConfig::default(),
            followers: FollowersConfig::default(),
            unknown_actions: audit::UnknownActions::default(),
            actions: Vec::new(),
            retention: audit::RetentionConfig::default(),
            archive: ArchiveConfig::default(),
            anchors: AnchorsConfig::default(),
        }
    }
}

/// Where the versions of a secret are: `1 = "env:PEPPER_1"`. Each has at least 32 bytes, as from `openssl rand -hex 32`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct KeyVersions(BTreeMap<KeyVersion, SecretRef>);

impl KeyVersions {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fetches all versions; `None` when none is configured.
    ///
    /// # Errors
    /// The version and one sentence for each that cannot be fetched or is too short.
    pub fn resolve(
        &self,
        environment: &Environment,
        directory: &Path,
    ) -> Result<Option<KeyRing>, Vec<(KeyVersion, String)>> {
        let mut found: Vec<(KeyVersion, Secret)> = Vec::new();
        let mut problems = Vec::new();
        for (version, reference) in &self.0 {
            match reference.resolve(environment, directory) {
                Ok(secret) if secret.expose().len() < KeyRing::MIN_BYTES => {
                    let (bytes, least) = (secret.expose().len(), KeyRing::MIN_BYTES);
                    problems
                        .push((*version, format!("`{reference}` has {bytes} bytes; use at least {least}")));
                }
                Ok(secret) => found.push((*version, secret)),
                Err(problem) => problems.push((*version, problem)),
            }
        }
        if problems.is_empty() { Ok(KeyRing::new(found)) } else { Err(problems) }
    }
}

/// Whether secrets are looked for while a configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They must be there.
    Required,
    /// They are on another machine; only the references are looked at.
    Elsewhere,
}

impl Config {
    /// Reads a file with the environment's overrides, and checks everything that can be checked without starting.
    ///
    /// # Errors
    /// Every problem there is, in the order of their places.
    pub fn load(path: &Path, environment: &Environment, secrets: Secrets) -> Result<Self, Vec<Problem>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Problem { place: Place::File(path.to_owned()), message: format!("cannot be read: {error}") }]
        })?;
        Self::parse(path, &text, environment, secrets)
    }

    /// Reads the text of a file as [`Config::load`] does.
    ///
    /// # Errors
    /// Every problem there is, in the order of their places.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: &Environment,
        secrets: Secrets,
    ) -> Result<Self, Vec<Problem>> {
        let mut document = document::Document::parse(path, text, environment)?;
        let mut problems = Vec::new();
        let config = read::read(&mut document, &mut problems);
        let mut config = config.and_then(|config| validate::settings(config, &mut document, &mut problems));
        if let Some(config) = &mut config {
            rules::from_files(config, path, &document, &mut problems);
            actions::check(config, path, &document, &mut problems);
            permissions::check(config, path, &document, &mut problems);
            validate::together(config, &document, &mut problems);
            rules::from_presets(config, &document, &mut problems);
            if secrets == Secrets::Required {
                validate::secrets(config, &document, environment, path, &mut problems);
            }
        }
        problems.sort();
        problems.dedup();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }

    /// Names the sections that differ from what is in force and that only a restart puts in force.
    #[must_use]
    pub fn needs_restart(&self, in_force: &Self) -> Vec<&'static str> {
        // What is a full load, and what answers tell, is put in force without a restart.
        let counts = |limits: &ratelimit::Config| ratelimit::Config { load: None, ..limits.clone() };
        let serves = |gateway: &GatewayConfig| GatewayConfig {
            rate_limit_headers: Dialects::default(),
            rate_limit_partition_keys: false,
            ..gateway.clone()
        };
        let listens = |envoy: &EnvoyConfig| envoy.enabled.then_some(envoy.listen);
        let changed = [
            ("gateway", serves(&self.gateway) != serves(&in_force.gateway)),
            ("admin", self.admin != in_force.admin),
            ("envoy", listens(&self.envoy) != listens(&in_force.envoy)),
            ("log.format", self.log.format != in_force.log.format),
            ("storage", self.storage != in_force.storage),
            ("metering.recording", self.metering.recording != in_force.metering.recording),
            ("tenancy", self.tenancy != in_force.tenancy),
            ("identity", self.identity != in_force.identity),
            ("rbac", self.rbac != in_force.rbac),
            ("permission_presets", self.permission_presets != in_force.permission_presets),
            ("permission_files", self.permission_files != in_force.permission_files),
            ("ratelimit", counts(&self.ratelimit) != counts(&in_force.ratelimit)),
            ("challenge", self.challenge != in_force.challenge),
            ("audit", self.audit != in_force.audit),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section).collect()
    }

    /// Returns the meters and what they cost.
    ///
    /// # Errors
    /// [`metering::InvalidCatalog`] when a meter stands twice, or a price has no meter.
    pub fn catalog(&self) -> Result<Catalog, metering::InvalidCatalog> {
        let rate_card = self.metering.rate_card.clone().unwrap_or_else(no_charge);
        Catalog::new(self.metering.meters.clone(), rate_card)
    }
}

/// The rate card of who charges for nothing.
fn no_charge() -> RateCard {
    RateCard { currency: metering::Currency::USD, rates: BTreeMap::new() }
}

/// Returns where the relative paths of a configuration begin.
#[must_use]
pub fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

#[cfg(test)]
mod tests;
