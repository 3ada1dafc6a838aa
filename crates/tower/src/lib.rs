//! The HTTP edge of Stanchion, for any `tower` service: a gateway, an axum application, a client in a test.
//!
//! Everything that more than one front end has to get right in the same way stands here once:
//!
//! * [`problem_response`] writes every refusal as a problem document (RFC 9457);
//! * [`ClientAddress`] finds out who is calling behind proxies that you trust, and behind nobody else;
//! * [`check_request_head`], [`clean_request_head`] and [`clean_response_head`] take away what must not cross a proxy (RFC 9110 §7.6.1);
//! * [`RateLimitFields`] writes `RateLimit`, `RateLimit-Policy`, `X-RateLimit-*` and `Retry-After`, in the [`Dialects`] you choose;
//! * [`GovernLayer`] asks a [`Gate`] before each request and tells its [`Permit`] how the exchange ended, exactly once, also when the
//!   client went away.
//!
//! ```
//! use stanchion_core::{Problem, ProblemCode};
//!
//! let problem = Problem::new(ProblemCode::Forbidden, "the role `viewer` does not permit `report:delete`");
//! let response = stanchion_tower::problem_response(&problem, None);
//! assert_eq!(response.status(), 403);
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! ```

mod body;
mod client;
mod gate;
mod hygiene;
mod layer;
mod problem;
mod rate_limit;

pub use body::GovernedBody;
pub use client::{ClientAddress, PeerAddress};
pub use gate::{Completion, Ending, Gate, Permit, Refusal};
pub use hygiene::{
    REQUEST_ID, SUBJECT_ID, TENANT_ID, UntrustworthyHead, check_request_head, clean_request_head,
    clean_response_head, set_forwarded,
};
pub use layer::{CountedBody, Govern, GovernLayer};
pub use problem::{problem_body, problem_response};
pub use rate_limit::{Dialect, Dialects, InvalidDialects, QuotaUnit, RateLimitFields, RateLimitPolicy};
