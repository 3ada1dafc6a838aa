//! What one replica of many keeps in memory, and how it stays right.
//!
//! * [`Cache`]: a bounded map whose entries carry their own expiry and whose misses are loaded once, however many callers wait.
//! * [`Follower`]: reads a store's [`ChangeFeed`] and tells the owner of a snapshot what to load again.
//! * [`Queue`]: many producers, one consumer that takes batches; back-pressure, and a share of the queue for each tenant.
//! * [`OutboxStore`] and [`Relay`]: events that were committed with a change reach their readers at least once, in order.
//! * [`Records`]: revisions, feed and outbox for in-memory adapters, so that each domain's reference adapter is only its data.
//!
//! Nothing here spawns: what has to run beside the callers is a future that its owner runs and can stop.
//!
//! ```
//! use stanchion_core::Timestamp;
//! use stanchion_replica::Cache;
//!
//! let cache: Cache<&str, u32> = Cache::new(1_000);
//! let noon = Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap();
//! cache.insert("answer", 42, noon);
//! assert_eq!(cache.get("answer", Timestamp::from_micros(noon.micros() - 1)), Some(42));
//! assert_eq!(cache.get("answer", noon), None, "an entry is never served from its expiry on");
//! ```

mod breaker;
mod cache;
#[cfg(feature = "conformance")]
pub mod conformance;
mod feed;
mod follower;
mod outbox;
mod queue;
mod records;
mod relay;

pub use breaker::{Breaker, BreakerConfig};
pub use cache::Cache;
pub use feed::ChangeFeed;
pub use follower::{Follow, Follower, FollowerConfig, Freshness};
pub use outbox::{Backlog, MemoryOutboxStore, OutboxRecord, OutboxStore};
pub use queue::{Closed, Full, FullReason, Place, Queue, QueueConfig};
pub use records::Records;
pub use relay::{Deliver, Relay, RelayTrouble};
