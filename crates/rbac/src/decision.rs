use std::fmt;

use stanchion_core::{Revision, Scope, SubjectRef, Timestamp};

use crate::{Permission, RoleId};

/// The question whether a subject may do something within a scope.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CheckRequest<'a> {
    /// Where: the roles that the subject holds here decide, and no others.
    pub scope: Scope,
    /// Who.
    pub subject: &'a SubjectRef,
    /// What; it has to be [exact](Permission::is_exact), anything else is denied. How far the permission has to reach follows from the
    /// scope.
    pub permission: &'a Permission,
}

impl<'a> CheckRequest<'a> {
    /// Asks whether `subject` may do what `permission` names anywhere in `scope`.
    #[must_use]
    pub const fn new(scope: Scope, subject: &'a SubjectRef, permission: &'a Permission) -> Self {
        Self { scope, subject, permission }
    }
}

/// The answer to a [`CheckRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether it is permitted.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The role the subject holds that decided: for [`Reason::Granted`] the one that permits it, by itself or by what it includes;
    /// where a held role does not count, that role.
    pub role: Option<RoleId>,
    /// Every change of the scope up to this revision was taken into account; later ones may have been.
    pub revision: Revision,
    /// When time alone may turn the answer; never, if there is none. A change to roles or assignments may turn it sooner.
    pub valid_until: Option<Timestamp>,
}

/// Why a decision is what it is. The codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A role that the subject holds permits it.
    Granted,
    /// It is denied to the subject, whatever roles it holds.
    DeniedExplicitly,
    /// None of the roles that the subject holds permits it.
    NoMatchingRole,
    /// The subject holds no role here.
    UnknownSubject,
    /// A role that the subject holds would permit it, but the role is switched off.
    RoleInactive,
    /// The subject held a role that permits it, until it expired.
    AssignmentExpired,
    /// The subject will hold a role that permits it, but does not yet.
    AssignmentNotYetValid,
    /// The permission asked about has a wildcard or a scope, so that no role could be said to permit just it.
    PermissionNotExact,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Granted,
        Self::DeniedExplicitly,
        Self::NoMatchingRole,
        Self::UnknownSubject,
        Self::RoleInactive,
        Self::AssignmentExpired,
        Self::AssignmentNotYetValid,
        Self::PermissionNotExact,
    ];

    /// Returns the code that records and labels use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::DeniedExplicitly => "denied_explicitly",
            Self::NoMatchingRole => "no_matching_role",
            Self::UnknownSubject => "unknown_subject",
            Self::RoleInactive => "role_inactive",
            Self::AssignmentExpired => "assignment_expired",
            Self::AssignmentNotYetValid => "assignment_not_yet_valid",
            Self::PermissionNotExact => "permission_not_exact",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A decision with its evidence. It tells how roles are built: show it to administrators, not to whoever was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// For a grant the way from the role held, over the roles that it includes, to the one that permits it by itself.
    pub path: Vec<RoleId>,
    /// The permission, as it is written in the last role of the path or in the denial.
    pub matched: Option<Permission>,
    /// For a refusal the roles known here that would permit it, in the order of their names, at most
    /// [`Explanation::MAX_CANDIDATES`]. Empty where a denial stands, since no role would help.
    pub candidates: Vec<RoleId>,
}

impl Explanation {
    /// The most roles that an explanation lists.
    pub const MAX_CANDIDATES: usize = 16;
}
