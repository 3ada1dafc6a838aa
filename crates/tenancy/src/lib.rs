//! Who the customers of a platform are, and whether each of them is served.
//!
//! A [`Tenant`] has an id that never changes, a slug that people type, a name that people read, a tier and a [`TenantStatus`]. The
//! [`Engine`] creates and changes tenants, and answers from memory whether one is served: that question comes with every request.
//! A suspended tenant is refused from the next request on by the engine that suspended it, and by the others as soon as they have
//! [followed](stanchion_replica::Follower) the change. A tenant that does not exist is not served either.
//!
//! Records live behind [`TenantStore`]; [`MemoryTenantStore`] comes with the crate.
//!
//! ```
//! use std::sync::Arc;
//!
//! use stanchion_core::{Author, SystemClock, SystemRandom};
//! use stanchion_tenancy::{Config, Engine, MemoryTenantStore, NewTenant, TenantStatus};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = Arc::new(MemoryTenantStore::new(None));
//! let ids = Arc::new(SystemRandom::default());
//! let tenants = Engine::new(store, Arc::new(SystemClock), ids, Config::default());
//!
//! let operator = Author::system("example");
//! let new = NewTenant { slug: "acme".parse()?, name: "Acme & Co.".parse()?, tier: "basic".parse()? };
//! let acme = tenants.create(&operator, new).await?.value;
//! assert_eq!(tenants.status(acme.id).await?, Some(TenantStatus::Active));
//!
//! tenants.suspend(&operator, acme.id, "the invoice of March is open").await?;
//! let status = tenants.try_status(acme.id).flatten();
//! assert!(!status.is_some_and(TenantStatus::is_served));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod engine;
mod error;
mod memory;
mod status;
mod store;
mod tenant;

pub use config::Config;
pub use engine::Engine;
pub use error::Error;
pub use memory::MemoryTenantStore;
pub use status::{IllegalTransition, TenantStatus, Transition};
pub use store::{TenantChange, TenantStore};
pub use tenant::{NewTenant, Tenant, TenantUpdate};
