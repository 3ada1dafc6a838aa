use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stanchion_api::{ApiState, ListenerCounts, ListenerSource, Part, Readiness};
use stanchion_audit::{Ledger, MemoryLedgerStore, Sequencer};
use stanchion_billing_metering::{self as metering, MemoryUsageStore, Recorder};
use stanchion_core::{Clock, KeyRing, Random, Secret, StoreError, SystemClock, SystemRandom, Text, Timer};
use stanchion_gateway::{ListenerStats, Proxy, UpstreamConfig, Upstreams};
use stanchion_identity::{self as identity, MemoryKeyStore};
use stanchion_pipeline::{Engines, Pipeline, RouteTable};
use stanchion_ratelimit::{self as ratelimit, MemoryCounterStore, MemoryRuleStore};
use stanchion_rbac::{self as rbac, MemoryRbacStore};
use stanchion_replica::{
    ChangeFeed, Follow, Follower, FollowerConfig, Freshness, MemoryOutboxStore, Relay, RelayTrouble,
};
use stanchion_tenancy::{self as tenancy, MemoryTenantStore};
use stanchion_tower::ClientAddress;

use crate::config::{Config, KeyVersions, directory};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::listener::Counts;
use crate::timer::RuntimeTimer;
use crate::workers::Workers;

/// How old a snapshot may be before the process says that it is not ready. Engines fail closed at their own `max_stale_seconds`.
const STALE: Duration = Duration::from_secs(10);

/// The engines, put together: what the listeners answer with.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) pipeline: Pipeline,
    pub(crate) proxy: Proxy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) random: Arc<SystemRandom>,
    pub(crate) readiness: Readiness,
    pub(crate) page_keys: KeyRing,
    outbox: Arc<MemoryOutboxStore>,
}

/// What has to run beside the requests.
#[derive(Debug)]
pub(crate) struct Work {
    sequencer: Sequencer,
    recorder: Recorder,
    followers: Vec<(&'static str, Follower)>,
}

/// The names of workers.
pub(crate) mod worker {
    pub(crate) const SEQUENCER: &str = "audit sequencer";
    pub(crate) const RECORDER: &str = "usage recorder";
    pub(crate) const RELAY: &str = "outbox relay";
    pub(crate) const SUMMARIES: &str = "refusal summaries";
}

/// The secrets that engines are given.
struct Keys {
    peppers: KeyRing,
    signing: KeyRing,
    pages: KeyRing,
}

impl Platform {
    /// Puts the engines together over the memory of the process.
    pub(crate) fn in_memory(
        config: &Config,
        path: &Path,
        environment: &Environment,
    ) -> Result<(Self, Work), Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let timer: Arc<dyn Timer> = Arc::new(RuntimeTimer::default());
        let random = Arc::new(SystemRandom::default());
        let keys = Keys::resolve(config, path, environment, &*random)?;
        let outbox = Arc::new(MemoryOutboxStore::default());
        let stored = |outbox: &Arc<MemoryOutboxStore>| Some(Arc::clone(outbox));

        let tenants = Arc::new(MemoryTenantStore::new(stored(&outbox)));
        let api_keys = Arc::new(MemoryKeyStore::new(stored(&outbox)));
        let roles = Arc::new(MemoryRbacStore::new(stored(&outbox)));
        let rules = Arc::new(MemoryRuleStore::new(stored(&outbox)));
        let memory = &config.storage.memory;
        let counters = Arc::new(MemoryCounterStore::new(memory.rate_limit_counters, Arc::clone(&clock)));
        let ledger_store = Arc::new(MemoryLedgerStore::new(memory.audit_entries));
        let usage_store = Arc::new(MemoryUsageStore::new(memory.usage()));

