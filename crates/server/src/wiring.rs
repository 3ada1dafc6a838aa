mod anchors;
mod evolve;
mod keys;
mod lifecycle;
mod protection;
mod retention;
mod roles;
mod start;
mod sweeping;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use stanchion_api::{
    ApiState, EnvoyRateLimits, ExportJobs, Followers, ListenerCounts, ListenerSource, Part, Readiness,
    Refresh,
};
use stanchion_audit::{
    Actions, Anchor, CheckpointSigner, Checkpointer, Evolver, Keeper, Ledger, Process, Projector, Protection,
    Prover, PublishConfig, Sequencer,
};
use stanchion_billing_metering::{self as metering, Recorder};
use stanchion_core::{Clock, KeyRing, StoreError, SystemClock, SystemRandom, Text, Timer};
use stanchion_gateway::{ListenerStats, Proxy, UpstreamConfig, Upstreams};
use stanchion_identity as identity;
use stanchion_pipeline::{Engines, LimitEvents, Pipeline, RouteTable};
use stanchion_ratelimit::{self as ratelimit, CounterStore, LeasedCounterStore, ProofOfWork};
use stanchion_rbac::Registry;
use stanchion_replica::{ChangeFeed, Follow, Follower, FollowerConfig, Freshness, Relay};
use stanchion_tenancy as tenancy;
use stanchion_tower::ClientAddress;

use self::keys::Keys;
pub(crate) use self::start::{complain, relay_trouble, worker};
use crate::config::Config;
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::listener::Counts;
use crate::stores::Stores;
use crate::timer::RuntimeTimer;
use crate::workers::Stop;

/// How old a snapshot may be before the process says that it is not ready. Engines fail closed at their own `max_stale_seconds`.
const STALE: Duration = Duration::from_secs(10);

/// The longest that a request waits for this process to see what others have written.
const REFRESH: Duration = Duration::from_secs(1);

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
    prover: Prover,
    actions: Arc<Actions>,
    registry: Arc<Registry>,
    exports: ExportJobs,
    protection: Protection,
    keeper: Keeper,
    process: Process,
    anchors: Vec<(Arc<dyn Anchor>, PublishConfig)>,
    pub(crate) stop_publishing: Stop,
    stores: Stores,
    /// Quota that was taken in chunks from counters that others share.
    leased: Option<Arc<LeasedCounterStore>>,
    freshness: Vec<Freshness>,
}

/// What has to run beside the requests.
#[derive(Debug)]
pub(crate) struct Work {
    sequencer: Sequencer,
    checkpointer: Checkpointer,
    projector: Projector,
    recorder: Recorder,
    followers: Vec<(&'static str, Follower)>,
    evolving: Evolves,
}

/// How far the signing key's evolution is begun, if it evolves.
#[derive(Debug)]
enum Evolves {
    Not,
    Found(evolve::Evolving),
    Begun(Box<Evolver>),
}

/// What the listeners count.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) gateway: Arc<ListenerStats>,
    pub(crate) admin: Arc<Counts>,
    pub(crate) envoy: Option<Arc<Counts>>,
}

/// Takes the directory of exports, which is said relative to the configuration.
fn exports(config: &Config, path: &Path, clock: &Arc<dyn Clock>) -> Result<ExportJobs, Failure> {
    let mut of = config.audit.exports.clone();
    of.directory = of.directory.map(|directory| crate::config::directory(path).join(directory));
    let opened = ExportJobs::open(of, Arc::clone(clock));
    opened.map_err(|error| invalid("`audit.exports.directory` cannot be used").because(&error))
}

impl Platform {
    /// Puts the engines together over the stores of a configuration.
    pub(crate) async fn open(
        config: &Config,
        path: &Path,
        environment: &Environment,
    ) -> Result<(Self, Work), Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let timer: Arc<dyn Timer> = Arc::new(RuntimeTimer::default());
        let random = Arc::new(SystemRandom::default());
        let keys = Keys::resolve(config, path, environment, &*random, clock.now())?;
        let actions = config.actions(path).map_err(|problems| {
            let lines = problems.into_iter().map(|(_, problem)| problem);
            invalid("an action of `audit.actions` is not valid").with_lines(lines)
        })?;
        let exports = exports(config, path, &clock)?;
        let stores = Stores::open(config, path, environment, &clock).await?;

