use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, Page, Slug};
use stanchion_rbac::{
    KnownAction, KnownResource, Note, Permission, PermissionScope, Registry, ResourceType, UnknownPart,
    UnknownPermission,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::answer::{Found, List};
use crate::call::{Body, Call, Nothing, Paged, Path, PathParameter};
use crate::failure::Failure;
use crate::operation::{On, Operation};

const READ: &str = "role:read";

/// The most permissions that are validated at once.
const MOST: usize = 1_000;
/// The most known permissions that are named of those that one covers.
const COVERED: usize = 100;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/permissions",
            "list_permissions",
            READ,
            On::Scope,
            "Lists the permissions that are known, in the order of their texts.",
            list,
        )
        .note("Those of Stanchion's own API, and what the configuration adds. Checks do not need a permission to be known."),
        Operation::new(
            Method::GET,
            "/v1/permissions/{id}",
            "get_resource_permissions",
            READ,
            On::Scope,
            "Returns what may be done to a type of resource.",
            get,
        ),
        Operation::new(
            Method::POST,
            "/v1/permissions/validate",
            "validate_permissions",
            READ,
            On::Scope,
            "Tells what permissions mean, whether they are known, and what may have been meant.",
            validate,
        ),
    ]
}

/// A permission that is known.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct KnownPermission {
    /// As it is written in roles.
    #[schema(value_type = String, example = "role:read")]
    permission: Permission,
    /// The type of resource.
    #[schema(value_type = String)]
    resource: ResourceType,
    /// What may be done to it.
    #[schema(value_type = String)]
    action: Slug,
    /// What that is.
    #[schema(value_type = Option<String>)]
    description: Option<Note>,
    /// Whether whoever has this, and all else that is so marked, is an administrator.
    administrative: bool,
}

impl KnownPermission {
    /// Both parts are names, so there is a permission of them.
    fn new(resource: &KnownResource, action: &KnownAction) -> Option<Self> {
        Some(Self {
            permission: Permission::new(&format!("{}:{}", resource.id, action.id)).ok()?,
            resource: resource.id.clone(),
            action: action.id.clone(),
            description: action.description.clone(),
            administrative: action.administrative,
        })
    }
}

/// Which permissions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PermissionFilter {
    /// Only those of this type of resource.
    #[param(value_type = String, required = false, example = "role")]
    resource: Option<ResourceType>,
}

async fn list(call: Call, paged: Paged<PermissionFilter>) -> Result<Found<List<KnownPermission>>, Failure> {
    let wanted = &paged.filter.resource;
    let resources = call.api.state.registry.resources();
    let wanted = resources.filter(|resource| wanted.as_ref().is_none_or(|wanted| resource.id == *wanted));
    let mut found: Vec<KnownPermission> = wanted
        .flat_map(|resource| {
            resource.actions.iter().filter_map(|action| KnownPermission::new(resource, action))
        })
        .collect();
    found.sort_by(|a, b| a.permission.cmp(&b.permission));
    let page = Page::cut(found.iter(), &paged.page, |one| one.permission.to_string());
    Ok(paged.answer(&call, page))
}

/// A type of resource, and what may be done to it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResourcePermissions {
    /// What permissions call it.
    #[schema(value_type = String)]
    resource: ResourceType,
    /// What people read.
    #[schema(value_type = String)]
    name: DisplayName,
    /// What it is.
    #[schema(value_type = Option<String>)]
    description: Option<Note>,
    /// What may be done to it.
    permissions: Vec<KnownPermission>,
}

