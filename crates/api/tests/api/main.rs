//! The router over memory engines and a clock that stands still until it is moved.

mod access;
mod audit;
mod documents;
mod idempotency;
mod isolation;
mod keys;
mod limits;
mod paging;
mod roles;
mod system;
mod tenants;
mod usage;
mod world;
