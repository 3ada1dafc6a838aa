use std::collections::BTreeSet;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, Timestamp, Versioned};
use stanchion_rbac::{self as rbac, Duty, RecordFilter, RecordKind, RoleId, SeparationId};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::answer::{Done, Found, List, Written};
use crate::call::{Body, Call, Everything, Nothing, Paged, Path, PathParameter};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "role:read";
const WRITE: &str = "role:write";

pub(crate) fn operations() -> Vec<Operation> {
    let (all, one) = ("/v1/separations", "/v1/separations/{id}");
    vec![
        Operation::new(
            Method::GET,
            all,
            "list_separations",
            READ,
            On::Scope,
            "Lists which roles are kept apart, in the order of their ids.",
            list,
        ),
        Operation::new(Method::PUT, one, "put_separation", WRITE, On::Scope, "Keeps roles apart.", put)
            .note("It is refused where somebody has them together already; the answer says who."),
        Operation::new(
            Method::GET,
            one,
            "get_separation",
            READ,
            On::Scope,
            "Returns which roles are kept apart.",
            get,
        ),
        Operation::new(
            Method::DELETE,
            one,
            "delete_separation",
            WRITE,
            On::Scope,
            "Does not keep roles apart any more.",
            delete,
        ),
    ]
}

/// Roles that one subject may not have together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Separation {
    /// What it is written under.
    #[schema(value_type = String)]
    id: SeparationId,
    /// What people read.
    #[schema(value_type = String)]
    name: DisplayName,
    /// `static`: they are not held together; `dynamic`: they are not active in one session.
    #[schema(value_type = String)]
    duty: Duty,
    /// The roles.
    #[schema(value_type = Vec<String>)]
    roles: BTreeSet<RoleId>,
    /// How many of them one subject may have.
    at_most: u32,
    /// The revision of the last change.
    revision: Integer,
    /// When it was created.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// Which roles are to be kept apart.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct SeparationBody {
    /// What people read: 1 to 128 characters.
    #[schema(value_type = String, example = "Payments")]
    name: DisplayName,
    /// `static`: they are not held together; `dynamic`: they are not active in one session.
    #[schema(value_type = String, example = "static")]
    duty: Duty,
    /// The roles: two or more.
    #[schema(value_type = Vec<String>, example = json!(["clerk", "approver"]))]
    roles: BTreeSet<RoleId>,
    /// How many of them one subject may have; one, when left out.
    #[serde(default = "one")]
    at_most: u32,
}

const fn one() -> u32 {
    1
}

impl From<Versioned<rbac::Separation>> for Separation {
    fn from(separation: Versioned<rbac::Separation>) -> Self {
        let Versioned { value: separation, revision, created_at, updated_at } = separation;
        let rbac::Separation { id, name, duty, roles, at_most, .. } = separation;
        Self { id, name, duty, roles, at_most, revision: revision.into(), created_at, updated_at }
    }
}

impl PathParameter for SeparationId {
    const DESCRIPTION: &'static str = "The id of the separation.";

    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

async fn list(call: Call, paged: Paged<Everything>) -> Result<Found<List<Separation>>, Failure> {
    let all = RecordFilter::all(RecordKind::Separation);
    let page = call.engines().rbac.list::<rbac::Separation>(call.scope, &all, &paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn put(
    call: Call,
    (Path(id), Body(body)): (Path<SeparationId>, Body<SeparationBody>),
) -> Result<Written<Separation>, Failure> {
    let separation = rbac::Separation::new(id, body.name, body.duty, body.roles).allowing(body.at_most);
    let written = call.engines().rbac.put_separation(&call.author(), call.scope, separation).await;
    let separation = written.map_err(|error| match error {
        rbac::Error::UnknownRole(_) => Failure::invalid(format!("field `roles`: {error}")),
        error => error.into(),
    })?;
    let created = separation.created_at == separation.updated_at;
    let revision = separation.revision;
    Ok(Written { created, body: separation.into(), revision })
}

async fn get(
    call: Call,
    (Path(id), Nothing): (Path<SeparationId>, Nothing),
) -> Result<Found<Separation>, Failure> {
    let separation = call.engines().rbac.separation(call.scope, &id).await?;
    separation.map(|separation| Found(separation.into())).ok_or_else(|| unknown(&id))
}

async fn delete(call: Call, (Path(id), Nothing): (Path<SeparationId>, Nothing)) -> Result<Done, Failure> {
    let deleted = call.engines().rbac.delete_separation(&call.author(), call.scope, &id).await?;
    deleted.map(|_| Done).ok_or_else(|| unknown(&id))
}

fn unknown(id: &SeparationId) -> Failure {
    Failure::not_found(format!("there is no separation `{id}`"))
}
