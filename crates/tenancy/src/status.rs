use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a tenant stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TenantStatus {
    /// Its requests are served.
    Active,
    /// Everything is kept, nothing is served.
    Suspended,
}

/// A step from one status to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transition {
    /// Stops serving the tenant.
    Suspend,
    /// Serves it again.
    Resume,
}

/// Every step there is. What is not here is refused.
const TRANSITIONS: &[(TenantStatus, Transition, TenantStatus)] = &[
    (TenantStatus::Active, Transition::Suspend, TenantStatus::Suspended),
    (TenantStatus::Suspended, Transition::Resume, TenantStatus::Active),
];

/// The tenant's status does not allow the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    /// Where the tenant stands.
    pub from: TenantStatus,
    /// What was asked for.
    pub transition: Transition,
}

impl TenantStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[Self::Active, Self::Suspended];

    /// Tells whether the tenant's requests are served.
    #[must_use]
    pub const fn is_served(self) -> bool {
        matches!(self, Self::Active)
    }

    /// Returns the status after a step.
    ///
    /// # Errors
    /// [`IllegalTransition`] when this status does not allow it.
    pub fn after(self, transition: Transition) -> Result<Self, IllegalTransition> {
        let step = TRANSITIONS.iter().find(|(from, by, _)| (*from, *by) == (self, transition));
        step.map(|(_, _, to)| *to).ok_or(IllegalTransition { from: self, transition })
    }

    /// Returns the name that columns, records and documents use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// Finds the status of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.as_str() == name)
    }
}

impl Transition {
    /// Returns the name that documents use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        }
    }

    /// Returns the action of the event that records the step.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Suspend => "tenant.suspend",
            Self::Resume => "tenant.resume",
        }
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a tenant that is {} cannot be taken through `{}`", self.from, self.transition.as_str())
    }
}

impl std::error::Error for IllegalTransition {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_table_allows_happens() {
        use TenantStatus::{Active, Suspended};
        use Transition::{Resume, Suspend};
        assert_eq!(Active.after(Suspend), Ok(Suspended));
        assert_eq!(Suspended.after(Resume), Ok(Active));
        assert_eq!(Active.after(Resume), Err(IllegalTransition { from: Active, transition: Resume }));
        let twice = Suspended.after(Suspend).unwrap_err();
        assert_eq!(twice.to_string(), "a tenant that is suspended cannot be taken through `suspend`");
    }

    #[test]
    fn only_an_active_tenant_is_served() {
        assert_eq!(TenantStatus::ALL.iter().filter(|status| status.is_served()).count(), 1);
        assert!(TenantStatus::Active.is_served());
    }

    #[test]
    fn names_read_back_and_are_those_of_the_documents() {
        for status in TenantStatus::ALL {
            assert_eq!(TenantStatus::from_name(status.as_str()), Some(*status));
            assert_eq!(serde_json::to_string(status).unwrap(), format!("\"{status}\""));
        }
        assert_eq!(TenantStatus::from_name("Active"), None);
    }
}
