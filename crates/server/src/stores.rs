use std::path::Path;
use std::sync::Arc;

use stanchion_audit::{
    HoldStore, LedgerStore, MemoryHoldStore, MemoryLedgerStore, MemorySubjectKeyStore, SubjectKeyStore,
    TreeStore,
};
use stanchion_billing_metering::{MemoryUsageStore, UsageStore};
use stanchion_core::{Clock, StoreErrorKind, SystemScope};
use stanchion_identity::{KeyStore, MemoryKeyStore};
use stanchion_postgres::{
    Database, MigrateError, PgCounterStore, PgHoldStore, PgKeyStore, PgLedgerStore, PgOutboxStore,
    PgRbacStore, PgRuleStore, PgSubjectKeyStore, PgTenantStore, PgUsageStore, Url, self_audit,
};
use stanchion_ratelimit::{CounterStore, MemoryCounterStore, MemoryRuleStore, RuleStore};
use stanchion_rbac::{MemoryRbacStore, RbacStore, SubjectDirectory};
use stanchion_redis::{CheckError, Wake, WakingRbacStore};
use stanchion_replica::{MemoryOutboxStore, OutboxStore};
use stanchion_tenancy::{MemoryTenantStore, TenantStore};

use crate::config::{Backend, Config, Counters, StorageConfig, directory};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};

const SETTLING: SystemScope = SystemScope::new("settle how the audit ledger is divided");

/// How many connections a start makes before anything is asked of them: all its parts ask at once.
const AT_ONCE: u32 = 4;

/// Where everything is kept.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    pub(crate) tenants: Arc<dyn TenantStore>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) roles: Arc<dyn RbacStore>,
    pub(crate) rules: Arc<dyn RuleStore>,
    pub(crate) counters: Arc<dyn CounterStore>,
    pub(crate) ledger: Arc<dyn LedgerStore>,
    pub(crate) trees: Arc<dyn TreeStore>,
    pub(crate) subject_keys: Arc<dyn SubjectKeyStore>,
    pub(crate) holds: Arc<dyn HoldStore>,
    pub(crate) usage: Arc<dyn UsageStore>,
    pub(crate) outbox: Arc<dyn OutboxStore>,
    /// Who tells which users and services there are and whether they are active. Nobody does while users are kept elsewhere; a subject
    /// is then known by what it holds.
    pub(crate) directory: Option<Arc<dyn SubjectDirectory>>,
    pub(crate) shared: Option<Shared>,
}

/// What replicas share, and what one of them at a time has to look after.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) usage: Arc<PgUsageStore>,
    pub(crate) ledger: Arc<PgLedgerStore>,
    /// What tells of changed roles besides the database.
    pub(crate) wake: Option<Wake>,
}

impl Stores {
    /// Opens the stores of a configuration, and refuses those that are not fit to be worked on.
    pub(crate) async fn open(
        config: &Config,
        path: &Path,
        environment: &Environment,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        match config.storage.backend {
            Backend::Memory => Ok(Self::in_memory(&config.storage, clock)),
            Backend::Postgres | Backend::PostgresAndRedis => {
                let url = database(&config.storage, path, environment)?;
                let database = Database::new(&url, config.storage.postgres.pool);
                database.reach(AT_ONCE).await.map_err(|error| {
                    Failure::new(Exit::Unreachable, "Postgres cannot be reached").because(&error)
                })?;
                stanchion_postgres::check(&database).await.map_err(|error| unfit(&error))?;
                self_audit(&database).await.map_err(|error| {
                    Failure::new(Exit::Input, "the database does not keep tenants apart").because(&error)
                })?;
                let counters: Arc<dyn CounterStore> = match config.storage.counting() {
                    Counters::Memory => counters_in_memory(&config.storage, clock),
                    Counters::Postgres => {
                        Arc::new(PgCounterStore::new(&url, config.storage.postgres.counters))
                    }
                    Counters::Redis => counters_in_redis(&config.storage, path, environment).await?,
                };
                let wake = wake(&config.storage, path, environment)?;
                let stores = Self::in_postgres(database, counters, wake);
                if let Some(shared) = &stores.shared {
                    settle_shards(&shared.ledger, config.audit.ledger.shards, path).await?;
                }
                Ok(stores)
            }
        }
    }

    fn in_memory(storage: &StorageConfig, clock: &Arc<dyn Clock>) -> Self {
        let outbox = Arc::new(MemoryOutboxStore::default());
        let events = || Some(Arc::clone(&outbox));
        let ledger = Arc::new(MemoryLedgerStore::new(storage.memory.audit_entries));
        Self {
            tenants: Arc::new(MemoryTenantStore::new(events())),
            keys: Arc::new(MemoryKeyStore::new(events())),
            roles: Arc::new(MemoryRbacStore::new(events())),
            rules: Arc::new(MemoryRuleStore::new(events())),
            counters: counters_in_memory(storage, clock),
            ledger: Arc::clone(&ledger) as _,
            trees: ledger,
            subject_keys: Arc::new(MemorySubjectKeyStore::new(events())),
            holds: Arc::new(MemoryHoldStore::default()),
            usage: Arc::new(MemoryUsageStore::new(storage.memory.usage())),
            outbox,
            directory: None,
            shared: None,
        }
    }

