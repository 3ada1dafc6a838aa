use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{SubjectRef, Timestamp, Versioned};
use stanchion_rbac::{self as rbac, Note, Permission, RecordKind, ResourceSelector};
use utoipa::ToSchema;

use crate::answer::{Done, Found, List, Written};
use crate::call::{Body, Call, Paged, Query};
use crate::failure::Failure;
use crate::of_subject::{OfSubject, PermissionOf};
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "assignment:read";
const WRITE: &str = "assignment:write";

pub(crate) fn operations() -> Vec<Operation> {
    let all = "/v1/denials";
    vec![
        Operation::new(
            Method::POST,
            all,
            "deny_permission",
            WRITE,
            On::Scope,
            "Denies a permission to a subject, whatever roles it holds.",
            deny,
        )
        .idempotent(),
        Operation::new(
            Method::GET,
            all,
            "list_denials",
            READ,
            On::Scope,
            "Lists what is denied to whom, in the order of subjects and permissions.",
            list,
        ),
        Operation::new(Method::DELETE, all, "lift_denial", WRITE, On::Scope, "Lifts a denial.", lift),
    ]
}

/// What a subject may not do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Denial {
    /// Who may not.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What it may not do; wildcards count.
    #[schema(value_type = String)]
    permission: Permission,
    /// On which resources: `document/42`, `document/*`; on all, if there is none.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// Why.
    #[schema(value_type = Option<String>)]
    reason: Option<Note>,
    /// The revision of the last change.
    revision: Integer,
    /// When it was first denied.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// What a subject is not to do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewDenial {
    /// Who may not: `user:ID`, `service:ID` or `group:ID`.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What it may not do: `resource:action`, with `*` as a wildcard.
    #[schema(value_type = String, example = "document:delete")]
    permission: Permission,
    /// On which resources: `document/42`, `document/*`; on all, when left out.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// Why, for the record: 1 to 1,000 characters.
    #[schema(value_type = Option<String>)]
    reason: Option<Note>,
}

impl From<Versioned<rbac::Denial>> for Denial {
    fn from(denial: Versioned<rbac::Denial>) -> Self {
        let Versioned { value: denial, revision, created_at, updated_at } = denial;
        let rbac::Denial { subject, permission, resource, reason, .. } = denial;
        Self { subject, permission, resource, reason, revision: revision.into(), created_at, updated_at }
    }
}

impl NewDenial {
    pub(crate) fn into_denial(self) -> rbac::Denial {
        let mut denial = rbac::Denial::new(self.subject, self.permission);
        denial.resource = self.resource;
        denial.reason = self.reason;
        denial
    }
}

async fn deny(call: Call, Body(new): Body<NewDenial>) -> Result<Written<Denial>, Failure> {
    let denial = call.engines().rbac.deny(&call.author(), call.scope, new.into_denial()).await?;
    let created = denial.created_at == denial.updated_at;
    let revision = denial.revision;
    Ok(Written { created, body: denial.into(), revision })
}

async fn list(call: Call, paged: Paged<OfSubject>) -> Result<Found<List<Denial>>, Failure> {
    let filter = paged.filter.filter(RecordKind::Denial);
    let page = call.engines().rbac.list::<rbac::Denial>(call.scope, &filter, &paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn lift(call: Call, Query(named): Query<PermissionOf>) -> Result<Done, Failure> {
    let PermissionOf { subject, permission, resource } = named;
    let (engine, author) = (&call.engines().rbac, call.author());
    let lifted = engine.lift_denial_on(&author, call.scope, &subject, &permission, resource.as_ref()).await?;
    lifted
        .map(|_| Done)
        .ok_or_else(|| Failure::not_found(format!("`{permission}` is not denied to `{subject}`")))
}
