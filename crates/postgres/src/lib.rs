//! Every record of Stanchion in Postgres: migrations, tenant isolation, change feed, outbox, and an adapter for each domain's port.
//!
//! Take it when what tenants, roles, keys and rules say has to survive, or when more than one replica decides by it. Each domain is a
//! feature of its name; `testing` gives every test of yours a migrated database of its own.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use stanchion_core::{Scope, SystemClock, SystemRandom};
//! use stanchion_postgres::{Config, Database, PgRbacStore, Url};
//!
//! # #[cfg(feature = "rbac")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let url: Url = "postgres://stanchion:secret@localhost/stanchion".parse()?;
//! let database = Database::new(&url, Config::default());
//! stanchion_postgres::check(&database).await?; // `stanchion migrate` has been run
//! let roles = stanchion_rbac::Engine::new(
//!     Arc::new(PgRbacStore::new(database)),
//!     Arc::new(SystemClock),
//!     Arc::new(SystemRandom::default()),
//!     stanchion_rbac::Config::default(),
//! );
//! # drop(roles); let _ = Scope::Platform;
//! # Ok(())
//! # }
//! ```
//!
//! # Isolation
//!
//! A connection is reached through [`TenantTx`], which sees the rows of one scope, or [`SystemTx`], which states why it works across
//! tenants. Both take a role of their own under forced row-level security; the login alone may do nothing. Every statement names the
//! scope as well: row-level security is the floor, not the only wall. [`TenantTx::join`] brings your own transaction in, and the
//! adapters' `…_on` methods write within it. The ledger's batches go by connections of their own, which are in the system's role for as long as
//! they live and are lent to nobody.
//!
//! # Counters
//!
//! Records are read once and decided by from memory; counters are not. `PgCounterStore` counts rate limits for those who have no Redis:
//! exact over all replicas, by connections of its own, at two messages a decision.

#[cfg(feature = "audit")]
mod audit;
#[cfg(feature = "billing-metering")]
mod billing_metering;
mod bus;
mod config;
mod connection;
mod database;
mod error;
mod feed;
#[cfg(feature = "identity")]
mod identity;
mod leader;
mod migrate;
mod outbox;
mod patience;
#[cfg(feature = "ratelimit")]
mod ratelimit;
#[cfg(feature = "rbac")]
mod rbac;
pub mod records;
mod self_audit;
#[cfg(feature = "audit")]
mod session;
mod sweep;
#[cfg(feature = "tenancy")]
mod tenancy;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;

#[cfg(feature = "audit")]
pub use audit::{PgHoldStore, PgLedgerStore, PgSubjectKeyStore};
#[cfg(feature = "billing-metering")]
pub use billing_metering::PgUsageStore;
pub use config::{Config, InvalidUrl, Url};
pub use database::Database;
pub use error::Error;
pub use feed::Feed;
#[cfg(feature = "identity")]
pub use identity::PgKeyStore;
pub use leader::Leadership;
pub use migrate::{MigrateError, MigrateOptions, Migration, check, migrate};
pub use outbox::PgOutboxStore;
#[cfg(feature = "ratelimit")]
pub use ratelimit::{CounterConfig, PgCounterStore, PgRuleStore};
#[cfg(feature = "rbac")]
pub use rbac::PgRbacStore;
pub use self_audit::{Finding, SelfAuditError, self_audit};
pub use sweep::FEED_KEPT;
#[cfg(feature = "tenancy")]
pub use tenancy::PgTenantStore;
pub use transaction::{SystemTx, TenantTx, scope_id, scope_of};
