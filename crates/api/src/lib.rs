//! The front ends of the program beside the data plane: the admin API over HTTP, and the services that proxies ask over gRPC.
//!
//! # The admin API
//!
//! Administration over HTTP, authenticated, authorized and audited.
//!
//! [`router`] makes an `axum` router over the engines of a [`Pipeline`](stanchion_pipeline::Pipeline); the owner of a listener serves
//! it. Everything that has to hold for all operations is written once, around them:
//!
//! * a caller proves who it is with an API key (`Authorization: Bearer` or `X-API-Key`) and needs a permission in the scope of that key.
//!   A tenant's principal works on its own tenant; a principal of the platform names the tenant with `?tenant=`, or `platform`. Denials
//!   are recorded in the caller's ledger, and every change is committed with its event;
//! * every failure is a problem document (RFC 9457), and no internal text is in it;
//! * lists come in pages with tokens that are good for that list only; resources have entity tags, and replacing one takes `If-Match`;
//! * a creation with an `Idempotency-Key` is done once, and its repetition is answered as the first time, for 24 hours and in this
//!   process. An answer that showed a secret is not kept: its repetition is told that it was done;
//! * `/openapi.json` describes all of it, made from the same table as the routes.
//!
//! Unauthenticated, for whoever reaches the listener: `/healthz`, `/readyz`, `/metrics`, `/openapi.json` and `/docs`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use stanchion_api::{ApiState, ExportJobs, Followers, Readiness, Refresh, router};
//! use stanchion_audit::{Keeper, Protection, Prover};
//! use stanchion_core::{KeyRing, SystemClock, SystemRandom};
//! use stanchion_pipeline::Pipeline;
//! use stanchion_rbac::Registry;
//! use stanchion_tower::ClientAddress;
//!
//! /// What a listener serves; `readiness` is told when it does.
//! fn admin(
//!     pipeline: Pipeline,
//!     prover: Prover,
//!     protection: Protection,
//!     keeper: Keeper,
//!     page_keys: KeyRing,
//!     readiness: Readiness,
//! ) -> axum::Router {
//!     router(ApiState {
//!         pipeline,
//!         prover,
//!         protection,
//!         keeper,
//!         actions: Arc::default(),
//!         registry: Arc::new(Registry::stanchion()),
//!         exports: ExportJobs::default(),
//!         followers: Followers::default(),
//!         clock: Arc::new(SystemClock),
//!         ids: Arc::new(SystemRandom::default()),
//!         page_keys,
//!         readiness,
//!         envoy: None,
//!         listeners: Vec::new(),
//!         client: ClientAddress::default(),
//!         refresh: Refresh::default(),
//!     })
//! }
//! ```
//!
//! # gRPC
//!
//! [`Grpc`] answers rate-limit requests of Envoy (`envoy.service.ratelimit.v3`) by the limits of the same engines, see
//! [`EnvoyRateLimits`] and [`EnvoyConfig`], and health checks. It authenticates nobody: its listener is for proxies only.

mod access;
mod answer;
mod assignments;
mod audit;
mod authorize;
mod bulk;
mod call;
mod cloud_event;
mod denials;
mod document;
mod envoy;
mod exports;
mod failure;
mod followers;
mod grants;
mod groups;
mod grpc;
mod idempotency;
mod keys;
mod limits;
mod metrics;
mod mistake;
mod of_subject;
mod openapi;
mod operation;
mod operations;
mod page_token;
mod permissions;
mod readiness;
mod roles;
mod router;
mod routes;
mod separations;
mod sessions;
mod state;
mod system;
mod tenants;
mod usage;
mod wire;

pub use envoy::{DomainConfig, EntryUse, EnvoyConfig, EnvoyRateLimits, TenantName};
pub use exports::{ExportJobs, ExportsConfig};
pub use followers::{Followers, FollowersConfig, Following, NoPlace};
pub use grpc::Grpc;
pub use readiness::{Part, Phase, Readiness};
pub use router::router;
pub use state::{ApiState, ListenerCounts, ListenerSource, Refresh};
