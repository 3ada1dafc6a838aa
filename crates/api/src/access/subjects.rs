//! Who may do something, and what somebody may do.

use std::collections::BTreeSet;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{SessionId, SubjectRef, Timestamp};
use stanchion_rbac::{
    self as rbac, CheckRequest, Permission, Resource, ResourceSelector, RoleId, SubjectProfile,
};
use utoipa::ToSchema;

use super::READ;
use crate::answer::Found;
use crate::call::{Body, Call};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

/// How many subjects are looked at when nothing is said.
const FEW: usize = 1_000;
/// The most subjects that are looked at.
const MOST: usize = 10_000;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/access/who-can",
            "who_can",
            READ,
            On::Scope,
            "Finds the users and services that may do something.",
            who_can,
        )
        .note(
            "By roles, grants and groups, as it is now. Where there are more than `most` to look at, ask again with `next` as `after`. It \
             asks only: nothing is recorded as an access.",
        ),
        Operation::new(
            Method::POST,
            "/v1/access/what-can",
            "what_can",
            READ,
            On::Scope,
            "Lists what a subject may do, and what is denied to it.",
            what_can,
        )
        .note(
            "With `resource` also which of the known permissions it has on that. It asks only: nothing is recorded as an access.",
        ),
    ]
}

/// What somebody should be able to do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct WhoCanQuestion {
    /// What, without wildcards: `resource:action`.
    #[schema(value_type = String, example = "payment:approve")]
    permission: Permission,
    /// On what; everywhere, when left out.
    #[schema(value_type = Option<Object>, example = json!({"type": "payment", "id": "42"}))]
    resource: Option<Resource>,
    /// How many subjects are looked at, 1 to 10,000; 1,000 when left out.
    most: Option<usize>,
    /// After which subject to go on: `next` of an answer before.
    #[schema(value_type = Option<String>, example = "user:alice")]
    after: Option<SubjectRef>,
}

/// Who may do it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoCan {
    /// Those who may, in the order of their names.
    items: Vec<WhoMay>,
    /// Whether these are all. If not, there are more subjects than were looked at.
    complete: bool,
    /// The last subject that was looked at, if there are more.
    #[schema(value_type = Option<String>)]
    next: Option<SubjectRef>,
}

/// Somebody who may do it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoMay {
    /// Who.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// By which role; by a single permission, if there is none.
    #[schema(value_type = Option<String>)]
    role: Option<RoleId>,
    /// The kinds of constraints under which it may.
    constraints: Vec<&'static str>,
    /// When time alone may end it; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    valid_until: Option<Timestamp>,
}

async fn who_can(call: Call, Body(asked): Body<WhoCanQuestion>) -> Result<Found<WhoCan>, Failure> {
    let WhoCanQuestion { permission, resource, most, after } = asked;
    let most = most.unwrap_or(FEW);
    if !(1..=MOST).contains(&most) {
        return Err(Failure::invalid(format!("field `most`: use a whole number from 1 to {MOST}")));
    }
    if !permission.is_exact() {
        return Err(rbac::Error::NotExact(permission).into());
    }
    let (engine, resource) = (&call.engines().rbac, resource.as_ref());
    let found = match &after {
        Some(after) => engine.who_can_after(call.scope, &permission, resource, after, most).await?,
        None => engine.who_can(call.scope, &permission, resource, most).await?,
    };
    let may = |(subject, decision): (SubjectRef, rbac::Decision)| WhoMay {
        subject,
        role: decision.role,
        constraints: decision.rules.iter().collect(),
        valid_until: decision.valid_until,
    };
    let items = found.subjects.into_iter().map(may).collect();
    Ok(Found(WhoCan { items, complete: found.complete, next: found.next }))
}

