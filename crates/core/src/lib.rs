//! The words every Stanchion crate speaks.
//!
//! Ids, time, scopes, principals, revisions, events, storage errors and problem codes live here, and nothing else: no runtime, no
//! driver, no rule of any domain. A type is here because two domains need it to mean the same.
//!
//! Time and randomness are arguments throughout Stanchion. An engine is given a [`Clock`] and an [`IdGen`], so a test drives it with
//! a [`ManualClock`] and replays a failure from its [seed](SeededRandom):
//!
//! ```
//! use stanchion_core::{Clock, ManualClock, Timestamp};
//!
//! let clock = ManualClock::at(Timestamp::parse_rfc3339("2026-03-01T00:00:00Z").unwrap());
//! clock.advance(std::time::Duration::from_micros(1));
//! assert_eq!(clock.now().to_string(), "2026-03-01T00:00:00.000001Z");
//! ```

mod author;
mod authorization;
mod change;
mod detail;
mod display_name;
mod error;
mod event;
mod field_change;
mod id;
mod page;
mod principal;
mod problem;
mod producer;
mod random;
mod revision;
#[macro_use]
mod schema;
mod scope;
mod secret;
mod text;
mod time;
mod versioned;

pub use author::Author;
pub use authorization::Authorization;
pub use change::{Change, FeedCursor, FeedEntry, FeedPage};
pub use detail::{Detail, Details};
pub use display_name::DisplayName;
pub use error::{StoreError, StoreErrorKind};
pub use event::{Actor, Category, Correlation, Event, EventSink, Outcome, Severity, Source};
pub use field_change::{FieldChange, Recorded};
pub use id::{EventId, InvalidId, KeyId, RequestId, SessionId, Slug, TenantId};
pub use page::{Page, PageRequest};
pub use principal::{Authentication, AuthenticationMethod, Principal, ResourceRef, SubjectKind, SubjectRef};
pub use problem::{Problem, ProblemCode};
pub use producer::ProducerNumber;
pub use random::{IdGen, Random, SeededRandom, SystemRandom};
pub use revision::Revision;
pub use scope::{Scope, SystemScope};
pub use secret::{KeyRing, KeyVersion, Secret};
pub use text::Text;
pub use time::{BoxFuture, Clock, InvalidTimestamp, ManualClock, SystemClock, Timer, Timestamp};
pub use versioned::Versioned;

#[cfg(feature = "schema")]
#[doc(hidden)]
pub use schemars;