        let tenancy = Arc::new(tenancy::Engine::new(
            Arc::clone(&tenants) as _,
            Arc::clone(&clock),
            Arc::clone(&random) as _,
            config.tenancy,
        ));
        let identity = Arc::new(identity::Engine::new(
            Arc::clone(&api_keys) as _,
            keys.peppers,
            Arc::clone(&clock),
            Arc::clone(&random) as _,
            config.identity.api_keys.clone(),
        ));
        let rbac = Arc::new(rbac::Engine::new(
            Arc::clone(&roles) as _,
            Arc::clone(&clock),
            Arc::clone(&random) as _,
            config.rbac.clone(),
        ));
        let ratelimit = Arc::new(ratelimit::Engine::new(
            Arc::clone(&rules) as _,
            counters,
            Arc::clone(&clock),
            Arc::clone(&random) as _,
            config.ratelimit.clone(),
        ));
        let (audit, sequencer) = Ledger::new(
            ledger_store,
            keys.signing,
            Arc::clone(&clock),
            Arc::clone(&timer),
            Arc::clone(&random) as _,
            config.audit.ledger,
        );
        let catalog =
            config.catalog().map_err(|error| invalid("the catalog is not valid").because(&error))?;
        let (metering, recorder) = metering::Engine::new(
            usage_store,
            catalog,
            Arc::clone(&clock),
            Arc::clone(&timer),
            config.metering.recording.clone(),
        );

        let follow = |name, feed: Arc<dyn ChangeFeed>, target: Arc<dyn Follow>| {
            let (clock, timer) = (Arc::clone(&clock), Arc::clone(&timer));
            (name, Follower::new(feed, target, clock, timer, FollowerConfig::default()))
        };
        let followers = vec![
            follow("tenants", tenants, Arc::clone(&tenancy) as _),
            follow("keys", api_keys, Arc::clone(&identity) as _),
            follow("roles", roles, Arc::clone(&rbac) as _),
            follow("limits", rules, Arc::clone(&ratelimit) as _),
        ];
        let freshness = followers.iter().map(|(name, follower)| (*name, follower.freshness()));
        let readiness =
            Readiness::new(freshness.map(|(name, freshness)| part(name, freshness, Arc::clone(&clock))));

        let engines = Engines { ratelimit, identity, tenancy, rbac, audit, metering };
        let routes = RouteTable::new(config.routes.clone(), None).map_err(invalid_routes)?;
        let upstreams = Upstreams::new(&config.upstreams).map_err(invalid_upstreams)?;
        let client = ClientAddress::behind(config.gateway.trusted_proxies.clone());
        let pipeline = Pipeline::new(engines, routes, client, Arc::clone(&clock), Arc::clone(&random) as _);
        let proxy = Proxy::new(Arc::new(upstreams), Arc::clone(&clock), config.gateway.body_stall());
        let platform =
            Self { pipeline, proxy, clock, timer, random, readiness, page_keys: keys.pages, outbox };
        Ok((platform, Work { sequencer, recorder, followers }))
    }

    /// Compiles the routes of a new configuration; what was counted on a route goes on.
    pub(crate) fn compile_routes(&self, next: &Config) -> Result<RouteTable, Failure> {
        RouteTable::new(next.routes.clone(), Some(&self.pipeline.routes())).map_err(invalid_routes)
    }

    /// Compiles the upstreams of a new configuration. Those that only the one before has stay for the requests that are on their way
    /// to them.
    pub(crate) fn compile_upstreams(&self, before: &Config, next: &Config) -> Result<Upstreams, Failure> {
        let kept = |old: &&UpstreamConfig| next.upstreams.iter().all(|new| new.id != old.id);
        let both: Vec<UpstreamConfig> =
            next.upstreams.iter().chain(before.upstreams.iter().filter(kept)).cloned().collect();
        self.proxy.upstreams().renewed(&both).map_err(invalid_upstreams)
    }

    /// Returns what carries the events of changes into the ledger.
    pub(crate) fn relay(&self) -> Relay {
        let ledger = Arc::new(self.pipeline.engines().audit.clone());
        Relay::new(Arc::clone(&self.outbox) as _, ledger, Arc::clone(&self.clock), Arc::clone(&self.timer))
    }

