//! Counters of Stanchion in Redis or Valkey: one script call per decision, on a single server, behind Sentinel, or on a Cluster.
//!
//! Take it when more than one replica counts by the same limits. Every decision is exact and atomic, and costs one round trip; counters
//! expire by themselves.
//!
//! ```no_run
//! # #[cfg(feature = "ratelimit")]
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use stanchion_redis::{Config, RedisCounterStore};
//!
//! let counters = RedisCounterStore::new("redis://localhost:6379", Config::default())?;
//! let counters: Arc<dyn stanchion_ratelimit::CounterStore> = Arc::new(counters);
//! # drop(counters);
//! # Ok(())
//! # }
//! ```
//!
//! # What is lost, and when
//!
//! Redis acknowledges before it has written to disk or to its replicas. A crash, a failover or a flush therefore forgets the newest
//! charges, or all: limits start over, and give at most once more what they had given since. What must never be exceeded is not
//! counted here alone. `maxmemory-policy` has to be `noeviction`: any other forgets counters that are in use, which
//! [`RedisCounterStore::check`] refuses.
//!
//! # When it does not answer
//!
//! A call ends within the connect and the response timeout. After some failures in a row a [`Breaker`](stanchion_replica::Breaker)
//! opens, and calls fail at once; one at a time looks whether the server is back. What then becomes of a request is for each rule to
//! say (`on_backend_failure`).

mod config;
#[cfg(feature = "ratelimit")]
mod connection;
#[cfg(feature = "ratelimit")]
mod ratelimit;

pub use config::{Config, InvalidConfig, Topology};
#[cfg(feature = "ratelimit")]
pub use ratelimit::{CheckError, RedisCounterStore};
