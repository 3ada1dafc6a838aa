//! The HTTP edge of Stanchion, for any `tower` service: a gateway, an axum application, a client in a test.
//!
//! Everything that more than one front end has to get right in the same way stands here once:
//!
//! * [`problem_response`] writes every refusal as a problem document (RFC 9457);
//! * [`ClientAddress`] finds out who is calling behind proxies that you trust, and behind nobody else;
//! * [`check_request_head`], [`clean_request_head`] and [`clean_response_head`] take away what must not cross a proxy (RFC 9110 §7.6.1);
//! * [`RateLimitFields`] writes `RateLimit`, `RateLimit-Policy`, `X-RateLimit-*` and `Retry-After`, in the [`Dialects`] you choose;
//! * [`grpc_response`] answers a gRPC call as its clients expect it;
//! * [`GovernLayer`] asks a [`Gate`] before each request and tells its [`Permit`] how the exchange ended, exactly once, also when the
//!   client went away;
//! * `RateLimitLayer`, with the feature `ratelimit`, asks rate limits and nothing else;
//! * `RequirePermission`, with the feature `rbac`, asks for one permission and nothing else; with `axum` besides, `Permitted` asks for
//!   one in front of a single handler.
//!
//! ```
//! use stanchion_core::{Problem, ProblemCode};
//!
//! let problem = Problem::new(ProblemCode::Forbidden, "the role `viewer` does not permit `report:delete`");
//! let response = stanchion_tower::problem_response(&problem, None);
//! assert_eq!(response.status(), 403);
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! ```
//!
//! # Rate limits in your own service
//!
//! `RateLimitLayer` goes in front of an axum router, a tonic server or any other service of HTTP requests. It asks a
//! `stanchion_ratelimit::Engine`, which may count in memory, in Redis or in Postgres; the layer does not know. What has to be said is
//! how a request is identified, as far as its connection and the principal in its extensions do not say it.
//!
//! ```
//! # #[cfg(feature = "ratelimit")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use axum::Router;
//! use axum::extract::MatchedPath;
//! use stanchion_calendar::Window;
//! use stanchion_core::{Author, Scope, SystemClock, SystemRandom};
//! use stanchion_ratelimit::{Config, Dimension, Engine, MemoryCounterStore, MemoryRuleStore, Rule, RuleId};
//! use stanchion_tower::{ClientAddress, RateLimitLayer};
//!
//! let clock = Arc::new(SystemClock);
//! let counters = Arc::new(MemoryCounterStore::new(100_000, clock.clone()));
//! let rules = Arc::new(MemoryRuleStore::new(None));
//! let engine = Engine::new(rules, counters, clock, Arc::new(SystemRandom::default()), Config::default());
//! let rule = Rule::new(RuleId::new("by-address")?, Dimension::Ip, 100, Window::MINUTE);
//! engine.put_rule(&Author::system("example"), Scope::Platform, rule, None).await?;
//!
//! let layer = RateLimitLayer::new(Arc::new(engine))
//!     .clients(ClientAddress::behind(vec!["10.0.0.0/8".parse()?]))
//!     .extension(|path: &MatchedPath, request| request.route = Some(path.as_str().to_owned().into()));
//! let application: Router = Router::new().layer(layer);
//! # let _ = application;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "ratelimit"))]
//! # fn main() {}
//! ```
//!
//! The address of a connection is the [`PeerAddress`] in a request's extensions, or what `RateLimitLayer::peer` finds there. No field
//! that a client can write is believed: `X-Forwarded-For` and `RateLimitLayer::proxy_header` count on connections from proxies that
//! [`ClientAddress`] trusts, and on no others. `examples/rate_limit.rs` is a whole application.

//!
//! # Permissions in your own service
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "rbac"))]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use axum::Router;
//! use axum::routing::{delete, get};
//! use stanchion_core::{SystemClock, SystemRandom};
//! use stanchion_rbac::{Config, Engine, MemoryRbacStore};
//! use stanchion_tower::{Permitted, RequirePermission, required_permission};
//!
//! required_permission!(DeleteReport = "report:delete");
//!
//! async fn delete_report(permitted: Permitted<DeleteReport>) -> String {
//!     format!("deleted by {}", permitted.principal.subject)
//! }
//!
//! let (store, ids) = (Arc::new(MemoryRbacStore::new(None)), Arc::new(SystemRandom::default()));
//! let engine = Arc::new(Engine::new(store, Arc::new(SystemClock), ids, Config::default()));
//! let application: Router = Router::new()
//!     .route("/reports", get(|| async { "all of them" }).layer(RequirePermission::new(engine.clone(), "report:read".parse()?)))
//!     .route("/reports/{id}", delete(delete_report))
//!     .with_state(engine);
//! # let _ = application;
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "axum", feature = "rbac")))]
//! # fn main() {}
//! ```

mod body;
mod client;
mod gate;
mod grpc;
mod hygiene;
mod layer;
#[cfg(feature = "ratelimit")]
mod limit;
#[cfg(feature = "rbac")]
mod permission;
mod problem;
mod rate_limit;

pub use body::GovernedBody;
pub use client::{ClientAddress, PeerAddress};
pub use gate::{Completion, Ending, Gate, Permit, Refusal};
pub use grpc::{grpc_response, is_grpc};
pub use hygiene::{
    CHALLENGE_PROOF, REQUEST_ID, SUBJECT_ID, TENANT_ID, UntrustworthyHead, check_request_head,
    clean_request_head, clean_response_head, set_forwarded,
};
pub use layer::{CountedBody, Govern, GovernLayer};
#[cfg(feature = "ratelimit")]
pub use limit::{
    CountedRequest, Ended, LimitedBody, Observe, RateLimit, RateLimitLayer, Stages, add_challenge,
    limit_problem,
};
#[cfg(feature = "rbac")]
pub use permission::{PermissionRequired, RequirePermission};
#[cfg(all(feature = "axum", feature = "rbac"))]
pub use permission::{Permitted, RequiredPermission};
pub use problem::{problem_body, problem_response};
pub use rate_limit::{Dialect, Dialects, InvalidDialects, QuotaUnit, RateLimitFields, RateLimitPolicy};
#[cfg(all(feature = "axum", feature = "rbac"))]
#[doc(hidden)]
pub use {stanchion_core::InvalidId, stanchion_rbac::Permission};
