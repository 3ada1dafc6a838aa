//! Where the domains meet: one decision for a request, without sockets.
//!
//! A request is decided in a fixed order, each stage by the crate that owns it:
//!
//! 1. the path is normalised once and the [route](RouteTable) found;
//! 2. limits before authentication (`ratelimit`: address and global rules, a slot of their own);
//! 3. the API key (`identity`) gives the principal and its tenant; a header may confirm the tenant, never choose it;
//! 4. the tenant must be active (`tenancy`);
//! 5. tenant, user and key limits in one all-or-nothing call (`ratelimit`);
//! 6. the route's permission (`rbac`);
//! 7. room for the records is taken (`audit`, `billing-metering`) before anything is forwarded.
//!
//! [`Pipeline::decide`] returns an [`Exchange`], which owes the records and pays them exactly once, or a
//! [`Refusal`](stanchion_tower::Refusal). The pipeline is also a [`Gate`](stanchion_tower::Gate), so `stanchion-gateway` and any tower
//! service use it in the same way.
//!
//! Domains never depend on each other; what they need of one another is wired here and nowhere else.

mod credential;
mod exchange;
mod gate;
mod limit_events;
mod limit_fields;
mod path;
mod pipeline;
mod request;
mod resource;
mod route;
mod stages;
mod stats;
mod summary;
mod table;

pub use credential::presented as presented_credential;
pub use exchange::Exchange;
pub use limit_events::LimitEvents;
pub use limit_fields::LimitFields;
pub use path::NormalPath;
pub use pipeline::{Engines, Pipeline};
pub use request::RequestHead;
pub use resource::ResourceTemplate;
pub use route::{
    Access, Ack, AuditMode, Count, HostPattern, MeterConfig, MethodName, PathMatch, Route, RouteConfig,
    RouteId, UpstreamId,
};
pub use stats::{PipelineStats, RouteStats};
pub use table::{Matched, RouteTable};
