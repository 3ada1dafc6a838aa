//! Rate limits: how much, over how long, counted by what, and what happens beyond it.
//!
//! Use it where requests of many tenants, users, keys or addresses share something that is not enough for all of them at once. One
//! [`Engine`] holds the rules of the platform and of every tenant, and decides each request by all the rules that are for it, in one
//! atomic step: either every counter is charged or none is, so a request that is refused has used up nothing anywhere.
//!
//! ```
//! use std::sync::Arc;
//!
//! use stanchion_calendar::Window;
//! use stanchion_core::{Author, IdGen, ManualClock, Scope, SeededRandom, SubjectRef, Timestamp};
//! use stanchion_ratelimit::{
//!     Config, Dimension, Engine, MemoryCounterStore, MemoryRuleStore, Request, Rule, RuleId, Verdict,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In production: `SystemClock`, `SystemRandom`, and stores that replicas share.
//! let clock = Arc::new(ManualClock::at(Timestamp::parse_rfc3339("2026-03-01T12:00:00Z")?));
//! let ids = Arc::new(SeededRandom::new(1));
//! let rules = Arc::new(MemoryRuleStore::new(None));
//! let counters = Arc::new(MemoryCounterStore::new(100_000, clock.clone()));
//! let engine = Engine::new(rules, counters, clock.clone(), ids.clone(), Config::default());
//!
//! // Two requests a second for each user of this tenant.
//! let tenant = ids.tenant_id(Timestamp::EPOCH);
//! let rule = Rule::new(RuleId::new("per-user")?, Dimension::User, 2, Window::SECOND);
//! engine.put_rule(&Author::system("example"), Scope::Tenant(tenant), rule, None).await?;
//!
//! let alice = SubjectRef::user("alice")?;
//! let request = Request { tenant: Some(tenant), subject: Some(&alice), ..Request::default() };
//! assert!(engine.decide(&request).await?.is_admitted());
//! assert!(engine.decide(&request).await?.is_admitted());
//!
//! let third = engine.decide(&request).await?;
//! let Verdict::Refused { retry_after: Some(wait), .. } = third.verdict else { panic!("not refused") };
//! assert_eq!(wait.as_millis(), 500);
//! clock.advance(wait);
//! assert!(engine.decide(&request).await?.is_admitted());
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//!
//! A [`Rule`] belongs to a [`Scope`](stanchion_core::Scope). The platform's apply to everyone; a tenant's own apply to its requests,
//! beside the platform's and never instead of them. A rule counts by a [`KeySpec`]: one [`Dimension`] or several together. It is for
//! every request, or for routes by their id or label.
//!
//! There are two moments to ask. [`Engine::decide_edge`] comes before authentication and asks the platform's rules that need
//! nobody's name: by address, by endpoint, over everyone. [`Engine::decide`] comes after it and asks all others. What is asked there
//! is always counted within the tenant, whoever made the rule.
//!
//! Rules are compiled into an index, so a decision costs as much as the rules that are for the request, not as all there are. They
//! are decided from memory and change without a restart: here with the next decision, on other replicas as soon as a
//! [`Follower`](stanchion_replica::Follower) of the rule store has told the engine.
//!
//! # Counting
//!
//! [`algorithm`] holds the arithmetic: pure functions over whole microseconds, the same for every store, and a guide to the eight
//! [`Algorithm`]s. Usage survives a changed limit. [`Standing::retry_after`] is exact: an obedient client is admitted when it comes
//! back, as far as nobody else used the same counters meanwhile. A clock that goes backwards gives nothing back.
//!
//! A counter is known by its whole key, not by a hash of it, since a collision would make one caller pay for another. Behind its
//! tenant a key begins with the rule's epoch, the revision at which the rule's counters began: a number per rule and reset, so that
//! [`Engine::reset_rule`], [`Engine::reset_caller`] and [`Engine::reset_all`] cost one write however many counters there are.
//!
//! # Beyond a limit
//!
//! A rule says what happens then ([`Action`]): its requests go on and are only noted, go on late within a bound, have to solve a
//! [`Challenge`], are refused, or their caller is shut out of everything for a while. A [ladder](Rule::ladder) makes it worse for
//! those who come again and again. Of several violated rules the most severe action decides, so no throttle ever masks a block.
//!
//! A [`Decision`] may have a [`delay`](Decision::delay) to wait, and a [`Receipt`] when something has to be given back. [`Charged`]
//! keeps both beside a request and does the right thing however it ends. What decisions set going is done by [`Engine::run`].
//!
//! [`Engine::statistics`] counts how each rule answered, and how often a counter came near its limit
//! ([`Config::near_limit_percent`]); [`Engine::analytics`] keeps the latest violations and who causes the most; and
//! [`Engine::with_events`] is told of both.
//!
//! # Costs that are not known yet
//!
//! [`Engine::reserve`] charges an estimate; [`Engine::commit`] settles it by what it has really cost, once; [`Engine::release`] gives
//! it back. A decision that was asked to be [refundable](Request::refundable) is corrected by [`Engine::settle`].
//!
//! # Single callers
//!
//! [`Override`]s give a caller another limit, [`Quarantine`]s shut it out, [`Reset`]s begin its counters anew. They are kept with the
//! rules and known wherever those are: here with the next decision, elsewhere as soon as a follower has told. Leases that are held
//! while their counter is reset go on, and are not counted any more.
//!
//! # When something does not answer
//!
//! While the counters cannot be reached, or are full, each rule says what that means ([`OnBackendFailure`]), and the [`Decision`] says
//! that it happened. Rules that cannot be read are an [`Error`], never an admission; those in memory serve for
//! [`Config::max_stale_seconds`] after it was last known that they are current.
//!
//! # Your own store
//!
//! Implement [`RuleStore`] or [`CounterStore`] in your crate and run the suite of the feature `conformance` against it; the contract
//! is written at the traits. Counters of [`MemoryCounterStore`] are lost with the process.