        let tenancy = Arc::new(tenancy::Engine::new(
            Arc::clone(&stores.tenants),
            Arc::clone(&clock),
            Arc::clone(&random) as _,
            config.tenancy,
        ));
        let identity = Arc::new(identity::Engine::new(
            Arc::clone(&stores.keys),
            keys.peppers,
            Arc::clone(&clock),
            Arc::clone(&random) as _,
            config.identity.api_keys.clone(),
        ));
        let rbac = Arc::new(roles::engine(config, &stores, &clock, &random));
        let registry = roles::registry(config, path)?;
        let (audit, sequencer) = Ledger::new(
            Arc::clone(&stores.ledger),
            keys.signing,
            Arc::clone(&clock),
            Arc::clone(&timer),
            Arc::clone(&random) as _,
            config.audit.ledger,
        );
        let signer = CheckpointSigner::new(&keys.checkpoints, config.audit.deployment.clone())
            .map_err(|error| invalid("the ledger cannot be signed for").because(&error))?;
        let (prover, checkpointer) =
            audit.checkpoints(Arc::clone(&stores.trees), signer, config.audit.checkpoints);
        let anchors = anchors::anchors(config, path, environment, &clock)?;
        let prover = prover.with_anchors(anchors.clone());
        let protection = protection::open(config, keys.protection, &stores, &clock, &timer, &random);
        audit.protect(protection.clone());
        let keeper = retention::keeper(config, path, environment, &prover, &stores)?;
        let process = lifecycle::process(config, &*random, clock.now());
        let projector = audit.projector();
        let challenge = &config.challenge;
        let challenge = ProofOfWork::new(keys.challenges, challenge.bits, challenge.lifetime_seconds)
            .ok_or_else(|| invalid("the challenge is out of its range"))?;
        // Rules may ask for limits to be taken in chunks where others count too.
        let leased = stores.counters.capabilities().shared.then(|| {
            let (shared, most) = (Arc::clone(&stores.counters), config.ratelimit.local_counters);
            Arc::new(LeasedCounterStore::new(shared, most, Arc::clone(&clock)))
        });
        let counters = match &leased {
            Some(leased) => Arc::clone(leased) as Arc<dyn CounterStore>,
            None => Arc::clone(&stores.counters),
        };
        let ratelimit = ratelimit::Engine::new(
            Arc::clone(&stores.rules),
            counters,
            Arc::clone(&clock),
            Arc::clone(&random) as _,
            config.ratelimit.clone(),
        );
        let ratelimit = ratelimit.with_challenges(Arc::new(challenge));
        let ratelimit = Arc::new(ratelimit.with_events(Arc::new(LimitEvents::new(audit.clone()))));
        let catalog =
            config.catalog().map_err(|error| invalid("the catalog is not valid").because(&error))?;
        let (metering, recorder) = metering::Engine::new(
            Arc::clone(&stores.usage),
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
            follow("tenants", Arc::clone(&stores.tenants) as _, Arc::clone(&tenancy) as _),
            follow("keys", Arc::clone(&stores.keys) as _, Arc::clone(&identity) as _),
            follow("roles", Arc::clone(&stores.roles) as _, Arc::clone(&rbac) as _),
            follow("protection", Arc::clone(&stores.subject_keys) as _, Arc::new(protection.clone())),
            follow("limits", Arc::clone(&stores.rules) as _, Arc::clone(&ratelimit) as _),
        ];
        let all: Vec<Freshness> = followers.iter().map(|(_, follower)| follower.freshness()).collect();
        let freshness = followers.iter().map(|(name, follower)| (*name, follower.freshness()));
        let readiness =
            Readiness::new(freshness.map(|(name, freshness)| part(name, freshness, Arc::clone(&clock))));

