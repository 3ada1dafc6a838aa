use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{Category, Text};

use crate::{EventType, RetentionClass};

mod known;
mod schema;

pub use schema::{ActionSchema, SchemaCheck, Violation};

/// A kind of event, named by its action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionType {
    /// The action, object first: `role.put`.
    pub action: Text,
    /// The family it belongs to, which decides how long its records are kept.
    pub category: Category,
    /// What people read.
    pub title: Text,
    /// What it counts as in reports, whoever records it: `login`, `permission_denied`.
    pub event_type: Option<Text>,
    /// Where its events come from.
    pub origin: Origin,
    /// What its events have to look like, by version. Empty: they may look as they like.
    pub schemas: BTreeMap<u32, ActionSchema>,
}

/// Where the events of an action come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// From Stanchion alone, of what it did or saw itself.
    Own,
    /// From any program that may report events.
    Reported,
}

impl ActionType {
    /// Names an action that any program may report.
    #[must_use]
    pub fn reported(action: impl Into<Text>, category: Category, title: impl Into<Text>) -> Self {
        let (action, title) = (action.into(), title.into());
        Self { action, category, title, event_type: None, origin: Origin::Reported, schemas: BTreeMap::new() }
    }

    /// Says what it counts as in reports.
    #[must_use]
    pub fn counting_as(self, event_type: impl Into<Text>) -> Self {
        Self { event_type: Some(event_type.into()), ..self }
    }

    /// Adds a version of what its events have to look like.
    #[must_use]
    pub fn with_schema(mut self, version: u32, schema: ActionSchema) -> Self {
        self.schemas.insert(version, schema);
        self
    }

    /// Returns the class its records are kept in.
    #[must_use]
    pub const fn class(&self) -> RetentionClass {
        RetentionClass::of(self.category)
    }
}

/// An action that cannot be made known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAction {
    /// Its name is none.
    #[error(
        "`{0}` is not an action: use 2 to 8 names of 1 to 64 of a-z, 0-9, `_`, `-` with dots between, object first, such as `invoice.approved`"
    )]
    Name(Text),
    /// It is known already.
    #[error("the action `{0}` is known already")]
    Known(Text),
}

/// The actions that are known: what Stanchion records itself, what programs commonly report, and what its user adds.
///
/// Unless its user says otherwise, an action need not be known to be reported. Of one that is known, the category is known as well.
///
/// ```
/// use stanchion_audit::{ActionType, Actions, RetentionClass};
/// use stanchion_core::Category;
///
/// let approved = ActionType::reported("invoice.approved", Category::Billing, "An invoice was approved");
/// let actions = Actions::default().with([approved]).unwrap();
/// assert_eq!(actions.get("invoice.approved").unwrap().class(), RetentionClass::Standard);
/// assert_eq!(actions.get("user.login").unwrap().class(), RetentionClass::Security);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions {
    known: BTreeMap<Text, ActionType>,
    unknown: UnknownActions,
}

/// What becomes of reported events whose action is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnknownActions {
    /// They are recorded, under the category that they name.
    #[default]
    Accept,
    /// They are refused.
    Refuse,
}

impl Default for Actions {
    fn default() -> Self {
        let known = known::all().map(|known| (known.action.clone(), known)).collect();
        Self { known, unknown: UnknownActions::default() }
    }
}

impl Actions {
    /// Adds actions.
    ///
    /// # Errors
    /// [`InvalidAction`] for the first that has no name of an action, or the name of one that is known.
    pub fn with(mut self, more: impl IntoIterator<Item = ActionType>) -> Result<Self, InvalidAction> {
        for one in more {
            if !is_action(one.action.as_str()) {
                return Err(InvalidAction::Name(one.action));
            }
            if let Some(known) = self.known.insert(one.action.clone(), one) {
                return Err(InvalidAction::Known(known.action));
            }
        }
        Ok(self)
    }

    /// Finds an action.
    #[must_use]
    pub fn get(&self, action: &str) -> Option<&ActionType> {
        self.known.get(action)
    }

    /// Finds the actions that count as a type of events; none counts as a type that nobody knows.
    #[must_use]
    pub fn event_type(&self, name: &str) -> Option<EventType> {
        let counts = |known: &&ActionType| known.event_type.as_ref().is_some_and(|of| of.as_str() == name);
        let actions: BTreeSet<Text> = self.iter().filter(counts).map(|known| known.action.clone()).collect();
        (!actions.is_empty()).then(|| EventType { name: name.to_owned().into(), actions })
    }

    /// Goes through the actions in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &ActionType> {
        self.known.values()
    }

    /// Says what becomes of reported events whose action is not known.
    #[must_use]
    pub fn with_unknown(self, unknown: UnknownActions) -> Self {
        Self { unknown, ..self }
    }

    /// Returns what becomes of reported events whose action is not known.
    #[must_use]
    pub const fn unknown(&self) -> UnknownActions {
        self.unknown
    }
}

/// Tells whether a text is the name of an action: 2 to 8 names of 1 to 64 of `a-z 0-9 _ -`, with dots between.
#[must_use]
pub fn is_action(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_letter = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        (1..=64).contains(&name.len()) && name.bytes().all(is_letter)
    };
    (2..=8).contains(&text.split('.').count()) && text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event types of the seed on enterprise patterns (section 3), and the class that its retention table gives each: security
    /// seven years, data access three, everything else one. Authentication and configuration are kept as long as security, and so
    /// is the evidence that data was made anonymous or its retention enforced.
    const SEED: [(&str, RetentionClass); 17] = {
        use RetentionClass::{DataAccess, Security};
        [
            ("login", Security),
            ("logout", Security),
            ("login_failed", Security),
            ("mfa_enabled", Security),
            ("data_read", DataAccess),
            ("data_created", DataAccess),
            ("data_updated", DataAccess),
            ("data_deleted", DataAccess),
            ("permission_denied", Security),
            ("security_violation", Security),
            ("suspicious_activity", Security),
            ("config_changed", Security),
            ("role_assigned", Security),
            ("permission_granted", Security),
            ("data_export", DataAccess),
            ("data_anonymization", Security),
            ("retention_policy_applied", Security),
        ]
    };

    #[test]
    fn every_type_of_the_seed_can_be_reported_and_is_kept_as_long_as_the_seed_says() {
        let actions = Actions::default();
        for (name, class) in SEED {
            let reported = actions.iter().filter(|known| {
                known.origin == Origin::Reported
                    && known.event_type.as_ref().is_some_and(|of| of.as_str() == name)
            });
            let classes: Vec<_> = reported.map(ActionType::class).collect();
            assert_eq!(classes, [class], "{name}");
        }
    }

    #[test]
    fn every_known_action_stands_once_and_has_the_name_of_one() {
        let actions = Actions::default();
        assert_eq!(actions.iter().count(), known::all().count());
        for known in actions.iter() {
            assert!(is_action(known.action.as_str()), "{known:?}");
            assert!(!known.title.as_str().is_empty());
        }
    }

    #[test]
    fn what_is_known_is_not_made_anew_and_what_is_no_name_is_refused() {
        let with = |action: &'static str| {
            Actions::default().with([ActionType::reported(action, Category::Access, "x")])
        };
        assert!(with("invoice.approved").is_ok());
        assert_eq!(with("role.put"), Err(InvalidAction::Known("role.put".into())));
        for bad in ["", "login", "a.", ".a", "a..b", "A.b", "a.b c", "a.b.c.d.e.f.g.h.i", "ä.b"] {
            assert_eq!(with(bad), Err(InvalidAction::Name(bad.into())), "{bad}");
        }
    }
}
