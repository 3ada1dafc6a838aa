use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use stanchion_api::{ApiState, ExportJobs, ListenerCounts, ListenerSource, Part, Readiness, router};
use stanchion_audit::conformance::Intercepted;
use stanchion_audit::{self as audit, Ledger, MemoryLedgerStore};
use stanchion_billing_metering::{
    self as metering, Aggregation, Catalog, Currency, MemoryUsageStore, Meter, Price, RateCard,
};
use stanchion_core::{
    Author, Clock, KeyRing, ManualClock, Scope, Secret, SeededRandom, StoreErrorKind, SubjectRef, TenantId,
    Timestamp,
};
use stanchion_identity::{self as identity, MemoryKeyStore};
use stanchion_pipeline::{Engines, Pipeline, RouteConfig, RouteTable};
use stanchion_ratelimit::{self as ratelimit, MemoryCounterStore, MemoryRuleStore};
use stanchion_rbac::{self as rbac, MemoryRbacStore};
use stanchion_replica::{MemoryOutboxStore, Relay};
use stanchion_tenancy::{self as tenancy, MemoryTenantStore};
use stanchion_tower::{ClientAddress, PeerAddress};
use tower::ServiceExt as _;

use crate::faults::{FaultyTenants, Tampering};

pub(crate) const NOW: &str = "2026-11-22T12:00:00Z";
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// The API with a platform administrator and two tenants, each with an administrator who may do everything there.
pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) pipeline: Pipeline,
    pub(crate) engines: Engines,
    pub(crate) readiness: Readiness,
    pub(crate) followers: stanchion_api::Followers,
    /// The key of `user:root` of the platform.
    pub(crate) root: String,
    pub(crate) acme: Tenant,
    pub(crate) globex: Tenant,
    /// What every write of a tenant fails with.
    pub(crate) fault: Arc<Mutex<Option<StoreErrorKind>>>,
    /// Whether the ledger was tampered with.
    pub(crate) tampered: Arc<AtomicBool>,
    relay: Relay,
    sequencer: Pin<Box<dyn Future<Output = Result<(), audit::Error>>>>,
    pub(crate) prover: audit::Prover,
    checkpointer: Pin<Box<dyn Future<Output = ()>>>,
}

pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    /// The key of `user:admin` of the tenant.
    pub(crate) admin: String,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What it was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

pub(crate) fn system() -> Author {
    Author::system("test")
}

