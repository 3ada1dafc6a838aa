use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use stanchion_core::{Clock, Timestamp};
use stanchion_ratelimit::{LatencyTarget, Load};

use crate::load::Meter;
use crate::{ProxiedRequestBody, UpstreamConfig, UpstreamLoad};

/// How long an endpoint that refused a connection is left out.
const REST: Duration = Duration::from_secs(1);

pub(crate) type HttpClient = Client<HttpConnector, ProxiedRequestBody<Incoming>>;

/// Every upstream, with its endpoints and connections.
#[derive(Debug, Default)]
pub struct Upstreams(HashMap<String, Arc<Upstream>>);

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    config: UpstreamConfig,
    endpoints: Vec<Endpoint>,
    turn: AtomicUsize,
    pub(crate) meter: Arc<Meter>,
    pub(crate) client: HttpClient,
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    authority: Authority,
    rests_until: AtomicI64,
}

impl Upstreams {
    /// Compiles the upstreams; no connection is made yet.
    ///
    /// # Errors
    /// One sentence for each upstream that is wrong.
    pub fn new(configs: &[UpstreamConfig]) -> Result<Self, Vec<String>> {
        let mut upstreams = HashMap::new();
        let mut problems = Vec::new();
        for config in configs {
            let id = &config.id;
            let mut endpoints = Vec::with_capacity(config.endpoints.len());
            for endpoint in &config.endpoints {
                match authority(endpoint) {
                    Ok(authority) => endpoints.push(Endpoint { authority, rests_until: AtomicI64::new(0) }),
                    Err(why) => problems.push(format!("upstream `{id}`: endpoint `{endpoint}` {why}")),
                }
            }
            if config.endpoints.is_empty() {
                problems.push(format!(
                    "upstream `{id}`: needs at least one endpoint such as http://127.0.0.1:9000"
                ));
            }
            let upstream = Upstream {
                config: config.clone(),
                endpoints,
                turn: AtomicUsize::new(0),
                meter: Arc::default(),
                client: client(config),
            };
            if upstreams.insert(id.to_string(), Arc::new(upstream)).is_some() {
                problems.push(format!("upstream `{id}`: the id is used twice"));
            }
        }
        if problems.is_empty() { Ok(Self(upstreams)) } else { Err(problems) }
    }

    /// Compiles other upstreams in place of these. One that is configured as it was keeps its connections and its place in turn.
    ///
    /// # Errors
    /// As [`Upstreams::new`].
    pub fn renewed(&self, configs: &[UpstreamConfig]) -> Result<Self, Vec<String>> {
        let mut renewed = Self::new(configs)?;
        for (id, upstream) in &mut renewed.0 {
            if let Some(kept) = self.0.get(id).filter(|kept| kept.config == upstream.config) {
                *upstream = Arc::clone(kept);
            }
        }
        Ok(renewed)
    }

    /// Tells whether there is an upstream of this name.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Says from now on what is a full load; `None` measures nothing. What was measured goes on under a target that stays.
    pub fn aim(&self, target: Option<LatencyTarget>) {
        self.0.values().for_each(|upstream| upstream.meter.aim(target));
    }

    /// Tells how loaded the upstreams are; no load where that is not measured. To be asked every `interval`: an upstream that nobody
    /// asks any more recovers, and one that stays silent grows slower, from one time to the next.
    #[must_use]
    pub fn load(&self, interval: Duration) -> UpstreamLoad {
        let in_flight =
            self.0.values().map(|upstream| upstream.meter.in_flight()).fold(0, u32::saturating_add);
        let (mut load, mut slowest) = (Load::IDLE, None::<(&String, Duration)>);
        for (id, upstream) in &self.0 {
            let Some((judged, mean)) = upstream.meter.look(in_flight, interval) else { continue };
            load = load.max(judged);
            if !mean.is_zero() && slowest.is_none_or(|(_, before)| before < mean) {
                slowest = Some((id, mean));
            }
        }
        UpstreamLoad { load, slowest: slowest.map(|(id, mean)| (id.clone(), mean)), in_flight }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Upstream>> {
        self.0.get(id)
    }
}

impl Upstream {
    /// Returns the endpoints in the order to try them: the next one in turn first, those that rest last.
    pub(crate) fn order(&self, now: Timestamp) -> impl Iterator<Item = &Endpoint> {
        let count = self.endpoints.len();
        let start = if count > 1 { self.turn.fetch_add(1, Ordering::Relaxed) % count } else { 0 };
        let turn = || self.endpoints.iter().cycle().skip(start).take(count);
        let resting = move |endpoint: &&Endpoint| endpoint.rests_until.load(Ordering::Relaxed) > now.micros();
        turn().filter(move |endpoint| !resting(endpoint)).chain(turn().filter(resting))
    }
}

impl Endpoint {
    pub(crate) fn rest(&self, clock: &dyn Clock) {
        self.rests_until.store(clock.now().plus(REST).micros(), Ordering::Relaxed);
    }

