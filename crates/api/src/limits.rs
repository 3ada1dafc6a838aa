mod explanation;
mod insight;
mod overrides;
mod parts;
mod quarantines;
mod resets;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_calendar::{Window, Zone};
use stanchion_core::{Page, PageRequest, ProblemCode, Revision, Slug, Text, Timestamp, Versioned};
use stanchion_ratelimit::{
    self as ratelimit, Action, Algorithm, Control, KeySpec, OnBackendFailure, OnMissingIdentifier, Rule,
    RuleId,
};
use utoipa::ToSchema;

use self::parts::{Adaptive, Condition, Lease, Rung};
use crate::answer::{Done, Found, List, Resource, Written};
use crate::call::{Body, Call, Everything, Guard, IfMatchIfSent, Nothing, Paged, Path, Precondition};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "limit:read";
const WRITE: &str = "limit:write";

pub(crate) fn operations() -> Vec<Operation> {
    let (all, one) = ("/v1/limits", "/v1/limits/{id}");
    let mut operations = vec![
        Operation::new(Method::GET, all, "list_limits", READ, On::Scope, "Lists rate limits, in the order of their ids.", list)
            .note("Limits of the platform hold for every tenant; they are listed with `tenant=platform` only."),
        Operation::new(Method::PUT, one, "put_limit", WRITE, On::Scope, "Creates or replaces a rate limit.", put)
            .note(
                "What was counted stays counted, unless the limit now counts by something else or over other windows. To replace a \
                 limit send its `etag` as `if-match`; `if-none-match: *` creates only.",
            ),
        Operation::new(Method::GET, one, "get_limit", READ, On::Scope, "Returns a rate limit.", get),
        Operation::new(Method::DELETE, one, "delete_limit", WRITE, On::Scope, "Deletes a rate limit.", delete),
    ];
    operations.extend(resets::operations());
    operations.extend(overrides::operations());
    operations.extend(quarantines::operations());
    operations.extend(explanation::operations());
    operations.extend(insight::operations());
    operations
}

/// A rate limit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Limit {
    /// Its name within its scope.
    #[schema(value_type = String)]
    id: RuleId,
    /// What it says.
    #[serde(flatten)]
    terms: Terms,
    /// The revision of the last change, which is also the entity tag.
    revision: Integer,
    /// When it was created.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// What a rate limit says: how much, over how long, counted by what, for which requests, and what happens beyond it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = LimitTerms)]