fn ring(byte: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([byte; 32]))]).unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        let start = Timestamp::parse_rfc3339(NOW).unwrap();
        // Ids of the same millisecond come in any order; what is set up here is older than what tests make.
        let clock = Arc::new(ManualClock::at(start.minus(Duration::from_secs(1))));
        let ids = Arc::new(SeededRandom::new(7));
        let outbox = Arc::new(MemoryOutboxStore::default());
        let keep = || Some(Arc::clone(&outbox));
        let (now, id) = (|| Arc::clone(&clock) as Arc<dyn Clock>, || Arc::clone(&ids));
        let fault = Arc::new(Mutex::new(None));
        let tenants = MemoryTenantStore::new(keep());
        let tenants = Arc::new(FaultyTenants { inner: tenants, fault: Arc::clone(&fault) });
        let tenancy = Arc::new(tenancy::Engine::new(tenants, now(), id(), tenancy::Config::default()));
        let keys = Arc::new(MemoryKeyStore::new(keep()));
        let identity = identity::Engine::new(keys, ring(1), now(), id(), identity::Config::default());
        let roles = Arc::new(MemoryRbacStore::new(keep()));
        let rbac = {
            let decisions = rbac::DecisionRecords { recent: 100, ..rbac::DecisionRecords::default() };
            let config = rbac::Config { decisions, ..rbac::Config::default() };
            Arc::new(rbac::Engine::new(roles, now(), id(), config))
        };
        let counters = Arc::new(MemoryCounterStore::new(1_000, now()));
        let rules = Arc::new(MemoryRuleStore::new(keep()));
        let ratelimit = ratelimit::Engine::new(rules, counters, now(), id(), ratelimit::Config::default());
        let tampered = Arc::new(AtomicBool::new(false));
        let trees = Arc::new(MemoryLedgerStore::new(10_000));
        let ledger = Intercepted::new(trees.clone(), Tampering(Arc::clone(&tampered)));
        let ledger = Arc::new(ledger);
        let config = audit::Config { linger_ms: 0, ..audit::Config::default() };
        let (audit, sequencer) = Ledger::new(ledger, ring(2), now(), clock.clone(), id(), config);
        let signer = audit::CheckpointSigner::new(&ring(4), "audit.example.com").unwrap();
        let (prover, checkpointer) = audit.checkpoints(trees, signer, audit::CheckpointConfig::default());
        let protection = audit::Protection::new(
            Arc::new(audit::MemorySubjectKeyStore::new(keep())),
            Arc::new(audit::Aes256GcmCipher),
            ring(5),
            now(),
            clock.clone(),
            id(),
            id(),
            audit::ProtectConfig::default(),
        );
        let usage = Arc::new(MemoryUsageStore::default());
        let (metering, _) =
            metering::Engine::new(usage, catalog(), now(), clock.clone(), metering::Config::default());
        let engines = Engines {
            ratelimit: Arc::new(ratelimit),
            identity: Arc::new(identity),
            tenancy,
            rbac,
            audit,
            metering,
        };
        let readiness = Readiness::new([Part::new("roles", || Ok(()))]);
        let client = ClientAddress::default();
        let pipeline = Pipeline::new(engines.clone(), routes(), client.clone(), now(), clock.clone(), id());
        let counts = || ListenerCounts { open: 1, accepted: 2, failed: 0 };
        let followers = stanchion_api::Followers::default();
        let router = router(ApiState {
            pipeline: pipeline.clone(),
            prover: prover.clone(),
            protection: protection.clone(),
            keeper: audit::Keeper::new(
                prover.clone(),
                Arc::new(audit::MemoryHoldStore::default()),
                None,
                audit::RetentionConfig::default(),
            ),
            actions: Arc::default(),
            registry: Arc::new(rbac::Registry::stanchion()),
            exports: ExportJobs::default(),
            followers: followers.clone(),
            clock: now(),
            ids: id(),
            page_keys: ring(3),
            readiness: readiness.clone(),
            envoy: None,
            listeners: vec![ListenerSource::new("gateway", counts)],
            client,
            refresh: stanchion_api::Refresh::default(),
        });
        let relay = Relay::new(outbox, Arc::new(engines.audit.clone()), now(), clock.clone());
        let admin = rbac::Role::new("admin".parse().unwrap(), "Administrator".parse().unwrap());
        let admin = admin.with_permissions(["*:*".parse().unwrap()]);
        engines.rbac.put_role(&system(), Scope::Platform, admin, None).await.unwrap();
        let root = principal(&engines, Scope::Platform, "user:root", Some("admin")).await;
        let acme = Tenant::new(&engines, "acme").await;
        clock.advance(Duration::from_millis(1));
        let globex = Tenant::new(&engines, "globex").await;
        clock.set(start);
        let sequencer = Box::pin(sequencer.run());
        let checkpointer = Box::pin(checkpointer.run());
        Self {
            router,
            clock,
            pipeline,
            engines,
            readiness,
            followers,
            root,
            acme,
            globex,
            fault,
            tampered,
            relay,
            sequencer,
            prover,
            checkpointer,
        }
    }

    pub(crate) async fn send(&self, ask: &Ask) -> Answer {
        send(&self.router, ask).await
    }

    /// Sends what is answered once the ledger has committed it.
    pub(crate) async fn record(&mut self, ask: &Ask) -> Answer {
        tokio::select! {
            biased;
            answer = send(&self.router, ask) => answer,
            _ = &mut self.sequencer => panic!("the sequencer has ended"),
        }
    }

    /// Sends what is answered once a checkpoint covers what the ledger has committed.
    pub(crate) async fn record_and_cover(&mut self, ask: &Ask) -> Answer {
        tokio::select! {
            biased;
            answer = send(&self.router, ask) => answer,
            _ = &mut self.sequencer => panic!("the sequencer has ended"),
            () = &mut self.checkpointer => panic!("the checkpointer has ended"),
        }
    }

    /// Issues a key to a subject of a scope that holds the role.
    pub(crate) async fn principal(&self, scope: Scope, subject: &str, role: Option<&str>) -> String {
        principal(&self.engines, scope, subject, role).await
    }

    /// Writes a role of a scope.
    pub(crate) async fn role(&self, scope: Scope, id: &str, permissions: &[&str]) {
        let role = rbac::Role::new(id.parse().unwrap(), id.parse().unwrap());
        let role = role.with_permissions(permissions.iter().map(|permission| permission.parse().unwrap()));
        self.engines.rbac.put_role(&system(), scope, role, None).await.unwrap();
    }

    /// Carries everything that waits into the ledger.
    pub(crate) async fn settle(&mut self) {
        tokio::select! {
            biased;
            delivered = self.relay.drain() => drop(delivered.unwrap()),
            _ = &mut self.sequencer => panic!("the sequencer has ended"),
        }
        loop {
            let stats = self.engines.audit.stats();
            if stats.queued == 0 && stats.accepted == stats.committed + stats.duplicates {
                return;
            }
            tokio::select! {
                biased;
                _ = &mut self.sequencer => panic!("the sequencer has ended"),
                () = tokio::task::yield_now() => {}
            }
        }
    }

    /// Carries everything that waits into the ledger, and covers it by checkpoints.
    pub(crate) async fn cover(&mut self) {
        self.settle().await;
        loop {
            self.clock.advance(Duration::from_secs(1));
            tokio::select! {
                biased;
                () = &mut self.checkpointer => panic!("the checkpointer has ended"),
                () = tokio::task::yield_now() => {}
            }
            let chain = "platform/security".parse().unwrap();
            let covered =
                self.prover.checkpoint(chain).await.unwrap().map_or(0, |checkpoint| checkpoint.size);
            let page = stanchion_core::PageRequest::first(1);
            let newest =
                self.engines.audit.query(Scope::Platform, &audit::Query::default(), &page).await.unwrap();
            if newest.items.first().is_some_and(|entry| entry.seq <= covered) {
                return;
            }
        }
    }

    /// Returns the events of a scope that an action names, oldest first.
    pub(crate) async fn events(&mut self, scope: Scope, action: &str) -> Vec<stanchion_core::Event> {
        self.settle().await;
        let query = audit::Query { action: Some(action.to_owned().into()), ..audit::Query::default() };
        let page = stanchion_core::PageRequest::first(1_000);
        let found = self.engines.audit.query(scope, &query, &page).await.unwrap().items;
        found.into_iter().rev().map(|entry| entry.event).collect()
    }
}

