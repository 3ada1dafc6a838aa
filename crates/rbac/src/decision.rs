use std::fmt;

use stanchion_core::{
    Author, Category, Event, IdGen, Outcome, ResourceRef, Revision, Scope, SessionId, SubjectRef, Text,
    Timestamp,
};

use crate::{Permission, Resource, RoleId, RuleNames, SubjectProfile};

/// The question whether a subject may do something within a scope.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CheckRequest<'a> {
    /// Where: the roles that the subject holds here decide, and no others.
    pub scope: Scope,
    /// Who.
    pub subject: &'a SubjectRef,
    /// What; it has to be [exact](Permission::is_exact), anything else is denied. How far the permission has to reach follows from the
    /// resource.
    pub permission: &'a Permission,
    /// On what. Without one it is asked for everything in the scope.
    pub resource: Option<&'a Resource>,
    /// What is known of the subject. A [directory](crate::SubjectDirectory) knows better, where there is one.
    pub profile: Option<&'a SubjectProfile>,
    /// The session in which it is asked: only its active roles count.
    pub session: Option<SessionId>,
    /// The change of the scope that has to be taken into account.
    pub at_least: Option<Revision>,
}

impl<'a> CheckRequest<'a> {
    /// Asks whether `subject` may do what `permission` names anywhere in `scope`.
    #[must_use]
    pub const fn new(scope: Scope, subject: &'a SubjectRef, permission: &'a Permission) -> Self {
        Self { scope, subject, permission, resource: None, profile: None, session: None, at_least: None }
    }

