use http::Method;
use serde_json::json;

use super::{Guard, Plan, Request, Segment, one_tenant, platform};
use crate::admin::view::{self, View};
use crate::admin::who::Tenant;

fn tenant_path(step: Option<&'static str>) -> Vec<Segment> {
    [Segment::Fixed("tenants"), Segment::Tenant].into_iter().chain(step.map(Segment::Fixed)).collect()
}

impl From<Tenant> for Plan {
    fn from(command: Tenant) -> Self {
        match command {
            Tenant::List { listed, session } => Request::all(Method::GET, "tenants").listed(
                platform(session),
                listed.limit,
                View::Table(view::TENANTS),
            ),
            Tenant::Show { tenant, session } => {
                Request::new(Method::GET, tenant_path(None)).shown(one_tenant(session, tenant), View::Fields)
            }
            Tenant::Create { slug, name, tier, session } => Request::all(Method::POST, "tenants")
                .with(json!({ "slug": slug, "name": name, "tier": tier }))
                .shown(platform(session), View::Fields),
            Tenant::Update { tenant, name, tier, session } => Request::new(Method::PATCH, tenant_path(None))
                .with(json!({ "name": name, "tier": tier }))
                .guarded(Guard::Unchanged)
                .shown(one_tenant(session, tenant), View::Fields),
            Tenant::Suspend { tenant, reason, session } => {
                Request::new(Method::POST, tenant_path(Some("suspend")))
                    .with(json!({ "reason": reason }))
                    .shown(one_tenant(session, tenant), View::Fields)
            }
            Tenant::Resume { tenant, reason, session } => {
                Request::new(Method::POST, tenant_path(Some("resume")))
                    .with(json!({ "reason": reason }))
                    .shown(one_tenant(session, tenant), View::Fields)
            }
        }
    }
}
