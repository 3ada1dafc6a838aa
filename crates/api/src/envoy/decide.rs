use stanchion_core::TenantId;
use stanchion_ratelimit::{Charged, Decision, Error, Reason, Request, Stage, Verdict};

use super::descriptor::Descriptor;
use super::messages::RateLimitRequest;
use super::{Domain, Inner, TenantName, report};

/// What became of one descriptor.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) outcome: Outcome,
    /// What the rules said, those before authentication first.
    pub(super) decisions: Vec<Decision>,
    /// How many of its entries were of no use.
    pub(super) unusable: u64,
    /// Whether it brought a limit of its own, which nobody looks at.
    pub(super) has_limit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Admitted,
    OverLimit,
    /// Its limits could not be counted, and a rule says that nothing passes then.
    Unavailable,
}

/// What is asked of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Decide,
    Peek,
}

/// Decides the descriptors of a request in their order. Once one of them is not admitted the request will not be, so those after it
/// are only looked at, for their status, and those before it are given back.
pub(super) async fn all(
    inner: &Inner,
    domain: &Domain,
    tenant: Option<TenantId>,
    request: &RateLimitRequest,
) -> Vec<Decided> {
    let mut all = Vec::with_capacity(request.descriptors.len());
    let mut charged = Charged::new(&inner.ratelimit);
    let mut ask = Ask::Decide;
    for descriptor in &request.descriptors {
        let mut read = Descriptor::read(request, descriptor, &domain.config.entries);
        let (outcome, mut decisions) = one(inner, tenant, &mut read, ask).await;
        decisions.iter_mut().for_each(|decision| charged.add(decision));
        if outcome != Outcome::Admitted {
            ask = Ask::Peek;
        }
        all.push(Decided {
            outcome,
            decisions,
            unusable: read.unusable,
            has_limit: descriptor.limit.is_some(),
        });
    }
    if ask == Ask::Peek {
        charged.release();
    } else {
        charged.keep();
    }
    all
}

async fn one(
    inner: &Inner,
    tenant: Option<TenantId>,
    descriptor: &mut Descriptor<'_>,
    ask: Ask,
) -> (Outcome, Vec<Decision>) {
    let mut decisions = Vec::with_capacity(2);
    let tenant = match tenant {
        Some(tenant) => Some(tenant),
        None => match named(inner, descriptor).await {
            Ok(tenant) => tenant,
            Err(()) => return (Outcome::Unavailable, decisions),
        },
    };
    let request = descriptor.request(tenant);
    for stage in [Stage::Edge, Stage::Inner] {
        match decide(inner, stage, ask, &request).await {
            Ok(decision) => decisions.push(decision),
            Err(error) => {
                report("limits", &error);
                return (Outcome::Unavailable, decisions);
            }
        }
        let outcome = decisions.last().map_or(Outcome::Admitted, outcome);
        if outcome != Outcome::Admitted {
            return (outcome, decisions);
        }
    }
    (Outcome::Admitted, decisions)
}

/// Finds the tenant that a descriptor names. Where there is none of the name it is as if none were named: what a rule that counts by
/// tenants makes of that, it says itself.
async fn named(inner: &Inner, descriptor: &mut Descriptor<'_>) -> Result<Option<TenantId>, ()> {
    let Some(name) = descriptor.tenant else { return Ok(None) };
    let found = match name.parse::<TenantName>() {
        Ok(name) => inner.tenants.find(&name).await.map_err(|error| report("tenant", &error))?,
        Err(_) => None,
    };
    if found.is_none() {
        descriptor.unusable = descriptor.unusable.saturating_add(1);
    }
    Ok(found)
}

async fn decide(inner: &Inner, stage: Stage, ask: Ask, request: &Request<'_>) -> Result<Decision, Error> {
    let engine = &inner.ratelimit;
    match (ask, stage) {
        (Ask::Decide, Stage::Edge) => engine.decide_edge(request).await,
        (Ask::Decide, Stage::Inner) => engine.decide(request).await,
        (Ask::Peek, stage) => engine.peek(stage, request).await,
    }
}

fn outcome(decision: &Decision) -> Outcome {
    match &decision.verdict {
        // Nobody could wait here for the request's turn.
        Verdict::Admitted if !decision.delay.is_zero() => Outcome::OverLimit,
        Verdict::Admitted => Outcome::Admitted,
        Verdict::Refused { reason: Reason::BackendFailure, .. } => Outcome::Unavailable,
        Verdict::Refused { .. } => Outcome::OverLimit,
    }
}
