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
//! # What is kept
//!
//! All eight algorithms are counted, by four kernels (see [`algorithm`](stanchion_ratelimit::algorithm)), in keys of two kinds:
//!
//! | key | value |
//! |---|---|
//! | `<prefix>:rl:{<slot>}:<key>` | a counter: for levels and windows a string of 24 bytes, for logs and leases a sorted set of the charges by their ends |
//! | `<prefix>:hold:{<slot>}:<call>` | a call that can be settled once: when its hold is over |
//!
//! The slot is the hash tag, so on a Cluster all keys of a decision are on one node. Each key has an expiry, never before its counter is
//! as good as new, and for levels up to twice as long after the charge that moved it; by a clock of the caller's it is a day later.
//! Nothing has to be swept.
//!
//! A counter costs the same whatever its limit is. A log or lease looks up what it needs in logarithmic time; only where charges are of
//! more than one unit, a refusal goes through as many of the earliest as would have to end first, at most
//! [`EntryLimit::MAX`](stanchion_ratelimit::EntryLimit::MAX).
//!
//! # What is lost, and when
//!
//! Redis acknowledges before it has written to disk or to its replicas. A crash, a failover or a flush therefore forgets the newest
//! charges, or all, and holds and leases with them: limits start over, and give at most once more what they had given since. A lease
//! that was forgotten is given back as if it had timed out, a hold that was forgotten is not settled any more and stays as it was
//! charged, if that is still known. What must never be exceeded is not counted here alone. `maxmemory-policy` has to be `noeviction`:
//! any other forgets counters that are in use, which [`RedisCounterStore::check`] refuses.
//!
//! A full server refuses what would take more room, as a whole: such a decision has taken nothing. Holds and leases can be settled all
//! the same; other corrections are refused until there is room.
//!
//! # Whose clock
//!
//! Without a time of the caller's, the server's clock decides, and with it which window it is: replicas need not agree on the time, and
//! a window of the calendar is found by the server as long as the caller's clock is less than a window off. A clock that steps back
//! gives nothing back, whoever's it is. Times from 1970 to 2112 are counted, and windows up to decades; beyond, calls fail as
//! `Unsupported`.
//!
//! # When it does not answer
//!
//! A call ends within the connect and the response timeout. After some failures in a row a [`Breaker`](stanchion_replica::Breaker)
//! opens, and calls fail at once; one at a time looks whether the server is back. What then becomes of a request is for each rule to
//! say (`on_backend_failure`).

//!
//! # News of changes
//!
//! With the feature `rbac` a [`Wake`] carries between replicas that something has changed, and [`WakingRbacStore`] is a store of
//! roles whose followers it wakes. What has changed is not said there: followers read it where it is kept, and look by themselves as well.

mod config;
#[cfg(any(feature = "ratelimit", feature = "rbac"))]
mod connection;
#[cfg(feature = "ratelimit")]
mod ratelimit;
#[cfg(feature = "rbac")]
mod rbac;
#[cfg(feature = "rbac")]
mod wake;

pub use config::{Config, InvalidConfig, Topology};
#[cfg(feature = "ratelimit")]
pub use ratelimit::{CheckError, RedisCounterStore};
#[cfg(feature = "rbac")]
pub use rbac::WakingRbacStore;
#[cfg(feature = "rbac")]
pub use wake::{Wake, WokenFeed};
