use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{Revision, SessionId, SubjectRef, Timestamp};
use stanchion_rbac::{CheckRequest, Explanation, Permission, Resource, RoleId, SubjectProfile};
use utoipa::ToSchema;

use crate::answer::Found;
use crate::call::{Body, Call};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Tells whether a subject has a permission, and why.";
    vec![
        Operation::new(Method::POST, "/v1/check", "check_permission", "role:read", On::Scope, summary, check)
            .note("It asks only: nothing is recorded as an access, and nothing changes."),
    ]
}

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct Question {
    /// Who.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What, without wildcards: `resource:action`.
    #[schema(value_type = String, example = "document:read")]
    permission: Permission,
    /// On what: its `type`, which is that of the permission, `id`, `owner`, `team`, `department`, `organization`, `attributes` and
    /// `parent`, as far as they are known. Without it the question is whether it is permitted on every resource.
    #[schema(value_type = Option<Object>, example = json!({"type": "document", "id": "42", "owner": "user:alice"}))]
    resource: Option<Resource>,
    /// What is known of the subject: `organization`, `teams`, `departments`, `attributes`, and `active`.
    #[schema(value_type = Option<Object>)]
    profile: Option<SubjectProfile>,
    /// The session in which only the roles count that are active.
    #[schema(value_type = Option<String>, format = "uuid")]
    session: Option<SessionId>,
    /// A revision that must be taken into account, such as that of a change just made.
    #[schema(value_type = Option<String>)]
    at_least: Option<Integer>,
}

/// The answer, and what it rests on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Decision {
    /// Whether it is permitted.
    allowed: bool,
    /// Why, by a stable code such as `granted`, `denied_explicitly` or `no_matching_role`.
    reason: &'static str,
    /// The role the subject holds that decided.
    #[schema(value_type = Option<String>)]
    role: Option<RoleId>,
    /// For a grant the way from the role held, over the roles that it includes, to the one that permits it by itself.
    #[schema(value_type = Vec<String>)]
    path: Vec<RoleId>,
    /// The permission as it is written in the last role of the path, or in the denial.
    #[schema(value_type = Option<String>)]
    matched: Option<Permission>,
    /// For a refusal some of the roles that would permit it.
    #[schema(value_type = Vec<String>)]
    candidates: Vec<RoleId>,
    /// When time alone may turn the answer; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    valid_until: Option<Timestamp>,
    /// Every change up to this revision was taken into account.
    revision: Integer,
}

impl From<Explanation> for Decision {
    fn from(explanation: Explanation) -> Self {
        let Explanation { decision, path, matched, candidates, .. } = explanation;
        Self {
            allowed: decision.allowed,
            reason: decision.reason.as_str(),
            role: decision.role,
            path,
            matched,
            candidates,
            valid_until: decision.valid_until,
            revision: decision.revision.into(),
        }
    }
}

async fn check(call: Call, Body(question): Body<Question>) -> Result<Found<Decision>, Failure> {
    let mut request = CheckRequest::new(call.scope, &question.subject, &question.permission);
    request.resource = question.resource.as_ref();
    request.profile = question.profile.as_ref();
    request.session = question.session;
    request.at_least = question.at_least.map(|Integer(number)| Revision::from_number(number));
    Ok(Found(call.engines().rbac.explain(&request).await?.into()))
}
