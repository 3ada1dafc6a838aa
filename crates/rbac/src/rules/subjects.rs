use stanchion_core::{Scope, SubjectKind, Timestamp};

use super::census::Known;
use super::{Census, State, at_most, ever_counts, within};
use crate::{Assignment, Denial, Error, Limits, Membership};

/// Tells whether the role may be given to a subject that has what is known of it.
pub(crate) fn assign(
    state: &State,
    known: &Known,
    assignment: &Assignment,
    now: Timestamp,
    limits: &Limits,
) -> Result<(), Error> {
    if state.role(&assignment.role).is_none() {
        return Err(Error::UnknownRole(assignment.role.clone()));
    }
    ever_counts("assignment", assignment.not_before, assignment.expires_at, now)?;
    let is_same =
        |held: &Assignment| (&held.role, &held.resource) == (&assignment.role, &assignment.resource);
    if known.assignments.iter().any(is_same) {
        return Ok(());
    }
    at_most("roles held by a subject", known.assignments.len() + 1, limits.assignments)
}

/// Tells whether the permission may be denied to a subject that has what is known of it.
pub(crate) fn deny(scope: Scope, known: &Known, denial: &Denial, limits: &Limits) -> Result<(), Error> {
    within(scope, &denial.permission)?;
    let is_same = |standing: &Denial| {
        (&standing.permission, &standing.resource) == (&denial.permission, &denial.resource)
    };
    if known.denials.iter().any(is_same) {
        return Ok(());
    }
    at_most("permissions denied to a subject", known.denials.len() + 1, limits.denials)
}

/// Tells whether somebody may become a member of a group, as far as both are fit for it.
pub(crate) fn add_member(
    census: &Census<'_>,
    membership: &Membership,
    now: Timestamp,
    limits: &Limits,
) -> Result<(), Error> {
    let Membership { group, member, .. } = membership;
    if group.kind() != SubjectKind::Group {
        let what = "has no members; name a group, as `group:ID`";
        return Err(Error::UnfitSubject { kind: group.kind(), what });
    }
    if member.kind() == SubjectKind::Group {
        let what = "cannot belong to a group; add its members instead";
        return Err(Error::UnfitSubject { kind: member.kind(), what });
    }
    ever_counts("membership", membership.not_before, membership.expires_at, now)?;
    let groups = &census.of(member).memberships;
    if groups.iter().any(|other| other.group == *group) {
        return Ok(());
    }
    at_most("groups of a subject", groups.len() + 1, limits.groups)?;
    at_most("members of a group", census.size(group) + 1, limits.members)
}
