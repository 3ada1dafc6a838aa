//! The rate-limit layer in front of services of several kinds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod axum_router;
mod bed;
mod callers;
mod ends;
mod failing;
mod grpc;
mod services;
mod turns;
