use http::Method;
use serde::Serialize;
use stanchion_core::Timestamp;
use stanchion_rbac::{Explanation, Missing, Permission, RoleId, RuleNames};
use utoipa::ToSchema;

use super::READ;
use super::question::Question;
use crate::answer::Found;
use crate::call::{Body, Call};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Tells whether a subject may do something, by what, and what is missing where it may not.";
    vec![
        Operation::new(
            Method::POST,
            "/v1/access/explain",
            "explain_access",
            READ,
            On::Scope,
            summary,
            explain,
        )
        .note("It asks only: nothing is recorded as an access."),
    ]
}

/// A decision, and what it rests on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessExplanation)]
pub(crate) struct Explained {
    /// Whether it is permitted.
    allowed: bool,
    /// Why, by a stable code such as `granted`, `denied_explicitly` or `no_matching_role`.
    reason: &'static str,
    /// The role the subject holds that decided.
    #[schema(value_type = Option<String>)]
    role: Option<RoleId>,
    /// Where it is permitted, the way from the role held, over the roles that it includes, to the one that permits it by itself.
    #[schema(value_type = Vec<String>)]
    path: Vec<RoleId>,
    /// The permission as it is written in the last role of the path, in the grant or in the denial.
    #[schema(value_type = Option<String>)]
    matched: Option<Permission>,
    /// The kinds of constraints under which it is permitted, or which do not hold.
    constraints: Vec<&'static str>,
    /// Where it is refused, some of the roles that would permit it.
    #[schema(value_type = Vec<String>)]
    candidates: Vec<RoleId>,
    /// Where it is refused, the least that would have to be otherwise, as far as one thing would do.
    missing: Option<MissingThing>,
    /// When time alone may turn the answer; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    valid_until: Option<Timestamp>,
    /// Every change up to this revision was taken into account.
    revision: Integer,
}

/// What stands between a subject and what it was refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessMissing)]
pub(crate) struct MissingThing {
    /// `subject` and `session` would have to be known and active; `role` held, `active_role` activated in the session, `switched_on_role`
    /// switched on; `permission` granted; `constraints` met; `attribute` known; `approval` given; `time` come; `lifted_denial` lifted.
    what: &'static str,
    /// Which, if there are several.
    name: Option<String>,
}

impl From<Missing> for MissingThing {
    fn from(missing: Missing) -> Self {
        let names = |rules: RuleNames| rules.iter().collect::<Vec<_>>().join(", ");
        let (what, name) = match missing {
            Missing::Subject => ("subject", None),
            Missing::Session => ("session", None),
            Missing::RoleInSession(role) => ("active_role", Some(role.to_string())),
            Missing::RoleSwitchedOn(role) => ("switched_on_role", Some(role.to_string())),
            Missing::Role(role) => ("role", Some(role.to_string())),
            Missing::Permission(permission) => ("permission", Some(permission.to_string())),
            Missing::Rules(rules) => ("constraints", Some(names(rules))),
            Missing::Attribute(name) => ("attribute", Some(name.to_string())),
            Missing::Approval => ("approval", None),
            Missing::Time(at) => ("time", Some(at.to_string())),
            Missing::DenialLifted(permission) => ("lifted_denial", Some(permission.to_string())),
            _ => ("other", None),
        };
        Self { what, name }
    }
}

impl From<Explanation> for Explained {
    fn from(explanation: Explanation) -> Self {
        let Explanation { decision, path, matched, candidates, missing, .. } = explanation;
        Self {
            allowed: decision.allowed,
            reason: decision.reason.as_str(),
            role: decision.role,
            path,
            matched,
            constraints: decision.rules.iter().collect(),
            candidates,
            missing: missing.map(Into::into),
            valid_until: decision.valid_until,
            revision: decision.revision.into(),
        }
    }
}

async fn explain(call: Call, Body(question): Body<Question>) -> Result<Found<Explained>, Failure> {
    let explanation = call.engines().rbac.explain(&question.request(call.scope)).await?;
    Ok(Found(explanation.into()))
}
