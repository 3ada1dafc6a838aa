use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, ProblemCode, Slug, TenantId, Timestamp, Versioned};
use stanchion_rbac::Note;
use stanchion_tenancy as tenancy;
use utoipa::ToSchema;

use crate::answer::{Created, Found, List, Resource};
use crate::call::{Body, Call, Everything, IfMatch, Nothing, Paged, Path};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "tenant:read";
const WRITE: &str = "tenant:write";

pub(crate) fn operations() -> Vec<Operation> {
    let (all, one) = ("/v1/tenants", "/v1/tenants/{id}");
    vec![
        Operation::new(Method::POST, all, "create_tenant", WRITE, On::Platform, "Creates a tenant.", create)
            .note("It is active at once. Its slug is for people; everything else refers to its id.")
            .idempotent(),
        Operation::new(
            Method::GET,
            all,
            "list_tenants",
            READ,
            On::Platform,
            "Lists tenants, oldest first.",
            list,
        ),
        Operation::new(Method::GET, one, "get_tenant", READ, On::PathTenant, "Returns a tenant.", get)
            .note("A tenant's principal may read its own."),
        Operation::new(
            Method::PATCH,
            one,
            "update_tenant",
            WRITE,
            On::Platform,
            "Changes a tenant's name or tier.",
            update,
        )
        .note("What is left out stays as it is."),
        Operation::new(
            Method::POST,
            "/v1/tenants/{id}/suspend",
            "suspend_tenant",
            WRITE,
            On::Platform,
            "Stops serving a tenant.",
            suspend,
        )
        .note("Everything is kept. Its keys stop working at the next request, here and in the gateway."),
        Operation::new(
            Method::POST,
            "/v1/tenants/{id}/resume",
            "resume_tenant",
            WRITE,
            On::Platform,
            "Serves a suspended tenant again.",
            resume,
        ),
    ]
}

/// A customer of the platform.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenant {
    /// What everything else refers to; it never changes.
    #[schema(value_type = String, format = "uuid")]
    id: TenantId,
    /// What people type, unique on the platform; it never changes.
    #[schema(value_type = String)]
    slug: Slug,
    /// What people read.
    #[schema(value_type = String)]
    name: DisplayName,
    /// `active`: its requests are served; `suspended`: everything is kept, nothing is served.
    #[schema(value_type = String)]
    status: tenancy::TenantStatus,
    /// The entry of the tier catalogue that it is on.
    #[schema(value_type = String)]
    tier: Slug,
    /// The revision of the last change, which is also the entity tag.
    revision: Integer,
    /// When it was created.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// What a tenant is created from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewTenant {
    /// What people type: 1 to 64 of `a-z 0-9 _ - .`, beginning with a letter or digit.
    #[schema(value_type = String, example = "acme")]
    slug: Slug,
    /// What people read: 1 to 128 characters.
    #[schema(value_type = String, example = "Acme & Co.")]
    name: DisplayName,
    /// The entry of the tier catalogue that it is on.
    #[schema(value_type = String, example = "basic")]
    tier: Slug,
}

/// What is to change in a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct TenantPatch {
    /// The new name.
    #[schema(value_type = Option<String>)]
    name: Option<DisplayName>,
    /// The new tier.
    #[schema(value_type = Option<String>)]
    tier: Option<Slug>,
}

/// Why a tenant's status is changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct StatusChange {
    /// The reason, for the record: 1 to 1,000 characters.
    #[schema(value_type = String, example = "the invoice of March is open")]
    reason: Note,
}

impl From<Versioned<tenancy::Tenant>> for Tenant {
    fn from(tenant: Versioned<tenancy::Tenant>) -> Self {
        let Versioned { value, revision, created_at, updated_at } = tenant;
        let tenancy::Tenant { id, slug, name, status, tier } = value;
        Self { id, slug, name, status, tier, revision: revision.into(), created_at, updated_at }
    }
}

async fn create(call: Call, Body(new): Body<NewTenant>) -> Result<Created<Tenant>, Failure> {
    let new = tenancy::NewTenant { slug: new.slug, name: new.name, tier: new.tier };
    let tenant = call.engines().tenancy.create(&call.author(), new).await?;
    let location = format!("/v1/tenants/{}", tenant.value.id);
    Ok(Created { location, revision: tenant.revision, body: tenant.into() })
}

async fn list(call: Call, paged: Paged<Everything>) -> Result<Found<List<Tenant>>, Failure> {
    let page = call.engines().tenancy.list(&paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn get(
    call: Call,
    (Path(id), Nothing): (Path<TenantId>, Nothing),
) -> Result<Resource<Tenant>, Failure> {
    let tenant = call.engines().tenancy.get(id).await?;
    resource(tenant.ok_or(tenancy::Error::UnknownTenant(id))?)
}

async fn update(
    call: Call,
    (Path(id), IfMatch(expected), Body(patch)): (Path<TenantId>, IfMatch, Body<TenantPatch>),
) -> Result<Resource<Tenant>, Failure> {
    let update = tenancy::TenantUpdate { name: patch.name, tier: patch.tier };
    resource(call.engines().tenancy.update(&call.author(), id, update, Some(expected)).await?)
}

async fn suspend(
    call: Call,
    (Path(id), Body(change)): (Path<TenantId>, Body<StatusChange>),
) -> Result<Resource<Tenant>, Failure> {
    let reason = change.reason.text().clone();
    resource(call.engines().tenancy.suspend(&call.author(), id, reason).await?)
}

async fn resume(
    call: Call,
    (Path(id), Body(change)): (Path<TenantId>, Body<StatusChange>),
) -> Result<Resource<Tenant>, Failure> {
    let reason = change.reason.text().clone();
    resource(call.engines().tenancy.resume(&call.author(), id, reason).await?)
}

fn resource(tenant: Versioned<tenancy::Tenant>) -> Result<Resource<Tenant>, Failure> {
    let revision = tenant.revision;
    Ok(Resource(tenant.into(), revision))
}

impl From<tenancy::Error> for Failure {
    fn from(error: tenancy::Error) -> Self {
        match error {
            tenancy::Error::Store(error) => error.into(),
            tenancy::Error::UnknownTenant(_) => Self::not_found(error.to_string()),
            tenancy::Error::SlugTaken(_) | tenancy::Error::IllegalTransition(_) => {
                Self::conflict(error.to_string())
            }
            tenancy::Error::Stale { .. } => Self::new(ProblemCode::PreconditionFailed, error.to_string()),
            error => Self::internal(error),
        }
    }
}
