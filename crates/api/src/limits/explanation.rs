//! What limits would say to a request that nobody has made.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{KeyId, Slug, SubjectRef};
use stanchion_ratelimit::{Action, Decision, Request, RuleId, Stage, Verdict};
use utoipa::ToSchema;

use super::READ;
use crate::answer::Found;
use crate::call::{Body, Call};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Tells what the limits would say to a request, and why.";
    vec![
        Operation::new(
            Method::POST,
            "/v1/limits/explain",
            "explain_limits",
            READ,
            On::Scope,
            summary,
            explain,
        )
        .note("It asks only: nothing is counted."),
    ]
}

/// A request that nobody has made. What is left out, it does not have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = LimitQuestion)]
pub(crate) struct Question {
    /// Who calls.
    #[schema(value_type = Option<String>, example = "user:alice")]
    subject: Option<SubjectRef>,
    /// With which API key.
    #[schema(value_type = Option<String>, format = "uuid")]
    key: Option<KeyId>,
    /// From where.
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    ip: Option<IpAddr>,
    /// The id of the route. One that is configured brings its labels.
    #[schema(value_type = Option<String>)]
    route: Option<Slug>,
    /// Attributes for conditions: `method`, `host`, `path`.
    #[serde(default)]
    #[schema(required = false)]
    attributes: BTreeMap<String, String>,
    /// How much it counts; 1 when left out.
    cost: Option<Integer>,
}

/// What the limits would say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitExplanation {
    /// Whether it would be let through.
    admitted: bool,
    /// After how many milliseconds.
    delay_ms: Integer,
    /// For a refusal what would be done with it: `throttle`, `captcha`, `block` or `quarantine`.
    #[schema(value_type = Option<String>)]
    action: Option<Action>,
    /// Why: `exceeded`, `quarantined`, `missing_identifier` or `backend_failure`.
    reason: Option<&'static str>,
    /// The limit that says so.
    #[schema(value_type = Option<String>)]
    limit_id: Option<RuleId>,
    /// In how many milliseconds it would be let through; null if never, or if nobody knows.
    retry_after_ms: Option<Integer>,
    /// Each limit that is for it, and how it stands.
    limits: Vec<LimitState>,
}

/// How a limit stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitState {
    /// The limit.
    #[schema(value_type = String)]
    limit_id: RuleId,
    /// Whose it is: `platform`, or the tenant's id.
    scope: String,
    /// When it is asked: `edge`, before the caller is known, or `inner`.
    stage: &'static str,
    /// The most that can be used at once, by this caller.
    limit: Integer,
    /// How much of it is left.
    remaining: Integer,
    /// By how much more the replicas together may let through at most, because they take the limit in chunks; 0 where it is exact.
    overshoot: Integer,
    /// The length of the window in seconds.
    window_seconds: Integer,
    /// In how many milliseconds all of it is there again.
    reset_after_ms: Integer,
    /// Whether the request would go beyond it.
    exceeded: bool,
    /// Whether it only watches.
    shadow: bool,
    /// What it does beyond.
    #[schema(value_type = String)]
    action: Action,
}

async fn explain(call: Call, Body(question): Body<Question>) -> Result<Found<LimitExplanation>, Failure> {
    let routes = call.api.state.pipeline.routes();
    let route = question.route.as_ref().and_then(|id| routes.get(id.as_str()));
    let attributes: Vec<(&str, &str)> =
        question.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = Request {
        tenant: call.scope.tenant(),
        subject: question.subject.as_ref(),
        key: question.key,
        ip: question.ip,
        route: question.route.as_ref().map(Slug::as_str),
        labels: route.map_or(&[], |route| &route.config().labels),
        attributes: &attributes,
        cost: question.cost.map_or(1, |cost| cost.0),
        ..Request::default()
    };
    let engine = &call.engines().ratelimit;
    let edge = engine.peek(Stage::Edge, &request).await?;
    let inner = engine.peek(Stage::Inner, &request).await?;
    Ok(Found(LimitExplanation::of(&edge, &inner)))
}

impl LimitExplanation {
    fn of(edge: &Decision, inner: &Decision) -> Self {
        let limits = states(edge, "edge").chain(states(inner, "inner")).collect();
        // What the edge refuses does not come any further.
        let decisive = if edge.is_admitted() { inner } else { edge };
        let delay = if decisive.is_admitted() { edge.delay.max(inner.delay) } else { Duration::ZERO };
        let (action, reason, limit_id, retry_after) = match &decisive.verdict {
            Verdict::Admitted => (None, None, None, None),
            Verdict::Refused { action, rule, reason, retry_after, .. } => {
                (Some(*action), Some(reason.as_str()), rule.clone(), *retry_after)
            }
        };
        Self {
            admitted: decisive.is_admitted(),
            delay_ms: millis(delay),
            action,
            reason,
            limit_id,
            retry_after_ms: retry_after.map(millis),
            limits,
        }
    }
}

fn states<'a>(decision: &'a Decision, stage: &'static str) -> impl Iterator<Item = LimitState> + 'a {
    decision.rules().map(move |state| LimitState {
        limit_id: state.rule.clone(),
        scope: state.scope.to_string(),
        stage,
        limit: Integer(state.limit),
        remaining: Integer(state.remaining),
        overshoot: Integer(state.overshoot),
        window_seconds: Integer(state.window.as_secs()),
        reset_after_ms: millis(state.reset_after),
        exceeded: state.exceeded,
        shadow: state.shadow,
        action: state.action,
    })
}

/// Rounded up: whoever waits as told is not too early.
fn millis(time: Duration) -> Integer {
    Integer(u64::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX))
}
