use http::Method;
use serde::Serialize;
use stanchion_billing_metering::MeterId;
use stanchion_core::Slug;
use stanchion_pipeline::{
    Access, Ack, AuditMode, Count, HostPattern, MethodName, PathMatch, RouteConfig, RouteId, UpstreamId,
};
use stanchion_rbac::Permission;
use utoipa::ToSchema;

use crate::answer::Found;
use crate::call::{Call, Nothing};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Lists the routes in force, in the order they are configured.";
    vec![
        Operation::new(Method::GET, "/v1/routes", "list_routes", "route:read", On::Platform, summary, list)
            .note("Routes are part of the configuration; they are changed there."),
    ]
}

/// The routes in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Routes {
    /// The routes.
    items: Vec<Route>,
}

/// What a route takes and what governs it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Route {
    /// Its name.
    #[schema(value_type = String)]
    id: RouteId,
    /// Classes it belongs to.
    #[schema(value_type = Vec<String>)]
    labels: Vec<Slug>,
    /// The hosts it takes; empty for every host.
    #[schema(value_type = Vec<String>)]
    hosts: Vec<HostPattern>,
    /// The path it takes.
    path: String,
    /// `prefix`: and everything below it; `exact`: it alone.
    #[schema(value_type = String)]
    r#match: PathMatch,
    /// The methods it takes; empty for all.
    #[schema(value_type = Vec<String>)]
    methods: Vec<MethodName>,
    /// Where its requests go.
    #[schema(value_type = String)]
    upstream: UpstreamId,
    /// `authenticated` or `public`.
    #[schema(value_type = String)]
    access: Access,
    /// The permission that a principal needs.
    #[schema(value_type = Option<String>)]
    permission: Option<Permission>,
    /// What the permission is looked for on, by the parameters of the path.
    resource: Option<String>,
    /// What is counted for billing.
    meters: Vec<RouteMeter>,
    /// Which decisions are recorded: `all`, `denied` or `sampled`.
    #[schema(value_type = String)]
    audit: AuditMode,
    /// What must have happened before the client is answered: `accepted` or `durable`.
    #[schema(value_type = String)]
    ack: Ack,
    /// The largest request body taken, in bytes.
    max_body_bytes: Integer,
    /// How long the upstream may take to begin its answer, in milliseconds.
    timeout_ms: Integer,
}

/// What a route counts for billing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RouteMeter {
    /// The meter.
    #[schema(value_type = String)]
    meter: MeterId,
    /// What a request adds to it: `requests`, `request_bytes` or `response_bytes`.
    #[schema(value_type = String)]
    count: Count,
}

impl From<&RouteConfig> for Route {
    fn from(route: &RouteConfig) -> Self {
        let route = route.clone();
        let meter = |metered: stanchion_pipeline::MeterConfig| RouteMeter {
            meter: metered.meter,
            count: metered.count,
        };
        Self {
            id: route.id,
            labels: route.labels,
            hosts: route.hosts,
            path: route.path,
            r#match: route.r#match,
            methods: route.methods,
            upstream: route.upstream,
            access: route.access,
            permission: route.permission,
            resource: route.resource.map(|resource| resource.to_string()),
            meters: route.meters.into_iter().map(meter).collect(),
            audit: route.audit,
            ack: route.ack,
            max_body_bytes: Integer(route.max_body_bytes),
            timeout_ms: Integer(route.timeout_ms),
        }
    }
}

async fn list(call: Call, Nothing: Nothing) -> Result<Found<Routes>, Failure> {
    let table = call.api.state.pipeline.routes();
    let items = table.routes().iter().map(|route| route.config().into()).collect();
    Ok(Found(Routes { items }))
}
