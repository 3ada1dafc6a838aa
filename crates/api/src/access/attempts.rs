use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{SubjectRef, Timestamp};
use stanchion_rbac::{self as rbac, AttemptFilter, Permission, ResourceSelector, RoleId};
use utoipa::{IntoParams, ToSchema};

use super::READ;
use crate::answer::Found;
use crate::call::{Call, Nothing, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

/// How many attempts are listed when nothing is said.
const FEW: usize = 100;
/// The most attempts of one answer.
const MOST: usize = 1_000;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/access/attempts",
            "list_access_attempts",
            READ,
            On::Scope,
            "Lists what was tried of late and how it ended, the latest first.",
            attempts,
        )
        .note(
            "As this replica remembers: `[rbac.decisions] recent` says how many, none unless it is set. Refusals all are remembered, \
             and as many permits as `permits` says.",
        ),
        Operation::new(
            Method::GET,
            "/v1/access/statistics",
            "get_access_statistics",
            READ,
            On::Platform,
            "Tells how many checks this replica has decided, and how.",
            statistics,
        )
        .note("Of all tenants together, since the process began."),
    ]
}

/// Which attempts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only by this subject.
    #[param(value_type = String, required = false, example = "user:alice")]
    subject: Option<SubjectRef>,
    /// Only those that were `permitted`, or `denied`.
    #[param(value_type = String, required = false, example = "denied")]
    outcome: Option<AttemptOutcome>,
    /// How many, 1 to 1,000; 100 when left out.
    #[param(value_type = u32, required = false)]
    limit: Option<Integer>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AttemptOutcome {
    Permitted,
    Denied,
}

/// Something that was tried.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessAttempt)]
pub(crate) struct Attempt {
    /// When.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// By whom.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What.
    #[schema(value_type = String)]
    permission: Permission,
    /// On which resource, if one was named.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// Whether it was permitted.
    allowed: bool,
    /// Why.
    reason: &'static str,
    /// The role that decided.
    #[schema(value_type = Option<String>)]
    role: Option<RoleId>,
}

/// What was tried of late.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessAttempts)]
pub(crate) struct Attempts {
    /// The latest first.
    items: Vec<Attempt>,
    /// How many attempts, of all scopes together, this replica remembers at most; none are, if it is zero.
    remembered: usize,
}

/// What was decided.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessStatistics)]
pub(crate) struct Statistics {
    /// How many checks were decided.
    checks: Integer,
    /// How many of them permitted what was asked.
    permitted: Integer,
    /// How many of a million permitted it.
    permitted_per_million: Integer,
    /// How many of a million were decided from memory.
    from_memory_per_million: Integer,
    /// The nanoseconds that a check takes, by those whose time was taken.
    #[schema(value_type = Option<String>)]
    nanos_per_check: Option<Integer>,
}

async fn attempts(call: Call, Query(wanted): Query<Wanted>) -> Result<Found<Attempts>, Failure> {
    let limit = match wanted.limit {
        Some(Integer(limit)) => usize::try_from(limit).ok().filter(|limit| (1..=MOST).contains(limit)),
        None => Some(FEW),
    };
    let limit = limit
        .ok_or_else(|| Failure::invalid(format!("parameter `limit`: use a whole number from 1 to {MOST}")))?;
    let engine = &call.engines().rbac;
    let allowed = wanted.outcome.map(|outcome| outcome == AttemptOutcome::Permitted);
    let filter = AttemptFilter { subject: wanted.subject, allowed };
    let found = engine.recent_attempts(call.scope, &filter, limit);
    let remembered = engine.config().decisions.recent;
    Ok(Found(Attempts { items: found.into_iter().map(Into::into).collect(), remembered }))
}

impl From<rbac::Attempt> for Attempt {
    fn from(attempt: rbac::Attempt) -> Self {
        let rbac::Attempt { at, subject, permission, resource, allowed, reason, role, .. } = attempt;
        Self { at, subject, permission, resource, allowed, reason: reason.as_str(), role }
    }
}

async fn statistics(call: Call, _: Nothing) -> Result<Found<Statistics>, Failure> {
    let statistics = call.engines().rbac.statistics();
    Ok(Found(Statistics {
        checks: Integer(statistics.checks),
        permitted: Integer(statistics.permitted),
        permitted_per_million: Integer(statistics.permitted_per_million()),
        from_memory_per_million: Integer(statistics.from_memory_per_million()),
        nanos_per_check: statistics.nanos_per_check().map(Integer),
    }))
}
