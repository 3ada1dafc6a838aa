//! What limits have done on this replica since it began.

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{Scope, Timestamp};
use stanchion_ratelimit::{Action, RuleCounts, RuleId, Violation, ViolationFilter};
use utoipa::{IntoParams, ToSchema};

use super::READ;
use crate::answer::{Found, List};
use crate::call::{Call, Nothing, Paged};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

/// How many offenders are told.
const TOP: usize = 20;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/limits/violations",
            "list_limit_violations",
            READ,
            On::Scope,
            "Lists requests that went beyond limits, newest first.",
            violations,
        )
        .note("The latest that this replica has seen; they end with the process. What must last is in the audit ledger."),
        Operation::new(
            Method::GET,
            "/v1/limits/stats",
            "get_limit_stats",
            READ,
            On::Scope,
            "Returns what limits have decided, and who goes beyond them most.",
            stats,
        )
        .note("What this replica has counted since it began."),
    ]
}

/// Which violations to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Only of this limit.
    #[param(value_type = String, required = false)]
    limit_id: Option<RuleId>,
    /// Only by this caller: one of the identifiers, such as `user:alice`.
    #[param(required = false, example = "user:alice")]
    identifier: Option<String>,
    /// Only at this time or later.
    #[param(value_type = String, required = false, format = "date-time")]
    from: Option<Timestamp>,
    /// Only before this time.
    #[param(value_type = String, required = false, format = "date-time")]
    until: Option<Timestamp>,
}

/// A request that went beyond a limit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitViolation {
    /// When.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// The limit.
    #[schema(value_type = String)]
    limit_id: RuleId,
    /// Whose limit it is: `platform`, or the tenant's id.
    scope: String,
    /// Whose counter it was.
    identifiers: String,
    /// What was done about it: what the limit does beyond, or what its ladder has come to.
    #[schema(value_type = String)]
    action: Action,
    /// How much the request asked for.
    cost: Integer,
    /// How much was in use.
    used: Integer,
    /// The most that can be.
    limit: Integer,
    /// Whether the limit only watches.
    shadow: bool,
}

/// What limits have decided.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitStats {
    /// How loaded the service is, in thousandths: what limits with `adaptive` shrink by.
    #[schema(minimum = 0, maximum = 1000)]
    load: u16,
    /// Since when the counters cannot be reached, and limits do as their `on_backend_failure` says.
    #[schema(value_type = Option<String>, format = "date-time")]
    outage_since: Option<Timestamp>,
    /// Each limit, the most violated first.
    limits: Vec<LimitCounts>,
    /// Who goes beyond limits most.
    offenders: Vec<LimitOffender>,
}

/// How a limit has answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitCounts {
    /// The limit.
    #[schema(value_type = String)]
    limit_id: RuleId,
    /// Whose limit it is: `platform`, or the tenant's id.
    scope: String,
    /// What it does beyond.
    #[schema(value_type = String)]
    action: Action,
    /// Within the limit, and went on.
    admitted: Integer,
    /// Within the limit, and refused for another reason.
    passed: Integer,
    /// Beyond the limit, and refused.
    exceeded: Integer,
    /// Beyond the limit, which only watches.
    observed: Integer,
    /// Beyond the limit, and slowed down or told to wait.
    throttled: Integer,
    /// Beyond the limit, and challenged.
    challenged: Integer,
    /// Beyond the limit, and shut out.
    quarantined: Integer,
    /// How often a counter came near the limit, once in its window.
    near_limit: Integer,
}

/// A caller who goes beyond limits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitOffender {
    /// The caller.
    identifiers: String,
    /// How often; at most `error` too many.
    violations: Integer,
    /// By how much the number may be too high.
    error: Integer,
    /// The limit that it went beyond last.
    #[schema(value_type = String)]
    limit_id: RuleId,
    /// When that was.
    #[schema(value_type = String, format = "date-time")]
    last_at: Timestamp,
}

impl From<Violation> for LimitViolation {
    fn from(violation: Violation) -> Self {
        Self {
            at: violation.at,
            limit_id: violation.rule,
            scope: violation.scope.to_string(),
            identifiers: violation.identifiers.to_string(),
            action: violation.action,
            cost: Integer(violation.cost),
            used: Integer(violation.used),
            limit: Integer(violation.limit),
            shadow: violation.shadow,
        }
    }
}

async fn violations(call: Call, paged: Paged<Filter>) -> Result<Found<List<LimitViolation>>, Failure> {
    let Filter { limit_id, identifier, from, until } = &paged.filter;
    let filter = ViolationFilter {
        // A tenant sees its own requests, whoever made the limit; the platform sees those on its limits.
        scope: (call.scope == Scope::Platform).then_some(Scope::Platform),
        tenant: call.scope.tenant(),
        rule: limit_id.as_ref(),
        identifier: identifier.as_deref(),
        from: *from,
        until: *until,
        shadow: None,
    };
    let page = call.engines().ratelimit.analytics().violations().list(&filter, &paged.page);
    Ok(paged.answer(&call, page))
}

async fn stats(call: Call, Nothing: Nothing) -> Result<Found<LimitStats>, Failure> {
    let engine = &call.engines().ratelimit;
    let limits = engine.statistics(Some(call.scope)).rules.into_iter().map(|rule| {
        let RuleCounts {
            admitted,
            passed,
            exceeded,
            observed,
            throttled,
            challenged,
            quarantined,
            near_limit,
        } = rule.counts;
        LimitCounts {
            limit_id: rule.rule,
            scope: rule.scope.to_string(),
            action: rule.action,
            admitted: Integer(admitted),
            passed: Integer(passed),
            exceeded: Integer(exceeded),
            observed: Integer(observed),
            throttled: Integer(throttled),
            challenged: Integer(challenged),
            quarantined: Integer(quarantined),
            near_limit: Integer(near_limit),
        }
    });
    let top = engine.analytics().offenders().top(call.scope, TOP).into_iter();
    let offenders = top.map(|offender| LimitOffender {
        identifiers: offender.identifiers.to_string(),
        violations: Integer(offender.violations),
        error: Integer(offender.error),
        limit_id: offender.rule,
        last_at: offender.last_at,
    });
    Ok(Found(LimitStats {
        load: engine.load().permille(),
        outage_since: engine.stats().outage_since,
        limits: limits.collect(),
        offenders: offenders.collect(),
    }))
}
