use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{SubjectRef, Timestamp, Versioned};
use stanchion_rbac::{
    self as rbac, Approval, Constraint, Note, OverDenial, Permission, RecordKind, ResourceSelector,
};
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
    let all = "/v1/grants";
    vec![
        Operation::new(
            Method::POST,
            all,
            "grant_permission",
            WRITE,
            On::Scope,
            "Grants a single permission to a subject, besides its roles.",
            grant,
        )
        .note(
            "Over a standing denial it is refused, and the denial named, unless `lift_denial` is true. With `emergency` it needs a \
             reason and ends soon, and may have to be approved by somebody else.",
        )
        .idempotent(),
        Operation::new(
            Method::GET,
            all,
            "list_grants",
            READ,
            On::Scope,
            "Lists what is granted to whom, in the order of subjects and permissions.",
            list,
        ),
        Operation::new(Method::DELETE, all, "revoke_grant", WRITE, On::Scope, "Takes back a grant.", revoke),
        Operation::new(
            Method::POST,
            "/v1/grants/approval",
            "approve_grant",
            WRITE,
            On::Scope,
            "Approves a grant that was made in an emergency.",
            approve,
        )
        .note("By somebody who neither made the grant nor would have it."),
    ]
}

/// A permission that a subject has besides its roles.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Grant {
    /// Who has it.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What.
    #[schema(value_type = String)]
    permission: Permission,
    /// On which resources: `document/42`, `document/*`; on all, if there is none.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// The first instant at which it counts; always, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// What has to hold for it to count.
    #[schema(value_type = Vec<Object>)]
    constraints: Vec<Constraint>,
    /// Why.
    #[schema(value_type = Option<String>)]
    reason: Option<Note>,
    /// Who granted it.
    granted_by: Option<String>,
    /// In an emergency, whether it was approved: `not_needed`, `awaited` (it does not count yet) or `given`.
    emergency: Option<&'static str>,
    /// Who approved it.
    approved_by: Option<String>,
    /// The revision of the last change.
    revision: Integer,
    /// When it was first granted.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When its terms were last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// The permission that a subject is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewGrant {
    /// Who is to have it: `user:ID`, `service:ID` or `group:ID`.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What: `resource:action` or `resource:action:scope`, with `*` as a wildcard.
    #[schema(value_type = String, example = "document:delete")]
    permission: Permission,
    /// On which resources: `document/42`, `document/*`; on all, when left out.
    #[schema(value_type = Option<String>)]
    resource: Option<ResourceSelector>,
    /// The first instant at which it counts; at once, when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// What has to hold for it to count.
    #[serde(default)]
    #[schema(value_type = Vec<Object>, example = json!([{"rule": "owner_only"}]))]
    constraints: Vec<Constraint>,
    /// Why, for the record: 1 to 1,000 characters. In an emergency it is needed.
    #[schema(value_type = Option<String>)]
    reason: Option<Note>,
    /// Whether it is for an emergency.
    #[serde(default)]
    emergency: bool,
    /// Whether denials that stand against it are lifted.
    #[serde(default)]
    lift_denial: bool,
}

impl From<Versioned<rbac::Grant>> for Grant {
    fn from(grant: Versioned<rbac::Grant>) -> Self {
        let Versioned { value: grant, revision, created_at, updated_at } = grant;
        let (emergency, approved_by) = match grant.emergency {
            Some(Approval::NotNeeded) => (Some("not_needed"), None),
            Some(Approval::Awaited) => (Some("awaited"), None),
            Some(Approval::Given(by)) => (Some("given"), Some(by.to_string())),
            Some(_) => (Some("other"), None),
            None => (None, None),
        };
        Self {
            subject: grant.subject,
            permission: grant.permission,
            resource: grant.resource,
            not_before: grant.not_before,
            expires_at: grant.expires_at,
            constraints: grant.constraints,
            reason: grant.reason,
            granted_by: grant.granted_by.map(|actor| actor.to_string()),
            emergency,
            approved_by,
            revision: revision.into(),
            created_at,
            updated_at,
        }
    }
}

impl NewGrant {
    pub(crate) const fn lifts_denial(&self) -> bool {
        self.lift_denial
    }

    pub(crate) fn into_grant(self) -> rbac::Grant {
        let mut grant = rbac::Grant::new(self.subject, self.permission);
        grant.resource = self.resource;
        grant.not_before = self.not_before;
        grant.expires_at = self.expires_at;
        grant.constraints = self.constraints;
        grant.reason = self.reason;
        grant.emergency = self.emergency.then_some(Approval::NotNeeded);
        grant
    }
}

async fn grant(call: Call, Body(new): Body<NewGrant>) -> Result<Written<Grant>, Failure> {
    let over = if new.lifts_denial() { OverDenial::Lift } else { OverDenial::Refuse };
    let grant = call.engines().rbac.grant(&call.author(), call.scope, new.into_grant(), over).await?;
    let created = grant.created_at == grant.updated_at;
    let revision = grant.revision;
    Ok(Written { created, body: grant.into(), revision })
}

async fn list(call: Call, paged: Paged<OfSubject>) -> Result<Found<List<Grant>>, Failure> {
    let filter = paged.filter.filter(RecordKind::Grant);
    let page = call.engines().rbac.list::<rbac::Grant>(call.scope, &filter, &paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn revoke(call: Call, Query(named): Query<PermissionOf>) -> Result<Done, Failure> {
    let PermissionOf { subject, permission, resource } = named;
    let (engine, author) = (&call.engines().rbac, call.author());
    let revoked = engine.revoke_grant(&author, call.scope, &subject, &permission, resource.as_ref()).await?;
    revoked
        .map(|_| Done)
        .ok_or_else(|| Failure::not_found(format!("`{permission}` is not granted to `{subject}` there")))
}

async fn approve(call: Call, Query(named): Query<PermissionOf>) -> Result<Found<Grant>, Failure> {
    let PermissionOf { subject, permission, resource } = named;
    let (engine, author) = (&call.engines().rbac, call.author());
    let approved =
        engine.approve_grant(&author, call.scope, &subject, &permission, resource.as_ref()).await?;
    Ok(Found(approved.into()))
}