        let engines = Engines { ratelimit, identity, tenancy, rbac, audit, metering };
        let routes = RouteTable::new(config.routes.clone(), None).map_err(invalid_routes)?;
        let upstreams = Upstreams::new(&config.upstreams).map_err(invalid_upstreams)?;
        upstreams.aim(config.ratelimit.load);
        let client = ClientAddress::behind(config.gateway.trusted_proxies.clone());
        let pipeline = Pipeline::new(
            engines,
            routes,
            client,
            Arc::clone(&clock),
            Arc::clone(&timer),
            Arc::clone(&random) as _,
        );
        pipeline.set_limit_fields(config.gateway.limit_fields());
        let proxy = Proxy::new(Arc::new(upstreams), Arc::clone(&clock), config.gateway.body_stall());
        let platform = Self {
            pipeline,
            proxy,
            clock,
            timer,
            random,
            readiness,
            page_keys: keys.pages,
            prover,
            actions: Arc::new(actions),
            registry: Arc::new(registry),
            exports,
            protection,
            keeper,
            process,
            anchors: anchors.into_iter().map(|anchor| (anchor, config.audit.anchors.publish)).collect(),
            stop_publishing: Stop::default(),
            stores,
            leased,
            freshness: all,
        };
        let evolving = keys.evolving.map_or(Evolves::Not, Evolves::Found);
        Ok((platform, Work { sequencer, checkpointer, projector, recorder, followers, evolving }))
    }

    /// Returns what proves the audit ledger.
    pub(crate) const fn prover(&self) -> &Prover {
        &self.prover
    }

    /// Returns where everything is kept.
    pub(crate) const fn stores(&self) -> &Stores {
        &self.stores
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
        let renewed = self.proxy.upstreams().renewed(&both).map_err(invalid_upstreams)?;
        renewed.aim(next.ratelimit.load);
        Ok(renewed)
    }

    /// Gives back what was taken of limits and not given out.
    pub(crate) async fn return_leases(&self) {
        if let Some(leased) = &self.leased
            && let Err(error) = leased.flush().await
        {
            complain("quota that was not used could not be given back", &error);
        }
    }

    /// Carries what is left of the events of changes into the ledger, if they would end with the process.
    pub(crate) async fn relay_the_rest(&self) -> Result<(), StoreError> {
        if self.stores.shared.is_none() { self.relay().drain().await.map(drop) } else { Ok(()) }
    }

    /// Returns what carries the events of changes into the ledger.
    fn relay(&self) -> Relay {
        let ledger = Arc::new(self.pipeline.engines().audit.clone());
        let (clock, timer) = (Arc::clone(&self.clock), Arc::clone(&self.timer));
        Relay::new(Arc::clone(&self.stores.outbox), ledger, clock, timer)
    }

    /// Returns what answers Envoy's rate-limit requests.
    pub(crate) fn rate_limits(&self, config: &Config) -> EnvoyRateLimits {
        let Engines { ratelimit, tenancy, .. } = self.pipeline.engines();
        let (ratelimit, tenancy) = (Arc::clone(ratelimit), Arc::clone(tenancy));
        EnvoyRateLimits::new(ratelimit, tenancy, Arc::clone(&self.clock), &config.envoy)
    }

    /// Returns what the admin API works on.
    pub(crate) fn api(&self, config: &Config, counted: Counted, envoy: Option<EnvoyRateLimits>) -> ApiState {
        let gateway = counted.gateway;
        let gateway = ListenerSource::new("gateway", move || ListenerCounts {
            open: u64::try_from(gateway.open()).unwrap_or(u64::MAX),
            accepted: gateway.accepted(),
            failed: gateway.failed(),
        });
        let others = [("admin", Some(counted.admin)), ("envoy", counted.envoy)];
        let others = others.into_iter().filter_map(|(name, counts)| {
            counts.map(|counts| ListenerSource::new(name, move || counts.read()))
        });
        let listeners = [gateway].into_iter().chain(others).collect();
        ApiState {
            envoy,
            pipeline: self.pipeline.clone(),
            prover: self.prover.clone(),
            actions: Arc::clone(&self.actions),
            registry: Arc::clone(&self.registry),
            exports: self.exports.clone(),
            followers: Followers::new(config.audit.followers),
            protection: self.protection.clone(),
            keeper: self.keeper.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.random) as _,
            page_keys: self.page_keys.clone(),
            readiness: self.readiness.clone(),
            listeners,
            client: ClientAddress::behind(config.admin.trusted_proxies.clone()),
            refresh: self.refresh(),
        }
    }

    /// Returns what brings every engine up to date, within a stated time. In memory they always are.
    fn refresh(&self) -> Refresh {
        if self.stores.shared.is_none() {
            return Refresh::default();
        }
        let (all, clock) = (self.freshness.clone(), Arc::clone(&self.clock));
        Refresh::new(move || {
            let (all, now) = (all.clone(), clock.now());
            Box::pin(async move {
                let look = join_all(all.iter().map(|freshness| freshness.reach(now)));
                tokio::time::timeout(REFRESH, look).await.is_ok()
            })
        })
    }
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
