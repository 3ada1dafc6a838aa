use std::net::SocketAddr;
use std::sync::Arc;

use stanchion_audit::{self as audit, Ledger, MemoryLedgerStore};
use stanchion_billing_metering::{self as metering, Catalog, MemoryUsageStore};
use stanchion_core::{
    Author, BoxFuture, Clock, IdGen, KeyRing, Random, Scope, Secret, SubjectRef, SystemClock, SystemRandom,
    Timer, Timestamp,
};
use stanchion_gateway::{GatewayConfig, Listener, Proxy, UpstreamConfig, Upstreams};
use stanchion_identity::{self as identity, MemoryKeyStore, NewKey};
use stanchion_pipeline::{Engines, Pipeline, RouteConfig, RouteTable};
use stanchion_ratelimit::{self as ratelimit, MemoryCounterStore, MemoryRuleStore, Rule};
use stanchion_rbac::{self as rbac, Assignment, MemoryRbacStore, Role};
use stanchion_tenancy::{self as tenancy, MemoryTenantStore, NewTenant};
use stanchion_tower::{ClientAddress, GovernLayer};
use tower_layer::Layer;

/// A gateway with everything on, and a key to use it with.
pub(crate) struct Full {
    pub(crate) pipeline: Pipeline,
    pub(crate) key: String,
    pub(crate) workers: Vec<BoxFuture<'static, ()>>,
}

#[derive(Debug)]
struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let left = deadline.since(SystemClock.now());
        Box::pin(tokio::time::sleep(left))
    }
}

pub(crate) async fn gateway(upstream: &str) {
    let Full { pipeline, key, workers } = full().await;
    for worker in workers {
        spawn(worker);
    }
    let upstream = UpstreamConfig {
        id: "things".parse().expect("a slug"),
        endpoints: vec![format!("http://{upstream}")],
        connect_timeout_ms: 1_000,
        idle_timeout_ms: 4_000,
    };
    let config = GatewayConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..GatewayConfig::default() };
    let upstreams = Arc::new(Upstreams::new(&[upstream]).expect("a good upstream"));
    let proxy = Proxy::new(upstreams, Arc::new(SystemClock), config.body_stall());
    let listener = Listener::bind(config).await.expect("a port is free");
    println!("{} {key}", listener.address().expect("it has an address"));
    listener.serve(GovernLayer::new(Arc::new(pipeline)).layer(proxy), std::future::pending()).await;
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's process ends with its tasks")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Four rules match each request: one before authentication, three after. None is ever reached.
const RULES: [&str; 4] = [
    r#"{"id": "per-address", "key": ["ip"], "limit": 1000000000, "window": "1s"}"#,
    r#"{"id": "per-tenant", "key": ["tenant"], "limit": 1000000000, "window": "1m", "algorithm": "fixed_window"}"#,
    r#"{"id": "per-user", "key": ["user"], "limit": 1000000000, "window": "1s"}"#,
    r#"{"id": "per-key-and-route", "key": ["api_key", "endpoint"], "limit": 1000000000, "window": "1s"}"#,
];

const ROUTE: &str = r#"{
    "id": "things", "path": "/v1/things", "methods": ["GET"], "upstream": "things",
    "permission": "thing:read", "meters": [{"meter": "calls"}]
}"#;

const CATALOG: &str = r#"{
    "meters": [{"id": "calls", "name": "API calls", "unit": "call", "aggregation": "count"}],
    "rate_card": {"currency": "USD", "rates": {"calls": {"model": "per_unit", "unit_price": "0.0001"}}}
}"#;

fn ring(byte: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([byte; 32]))]).expect("a long secret")
}

pub(crate) async fn full() -> Full {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let timer: Arc<dyn Timer> = Arc::new(TokioTimer);
    let random = Arc::new(SystemRandom::default());
    let ids: Arc<dyn IdGen> = Arc::clone(&random) as _;
    let author = Author::system("bench");

    let rules = Arc::new(MemoryRuleStore::new(None));
    let counters = Arc::new(MemoryCounterStore::new(100_000, Arc::clone(&clock)));
    let ratelimit =
        ratelimit::Engine::new(rules, counters, clock.clone(), ids.clone(), ratelimit::Config::default());
    for rule in RULES {
        let rule: Rule = serde_json::from_str(rule).expect("a rule");
        ratelimit.put_rule(&author, Scope::Platform, rule, None).await.expect("the rule is good");
    }

    let tenants = Arc::new(MemoryTenantStore::new(None));
    let tenancy = tenancy::Engine::new(tenants, clock.clone(), ids.clone(), tenancy::Config::default());
    let new = NewTenant {
        slug: "acme".parse().expect("a slug"),
        name: "Acme".parse().expect("a name"),
        tier: "basic".parse().expect("a slug"),
    };
    let tenant = Scope::Tenant(tenancy.create(&author, new).await.expect("the tenant is new").value.id);

    let keys = Arc::new(MemoryKeyStore::new(None));
    let shared: Arc<dyn Random> = random;
    let identity = identity::Engine::new(keys, ring(1), clock.clone(), shared, identity::Config::default());
    let subject = SubjectRef::user("alice").expect("a subject");
    let new = NewKey {
        scope: tenant,
        subject: subject.clone(),
        name: "bench".parse().expect("a name"),
        environment: None,
        expires_at: None,
        cidrs: Vec::new(),
    };
    let (_, key) = identity.issue(&author, new).await.expect("the key is issued");

    let roles = Arc::new(MemoryRbacStore::new(None));
    let rbac = rbac::Engine::new(roles, clock.clone(), ids.clone(), rbac::Config::default());
    let reader = Role::new("reader".parse().expect("a slug"), "Reader".parse().expect("a name"))
        .with_permissions(["thing:read".parse().expect("a permission")]);
    let senior = Role::new("senior".parse().expect("a slug"), "Senior".parse().expect("a name"))
        .with_includes([reader.id.clone()]);
    let held = senior.id.clone();
    for role in [reader, senior] {
        rbac.put_role(&author, tenant, role, None).await.expect("the role is good");
    }
    rbac.assign(&author, tenant, Assignment::new(subject, held)).await.expect("the role is there");

    let (ledger, sequencer) = Ledger::new(
        Arc::new(MemoryLedgerStore::new(10_000)),
        ring(2),
        clock.clone(),
        timer.clone(),
        ids.clone(),
        audit::Config::default(),
    );
    let catalog: Catalog = serde_json::from_str(CATALOG).expect("a catalog");
    let usage =
        Arc::new(MemoryUsageStore::new(metering::MemoryConfig { events: 10_000, ..Default::default() }));
    let (metering, recorder) =
        metering::Engine::new(usage, catalog, clock.clone(), timer.clone(), metering::Config::default());

    let engines = Engines {
        ratelimit: Arc::new(ratelimit),
        identity: Arc::new(identity),
        tenancy: Arc::new(tenancy),
        rbac: Arc::new(rbac),
        audit: ledger,
        metering,
    };
    let route: RouteConfig = serde_json::from_str(ROUTE).expect("a route");
    let routes = RouteTable::new(vec![route], None).expect("a good route");
    let pipeline = Pipeline::new(engines, routes, ClientAddress::default(), clock, timer, ids);
    let workers: Vec<BoxFuture<'static, ()>> =
        vec![Box::pin(async move { drop(sequencer.run().await) }), Box::pin(recorder.run())];
    Full { pipeline, key: key.expose().to_owned(), workers }
}
