use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use stanchion_api::{EnvoyRateLimits, Grpc};
use stanchion_gateway::Listener as GatewayListener;
use stanchion_ratelimit::RuleId;
use stanchion_tower::{GovernLayer, PeerAddress};
use tower_layer::Layer as _;
use tower_service::Service as _;

use crate::config::Config;
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::limits;
use crate::listener::{Listener, Protocol};
use crate::load;
use crate::wiring::{Counted, Platform, worker};
use crate::workers::{Death, Stop, Workers};

const GATEWAY: &str = "gateway listener";
const ADMIN: &str = "admin listener";
const ENVOY: &str = "envoy listener";
/// What a step of the shutdown may take beyond the time it is given anyway.
const SLACK: Duration = Duration::from_secs(15);

/// A running server: engines, listeners and workers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) platform: Platform,
    pub(crate) config: Config,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Where Envoy asks for rate limits, if it may.
    pub(crate) envoy: Option<SocketAddr>,
    limits: Option<EnvoyRateLimits>,
    workers: Workers,
    /// Ends the listeners that others' requests wait for.
    stop_gateway: Stop,
    stop_admin: Stop,
}

/// The listeners of a server, which do not answer yet.
#[derive(Debug)]
pub(crate) struct Listeners {
    gateway: GatewayListener,
    gateway_address: SocketAddr,
    admin: Listener,
    admin_address: SocketAddr,
    envoy: Option<(Listener, SocketAddr)>,
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The section of the configuration that names it.
    pub(crate) section: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) error: io::Error,
}

impl Listeners {
    pub(crate) async fn bind(config: &Config) -> Result<Self, Taken> {
        let taken = |error| Taken { section: "gateway", address: config.gateway.listen, error };
        let gateway = GatewayListener::bind(config.gateway.clone()).await.map_err(taken)?;
        let gateway_address = gateway.address().map_err(taken)?;
        let taken = |error| Taken { section: "admin", address: config.admin.listen, error };
        let admin = Listener::bind(config.admin.listen, Protocol::Http1).await.map_err(taken)?;
        let admin_address = admin.address().map_err(taken)?;
        let envoy = if config.envoy.enabled {
            let taken = |error| Taken { section: "envoy", address: config.envoy.listen, error };
            let envoy = Listener::bind(config.envoy.listen, Protocol::Http2).await.map_err(taken)?;
            let address = envoy.address().map_err(taken)?;
            Some((envoy, address))
        } else {
            None
        };
        Ok(Self { gateway, gateway_address, admin, admin_address, envoy })
    }
}

impl Server {
    /// Starts everything that a configuration asks for. It is ready for requests once [`Server::open`] has said so.
    pub(crate) async fn start(
        config: Config,
        path: &Path,
        environment: &Environment,
        listeners: Listeners,
    ) -> Result<Self, Failure> {
        let Listeners { gateway, gateway_address, admin, admin_address, envoy } = listeners;
        let (platform, mut work) = Platform::open(&config, path, environment).await?;
        platform.begin(&mut work).await?;
        let mut workers = Workers::default();
        platform.start(work, &mut workers);
        load::warn_if_unmeasured(&config);
        limits::apply(&platform.pipeline.engines().ratelimit, &config.limits, &[]).await.map_err(
            |error| {
                Failure::new(Exit::Input, "the limits of the configuration cannot be put in force")
                    .because(&error)
            },
        )?;

        let (stop_gateway, stop_admin) = (Stop::default(), Stop::default());
        let limits = envoy.is_some().then(|| platform.rate_limits(&config));
        let envoy_address = envoy.as_ref().map(|(_, address)| *address);
        let counts = Counted {
            gateway: gateway.stats(),
            admin: admin.counts(),
            envoy: envoy.as_ref().map(|(listener, _)| listener.counts()),
        };
        let api = platform.api(&config, counts, limits.clone());
        let service = GovernLayer::new(Arc::new(platform.pipeline.clone())).layer(platform.proxy.clone());
        let stop = stop_gateway.wait();
        workers.spawn(GATEWAY, async move {
            let cut_off = gateway.serve(service, stop).await;
            if cut_off > 0 {
                tracing::warn!(
                    connections = cut_off,
                    "connections were cut off: they took longer than the drain"
                );
            }
        });
        if let (Some((listener, _)), Some(limits)) = (envoy, limits.clone()) {
            let grpc = Grpc::new(limits, platform.readiness.clone());
            let answer = move |_, request| {
                let grpc = grpc.clone();
                async move { grpc.answer(request).await }
            };
            workers.spawn(ENVOY, listener.serve(answer, stop_gateway.wait()));
        }
        let router = stanchion_api::router(api);
        let admin =
            admin.serve(move |peer, request| answer(router.clone(), peer, request), stop_admin.wait());
        workers.spawn(ADMIN, admin);
        Ok(Self {
            platform,
            config,
            gateway: gateway_address,
            admin: admin_address,
            envoy: envoy_address,
            limits,
            workers,
            stop_gateway,
            stop_admin,
        })
    }

