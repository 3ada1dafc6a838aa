//! The rate-limit service that Envoy asks, and Istio, Contour and others with it: `envoy.service.ratelimit.v3.RateLimitService`.
//!
//! A request names a domain, which says whose limits it is for, and brings descriptors. Each descriptor is read as one request to the
//! rules ([`descriptor`]) and decided by the platform's limits and the tenant's, first those that come before authentication, then
//! the others. One descriptor that is refused refuses the request.
//!
//! What a client can influence never leads to a failure, since Envoy admits on failures unless it is told otherwise. Failures are for
//! what the operator got wrong, and for limits that cannot be counted.

mod answer;
mod config;
mod decide;
mod descriptor;
mod messages;
mod stats;
mod tenants;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use stanchion_core::{Clock, TenantId};
use stanchion_ratelimit as ratelimit;
use stanchion_tenancy as tenancy;
use tonic::Status;

pub use config::{DomainConfig, EntryUse, EnvoyConfig, TenantName};

pub(crate) use messages::{RateLimitRequest, RateLimitResponse};
pub(crate) use stats::{DomainStats, Stats};

use self::answer::answer;
use self::decide::Outcome;
use self::messages::Code;
use self::tenants::Tenants;

/// The most descriptors of one request.
const DESCRIPTORS: usize = 64;
const UNAVAILABLE: &str = "limits cannot be counted just now";

/// Answers Envoy's rate-limit requests. Clones share everything.
#[derive(Clone, Debug)]
pub struct EnvoyRateLimits {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ratelimit: Arc<ratelimit::Engine>,
    tenants: Tenants,
    clock: Arc<dyn Clock>,
    settings: ArcSwap<Settings>,
    stats: Stats,
}

/// What is configured and may change.
#[derive(Debug, Default)]
struct Settings {
    headers: bool,
    domains: HashMap<String, Arc<Domain>>,
}

/// A domain, and what was counted of it.
#[derive(Debug)]
struct Domain {
    name: String,
    config: DomainConfig,
    stats: Arc<DomainStats>,
}

impl EnvoyRateLimits {
    /// Sets the service up over the engines; see [`EnvoyConfig::validate`] for what the configuration may be.
    #[must_use]
    pub fn new(
        ratelimit: Arc<ratelimit::Engine>,
        tenancy: Arc<tenancy::Engine>,
        clock: Arc<dyn Clock>,
        config: &EnvoyConfig,
    ) -> Self {
        let inner = Inner {
            ratelimit,
            tenants: Tenants::new(tenancy, Arc::clone(&clock)),
            clock,
            settings: ArcSwap::default(),
            stats: Stats::default(),
        };
        let service = Self { inner: Arc::new(inner) };
        service.configure(config);
        service
    }

    /// Puts other domains and headers in force. What was counted of a domain that stays goes on.
    pub fn configure(&self, config: &EnvoyConfig) {
        let before = self.inner.settings.load();
        let domain = |(name, config): (&String, &DomainConfig)| {
            let stats = before.domains.get(name).map(|domain| Arc::clone(&domain.stats)).unwrap_or_default();
            (name.clone(), Arc::new(Domain { name: name.clone(), config: config.clone(), stats }))
        };
        let domains = config.domains.iter().map(domain).collect();
        self.inner.settings.store(Arc::new(Settings { headers: config.headers, domains }));
    }

    /// Decides a request.
    pub(crate) async fn should_rate_limit(
        &self,
        request: RateLimitRequest,
    ) -> Result<RateLimitResponse, Status> {
        let settings = self.inner.settings.load_full();
        let Some(domain) = settings.domains.get(&request.domain) else {
            self.inner.stats.unknown_domain();
            let name: String = request.domain.chars().take(128).collect();
            return Err(Status::not_found(format!("no domain `{name}` is configured here")));
        };
        if let Err(problem) = check(&request) {
            domain.stats.invalid();
            return Err(problem);
        }
        let tenant = match &domain.config.tenant {
            None => None,
            Some(name) => Some(self.tenant_of(domain, name).await?),
        };
        let decided = decide::all(&self.inner, domain, tenant, &request).await;
        let code = match domain.stats.count(&decided) {
            Outcome::Admitted => Code::Ok,
            Outcome::OverLimit => Code::OverLimit,
            Outcome::Unavailable => return Err(Status::unavailable(UNAVAILABLE)),
        };
        Ok(answer(&decided, code, settings.headers, self.inner.clock.now()))
    }

    /// Finds the tenant whose limits a domain is for.
    async fn tenant_of(&self, domain: &Domain, name: &TenantName) -> Result<TenantId, Status> {
        match self.inner.tenants.find(name).await {
            Ok(Some(tenant)) => Ok(tenant),
            Ok(None) => {
                domain.stats.invalid();
                let detail = format!("domain `{}` is of the tenant `{name}`, and there is none", domain.name);
                Err(Status::failed_precondition(detail))
            }
            Err(error) => {
                domain.stats.unavailable();
                report("tenant", &error);
                Err(Status::unavailable(UNAVAILABLE))
            }
        }
    }

    pub(crate) fn stats(&self) -> (&Stats, Vec<(String, Arc<DomainStats>)>) {
        let settings = self.inner.settings.load();
        let domains = settings.domains.iter().map(|(name, domain)| (name.clone(), Arc::clone(&domain.stats)));
        let mut domains: Vec<_> = domains.collect();
        domains.sort_by(|a, b| a.0.cmp(&b.0));
        (&self.inner.stats, domains)
    }
}

/// Looks at what the operator of Envoy decides, and no client does.
fn check(request: &RateLimitRequest) -> Result<(), Status> {
    let count = request.descriptors.len();
    if !(1..=DESCRIPTORS).contains(&count) {
        let detail = format!("{count} descriptors: a request has 1 to {DESCRIPTORS}");
        return Err(Status::invalid_argument(detail));
    }
    if request.descriptors.iter().any(|descriptor| descriptor.is_negative_hits) {
        return Err(Status::unimplemented("hits cannot be given back: leave `is_negative_hits` out"));
    }
    Ok(())
}

/// Why a request cannot be decided is for the log alone.
fn report(stage: &'static str, error: &(dyn std::error::Error + 'static)) {
    tracing::error!(stage, error, "a rate-limit request could not be decided");
}

#[cfg(test)]
mod tests;
