use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use stanchion_audit::{Draft, Ledger};
use stanchion_billing_metering as metering;
use stanchion_core::{Clock, IdGen, ProblemCode, RequestId, Timer, Timestamp};
use stanchion_identity as identity;
use stanchion_ratelimit as ratelimit;
use stanchion_rbac as rbac;
use stanchion_tenancy as tenancy;
use stanchion_tower::{ClientAddress, Completion};

use crate::exchange::Access;
use crate::summary::Summaries;
use crate::{LimitFields, PipelineStats, RouteTable};

/// The domains that a request meets.
#[derive(Clone, Debug)]
pub struct Engines {
    /// Limits and quotas.
    pub ratelimit: Arc<ratelimit::Engine>,
    /// API keys.
    pub identity: Arc<identity::Engine>,
    /// Tenants and whether they are active.
    pub tenancy: Arc<tenancy::Engine>,
    /// Permissions.
    pub rbac: Arc<rbac::Engine>,
    /// The audit ledger.
    pub audit: Ledger,
    /// Usage.
    pub metering: metering::Engine,
}

/// Decides requests. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engines: Engines,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) ids: Arc<dyn IdGen>,
    pub(crate) routes: ArcSwap<RouteTable>,
    client: ClientAddress,
    limit_fields: ArcSwap<LimitFields>,
    pub(crate) summaries: Summaries,
    pub(crate) stats: PipelineStats,
}

impl Pipeline {
    /// Sets up a pipeline over the engines. `client` tells whose word on a client's address counts; `timer` is what requests wait by
    /// that a limit admits late.
    #[must_use]
    pub fn new(
        engines: Engines,
        routes: RouteTable,
        client: ClientAddress,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        ids: Arc<dyn IdGen>,
    ) -> Self {
        let summaries = Summaries::new(engines.audit.clone(), Arc::clone(&clock), Arc::clone(&ids));
        let routes = ArcSwap::from_pointee(routes);
        let stats = PipelineStats::default();
        let limit_fields = ArcSwap::default();
        let inner = Inner { engines, clock, timer, ids, routes, client, limit_fields, summaries, stats };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the routes in force.
    #[must_use]
    pub fn routes(&self) -> Arc<RouteTable> {
        self.inner.routes.load_full()
    }

    /// Puts other routes in force. Requests under way keep the route they have.
    pub fn set_routes(&self, routes: RouteTable) {
        self.inner.routes.store(Arc::new(routes));
    }

    /// Says how answers tell of rate limits from now on.
    pub fn set_limit_fields(&self, fields: LimitFields) {
        self.inner.limit_fields.store(Arc::new(fields));
    }

    /// Returns what has been counted apart from routes.
    #[must_use]
    pub fn stats(&self) -> &PipelineStats {
        &self.inner.stats
    }

    /// Returns the engines, for whoever administers them.
    #[must_use]
    pub fn engines(&self) -> &Engines {
        &self.inner.engines
    }

    /// Writes what is summed up every ten seconds, until it is dropped: refusals before authentication, and what limits have to tell.
    /// While it is not run they are only counted; what was counted since the last write is lost with the process.
    pub async fn run_summaries(self, timer: Arc<dyn Timer>) {
        loop {
            timer.sleep_until(self.inner.clock.now().plus(Summaries::INTERVAL)).await;
            self.inner.summaries.flush();
            self.inner.engines.ratelimit.tell_due_events();
        }
    }

    /// Counts a request that another front end, such as the admin API, has refused before its caller was known, for the summaries.
    pub fn count_rejection(&self, ip: IpAddr, code: ProblemCode, why: &'static str, at: Timestamp) {
        self.inner.summaries.count(ip, code, why, at);
    }

    /// Writes the summaries now, for a process that is about to end.
    pub fn flush_summaries(&self) {
        self.inner.summaries.flush();
        self.inner.engines.ratelimit.tell_all_events();
    }

    pub(crate) fn client(&self) -> &ClientAddress {
        &self.inner.client
    }

    pub(crate) fn new_request(&self) -> (RequestId, Timestamp) {
        let at = self.inner.clock.now();
        (self.inner.ids.request_id(at), at)
    }
}

impl Inner {
    /// Returns how answers tell of rate limits.
    pub(crate) fn limit_fields(&self) -> LimitFields {
        **self.limit_fields.load()
    }

    /// Writes the second record of an exchange.
    pub(crate) fn completed(&self, access: &Access, end: &Completion, at: Timestamp) {
        let event = access.completion(self.ids.event_id(at), end, at);
        if self.engines.audit.submit(event.scope, Draft::Event(event)).is_err() {
            self.stats.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }
}