    /// Runs something beside the requests that must not end either.
    pub(crate) fn run_beside(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.workers.spawn(name, work);
    }

    /// Says that requests may come.
    pub(crate) fn open(&self) {
        self.platform.readiness.serve();
        let envoy = self.envoy.map(tracing::field::display);
        tracing::info!(gateway = %self.gateway, admin = %self.admin, envoy, "serving");
    }

    /// Waits until something ends that must not.
    pub(crate) async fn death(&mut self) -> Failure {
        dead(&self.workers.death().await)
    }

    /// Ends in good order: says that it is not ready, lets exchanges end, and writes everything that is owed.
    pub(crate) async fn shutdown(mut self) -> Result<(), Failure> {
        self.platform.readiness.drain();
        tokio::time::sleep(Duration::from_millis(self.config.shutdown.delay_ms)).await;
        self.stop_gateway.now();
        let drain = Duration::from_millis(self.config.gateway.drain_timeout_ms);
        self.ended(&[GATEWAY, ENVOY], drain.saturating_add(SLACK)).await?;
        self.stop_admin.now();
        self.ended(&[ADMIN], SLACK).await?;
        // Leases are given back before the events of what limits have written are relayed.
        self.platform.pipeline.engines().ratelimit.close();
        self.workers.stop(worker::LEASES);
        self.ended(&[worker::ERRANDS, worker::LEASES], SLACK).await?;
        self.platform.return_leases().await;
        self.workers.stop(worker::SUMMARIES);
        self.workers.stop(worker::RELAY);
        // Wherever they are stopped, they go on from there.
        self.workers.stop(worker::ACCESS_SWEEPER);
        self.workers.stop(worker::KEEPER);
        self.workers.stop(worker::EVOLVER);
        self.workers.stop(worker::EXPORTS);
        let ended = [
            worker::SUMMARIES,
            worker::RELAY,
            worker::EXPORTS,
            worker::ACCESS_SWEEPER,
            worker::KEEPER,
            worker::EVOLVER,
        ];
        self.ended(&ended, SLACK).await?;
        self.platform.pipeline.flush_summaries();
        let relayed = self.platform.relay_the_rest().await;
        relayed.map_err(|error| {
            Failure::new(Exit::No, "events of changes could not be recorded").because(&error)
        })?;
        let engines = self.platform.pipeline.engines();
        engines.metering.close();
        // Bounded, so that a store that does not answer holds nobody up; whoever reads the ledger will miss the stop.
        if tokio::time::timeout(SLACK, self.platform.finish()).await.is_err() {
            engines.audit.close();
        }
        let ended = &[worker::SEQUENCER, worker::CHECKPOINTER, worker::PROJECTOR, worker::RECORDER];
        self.ended(ended, SLACK).await?;
        self.platform.stop_publishing.now();
        self.ended(&[worker::PUBLISHER], SLACK).await?;
        tracing::info!("everything is recorded");
        Ok(())
    }

    async fn ended(&mut self, names: &[&'static str], patience: Duration) -> Result<(), Failure> {
        self.workers.ended(names, patience).await.map_err(|death| dead(&death))
    }

    /// Puts another configuration in force, as far as that goes without a restart.
    pub(crate) async fn reload(&mut self, next: Config) -> Result<(), Failure> {
        let refused = |error: &(dyn std::error::Error + 'static)| {
            Failure::new(Exit::Input, "the configuration stays as it was").because(error)
        };
        let before: Vec<RuleId> = self.config.limits.iter().map(|rule| rule.id.clone()).collect();
        let catalog = next.catalog().map_err(|error| refused(&error))?;
        let routes = self.platform.compile_routes(&next)?;
        let upstreams = self.platform.compile_upstreams(&self.config, &next)?;
        let engines = self.platform.pipeline.engines();
        limits::apply(&engines.ratelimit, &next.limits, &before).await.map_err(|error| refused(&error))?;
        // Upstreams first: no route may come into force before its upstream.
        self.platform.proxy.set_upstreams(upstreams);
        self.platform.pipeline.set_routes(routes);
        load::warn_if_unmeasured(&next);
        self.platform.pipeline.set_limit_fields(next.gateway.limit_fields());
        engines.metering.replace_catalog(catalog);
        if let Some(limits) = &self.limits {
            limits.configure(&next.envoy);
        }
        for section in next.needs_restart(&self.config) {
            tracing::warn!(section, "this section has changed and is in force after a restart only");
        }
        self.platform.record_settings(&self.config, &next);
        self.config = next;
        Ok(())
    }
}

/// Lets the admin API answer a listener's requests.
async fn answer(mut router: Router, peer: IpAddr, mut request: Request<Incoming>) -> Response<Body> {
    request.extensions_mut().insert(PeerAddress(peer));
    match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn dead(death: &Death) -> Failure {
    tracing::error!(worker = death.name, why = death.why, "a worker ended; the process ends with it");
    Failure::new(Exit::No, format!("the {} ended: {}", death.name, death.why))
}

#[cfg(test)]
mod tests;