pub(crate) struct Terms {
    /// What people call it: at most 200 characters.
    #[schema(value_type = Option<String>)]
    name: Option<Text>,
    /// What it counts by, one or several together: `global` (alone), `tenant`, `user`, `api_key`, `ip`, `endpoint`.
    #[schema(value_type = Vec<String>, example = json!(["tenant"]))]
    key: KeySpec,
    /// The ids of the routes it is for. With no route and no label it is for every request.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    routes: Vec<Slug>,
    /// The labels of routes it is for; one that matches is enough, and so is one of `routes`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    labels: Vec<Slug>,
    /// What must be true of a request's attributes, all of it.
    #[serde(default)]
    #[schema(required = false)]
    conditions: Vec<Condition>,
    /// How much each window gives, at least 1.
    #[schema(example = "1000")]
    limit: Integer,
    /// The window: `30s`, `1m`, `1h`, `1d`, `1mo`. Days and months are those of `zone`.
    #[schema(value_type = String, example = "1m")]
    window: Window,
    /// The time zone whose days and months are meant; `UTC` when left out.
    #[serde(default)]
    #[schema(value_type = String, example = "Europe/Berlin", required = false)]
    zone: Zone,
    /// How much more than `limit` may be used at once; 0 when left out.
    #[serde(default)]
    #[schema(required = false)]
    burst: Integer,
    /// How it counts: `token_bucket` (when left out), `gcra`, `leaky_bucket`, `leaky_queue`, `fixed_window`, `sliding_window`,
    /// `sliding_log` or `concurrency`.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    algorithm: Algorithm,
    /// What happens beyond it: `block` (when left out), `allow` to observe only, `throttle`, `captcha` or `quarantine`.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    action: Action,
    /// By how many milliseconds `throttle` delays a request at most, up to 60,000; 1,000 when left out.
    #[serde(default = "max_delay")]
    #[schema(required = false)]
    max_delay_ms: u32,
    /// For how many seconds `quarantine` shuts a caller out, up to a year; 3,600 when left out.
    #[serde(default = "quarantine")]
    #[schema(required = false)]
    quarantine_seconds: u32,
    /// What happens instead to those who go beyond it again and again, the mildest first.
    #[serde(default)]
    #[schema(required = false)]
    ladder: Vec<Rung>,
    /// Over how long the ladder counts; `1h` when left out.
    #[serde(default = "ladder_window")]
    #[schema(value_type = String, required = false)]
    ladder_window: Window,
    /// Whether an answer below 400 clears the caller's counter.
    #[serde(default)]
    reset_on_success: bool,
    /// Whether a request is counted here also when another limit refuses it.
    #[serde(default)]
    charge_denied: bool,
    /// How a replica takes it in chunks, to give them out without asking the shared counters again.
    #[serde(default)]
    lease: Option<Lease>,
    /// How it shrinks as the load grows.
    #[serde(default)]
    adaptive: Option<Adaptive>,
    /// Which of several violated limits of the same severity is named: the one with the highest.
    #[serde(default)]
    priority: i32,
    /// Whether it is there at all; true when left out.
    #[serde(default = "yes")]
    enabled: bool,
    /// Whether it only counts and reports, on counters of its own, and refuses nothing.
    #[serde(default)]
    shadow: bool,
    /// What happens to a request that lacks what it counts by: `skip` (when left out), `deny` or `ip`.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    on_missing_identifier: OnMissingIdentifier,
    /// What happens while the counters cannot be reached: `closed` (when left out), `open` or `local_share`.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    on_backend_failure: OnBackendFailure,
}

const fn yes() -> bool {
    true
}

const fn max_delay() -> u32 {
    1_000
}

const fn quarantine() -> u32 {
    3_600
}

const fn ladder_window() -> Window {
    Window::HOUR
}

impl Terms {
    fn rule(self, id: RuleId) -> Rule {
        Rule {
            id,
            name: self.name,
            key: self.key,
            routes: self.routes,
            labels: self.labels,
            conditions: self.conditions.into_iter().map(Into::into).collect(),
            limit: self.limit.0,
            window: self.window,
            zone: self.zone,
            burst: self.burst.0,
            algorithm: self.algorithm,
            action: self.action,
            max_delay_ms: self.max_delay_ms,
            quarantine_seconds: self.quarantine_seconds,
            ladder: self
                .ladder
                .into_iter()
                .map(|Rung { violations, action }| ratelimit::Rung { violations, action })
                .collect(),
            ladder_window: self.ladder_window,
            reset_on_success: self.reset_on_success,
            charge_denied: self.charge_denied,
            lease: self
                .lease
                .map(|Lease { chunk, ttl_seconds }| ratelimit::RuleLease { chunk: chunk.0, ttl_seconds }),
            adaptive: self.adaptive.map(Into::into),
            priority: self.priority,
            enabled: self.enabled,
            shadow: self.shadow,
            on_missing_identifier: self.on_missing_identifier,
            on_backend_failure: self.on_backend_failure,
        }
    }
}

impl From<Versioned<Rule>> for Limit {
    fn from(rule: Versioned<Rule>) -> Self {
        let Versioned { value: rule, revision, created_at, updated_at } = rule;
        let terms = Terms {
            name: rule.name,
            key: rule.key,
            routes: rule.routes,
            labels: rule.labels,
            conditions: rule.conditions.into_iter().map(Into::into).collect(),
            limit: Integer(rule.limit),
            window: rule.window,
            zone: rule.zone,
            burst: Integer(rule.burst),
            algorithm: rule.algorithm,
            action: rule.action,
            max_delay_ms: rule.max_delay_ms,
            quarantine_seconds: rule.quarantine_seconds,
            ladder: rule
                .ladder
                .into_iter()
                .map(|ratelimit::Rung { violations, action }| Rung { violations, action })
                .collect(),
            ladder_window: rule.ladder_window,
            reset_on_success: rule.reset_on_success,
            charge_denied: rule.charge_denied,
            lease: rule.lease.map(|ratelimit::RuleLease { chunk, ttl_seconds }| Lease {
                chunk: Integer(chunk),
                ttl_seconds,
            }),
            adaptive: rule.adaptive.map(Into::into),
            priority: rule.priority,
            enabled: rule.enabled,
            shadow: rule.shadow,
            on_missing_identifier: rule.on_missing_identifier,
            on_backend_failure: rule.on_backend_failure,
        };
        Self { id: rule.id, terms, revision: revision.into(), created_at, updated_at }
    }
}

