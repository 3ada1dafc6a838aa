//! Who may do what: roles, what they include, who holds them, and what is denied all the same.
//!
//! A [`Role`] names [permissions](Permission) (`document:read`, `invoices.*:*`) and may include other roles: the senior role includes
//! the junior one. An [`Assignment`] gives a role to a subject within a scope, from one instant to another; a [`Denial`] takes a
//! permission from a subject whatever roles it holds. The [`Engine`] answers [checks](CheckRequest) from memory, with the reason, the
//! role that decided and the instant until which the answer holds, and [explains](Engine::explain) them with the way through the roles.
//!
//! Besides roles there are [grants](Grant) of single permissions, also for an emergency; [groups](Membership); [sessions](Session) in
//! which only some roles are active; and [separations](Separation) of duties that nobody has together. A role may leave out what it
//! inherits, bound how far it reaches, and ask for [constraints](Constraint): the owner only, office hours, a region. How far a
//! permission has to reach follows from the [`Resource`] in question and what is [known](SubjectDirectory) of the subject.
//!
//! Everything belongs to one scope: a tenant or the platform. Roles of the platform may be assigned and included in every tenant,
//! never the reverse, and a role held in one scope counts in no other. What is not granted is denied.
//!
//! Records live behind [`RbacStore`]; [`MemoryRbacStore`] comes with the crate. Roles are compiled when they are read, so a check
//! costs the same however deep they are nested, and assignments are read subject by subject, so a million of them need not be loaded.
//!
//! ```
//! use std::sync::Arc;
//!
//! use stanchion_core::{Author, Scope, SubjectRef, SystemClock, SystemRandom, TenantId};
//! use stanchion_rbac::{Assignment, CheckRequest, Config, Denial, Engine, MemoryRbacStore, Permission, Reason, Role};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = Arc::new(MemoryRbacStore::new(None));
//! let ids = Arc::new(SystemRandom::default());
//! let rbac = Engine::new(store, Arc::new(SystemClock), ids, Config::default());
//!
//! let tenant: TenantId = "0192f0c1-2345-7abc-8def-0123456789ab".parse()?;
//! let (author, scope) = (Author::system("example"), Scope::Tenant(tenant));
//! let viewer = Role::new("viewer".parse()?, "Viewer".parse()?).with_permissions(["document:read".parse()?]);
//! rbac.put_role(&author, scope, viewer, None).await?;
//! let editor = Role::new("editor".parse()?, "Editor".parse()?)
//!     .with_permissions(["document:write".parse()?])
//!     .with_includes(["viewer".parse()?]);
//! rbac.put_role(&author, scope, editor, None).await?;
//!
//! let alice = SubjectRef::user("alice")?;
//! rbac.assign(&author, scope, Assignment::new(alice.clone(), "editor".parse()?)).await?;
//!
//! let read: Permission = "document:read".parse()?;
//! let request = CheckRequest::new(scope, &alice, &read);
//! let decision = rbac.check(&request).await?;
//! assert!(decision.allowed);
//! assert_eq!(decision.role, Some("editor".parse()?));
//! assert!(rbac.try_check(&request).is_some(), "from now on at once, from memory");
//!
//! rbac.deny(&author, scope, Denial::new(alice.clone(), "document:*".parse()?)).await?;
//! assert_eq!(rbac.check(&request).await?.reason, Reason::DeniedExplicitly);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod admin;
mod ask;
mod assignment;
mod bulk;
mod check;
mod compiled;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod constraint;
mod course;
mod decision;
mod directory;
mod engine;
mod error;
mod explain;
mod facts;
mod follow;
mod grant;
mod granting;
mod graph;
mod holdings;
mod membership;
mod memory;
mod nearest;
mod note;
mod permission;
mod plan;
mod preset;
mod preview;
mod query;
mod record;
mod registry;
mod resource;
mod review;
mod role;
mod role_set;
mod rules;
mod selector;
mod separation;
mod session;
mod statistics;
mod status;
mod store;
mod subject_key;
mod survey;
mod sweep;
mod tenants;
mod view;
mod walk;
mod who_can;
mod write;

pub use admin::{AppliedPreset, ApplyOptions, OverDenial, OverRole, Warning, WrittenRole};
pub use assignment::{Assignment, Denial};
pub use bulk::{
    BadRow, BadRows, BulkFormat, Export, Fault, ImportOptions, ImportProgress, ImportReport, Row, Rows,
};
pub use config::{Config, DecisionRecords, Emergency, Guards, Limits, Sessions, Sweep};
pub use constraint::{Constraint, Equality, Operand, ResourcePattern, Rule};
pub use decision::{CheckRequest, Decision, Explanation, Missing, Reason};
pub use directory::{MemorySubjectDirectory, ResourceAttributes, SubjectDirectory, SubjectProfile};
pub use engine::Engine;
pub use error::Error;
pub use grant::{Approval, Grant};
pub use membership::Membership;
pub use memory::MemoryRbacStore;
pub use note::Note;
pub use permission::{Permission, PermissionScope};
pub use plan::{Columns, Expression, Field, Filter, Plan, Sql, UnmappedColumn};
pub use preset::{Preset, UnknownPreset};
pub use preview::{Access, Preview};
pub use query::{EffectivePermission, EffectivePermissions};
pub use record::{IsRecord, Record, RecordKey, RecordKind};
pub use registry::{InvalidRegistry, KnownAction, KnownResource, Registry, UnknownPart, UnknownPermission};
pub use resource::{AttributeName, Resource, ResourceType, Value};
pub use review::Holders;
pub use role::{Role, RoleId};
pub use selector::ResourceSelector;
pub use separation::{Duty, Separation, SeparationId};
pub use session::Session;
pub use statistics::{Attempt, AttemptFilter, Statistics};
pub use status::RuleNames;
pub use store::{RbacChange, RbacStore, RbacStoreExt, RecordFilter, Snapshot, SubjectRecords};
pub use who_can::WhoCan;