/// Whose permissions are wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct WhatCanQuestion {
    /// Who.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// On what it is to be decided, for each known permission of its type.
    #[schema(value_type = Option<Object>, example = json!({"type": "document", "id": "42"}))]
    resource: Option<Resource>,
    /// What is known of the subject, for what is decided on the resource.
    #[schema(value_type = Option<Object>)]
    profile: Option<SubjectProfile>,
    /// The session, for what is decided on the resource.
    #[schema(value_type = Option<String>, format = "uuid")]
    session: Option<SessionId>,
}

/// What somebody may do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhatCan {
    /// What it has, in order, as it is written in roles and grants.
    permitted: Vec<Permitted>,
    /// What it is denied, whatever it has, in order.
    denied: Vec<Denied>,
    /// What it may do to the resource, if one was named: of the permissions that are known, or that roles name.
    on_resource: Option<Vec<OnResource>>,
    /// Every change up to this revision was taken into account.
    revision: Integer,
}

/// A permission that somebody has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Permitted {
    /// What.
    #[schema(value_type = String)]
    permission: Permission,
    /// The role that is held and brings it; none where it is granted by itself.
    #[schema(value_type = Option<String>)]
    role: Option<RoleId>,
    /// On which resources; on all, if there is none.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// Whether a constraint binds it.
    constrained: bool,
    /// What roles on the way leave out of it.
    #[schema(value_type = Vec<String>)]
    without: Vec<Permission>,
}

/// A permission that is denied to somebody.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Denied {
    /// What.
    #[schema(value_type = String)]
    permission: Permission,
    /// On which resources; on all, if there is none.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
}

/// A permission that somebody has on the resource in question.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnResource {
    /// What.
    #[schema(value_type = String)]
    permission: Permission,
    /// By which role; by a single permission, if there is none.
    #[schema(value_type = Option<String>)]
    role: Option<RoleId>,
    /// The kinds of constraints under which it may.
    constraints: Vec<&'static str>,
    /// When time alone may end it; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    valid_until: Option<Timestamp>,
}

async fn what_can(call: Call, Body(asked): Body<WhatCanQuestion>) -> Result<Found<WhatCan>, Failure> {
    let engine = &call.engines().rbac;
    let effective = engine.effective_permissions(call.scope, &asked.subject).await?;
    let on_resource = match &asked.resource {
        Some(resource) => {
            let kind = resource.kind.as_str();
            let registry = &call.api.state.registry;
            let mut among: BTreeSet<Permission> =
                registry.permissions().filter(|permission| permission.resource() == kind).collect();
            let named = effective.permitted.iter().map(|one| &one.permission);
            among.extend(named.filter_map(|one| exactly(kind, one)));
            let mut found = Vec::new();
            for permission in among {
                let mut request = CheckRequest::new(call.scope, &asked.subject, &permission).on(resource);
                request.profile = asked.profile.as_ref();
                request.session = asked.session;
                let decision = engine.explain(&request).await?.decision;
                if decision.allowed {
                    found.push(OnResource {
                        role: decision.role,
                        constraints: decision.rules.iter().collect(),
                        valid_until: decision.valid_until,
                        permission,
                    });
                }
            }
            Some(found)
        }
        None => None,
    };
    let permitted = |one: rbac::EffectivePermission| Permitted {
        permission: one.permission,
        role: one.role,
        resource: one.resource,
        constrained: one.constrained,
        without: one.without,
    };
    Ok(Found(WhatCan {
        permitted: effective.permitted.into_iter().map(permitted).collect(),
        denied: effective
            .denied
            .into_iter()
            .map(|(permission, resource)| Denied { permission, resource })
            .collect(),
        on_resource,
        revision: effective.revision.into(),
    }))
}

/// The permission by its name alone, if it is one for the type and has no wildcard.
fn exactly(kind: &str, permission: &Permission) -> Option<Permission> {
    let named = Permission::new(&format!("{}:{}", permission.resource(), permission.action())).ok()?;
    (named.resource() == kind && named.is_exact()).then_some(named)
}
