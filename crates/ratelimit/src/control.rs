use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stanchion_core::{Revision, Text, Timestamp};

use crate::{Identifiers, RuleId};

/// Something that holds for some callers beside the rules: kept with the rules of a scope, and in memory wherever they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Control {
    /// Another limit for some callers.
    Override(Override),
    /// Callers who are shut out.
    Quarantine(Quarantine),
    /// Counters that begin anew.
    Reset(Reset),
}

/// Another limit of one rule for one caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The rule, of the same scope.
    pub rule: RuleId,
    /// The caller: one identifier for each dimension that the rule counts by. A rule of the platform may be overridden in one tenant
    /// alone, by its `tenant:<id>` besides.
    pub identifiers: Identifiers,
    /// How much each window gives.
    pub limit: u64,
    /// How much more may be used at once.
    #[serde(default)]
    pub burst: u64,
    /// When it ends; never, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why, for whoever reads it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

/// A caller who is refused, whatever the rules say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantine {
    /// The caller.
    pub identifiers: Identifiers,
    /// When it ends.
    pub until: Timestamp,
    /// The rule that did it; none when an administrator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// Why, for whoever reads it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

/// Counters of a scope's rules that begin anew: those of one caller, or all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// Whose; everybody's, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifiers: Option<Identifiers>,
    /// The revision of the scope at which they began.
    pub epoch: Revision,
    /// From when on every counter that was used before is as good as new by itself.
    pub expires_at: Timestamp,
}

/// The name of a control within its scope: its kind and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlId(Arc<str>);

impl ControlId {
    /// Names the override of a rule for a caller.
    #[must_use]
    pub fn of_override(rule: &RuleId, identifiers: &Identifiers) -> Self {
        Self(format!("override/{rule}/{identifiers}").into())
    }

    /// Names the quarantine of a caller.
    #[must_use]
    pub fn of_quarantine(identifiers: &Identifiers) -> Self {
        Self(format!("quarantine/{identifiers}").into())
    }

    /// Names the reset of a caller's counters, or of all.
    #[must_use]
    pub fn of_reset(identifiers: Option<&Identifiers>) -> Self {
        match identifiers {
            Some(identifiers) => Self(format!("reset/{identifiers}").into()),
            None => Self("reset".into()),
        }
    }

    /// Returns its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its text, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for ControlId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Control {
    /// Returns its name within its scope.
    #[must_use]
    pub fn id(&self) -> ControlId {
        match self {
            Self::Override(control) => ControlId::of_override(&control.rule, &control.identifiers),
            Self::Quarantine(control) => ControlId::of_quarantine(&control.identifiers),
            Self::Reset(control) => ControlId::of_reset(control.identifiers.as_ref()),
        }
    }

    /// Returns when it has no effect any more; `None` for never.
    #[must_use]
    pub const fn ends_at(&self) -> Option<Timestamp> {
        match self {
            Self::Override(control) => control.expires_at,
            Self::Quarantine(control) => Some(control.until),
            Self::Reset(control) => Some(control.expires_at),
        }
    }

    /// Tells whether it still has an effect.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.ends_at().is_none_or(|end| now < end)
    }
}

/// What is said of single callers cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidControl(Text);

impl InvalidControl {
    pub(crate) fn new(problem: impl Into<Text>) -> Self {
        Self(problem.into())
    }

    /// Returns what is wrong with the identifiers, and how to mend it.
    #[must_use]
    pub fn problem(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for InvalidControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identifiers: {}", self.0)
    }
}

impl std::error::Error for InvalidControl {}
