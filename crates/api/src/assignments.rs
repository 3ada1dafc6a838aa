use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{SubjectRef, Timestamp, Versioned};
use stanchion_rbac::{self as rbac, Note, RecordFilter, RecordKind, ResourceSelector, RoleId};
use utoipa::{IntoParams, ToSchema};

use crate::answer::{Done, Found, List, Written};
use crate::call::{Body, Call, Paged, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "assignment:read";
const WRITE: &str = "assignment:write";

pub(crate) fn operations() -> Vec<Operation> {
    let all = "/v1/assignments";
    vec![
        Operation::new(Method::POST, all, "assign_role", WRITE, On::Scope, "Gives a role to a subject.", assign)
            .note("A subject that holds the role already holds it on the new terms from now on; the answer is then 200.")
            .idempotent(),
        Operation::new(
            Method::GET,
            all,
            "list_assignments",
            READ,
            On::Scope,
            "Lists who holds which role, in the order of subjects and roles.",
            list,
        ),
        Operation::new(Method::DELETE, all, "revoke_role", WRITE, On::Scope, "Takes a role from a subject.", revoke),
    ]
}

/// A role that a subject holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Assignment {
    /// Who holds it.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// The role.
    #[schema(value_type = String)]
    role: RoleId,
    /// On which resources: `document/42`, `document/*`; on all, if there is none.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// The first instant at which it counts; always, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// Why.
    #[schema(value_type = Option<String>)]
    reason: Option<Note>,
    /// Who assigned it: `user:alice`, `system:seed`.
    granted_by: Option<String>,
    /// The revision of the last change.
    revision: Integer,
    /// When it was first assigned.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When its terms were last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// The role that a subject is to hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewAssignment {
    /// Who is to hold it: `user:ID`, `service:ID` or `group:ID`.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// The role: one of the scope's own, or one of the platform's.
    #[schema(value_type = String, example = "editor")]
    role: RoleId,
    /// On which resources: `document/42`, `document/*`; on all, when left out.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// The first instant at which it counts; at once, when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// Why, for the record: 1 to 1,000 characters.
    #[schema(value_type = Option<String>)]
    reason: Option<Note>,
}

/// Which assignments to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignmentFilter {
    /// Only those of this subject.
    #[param(value_type = String, required = false, example = "user:alice")]
    subject: Option<SubjectRef>,
    /// Only those of this role.
    #[param(value_type = String, required = false)]
    role: Option<RoleId>,
}

/// Which assignment is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignmentName {
    /// Who holds the role.
    #[param(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// The role.
    #[param(value_type = String)]
    role: RoleId,
    /// On which resources, if that was said.
    #[param(value_type = String, required = false)]
    resource: Option<ResourceSelector>,
}

impl From<Versioned<rbac::Assignment>> for Assignment {
    fn from(assignment: Versioned<rbac::Assignment>) -> Self {
        let Versioned { value: assignment, revision, created_at, updated_at } = assignment;
        Self {
            subject: assignment.subject,
            role: assignment.role,
            resource: assignment.resource,
            not_before: assignment.not_before,
            expires_at: assignment.expires_at,
            reason: assignment.reason,
            granted_by: assignment.granted_by.map(|actor| actor.to_string()),
            revision: revision.into(),
            created_at,
            updated_at,
        }
    }
}

impl NewAssignment {
    pub(crate) fn into_assignment(self) -> rbac::Assignment {
        let mut assignment = rbac::Assignment::new(self.subject, self.role);
        assignment.resource = self.resource;
        assignment.not_before = self.not_before;
        assignment.expires_at = self.expires_at;
        assignment.reason = self.reason;
        assignment
    }
}

async fn assign(call: Call, Body(new): Body<NewAssignment>) -> Result<Written<Assignment>, Failure> {
    let assigned = call.engines().rbac.assign(&call.author(), call.scope, new.into_assignment()).await;
    let assignment = assigned.map_err(|error| match error {
        rbac::Error::UnknownRole(_) => Failure::invalid(format!("field `role`: {error}")),
        error => error.into(),
    })?;
    let created = assignment.created_at == assignment.updated_at;
    let revision = assignment.revision;
    Ok(Written { created, body: assignment.into(), revision })
}

async fn list(call: Call, paged: Paged<AssignmentFilter>) -> Result<Found<List<Assignment>>, Failure> {
    let mut filter = RecordFilter::all(RecordKind::Assignment);
    filter.subject.clone_from(&paged.filter.subject);
    filter.role.clone_from(&paged.filter.role);
    let page = call.engines().rbac.list::<rbac::Assignment>(call.scope, &filter, &paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn revoke(call: Call, Query(named): Query<AssignmentName>) -> Result<Done, Failure> {
    let AssignmentName { subject, role, resource } = named;
    let (engine, author) = (&call.engines().rbac, call.author());
    let revoked = engine.revoke_on(&author, call.scope, &subject, &role, resource.as_ref()).await?;
    revoked.map(|_| Done).ok_or_else(|| Failure::not_found(format!("`{subject}` does not hold `{role}`")))
}
