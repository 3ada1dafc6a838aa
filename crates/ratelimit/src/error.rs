use stanchion_core::{Revision, StoreError};
use thiserror::Error as ThisError;

use crate::{InvalidControl, InvalidRule, RuleId};

/// What the engine could not do. A refusal is not one of these: it is a [`Decision`](crate::Decision).
#[derive(Clone, Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The rule cannot be as it is.
    #[error(transparent)]
    Invalid(#[from] InvalidRule),
    /// What is said of single callers cannot be as it is.
    #[error(transparent)]
    InvalidControl(#[from] InvalidControl),
    /// There is no such rule.
    #[error("there is no rule `{0}`")]
    NotFound(RuleId),
    /// The rule is not at the revision the change was made for.
    #[error("rule `{id}` has changed: it is at revision {current}")]
    Stale {
        /// The rule.
        id: RuleId,
        /// The revision it is at; zero when it does not exist.
        current: Revision,
    },
    /// The scope has as many rules as it may have.
    #[error("a scope has at most {0} rules: delete one first")]
    TooManyRules(usize),
    /// The scope has as many overrides, quarantines and resets as it may have.
    #[error("a scope has at most {0} overrides, quarantines and resets: lift some first")]
    TooManyControls(usize),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
