use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use stanchion_audit::{Actions, Keeper, Protection, Prover};
use stanchion_core::{BoxFuture, Clock, IdGen, KeyRing};
use stanchion_pipeline::Pipeline;
use stanchion_rbac::Registry;
use stanchion_tower::ClientAddress;

use crate::idempotency::{Bounds, Replays};
use crate::operation::Operation;
use crate::page_token::PageTokens;
use crate::{EnvoyRateLimits, ExportJobs, Followers, Readiness, openapi};

/// What the admin API works on.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The engines, the routes in force and what they have counted.
    pub pipeline: Pipeline,
    /// Tells what time it is.
    pub clock: Arc<dyn Clock>,
    /// Makes ids of requests and events.
    pub ids: Arc<dyn IdGen>,
    /// The secret that page tokens are made with. Replicas share it, so that a list can be continued on another one.
    pub page_keys: KeyRing,
    /// Whether the process should be sent requests.
    pub readiness: Readiness,
    /// Proves what the audit ledger holds.
    pub prover: Prover,
    /// Protects values of events, opens and erases them.
    pub protection: Protection,
    /// Archives the ledger and drops what has served its time.
    pub keeper: Keeper,
    /// The actions of events that are known, for what other programs report.
    pub actions: Arc<Actions>,
    /// What there is to permit, for whoever writes roles.
    pub registry: Arc<Registry>,
    /// Exports of the audit ledger that are made into files. Their owner runs them.
    pub exports: ExportJobs,
    /// The places of those who follow the ledger.
    pub followers: Followers,
    /// The rate-limit service for Envoy, if it is served: its counts are metrics.
    pub envoy: Option<EnvoyRateLimits>,
    /// The listeners whose connections are to be measured.
    pub listeners: Vec<ListenerSource>,
    /// Whose word on a client's address counts on the admin listener.
    pub client: ClientAddress,
    /// Brings what decisions are made by up to date.
    pub refresh: Refresh,
}

/// Brings what decisions are made by up to date, for readers who must see a write that another replica has made.
#[derive(Clone)]
pub struct Refresh(Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>);

impl Refresh {
    /// Tells how: the future ends with whether everything committed before it was made has been taken in. It has to end soon.
    pub fn new(refresh: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Self {
        Self(Arc::new(refresh))
    }

    pub(crate) async fn run(&self) -> bool {
        (self.0)().await
    }
}

impl Default for Refresh {
    /// For a process that shares its stores with no other, and so has seen every write.
    fn default() -> Self {
        Self::new(|| Box::pin(std::future::ready(true)))
    }
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refresh")
    }
}

/// A listener, for metrics.
#[derive(Clone)]
pub struct ListenerSource {
    name: &'static str,
    counts: Arc<dyn Fn() -> ListenerCounts + Send + Sync>,
}

/// What a listener has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerCounts {
    /// Connections that are open now.
    pub open: u64,
    /// Connections accepted since the process started.
    pub accepted: u64,
    /// Connections that ended by a fault since the process started.
    pub failed: u64,
}

impl ListenerSource {
    /// Names a listener, such as `gateway` or `admin`, and tells how to read its counts.
    pub fn new(name: &'static str, counts: impl Fn() -> ListenerCounts + Send + Sync + 'static) -> Self {
        Self { name, counts: Arc::new(counts) }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn counts(&self) -> ListenerCounts {
        (self.counts)()
    }
}

impl fmt::Debug for ListenerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerSource").field("name", &self.name).field("counts", &self.counts()).finish()
    }
}

/// Everything that a running API shares between its requests.
pub(crate) struct Api {
    pub(crate) state: ApiState,
    pub(crate) operations: Vec<Operation>,
    pub(crate) page_tokens: PageTokens,
    pub(crate) replays: Arc<Replays>,
    pub(crate) openapi: Bytes,
    pub(crate) counts: Counts,
}

/// What is counted apart from operations.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    unauthenticated: Mutex<BTreeMap<&'static str, u64>>,
    unrecorded: AtomicU64,
}

impl Api {
    pub(crate) fn new(state: ApiState, operations: Vec<Operation>) -> Self {
        let openapi = openapi::document(&operations);
        let page_tokens = PageTokens::new(state.page_keys.clone());
        let replays = Arc::new(Replays::new(Bounds::default()));
        Self { state, operations, page_tokens, replays, openapi, counts: Counts::default() }
    }
}

impl Counts {
    /// Counts a caller that could not be made out, by the reason; there are few reasons.
    pub(crate) fn unauthenticated(&self, reason: &'static str) {
        let mut counts = self.unauthenticated.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(reason).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Counts a denial whose record the ledger did not take.
    pub(crate) fn unrecorded(&self) {
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.unauthenticated.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn all_unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }
}
