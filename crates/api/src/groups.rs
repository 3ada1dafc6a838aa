use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{SubjectRef, Timestamp, Versioned};
use stanchion_rbac::{self as rbac, RecordFilter, RecordKind};
use utoipa::{IntoParams, ToSchema};

use crate::answer::{Done, Found, List, Written};
use crate::call::{Body, Call, Paged, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "assignment:read";
const WRITE: &str = "assignment:write";

pub(crate) fn operations() -> Vec<Operation> {
    let all = "/v1/memberships";
    vec![
        Operation::new(
            Method::POST,
            all,
            "add_member",
            WRITE,
            On::Scope,
            "Puts a subject into a group.",
            add,
        )
        .note("What a group holds, has and is denied, its members hold, have and are denied as well.")
        .idempotent(),
        Operation::new(
            Method::GET,
            all,
            "list_memberships",
            READ,
            On::Scope,
            "Lists who belongs to which group, in the order of groups and members.",
            list,
        ),
        Operation::new(
            Method::DELETE,
            all,
            "remove_member",
            WRITE,
            On::Scope,
            "Takes a subject out of a group.",
            remove,
        ),
    ]
}

/// That a subject belongs to a group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Membership {
    /// The group.
    #[schema(value_type = String, example = "group:support")]
    group: SubjectRef,
    /// Who belongs to it.
    #[schema(value_type = String, example = "user:alice")]
    member: SubjectRef,
    /// The first instant at which it counts; always, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// The revision of the last change.
    revision: Integer,
    /// When it was first written.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When its terms were last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// Who is to belong to which group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewMembership {
    /// The group: `group:ID`.
    #[schema(value_type = String, example = "group:support")]
    group: SubjectRef,
    /// Who is to belong to it: `user:ID` or `service:ID`.
    #[schema(value_type = String, example = "user:alice")]
    member: SubjectRef,
    /// The first instant at which it counts; at once, when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    not_before: Option<Timestamp>,
    /// The first instant at which it no longer counts; never, when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
}

/// Which memberships to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct MembershipFilter {
    /// Only those in this group.
    #[param(value_type = String, required = false, example = "group:support")]
    group: Option<SubjectRef>,
    /// Only those of this subject.
    #[param(value_type = String, required = false, example = "user:alice")]
    member: Option<SubjectRef>,
}

/// Which membership is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct MembershipName {
    /// The group.
    #[param(value_type = String, example = "group:support")]
    group: SubjectRef,
    /// Who belongs to it.
    #[param(value_type = String, example = "user:alice")]
    member: SubjectRef,
}

impl From<Versioned<rbac::Membership>> for Membership {
    fn from(membership: Versioned<rbac::Membership>) -> Self {
        let Versioned { value: membership, revision, created_at, updated_at } = membership;
        let rbac::Membership { group, member, not_before, expires_at, .. } = membership;
        Self { group, member, not_before, expires_at, revision: revision.into(), created_at, updated_at }
    }
}

impl NewMembership {
    pub(crate) fn into_membership(self) -> rbac::Membership {
        let mut membership = rbac::Membership::new(self.group, self.member);
        membership.not_before = self.not_before;
        membership.expires_at = self.expires_at;
        membership
    }
}

async fn add(call: Call, Body(new): Body<NewMembership>) -> Result<Written<Membership>, Failure> {
    let membership =
        call.engines().rbac.add_member(&call.author(), call.scope, new.into_membership()).await?;
    let created = membership.created_at == membership.updated_at;
    let revision = membership.revision;
    Ok(Written { created, body: membership.into(), revision })
}

async fn list(call: Call, paged: Paged<MembershipFilter>) -> Result<Found<List<Membership>>, Failure> {
    let mut filter = RecordFilter::all(RecordKind::Membership);
    filter.group.clone_from(&paged.filter.group);
    filter.subject.clone_from(&paged.filter.member);
    let page = call.engines().rbac.list::<rbac::Membership>(call.scope, &filter, &paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn remove(call: Call, Query(named): Query<MembershipName>) -> Result<Done, Failure> {
    let MembershipName { group, member } = named;
    let removed = call.engines().rbac.remove_member(&call.author(), call.scope, &group, &member).await?;
    removed
        .map(|_| Done)
        .ok_or_else(|| Failure::not_found(format!("`{member}` does not belong to `{group}`")))
}