async fn send(router: &Router, ask: &Ask) -> Answer {
    let mut request = Request::builder().method(ask.method.clone()).uri(&ask.target);
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    let request = request.extension(PeerAddress(PEER)).body(Body::from(ask.body.clone())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let text = String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()).into_owned();
    Answer { status: head.status, headers: head.headers, text }
}

impl Tenant {
    async fn new(engines: &Engines, slug: &str) -> Self {
        let new = tenancy::NewTenant {
            slug: slug.parse().unwrap(),
            name: slug.parse().unwrap(),
            tier: "basic".parse().unwrap(),
        };
        let id = engines.tenancy.create(&system(), new).await.unwrap().value.id;
        let admin = principal(engines, Scope::Tenant(id), "user:admin", Some("admin")).await;
        Self { id, admin }
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope::Tenant(self.id)
    }
}

async fn principal(engines: &Engines, scope: Scope, subject: &str, role: Option<&str>) -> String {
    let subject: SubjectRef = subject.parse().unwrap();
    if let Some(role) = role {
        let assignment = rbac::Assignment::new(subject.clone(), role.parse().unwrap());
        engines.rbac.assign(&system(), scope, assignment).await.unwrap();
    }
    let name = "test".parse().unwrap();
    let new =
        identity::NewKey { scope, subject, name, environment: None, expires_at: None, cidrs: Vec::new() };
    engines.identity.issue(&system(), new).await.unwrap().1.expose().to_owned()
}

fn catalog() -> Catalog {
    let meter = |id: &str, unit: &str, aggregation| Meter {
        id: id.parse().unwrap(),
        name: id.parse().unwrap(),
        unit: unit.parse().unwrap(),
        aggregation,
    };
    let meters =
        [meter("api.calls", "call", Aggregation::Count), meter("storage.gb", "GB", Aggregation::Sum)];
    let price = Price::per_unit("0.0001".parse().unwrap()).unwrap();
    let rates = [("api.calls".parse().unwrap(), price)].into();
    Catalog::new(meters, RateCard { currency: Currency::USD, rates }).unwrap()
}

fn routes() -> RouteTable {
    let route: RouteConfig = serde_json::from_value(json!({
        "id": "reports", "path": "/reports", "upstream": "reports", "permission": "report:read",
        "meters": [{"meter": "api.calls"}],
    }))
    .unwrap();
    RouteTable::new(vec![route], None).unwrap()
}

impl Ask {
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    pub(crate) fn post(target: impl Into<String>, body: Value) -> Self {
        Self::new(Method::POST, target).json(body)
    }

    pub(crate) fn put(target: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PUT, target).json(body)
    }

    pub(crate) fn patch(target: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PATCH, target).json(body)
    }

    pub(crate) fn delete(target: impl Into<String>) -> Self {
        Self::new(Method::DELETE, target)
    }

    pub(crate) fn by(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The answer's body, provided that it has the status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The detail of a problem with the code, provided that the answer is one.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["code"], code, "{}", self.text);
        assert_eq!(problem["status"], status, "{}", self.text);
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{}", self.text);
        problem["detail"].as_str().unwrap_or("").to_owned()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no `{name}` in {:?}", self.headers));
        value.to_str().unwrap()
    }
}
