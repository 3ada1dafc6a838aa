//! Everything in memory: one tenant, one user who may read itself, one key, ten requests a minute.

use std::error::Error;
use std::sync::Arc;

use stanchion_audit::{self as audit, Ledger, MemoryLedgerStore};
use stanchion_billing_metering::{self as metering, MemoryUsageStore};
use stanchion_core::{
    Author, BoxFuture, Clock, IdGen, KeyRing, Random, Scope, Secret, SubjectRef, SystemClock, SystemRandom,
    Timer, Timestamp,
};
use stanchion_identity::{self as identity, MemoryKeyStore, NewKey};
use stanchion_pipeline::{Engines, Pipeline, RouteTable};
use stanchion_ratelimit::{self as ratelimit, MemoryCounterStore, MemoryRuleStore};
use stanchion_rbac::{self as rbac, Assignment, MemoryRbacStore, Role};
use stanchion_tenancy::{self as tenancy, MemoryTenantStore, NewTenant};
use stanchion_tower::ClientAddress;

#[derive(Debug)]
struct TokioTimer;

impl Timer for TokioTimer {
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(deadline.since(SystemClock.now())))
    }
}

fn secret(random: &SystemRandom) -> Option<KeyRing> {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    KeyRing::new([(1, Secret::new(bytes))])
}

pub(crate) async fn pipeline() -> Result<(Pipeline, String, BoxFuture<'static, ()>), Box<dyn Error>> {
    let (clock, timer): (Arc<dyn Clock>, Arc<dyn Timer>) = (Arc::new(SystemClock), Arc::new(TokioTimer));
    let random = Arc::new(SystemRandom::default());
    let ids: Arc<dyn IdGen> = random.clone();
    let (peppers, macs) =
        secret(&random).zip(secret(&random)).ok_or("a secret of 32 bytes is long enough")?;
    let author = Author::system("example");

    let counters = Arc::new(MemoryCounterStore::new(100_000, clock.clone()));
    let rules = Arc::new(MemoryRuleStore::new(None));
    let ratelimit = ratelimit::Engine::new(rules, counters, clock.clone(), ids.clone(), Default::default());
    let rule = serde_json::from_str(r#"{"id": "per-user", "key": ["user"], "limit": 10, "window": "1m"}"#)?;
    ratelimit.put_rule(&author, Scope::Platform, rule, None).await?;

    let store = Arc::new(MemoryTenantStore::new(None));
    let tenancy = tenancy::Engine::new(store, clock.clone(), ids.clone(), Default::default());
    let acme = NewTenant { slug: "acme".parse()?, name: "Acme".parse()?, tier: "basic".parse()? };
    let acme = Scope::Tenant(tenancy.create(&author, acme).await?.value.id);

    let store = Arc::new(MemoryRbacStore::new(None));
    let rbac = rbac::Engine::new(store, clock.clone(), ids.clone(), Default::default());
    let role = Role::new("member".parse()?, "Member".parse()?).with_permissions(["self:read".parse()?]);
    let alice = SubjectRef::user("alice")?;
    let assignment = Assignment::new(alice.clone(), role.id.clone());
    rbac.put_role(&author, acme, role, None).await?;
    rbac.assign(&author, acme, assignment).await?;

    let store = Arc::new(MemoryKeyStore::new(None));
    let identity = identity::Engine::new(store, peppers, clock.clone(), random, Default::default());
    let key = NewKey {
        scope: acme,
        subject: alice,
        name: "example".parse()?,
        environment: None,
        expires_at: None,
        cidrs: Vec::new(),
    };
    let (_, key) = identity.issue(&author, key).await?;

    let store = Arc::new(MemoryLedgerStore::new(10_000));
    let (audit, sequencer) =
        Ledger::new(store, macs, clock.clone(), timer.clone(), ids.clone(), audit::Config::default());
    let catalog = serde_json::from_str(r#"{"meters": [], "rate_card": {"currency": "EUR", "rates": {}}}"#)?;
    let store = Arc::new(MemoryUsageStore::new(metering::MemoryConfig::default()));
    let (metering, recorder) =
        metering::Engine::new(store, catalog, clock.clone(), timer.clone(), Default::default());

    let engines = Engines {
        ratelimit: Arc::new(ratelimit),
        identity: Arc::new(identity),
        tenancy: Arc::new(tenancy),
        rbac: Arc::new(rbac),
        audit,
        metering,
    };
    // The upstream is this application itself, so its name leads nowhere.
    let route = r#"[{"id": "whoami", "path": "/whoami", "upstream": "here", "permission": "self:read"}]"#;
    let routes =
        RouteTable::new(serde_json::from_str(route)?, None).map_err(|problems| problems.join("; "))?;
    let pipeline = Pipeline::new(engines, routes, ClientAddress::default(), clock, timer, ids);
    let workers = Box::pin(async move {
        let (committed, ()) = tokio::join!(sequencer.run(), recorder.run());
        // The ledger ends only when it is closed, which an example never does.
        drop(committed);
    });
    Ok((pipeline, key.expose().to_owned(), workers))
}
