//! Every adapter passes the suite of its port, on a database of its own for each case.

mod audit;
mod billing_metering;
mod identity;
mod outbox;
mod ratelimit;
mod rbac;
mod tenancy;