    fn in_postgres(database: Database, counters: Arc<dyn CounterStore>, wake: Option<Wake>) -> Self {
        let roles: Arc<dyn RbacStore> = Arc::new(PgRbacStore::new(database.clone()));
        let roles = match &wake {
            Some(wake) => Arc::new(WakingRbacStore::new(roles, wake.clone())),
            None => roles,
        };
        let usage = Arc::new(PgUsageStore::new(database.clone()));
        let ledger = Arc::new(PgLedgerStore::new(database.clone()));
        Self {
            tenants: Arc::new(PgTenantStore::new(database.clone())),
            keys: Arc::new(PgKeyStore::new(database.clone())),
            roles,
            rules: Arc::new(PgRuleStore::new(database.clone())),
            counters,
            ledger: Arc::clone(&ledger) as _,
            trees: Arc::clone(&ledger) as _,
            subject_keys: Arc::new(PgSubjectKeyStore::new(database.clone())),
            holds: Arc::new(PgHoldStore::new(database.clone())),
            usage: Arc::clone(&usage) as _,
            outbox: Arc::new(PgOutboxStore::new(database.clone())),
            directory: None,
            shared: Some(Shared { database, usage, ledger, wake }),
        }
    }
}

fn counters_in_memory(storage: &StorageConfig, clock: &Arc<dyn Clock>) -> Arc<dyn CounterStore> {
    Arc::new(MemoryCounterStore::new(storage.memory.rate_limit_counters, Arc::clone(clock)))
}

/// Servers that cannot be asked just now are no reason not to start: rules say what they do without their counters.
async fn counters_in_redis(
    storage: &StorageConfig,
    path: &Path,
    environment: &Environment,
) -> Result<Arc<dyn CounterStore>, Failure> {
    let reference = storage.redis.urls.as_ref().ok_or_else(|| no_redis("`urls` is missing".to_owned()))?;
    let counters = reference.redis(&storage.redis.servers, environment, directory(path)).map_err(no_redis)?;
    match counters.check().await {
        Ok(()) => {}
        Err(error @ CheckError::Unreachable(_)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "rate limits cannot be counted yet");
        }
        Err(error) => {
            return Err(Failure::new(Exit::Input, "Redis is not fit to count on").because(&error));
        }
    }
    Ok(Arc::new(counters))
}

fn no_redis(why: String) -> Failure {
    Failure::new(Exit::Input, "`storage.redis` does not say where Redis is").with_lines([why])
}

/// Sets up what tells of changed roles besides the database, if anything is to.
fn wake(storage: &StorageConfig, path: &Path, environment: &Environment) -> Result<Option<Wake>, Failure> {
    if !storage.wakes_by_redis() {
        return Ok(None);
    }
    let reference = storage.redis.urls.as_ref().ok_or_else(|| no_redis("`urls` is missing".to_owned()))?;
    reference.wake(&storage.redis.servers, environment, directory(path)).map(Some).map_err(no_redis)
}

fn database(storage: &StorageConfig, path: &Path, environment: &Environment) -> Result<Url, Failure> {
    let invalid = |why: String| {
        Failure::new(Exit::Input, "`storage.postgres.url` does not say where the database is")
            .with_lines([why])
    };
    let reference = storage.postgres.url.as_ref().ok_or_else(|| invalid("it is missing".to_owned()))?;
    reference.postgres(environment, directory(path)).map_err(invalid)
}

/// Refuses to divide a ledger anew: which sequencer writes a scope must be the same for every replica, for good.
async fn settle_shards(ledger: &PgLedgerStore, shards: u16, path: &Path) -> Result<(), Failure> {
    let settled = ledger.settle_shards(SETTLING, shards).await;
    let settled = settled.map_err(|error| {
        Failure::new(Exit::Unreachable, "Postgres does not say how its ledger is divided").because(&error)
    })?;
    if settled == shards {
        return Ok(());
    }
    let line = format!(
        "`audit.ledger.shards` is {shards}, and the ledger of this database was begun with {settled}"
    );
    Err(Failure::new(Exit::Input, line).with_lines([
        format!("{}: set `shards = {settled}` in `[audit.ledger]`", path.display()),
        "the first start on a database settles it for good; another number takes another database".to_owned(),
    ]))
}

/// Says why a database cannot be worked on.
fn unfit(error: &MigrateError) -> Failure {
    let unreachable = match error {
        MigrateError::Connect(_) => true,
        MigrateError::Unreadable(error) => {
            matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::Timeout)
        }
        _ => false,
    };
    if unreachable {
        Failure::new(Exit::Unreachable, "Postgres cannot be reached").because(error)
    } else {
        Failure::new(Exit::Input, "the database does not have the schema of this program").because(error)
    }
}
