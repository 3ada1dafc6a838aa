//! Engines in memory under a clock that the test moves, with one tenant, a user and its key.

use std::sync::Arc;
use std::time::Duration;

use stanchion_audit::{self as audit, Entry, Ledger, MemoryLedgerStore, Query, Sequencer};
use stanchion_billing_metering::{self as metering, Catalog, MemoryUsageStore, Recorder};
use stanchion_core::{
    Author, Clock, IdGen, KeyRing, ManualClock, PageRequest, Random, Scope, Secret, SubjectRef, SystemRandom,
    Timer, Timestamp,
};
use stanchion_identity::{self as identity, MemoryKeyStore, NewKey};
use stanchion_pipeline::{Engines, Pipeline, RouteConfig, RouteTable};
use stanchion_ratelimit::{self as ratelimit, MemoryCounterStore, MemoryRuleStore, Rule};
use stanchion_rbac::{self as rbac, Assignment, MemoryRbacStore, Role};
use stanchion_tenancy::{self as tenancy, MemoryTenantStore, NewTenant};
use stanchion_tower::ClientAddress;

pub(crate) struct Bed {
    pub(crate) pipeline: Pipeline,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) author: Author,
    pub(crate) sequencer: Option<Sequencer>,
    pub(crate) recorder: Option<Recorder>,
}

const ROUTES: &str = r#"[
    {"id": "read", "path": "/read", "methods": ["GET"], "upstream": "u", "permission": "thing:read",
     "meters": [{"meter": "calls"}, {"meter": "bytes", "count": "response_bytes"}]},
    {"id": "write", "path": "/write", "upstream": "u", "permission": "thing:write", "max_body_bytes": 10},
    {"id": "durable", "path": "/durable", "upstream": "u", "ack": "durable", "meters": [{"meter": "calls"}]},
    {"id": "open", "path": "/open", "upstream": "u", "access": "public"}
]"#;

const CATALOG: &str = r#"{
    "meters": [
        {"id": "calls", "name": "API calls", "unit": "call", "aggregation": "count"},
        {"id": "bytes", "name": "Bytes out", "unit": "byte", "aggregation": "sum"}
    ],
    "rate_card": {"currency": "USD", "rates": {"calls": {"model": "per_unit", "unit_price": "0.0001"}}}
}"#;

fn ring(byte: u8) -> KeyRing {
    KeyRing::new([(1, Secret::new([byte; 32]))]).unwrap()
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap()));
        let (now, timer): (Arc<dyn Clock>, Arc<dyn Timer>) = (clock.clone(), clock.clone());
        let random = Arc::new(SystemRandom::default());
        let ids: Arc<dyn IdGen> = random.clone();
        let shared: Arc<dyn Random> = random;
        let counters = Arc::new(MemoryCounterStore::new(10_000, now.clone()));
        let rules = Arc::new(MemoryRuleStore::new(None));
        let ratelimit =
            ratelimit::Engine::new(rules, counters, now.clone(), ids.clone(), ratelimit::Config::default());
        let work = ratelimit::ProofOfWork::new(ring(3), 4, 60).unwrap();
        let ratelimit = ratelimit.with_challenges(Arc::new(work));
        let store = Arc::new(MemoryTenantStore::new(None));
        let tenancy = tenancy::Engine::new(store, now.clone(), ids.clone(), tenancy::Config::default());
        let store = Arc::new(MemoryKeyStore::new(None));
        let identity =
            identity::Engine::new(store, ring(1), now.clone(), shared, identity::Config::default());
        let store = Arc::new(MemoryRbacStore::new(None));
        let rbac = rbac::Engine::new(store, now.clone(), ids.clone(), rbac::Config::default());
        let store = Arc::new(MemoryLedgerStore::new(10_000));
        let config = audit::Config::default();
        let (ledger, sequencer) =
            Ledger::new(store, ring(2), now.clone(), timer.clone(), ids.clone(), config);
        let catalog: Catalog = serde_json::from_str(CATALOG).unwrap();
        let store = Arc::new(MemoryUsageStore::new(metering::MemoryConfig::default()));
        let (metering, recorder) =
            metering::Engine::new(store, catalog, now.clone(), timer, metering::Config::default());
        let engines = Engines {
            ratelimit: Arc::new(ratelimit),
            identity: Arc::new(identity),
            tenancy: Arc::new(tenancy),
            rbac: Arc::new(rbac),
            audit: ledger,
            metering,
        };
        let routes: Vec<RouteConfig> = serde_json::from_str(ROUTES).unwrap();
        let routes = RouteTable::new(routes, None).unwrap();
        let pipeline = Pipeline::new(engines, routes, ClientAddress::default(), now, clock.clone(), ids);
        let author = Author::system("test");
        Self { pipeline, clock, author, sequencer: Some(sequencer), recorder: Some(recorder) }
    }

    /// Creates a tenant.
    pub(crate) async fn tenant(&self, slug: &str) -> Scope {
        let new = NewTenant {
            slug: slug.parse().unwrap(),
            name: slug.parse().unwrap(),
            tier: "basic".parse().unwrap(),
        };
        let tenant = self.pipeline.engines().tenancy.create(&self.author, new).await.unwrap();
        Scope::Tenant(tenant.value.id)
    }

    /// Issues a key to a user who may read things.
    pub(crate) async fn reader(&self, scope: Scope, user: &'static str) -> String {
        let engines = self.pipeline.engines();
        let role = Role::new("reader".parse().unwrap(), "Reader".parse().unwrap())
            .with_permissions(["thing:read".parse().unwrap()]);
        let subject = SubjectRef::user(user).unwrap();
        let held = role.id.clone();
        engines.rbac.put_role(&self.author, scope, role, None).await.unwrap();
        engines.rbac.assign(&self.author, scope, Assignment::new(subject.clone(), held)).await.unwrap();
        self.key(scope, subject).await
    }

    /// Issues a key to anybody.
    pub(crate) async fn key(&self, scope: Scope, subject: SubjectRef) -> String {
        let new = NewKey {
            scope,
            subject,
            name: "test".parse().unwrap(),
            environment: None,
            expires_at: None,
            cidrs: Vec::new(),
        };
        let (_, key) = self.pipeline.engines().identity.issue(&self.author, new).await.unwrap();
        key.expose().to_owned()
    }

    /// Puts a rule of the platform in force.
    pub(crate) async fn rule(&self, rule: &str) {
        let rule: Rule = serde_json::from_str(rule).unwrap();
        self.pipeline.engines().ratelimit.put_rule(&self.author, Scope::Platform, rule, None).await.unwrap();
    }

    /// Ends the queues, commits everything that waits and returns the records of a scope, oldest first.
    pub(crate) async fn records(&mut self, scope: Scope) -> Vec<Entry> {
        self.settle().await;
        let ledger = &self.pipeline.engines().audit;
        let mut entries =
            ledger.query(scope, &Query::default(), &PageRequest::first(1_000)).await.unwrap().items;
        entries.reverse();
        entries
    }

    /// Ends the queues and commits everything that waits.
    pub(crate) async fn settle(&mut self) {
        let engines = self.pipeline.engines().clone();
        engines.audit.close();
        engines.metering.close();
        if let Some(sequencer) = self.sequencer.take() {
            drop(sequencer.run().await);
        }
        if let Some(recorder) = self.recorder.take() {
            recorder.run().await;
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