pub mod algorithm;
mod analytics;
mod challenge;
mod charge;
mod charged;
mod condition;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod control;
mod decision;
mod engine;
mod error;
#[cfg(feature = "files")]
mod files;
mod identifiers;
mod key;
mod leased;
mod load;
mod memory;
#[cfg(feature = "proof-of-work")]
mod proof_of_work;
mod receipt;
mod request;
mod rule;
mod slot;
mod snapshot;
mod store;

pub use algorithm::{
    Adjustment, Edges, Entries, Entry, EntryLimit, FixedWindow, Frame, InUse, Kernel, Level, Limit,
    SlidingWindow, Standing, State,
};
pub use analytics::{
    Analytics, AnalyticsConfig, CallerName, DimensionStatistics, NearLimit, NearLimitReached, NearLimits,
    Offender, Offenders, RuleCounters, RuleCounts, RuleOutcome, RuleStatistics, ScopeStatistics, Statistics,
    Violation, ViolationFilter, Violations,
};
pub use challenge::{Challenge, ChallengeVerifier, Challenged};
pub use charge::{Call, CallId, Charge, Lease, Mode, Outcome, Settled, Settlement};
pub use charged::Charged;
pub use condition::Condition;
pub use config::{Config, InvalidConfig, TimeSource};
pub use control::{Control, ControlId, InvalidControl, Override, Quarantine, Reset};
pub use decision::{Decision, Reason, RuleState, Verdict};
pub use engine::{Engine, RequestOutcome, Stats};
pub use error::Error;
#[cfg(feature = "files")]
pub use files::{InvalidRuleFile, PRESETS, preset, rules_from_json, rules_from_toml};
pub use identifiers::{Identifiers, InvalidIdentifiers};
pub use key::{Dimension, InvalidKeySpec, KeySpec};
pub use leased::{LeasedCounterStore, LeasedStats};
pub use load::{
    Adaptive, Hysteresis, InvalidAdaptive, InvalidLoad, LatencyLoad, LatencyTarget, Load, LoadSignal,
};
pub use memory::{MemoryCounterStore, MemoryRuleStore};
#[cfg(feature = "proof-of-work")]
pub use proof_of_work::ProofOfWork;
pub use receipt::{Receipt, Reservation, Settle};
pub use request::Request;
pub use rule::{
    Action, Algorithm, InvalidRule, OnBackendFailure, OnMissingIdentifier, Rule, RuleId, RuleLease, Rung,
    StoredRule,
};
pub use slot::Slot;
pub use snapshot::Stage;
pub use store::{Capabilities, CounterStore, RuleChange, RuleSet, RuleStore};