    /// Asks it of one resource.
    #[must_use]
    pub const fn on(mut self, resource: &'a Resource) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Says what is known of the subject.
    #[must_use]
    pub const fn with_profile(mut self, profile: &'a SubjectProfile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Asks it within a session.
    #[must_use]
    pub const fn in_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Asks for an answer that takes a change into account, by the revision that its write returned.
    #[must_use]
    pub const fn at_least(mut self, revision: Revision) -> Self {
        self.at_least = Some(revision);
        self
    }

    /// Makes the event that tells what was decided, `access.permitted` or `access.denied`, and for whom.
    #[must_use]
    pub fn event(&self, decision: &Decision, author: &Author, ids: &dyn IdGen, at: Timestamp) -> Event {
        let action = if decision.allowed { "access.permitted" } else { "access.denied" };
        let mut event = author.event(ids, at, self.scope, action);
        event.category = Category::Access;
        event.outcome = if decision.allowed { Outcome::Success } else { Outcome::Denied };
        event.reason = Some(decision.reason.as_str().into());
        let subject = ResourceRef::new(self.subject.kind().as_str(), self.subject.id().clone());
        let resource =
            self.resource.and_then(|one| ResourceRef::new(one.kind.shared(), one.id.clone()?).ok());
        event.targets.extend(subject.ok().into_iter().chain(resource));
        event.details.push("permission", Text::from(self.permission.shared()));
        if let Some(role) = &decision.role {
            event.details.push("role", Text::from(role.shared()));
        }
        event
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
    /// The role the subject or one of its groups holds that decided: for [`Reason::Granted`] the one that permits it, by itself or by
    /// what it includes; where a held role does not count, that role. None where a single permission decided.
    pub role: Option<RoleId>,
    /// The constraints under which it is permitted, or for [`Reason::ConstraintUnmet`] those that do not hold.
    pub rules: RuleNames,
    /// Every change of the scope up to this revision was taken into account; later ones may have been.
    pub revision: Revision,
    /// How long the answer holds: before this instant the same question gets the same one, that is the same [`Decision::allowed`] and
    /// [`Decision::reason`], if nothing changes but the time. None where time alone never turns it. A change to roles, to what is held,
    /// or to what is known of subject and resource may turn it sooner.
    ///
    /// It is never later than the first instant at which time turns the answer. It is that very instant, however many assignments,
    /// permissions, memberships and denials overlap, as long as no hours bear on the answer; where the hours of one role or permission
    /// alone do and no session leaves that out, too. Otherwise it may be earlier: hours are followed up to where they next begin or end,
    /// and a denial that begins later counts as soon as it may be about the resource.
    ///
    /// What else the decision names stays true until then, but a later one may name another role.
    pub valid_until: Option<Timestamp>,
    pub(crate) missing: Option<Box<str>>,
}

impl Decision {
    pub(crate) const fn denied(reason: Reason, revision: Revision) -> Self {
        let rules = RuleNames::NONE;
        Self { allowed: false, reason, role: None, rules, revision, valid_until: None, missing: None }
    }

    pub(crate) const fn granted(revision: Revision) -> Self {
        let (reason, rules) = (Reason::Granted, RuleNames::NONE);
        Self { allowed: true, reason, role: None, rules, revision, valid_until: None, missing: None }
    }

    /// Returns the attribute that is missing, for [`Reason::AttributeMissing`]: `owner`, `team`, `department`, `organization`, the name
    /// of another attribute of the resource, or `subject.` and that of one of the subject.
    ///
    /// Of several, that of the role is told which is held first in the order of names; the subject's own roles come before its groups',
    /// and roles before single permissions. Of the constraints of a role or permission the first that asks for what is missing counts.
    /// Where it is not known whether a role or permission reaches the resource, the attribute is told that would settle it by itself, and
    /// of several the widest: `department` for what reaches a department, although whoever owns the resource could do it as well.
    #[must_use]
    pub fn missing_attribute(&self) -> Option<&str> {
        self.missing.as_deref()
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $distance:literal;)+) => {
        /// Why a decision is what it is. The codes are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: [Self; 16] = [$(Self::$name),+];

            /// Returns the code that records and labels use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// How far from a grant it is: of several reasons the nearest is told.
            pub(crate) const fn distance(self) -> u8 {
                match self { $(Self::$name => $distance,)+ }
            }
        }
    };
}

reasons! {
    /// A role or a single permission that the subject has permits it.
    Granted = "granted", 0;
    /// It is denied to the subject, whatever roles it holds.
    DeniedExplicitly = "denied_explicitly", 100;
    /// None of the roles and permissions that the subject has permits it.
    NoMatchingRole = "no_matching_role", 20;
    /// There is no such subject, or it holds nothing here.
    UnknownSubject = "unknown_subject", 100;
    /// A role that the subject holds would permit it, but the role is switched off.
    RoleInactive = "role_inactive", 3;
    /// The subject had a role or permission that permits it, until it expired.
    AssignmentExpired = "assignment_expired", 2;
    /// The subject will have a role or permission that permits it, but does not yet.
    AssignmentNotYetValid = "assignment_not_yet_valid", 1;
    /// The permission asked about has a wildcard or a scope, so that no role could be said to permit just it.
    PermissionNotExact = "permission_not_exact", 100;
    /// The subject is switched off.
    InactiveSubject = "inactive_subject", 100;
    /// The session is over, or there is none like it of this subject.
    SessionNotActive = "session_not_active", 100;
    /// A role that the subject holds would permit it, but is not active in the session.
    RoleNotInSession = "role_not_in_session", 4;
    /// A role or permission that the subject has would permit it, but what it demands is not so.
    ConstraintUnmet = "constraint_unmet", 5;
    /// Something would have to be known of the resource or subject to tell whether it is permitted.
    AttributeMissing = "attribute_missing", 6;
    /// The subject has a permission that permits it, once a second person has approved it.
    ApprovalAwaited = "approval_awaited", 7;
    /// What the subject has permits it on other resources.
    OtherResource = "other_resource", 8;
    /// What the subject has permits it on what belongs to it, to its team or to its department, and this does not.
    ReachTooNarrow = "reach_too_narrow", 9;
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
    /// For a refusal the least that would have to be otherwise, as far as one thing would do.
    pub missing: Option<Missing>,
}

/// What stands between a subject and what it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The subject would have to be known and active.
    Subject,
    /// A session of the subject that is not over.
    Session,
    /// This role would have to be active in the session.
    RoleInSession(RoleId),
    /// This role that is held would have to be switched on.
    RoleSwitchedOn(RoleId),
    /// This role would have to be held, here and now; it may be held elsewhere or have expired.
    Role(RoleId),
    /// No role permits it; this permission would have to be granted.
    Permission(Permission),
    /// What these constraints demand would have to be so.
    Rules(RuleNames),
    /// This attribute would have to be known.
    Attribute(Text),
    /// A second person would have to approve what was granted.
    Approval,
    /// It would have to be this late, at least.
    Time(Timestamp),
    /// This denial would have to be lifted.
    DenialLifted(Permission),
}

impl Explanation {
    /// The most roles that an explanation lists.
    pub const MAX_CANDIDATES: usize = 16;
}