impl PathParameter for ResourceType {
    const DESCRIPTION: &'static str = "The type of resource.";

    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

async fn get(
    call: Call,
    (Path(id), Nothing): (Path<ResourceType>, Nothing),
) -> Result<Found<ResourcePermissions>, Failure> {
    let resource = call.api.state.registry.resource(id.as_str());
    let resource = resource.ok_or_else(|| Failure::not_found(format!("there is no resource type `{id}`")))?;
    let actions = resource.actions.iter();
    Ok(Found(ResourcePermissions {
        resource: resource.id.clone(),
        name: resource.name.clone(),
        description: resource.description.clone(),
        permissions: actions.filter_map(|action| KnownPermission::new(resource, action)).collect(),
    }))
}

/// Permissions as somebody has written them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct Texts {
    /// 1 to 1,000 of them.
    #[schema(example = json!(["document:raed", "role:*"]))]
    permissions: Vec<String>,
}

/// What was found of permissions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ValidatedPermissions)]
pub(crate) struct Validated {
    /// In the order of the texts.
    items: Vec<ValidatedPermission>,
}

/// What was found of a permission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidatedPermission {
    /// The text, as it was sent; of a very long one the beginning.
    given: String,
    /// Whether it is a permission at all.
    valid: bool,
    /// Whether it covers something that is known.
    known: bool,
    /// Its one form, in which roles are answered.
    #[schema(value_type = Option<String>)]
    permission: Option<Permission>,
    /// How far it reaches: `own`, `team`, `department`, `tenant` or `platform`.
    #[schema(value_type = Option<String>)]
    scope: Option<PermissionScope>,
    /// Whether it can be checked: it has neither a wildcard nor a scope.
    exact: bool,
    /// Some of the known permissions that it covers, at most 100.
    #[schema(value_type = Vec<String>)]
    covers: Vec<Permission>,
    /// How many it covers.
    covered: usize,
    /// What is wrong with it, or that it is not known.
    problem: Option<String>,
    /// What may have been meant.
    did_you_mean: Option<String>,
}

async fn validate(call: Call, Body(texts): Body<Texts>) -> Result<Found<Validated>, Failure> {
    if !(1..=MOST).contains(&texts.permissions.len()) {
        return Err(Failure::invalid(format!("field `permissions`: name 1 to {MOST} of them")));
    }
    let registry = &call.api.state.registry;
    let items = texts.permissions.iter().map(|text| validated(registry, text)).collect();
    Ok(Found(Validated { items }))
}

fn validated(registry: &Registry, text: &str) -> ValidatedPermission {
    let given: String = text.chars().take(200).collect();
    match Permission::new(text) {
        Ok(permission) => {
            let scope = permission.scope();
            // What is known is written without a scope; what is looked for is whether the name is covered.
            let anywhere = Permission::new(&format!("{}:{}", permission.resource(), permission.action()));
            let covered: Vec<Permission> = registry
                .permissions()
                .filter(|known| anywhere.as_ref().is_ok_and(|wide| wide.covers(known)))
                .collect();
            let unknown = registry.check(&permission).err();
            ValidatedPermission {
                given,
                valid: true,
                known: unknown.is_none(),
                scope: Some(scope),
                exact: permission.is_exact(),
                covered: covered.len(),
                covers: covered.into_iter().take(COVERED).collect(),
                problem: unknown.as_ref().map(ToString::to_string),
                did_you_mean: unknown.as_ref().and_then(meant),
                permission: Some(permission),
            }
        }
        Err(invalid) => ValidatedPermission {
            given,
            valid: false,
            known: false,
            permission: None,
            scope: None,
            exact: false,
            covers: Vec::new(),
            covered: 0,
            problem: Some(invalid.to_string()),
            did_you_mean: None,
        },
    }
}

/// The permission with the name that is nearest to the unknown part.
fn meant(unknown: &UnknownPermission) -> Option<String> {
    let (given, nearest) = (&unknown.permission, unknown.nearest.as_deref()?);
    let (resource, action) = match unknown.part {
        UnknownPart::Resource => (nearest, given.action()),
        UnknownPart::Action => (given.resource(), nearest),
    };
    let meant = Permission::new(&format!("{resource}:{action}:{}", given.scope())).ok()?;
    Some(meant.to_string())
}
