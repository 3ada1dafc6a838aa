use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    AuthenticationMethod, Authorization, Detail, Details, EventId, FieldChange, KeyId, Principal,
    ProducerNumber, RequestId, ResourceRef, Scope, SubjectRef, Text, Timestamp,
};

/// Something that happened and that somebody may have to answer for: the one event type of all domains.
///
/// Record ports commit events together with the change that caused them; counter ports report them to an [`EventSink`]. The audit
/// ledger, alerts and invalidation all read this type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Made here; for a request's records it is the same on every attempt to write it.
    pub id: EventId,
    /// When it happened, by the clock of the process that saw it.
    pub occurred_at: Timestamp,
    /// Whose record it belongs to.
    pub scope: Scope,
    /// Who did it.
    pub actor: Actor,
    /// Whom the actor acted as: with whose rights, or on whose behalf. The proof in `actor` is the actor's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted_as: Option<SubjectRef>,
    /// Every permission that was looked for before it was done, or not done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization: Vec<Authorization>,
    /// What was done, dotted, object first: `role.put`, `request.decided`.
    pub action: Text,
    /// The family of the action; it decides how long the record is kept.
    pub category: Category,
    /// What it was done to.
    pub targets: Vec<ResourceRef>,
    /// What it changed, field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// How it ended.
    pub outcome: Outcome,
    /// Which of its maker's events it is; `None` for an event that may be made again, or whose maker does not number them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<ProducerNumber>,
    /// A stable code for why it ended so, such as `rate_limited`.
    pub reason: Option<Text>,
    /// Whether the actor reported it: then everything but the scope and the actor is the actor's word. What is not reported Stanchion
    /// saw or did itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reported: bool,
    /// How much it matters.
    pub severity: Severity,
    /// What it belongs together with.
    pub correlation: Correlation,
    /// Where it came from.
    pub source: Source,
    /// Whatever else the action's readers need, by name.
    pub details: Details,
}

impl Event {
    /// Starts an event that succeeded, of severity `info`, without targets or details.
    #[must_use]
    pub fn new(
        id: EventId,
        occurred_at: Timestamp,
        scope: Scope,
        actor: Actor,
        action: impl Into<Text>,
        category: Category,
    ) -> Self {
        Self {
            id,
            occurred_at,
            scope,
            actor,
            acted_as: None,
            authorization: Vec::new(),
            action: action.into(),
            category,
            targets: Vec::new(),
            changes: Vec::new(),
            outcome: Outcome::Success,
            producer: None,
            reason: None,
            reported: false,
            severity: Severity::Info,
            correlation: Correlation::default(),
            source: Source::default(),
            details: Details::default(),
        }
    }

    /// Adds a target.
    #[must_use]
    pub fn with_target(mut self, target: ResourceRef) -> Self {
        self.targets.push(target);
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn with_detail(mut self, name: impl Into<Text>, value: impl Into<Detail>) -> Self {
        self.details.push(name, value);
        self
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// An authenticated subject.
    Subject {
        /// Who.
        subject: SubjectRef,
        /// How it proved it.
        method: AuthenticationMethod,
        /// With which key, when it was one.
        key: Option<KeyId>,
    },
    /// A part of Stanchion itself, by name: `sweeper`, `cli`.
    System(Text),
    /// Nobody that could be known.
    Anonymous,
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        Self::Subject {
            subject: principal.subject.clone(),
            method: principal.authentication.method,
            key: principal.authentication.key,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject { subject, .. } => subject.fmt(f),
            Self::System(name) => write!(f, "system:{name}"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

macro_rules! name_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name that records, columns and labels use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Finds the value of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

name_enum!(
    /// The family of an action.
    Category {
        /// A request to a protected service and its decision.
        Access = "access",
        /// Proving or failing to prove who one is.
        Authentication = "authentication",
        /// A change of tenants, keys, roles, rules or configuration.
        Administration = "administration",
        /// An attack, a defence, or a change of a protection.
        Security = "security",
        /// Reading or changing protected data.
        DataAccess = "data_access",
        /// Usage, prices, invoices.
        Billing = "billing",
        /// The program's own life: start, stop, rotation.
        System = "system",
    }
);

name_enum!(
    /// How something ended.
    Outcome {
        /// It was done.
        Success = "success",
        /// It was refused by a rule.
        Denied = "denied",
        /// It was tried and did not work, through the caller's doing.
        Failure = "failure",
        /// It was tried and did not work, through ours or a backend's.
        Error = "error",
        /// Nobody knows: the process ended before the end was recorded.
        Unknown = "unknown",
    }
);

name_enum!(
    /// How much something matters, one scale for the whole of Stanchion.
    Severity {
        /// Nothing to do.
        Info = "info",
        /// Worth a glance.
        Notice = "notice",
        /// Worth a look today.
        Warning = "warning",
        /// Worth a look now.
        High = "high",
        /// Somebody is woken up.
        Critical = "critical",
    }
);

/// What an event belongs together with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correlation {
    /// The request that caused it.
    pub request: Option<RequestId>,
    /// The trace of the caller, as it was given (W3C trace id, 32 hex digits).
    pub trace: Option<Text>,
    /// The session it happened in.
    pub session: Option<Text>,
    /// The event that caused it.
    pub parent: Option<EventId>,
}

/// Where something came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The client's address, as far as it could be established.
    pub ip: Option<IpAddr>,
    /// What the client called itself. Not trustworthy.
    pub user_agent: Option<Text>,
}

/// Receives events that are not part of a stored change. It never blocks; what it cannot take it counts as lost.
pub trait EventSink: fmt::Debug + Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_grows() {
        assert!(Severity::Info < Severity::Notice && Severity::High < Severity::Critical);
        assert_eq!(Severity::from_name("high"), Some(Severity::High));
    }
}