/// Cuts a page out of what is in force for single callers, in the order of the controls' ids.
async fn controls<T>(
    call: &Call,
    request: &PageRequest,
    is_wanted: fn(&Control) -> bool,
    shown: fn(Versioned<Control>) -> Option<T>,
) -> Result<Page<T>, Failure> {
    let all = call.engines().ratelimit.list_controls(call.scope).await?;
    let wanted = all.iter().filter(|stored| is_wanted(&stored.value));
    let Page { items, next } = Page::cut(wanted, request, |stored| stored.value.id().to_string());
    Ok(Page { items: items.into_iter().filter_map(shown).collect(), next })
}

async fn list(call: Call, paged: Paged<Everything>) -> Result<Found<List<Limit>>, Failure> {
    let page = call.engines().ratelimit.list_rules(call.scope, &paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn put(
    call: Call,
    (Path(id), Guard(precondition), Body(terms)): (Path<RuleId>, Guard, Body<Terms>),
) -> Result<Written<Limit>, Failure> {
    let expected = precondition.expected();
    let rule = terms.rule(id);
    let written = call.engines().ratelimit.put_rule(&call.author(), call.scope, rule, Some(expected)).await;
    let rule = written.map_err(|error| match error {
        ratelimit::Error::Stale { .. } if precondition == Precondition::None => {
            crate::call::precondition_required()
        }
        error => error.into(),
    })?;
    let revision = rule.revision;
    Ok(Written { created: expected == Revision::ZERO, body: rule.into(), revision })
}

async fn get(call: Call, (Path(id), Nothing): (Path<RuleId>, Nothing)) -> Result<Resource<Limit>, Failure> {
    let rule = call.engines().ratelimit.get_rule(call.scope, &id).await?;
    let rule = rule.ok_or_else(|| ratelimit::Error::NotFound(id))?;
    let revision = rule.revision;
    Ok(Resource(rule.into(), revision))
}

async fn delete(
    call: Call,
    (Path(id), IfMatchIfSent(expected)): (Path<RuleId>, IfMatchIfSent),
) -> Result<Done, Failure> {
    call.engines().ratelimit.delete_rule(&call.author(), call.scope, &id, expected).await?;
    Ok(Done)
}

impl From<ratelimit::Error> for Failure {
    fn from(error: ratelimit::Error) -> Self {
        match error {
            ratelimit::Error::Store(error) => error.into(),
            ratelimit::Error::Invalid(invalid) => {
                let problems: Vec<String> = invalid
                    .problems()
                    .map(|(field, problem)| format!("field `{field}`: {problem}"))
                    .collect();
                Self::invalid(problems.join("; "))
            }
            ratelimit::Error::InvalidControl(invalid) => {
                Self::invalid(format!("field `identifiers`: {}", invalid.problem()))
            }
            ratelimit::Error::TooManyControls(most) => Self::conflict(format!(
                "a scope has at most {most} overrides, quarantines and resets: lift some first"
            )),
            ratelimit::Error::NotFound(id) => Self::not_found(format!("there is no limit `{id}`")),
            ratelimit::Error::Stale { current: Revision::ZERO, id } => {
                Self::new(ProblemCode::PreconditionFailed, format!("there is no limit `{id}`"))
            }
            ratelimit::Error::Stale { current, id } => {
                let detail =
                    format!("limit `{id}` was changed since it was read: it is at revision {current}");
                Self::new(ProblemCode::PreconditionFailed, detail)
            }
            ratelimit::Error::TooManyRules(most) => {
                Self::conflict(format!("a scope has at most {most} limits"))
            }
            error => Self::internal(error),
        }
    }
}