    /// Returns what the admin API works on.
    pub(crate) fn api(&self, config: &Config, gateway: &Arc<ListenerStats>, admin: &Arc<Counts>) -> ApiState {
        let (gateway, admin) = (Arc::clone(gateway), Arc::clone(admin));
        let listeners = vec![
            ListenerSource::new("gateway", move || ListenerCounts {
                open: u64::try_from(gateway.open()).unwrap_or(u64::MAX),
                accepted: gateway.accepted(),
                failed: gateway.failed(),
            }),
            ListenerSource::new("admin", move || admin.read()),
        ];
        ApiState {
            pipeline: self.pipeline.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.random) as _,
            page_keys: self.page_keys.clone(),
            readiness: self.readiness.clone(),
            listeners,
            client: ClientAddress::behind(config.admin.trusted_proxies.clone()),
        }
    }

    /// Starts what has to run beside the requests.
    pub(crate) fn start(&self, work: Work, workers: &mut Workers) {
        let Work { sequencer, recorder, followers } = work;
        let sequencer = sequencer.on_failure(|error| complain("the audit ledger cannot commit", error));
        workers.spawn(worker::SEQUENCER, async move {
            if let Err(error) = sequencer.run().await {
                tracing::error!(%error, "the audit ledger was taken by another writer");
            }
        });
        workers.spawn(worker::RECORDER, recorder.run());
        workers.spawn(worker::RELAY, self.relay().run(relay_trouble));
        workers.spawn(worker::SUMMARIES, self.pipeline.clone().run_summaries(Arc::clone(&self.timer)));
        for (name, follower) in followers {
            workers.spawn(
                name,
                follower.run(move |error| {
                    tracing::warn!(
                        follower = name,
                        error = error as &dyn std::error::Error,
                        "changes cannot be followed"
                    );
                }),
            );
        }
    }
}

fn relay_trouble(trouble: RelayTrouble<'_>) {
    match trouble {
        RelayTrouble::Failed(error) => complain("events of changes wait", error),
        RelayTrouble::Parked { event, error } => tracing::error!(
            event = %event.id,
            action = %event.action,
            error = error as &dyn std::error::Error,
            "an event of a change was parked: nobody could take it"
        ),
        _ => {}
    }
}

fn complain(what: &'static str, error: &StoreError) {
    tracing::warn!(error = error as &dyn std::error::Error, "{what}");
}

fn part(name: &'static str, freshness: Freshness, clock: Arc<dyn Clock>) -> Part {
    Part::new(name, move || {
        let age = freshness.age(clock.now());
        if age <= STALE {
            Ok(())
        } else {
            Err(Text::from(format!("changes were last seen {} s ago", age.as_secs())))
        }
    })
}

fn invalid_routes(problems: Vec<String>) -> Failure {
    invalid("the routes are not valid").with_lines(problems)
}

fn invalid_upstreams(problems: Vec<String>) -> Failure {
    invalid("the upstreams are not valid").with_lines(problems)
}

fn invalid(line: &str) -> Failure {
    Failure::new(Exit::Input, line)
}

impl Keys {
    fn resolve(
        config: &Config,
        path: &Path,
        environment: &Environment,
        random: &dyn Random,
    ) -> Result<Self, Failure> {
        let resolve = |versions: &KeyVersions| match versions.resolve(environment, directory(path)) {
            Ok(Some(ring)) => Ok(ring),
            Ok(None) => made(random).ok_or_else(|| invalid("a secret could not be made")),
            Err(problems) => {
                let lines =
                    problems.into_iter().map(|(version, problem)| format!("version {version}: {problem}"));
                Err(invalid("a secret is not where the configuration says").with_lines(lines))
            }
        };
        Ok(Self {
            peppers: resolve(&config.identity.peppers)?,
            signing: resolve(&config.audit.signing_keys)?,
            pages: resolve(&config.admin.page_keys)?,
        })
    }
}

/// Makes a secret that lives as long as the process.
fn made(random: &dyn Random) -> Option<KeyRing> {
    let mut bytes = vec![0; KeyRing::MIN_BYTES];
    random.fill(&mut bytes);
    KeyRing::new([(1, Secret::new(bytes))])
}
