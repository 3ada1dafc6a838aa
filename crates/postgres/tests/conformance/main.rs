//! Every adapter passes the suite of its port, on a database of its own for each case.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod audit;
mod billing_metering;
mod identity;
mod outbox;
mod ratelimit;
mod rbac;
mod tenancy;
