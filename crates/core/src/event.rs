use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    AuthenticationMethod, Authorization, EventId, FieldChange, KeyId, Principal, RequestId, ResourceRef,
    Scope, SubjectRef, Text, Timestamp,
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
    /// A stable code for why it ended so, such as `rate_limited`.
    pub reason: Option<Text>,
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
            reason: None,
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

/// A value inside an event's details. There are no floats: their text is not the same everywhere, and signed bytes must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number. Beyond ±(2^53 − 1) it is written as text, since JSON readers round it.
    Integer(i64),
    /// Text.
    Text(Text),
    /// A list.
    List(Vec<Detail>),
    /// Named values.
    Map(Details),
}

impl From<bool> for Detail {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Detail {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Detail {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u16> for Detail {
    fn from(value: u16) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u64> for Detail {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or_else(|_| Self::Text(value.to_string().into()), Self::Integer)
    }
}

impl From<&'static str> for Detail {
    fn from(value: &'static str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Detail {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<Text> for Detail {
    fn from(value: Text) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<Detail>> for Detail {
    fn from(value: Vec<Detail>) -> Self {
        Self::List(value)
    }
}

impl From<Details> for Detail {
    fn from(value: Details) -> Self {
        Self::Map(value)
    }
}

/// Named values, each name once, in the order they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details(Vec<(Text, Detail)>);

impl Details {
    /// Sets a value, replacing an earlier one of the same name.
    pub fn push(&mut self, name: impl Into<Text>, value: impl Into<Detail>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Finds a value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Detail> {
        self.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    }

    /// Goes through the values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Detail)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Tells whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }
}

impl<N: Into<Text>, V: Into<Detail>> FromIterator<(N, V)> for Details {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(values: I) -> Self {
        let mut details = Self::default();
        for (name, value) in values {
            details.push(name, value);
        }
        details
    }
}

impl Serialize for Details {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Details;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with each name once")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Details, M::Error> {
                let mut details = Details::default();
                while let Some((name, value)) = map.next_entry::<Text, Detail>()? {
                    if details.get(name.as_str()).is_some() {
                        return Err(serde::de::Error::custom(format_args!("the name `{name}` stands twice")));
                    }
                    details.0.push((name, value));
                }
                Ok(details)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_grows() {
        assert!(Severity::Info < Severity::Notice && Severity::High < Severity::Critical);
        assert_eq!(Severity::from_name("high"), Some(Severity::High));
    }

    #[test]
    fn details_refuse_a_name_twice_and_a_fraction() {
        assert!(
            serde_json::from_str::<Details>(r#"{"a":1,"a":2}"#)
                .unwrap_err()
                .to_string()
                .contains("`a` stands twice")
        );
        assert!(serde_json::from_str::<Details>(r#"{"a":1.5}"#).is_err());
        let nested: Details = serde_json::from_str(r#"{"a":{"b":[true,null,"x"]}}"#).unwrap();
        assert_eq!(serde_json::to_string(&nested).unwrap(), r#"{"a":{"b":[true,null,"x"]}}"#);
    }

    #[test]
    fn a_number_no_json_reader_could_keep_becomes_text() {
        assert_eq!(Detail::from(u64::MAX), Detail::Text("18446744073709551615".into()));
    }
}
