use http::Method;
use serde::Serialize;
use stanchion_audit::Draft;
use stanchion_core::Timestamp;
use stanchion_rbac::{self as rbac, CheckRequest, RoleId};
use utoipa::ToSchema;

use super::CHECK;
use super::question::{Question, Questions};
use crate::answer::Found;
use crate::call::{Body, Call};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

/// The most questions of one request.
const MOST: usize = 1_000;

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Decides whether a subject may do something, or many such questions at once.";
    vec![
        Operation::new(Method::POST, "/v1/access/check", "check_access", CHECK, On::Scope, summary, check).note(
            "Send one question, or a list of at most 1,000; a list is answered in `items`, in its order. Refusals are recorded as \
             `access.denied`, and as many permits as `[rbac.decisions]` says as `access.permitted`.",
        ),
    ]
}

/// What was decided.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessDecision)]
pub(crate) struct Decision {
    /// Whether it is permitted.
    allowed: bool,
    /// Why, by a stable code such as `granted`, `denied_explicitly` or `no_matching_role`.
    reason: &'static str,
    /// The role that decided; none where a single permission did.
    #[schema(value_type = Option<String>)]
    role: Option<RoleId>,
    /// The kinds of constraints under which it is permitted, or which do not hold.
    constraints: Vec<&'static str>,
    /// What would have to be known of the resource or the subject to tell.
    missing_attribute: Option<String>,
    /// When time alone may turn the answer; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    valid_until: Option<Timestamp>,
    /// Every change up to this revision was taken into account.
    revision: Integer,
}

/// The answer to one question, or to a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AccessDecisions)]
pub(crate) enum Decisions {
    /// To one.
    One(Decision),
    /// To a list.
    Many {
        /// In the order of the questions.
        items: Vec<Decision>,
    },
}

impl From<rbac::Decision> for Decision {
    fn from(decision: rbac::Decision) -> Self {
        Self {
            allowed: decision.allowed,
            reason: decision.reason.as_str(),
            constraints: decision.rules.iter().collect(),
            missing_attribute: decision.missing_attribute().map(str::to_owned),
            role: decision.role,
            valid_until: decision.valid_until,
            revision: decision.revision.into(),
        }
    }
}

async fn check(call: Call, Body(questions): Body<Questions>) -> Result<Found<Decisions>, Failure> {
    let engine = &call.engines().rbac;
    match &questions {
        Questions::One(question) => {
            let request = question.request(call.scope);
            let decision = engine.check(&request).await?;
            record(&call, &request, &decision);
            Ok(Found(Decisions::One(decision.into())))
        }
        Questions::Many(questions) if questions.len() > MOST => Err(Failure::invalid(format!(
            "at most {MOST} questions at once, and these are {}",
            questions.len()
        ))),
        Questions::Many(questions) => {
            let requests: Vec<CheckRequest<'_>> =
                questions.iter().map(|question: &Question| question.request(call.scope)).collect();
            let decisions = engine.check_batch(&requests).await?;
            for (request, decision) in requests.iter().zip(&decisions) {
                record(&call, request, decision);
            }
            Ok(Found(Decisions::Many { items: decisions.into_iter().map(Into::into).collect() }))
        }
    }
}

/// Records what was decided for somebody else: what the gateway and this API decide for themselves they record with the request.
fn record(call: &Call, request: &CheckRequest<'_>, decision: &rbac::Decision) {
    let engines = call.engines();
    let permits = u128::from(engines.rbac.config().decisions.permits);
    if decision.allowed && permits == 0 {
        return;
    }
    let event = request.event(decision, &call.author(), &*call.api.state.ids, call.at);
    let is_sampled = event.id.uuid().as_u128().checked_rem(permits) == Some(0);
    if (!decision.allowed || is_sampled) && engines.audit.submit(call.scope, Draft::Event(event)).is_err() {
        call.api.counts.unrecorded();
    }
}