    pub(crate) fn address<B>(&self, request: &mut Request<B>) {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        if parts.path_and_query.is_none() {
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        }
        // Scheme, authority and path together always make a URI.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
}

fn authority(endpoint: &str) -> Result<Authority, &'static str> {
    let uri: Uri = endpoint.parse().map_err(|_| "is not a URL such as http://127.0.0.1:9000")?;
    if uri.scheme() == Some(&Scheme::HTTPS) {
        return Err("uses https; only http is spoken to upstreams");
    }
    let plain =
        uri.scheme() == Some(&Scheme::HTTP) && matches!(uri.path(), "" | "/") && uri.query().is_none();
    match uri.authority() {
        Some(authority) if plain && !authority.as_str().contains('@') => Ok(authority.clone()),
        _ => Err("must be http://HOST[:PORT] without a path"),
    }
}

fn client(config: &UpstreamConfig) -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_millis(config.connect_timeout_ms)));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_millis(config.idle_timeout_ms))
        .set_host(true)
        .build(connector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(id: &str, endpoints: &[&str]) -> UpstreamConfig {
        UpstreamConfig {
            id: id.parse().unwrap(),
            endpoints: endpoints.iter().map(ToString::to_string).collect(),
            connect_timeout_ms: 1,
            idle_timeout_ms: 1,
        }
    }

    #[test]
    fn every_wrong_endpoint_is_named() {
        let configs = [
            config("a", &["https://x", "http://x/path", "x:1", "http://u@x"]),
            config("b", &[]),
            config("b", &["http://127.0.0.1:1"]),
        ];
        let problems = Upstreams::new(&configs).unwrap_err();
        assert_eq!(
            problems,
            [
                "upstream `a`: endpoint `https://x` uses https; only http is spoken to upstreams",
                "upstream `a`: endpoint `http://x/path` must be http://HOST[:PORT] without a path",
                "upstream `a`: endpoint `x:1` must be http://HOST[:PORT] without a path",
                "upstream `a`: endpoint `http://u@x` must be http://HOST[:PORT] without a path",
                "upstream `b`: needs at least one endpoint such as http://127.0.0.1:9000",
                "upstream `b`: the id is used twice",
            ]
        );
    }

    #[test]
    fn an_upstream_that_stays_as_it_was_is_kept() {
        let before = Upstreams::new(&[config("a", &["http://h:1"]), config("b", &["http://h:2"])]).unwrap();
        let after = before.renewed(&[config("a", &["http://h:1"]), config("b", &["http://h:3"])]).unwrap();
        assert!(Arc::ptr_eq(before.get("a").unwrap(), after.get("a").unwrap()));
        assert!(!Arc::ptr_eq(before.get("b").unwrap(), after.get("b").unwrap()));
        assert!(!before.renewed(&[]).unwrap().contains("a"));
    }

    #[test]
    fn endpoints_take_turns_and_a_resting_one_comes_last() {
        let upstreams = Upstreams::new(&[config("a", &["http://h:1", "http://h:2", "http://h:3"])]).unwrap();
        let upstream = upstreams.get("a").unwrap();
        let clock = stanchion_core::ManualClock::default();
        let order =
            || upstream.order(clock.now()).map(|endpoint| endpoint.authority.to_string()).collect::<Vec<_>>();
        assert_eq!(order(), ["h:1", "h:2", "h:3"]);
        assert_eq!(order(), ["h:2", "h:3", "h:1"]);
        upstream.endpoints[2].rest(&clock);
        assert_eq!(order(), ["h:1", "h:2", "h:3"]);
        upstream.endpoints[0].rest(&clock);
        assert_eq!(order(), ["h:2", "h:1", "h:3"]);
    }
}
