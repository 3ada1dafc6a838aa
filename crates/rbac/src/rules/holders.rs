use std::collections::BTreeSet;

use stanchion_core::{SubjectRef, Timestamp};

use super::apart::{Holding, Together};
use super::{When, some};
use crate::graph::Graph;
use crate::{Error, RoleId};

/// Tells whether each of the subjects holds what the roles ask for that it comes to hold.
pub(crate) fn prerequisites(
    before: Together<'_>,
    after: Together<'_>,
    subjects: &BTreeSet<SubjectRef>,
    now: Timestamp,
) -> Result<(), Error> {
    let all = || after.state.roles.values().chain(after.state.platform.values());
    if all().all(|role| role.value.requires.is_empty()) {
        return Ok(());
    }
    let (were, are) = (Graph::of(before.state), Graph::of(after.state));
    let (mut were, mut are) = (Holding::new(&were), Holding::new(&are));
    for subject in subjects {
        let had = were.of(before.census, subject, now);
        let has = are.of(after.census, subject, now);
        let has_now = are.all(after.census.roles(subject, When::At(now)));
        for role in has.difference(&had) {
            let requires = after.state.role(role).map(|role| &role.requires);
            if let Some(required) =
                requires.into_iter().flatten().find(|required| !has_now.contains(*required))
            {
                return Err(Error::MissingPrerequisite {
                    subject: subject.clone(),
                    role: role.clone(),
                    required: required.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Tells whether roles that only few may hold are held by few. The census has to be of everybody.
pub(crate) fn held_by_few(
    before: Together<'_>,
    after: Together<'_>,
    roles: &BTreeSet<RoleId>,
    now: Timestamp,
) -> Result<(), Error> {
    let limited = roles.iter().filter_map(|id| Some((id, after.state.role(id)?.max_holders?)));
    for (role, limit) in limited {
        let have = holders(after, role, now);
        let lowered = before.state.role(role).and_then(|role| role.max_holders) != Some(limit);
        let too_many = have.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if too_many && (lowered || have.len() > holders(before, role, now).len()) {
            return Err(Error::TooManyHolders {
                role: role.clone(),
                limit,
                holders: have.len(),
                by: some(have, |subject| subject.to_string()),
            });
        }
    }
    Ok(())
}

/// Who holds a role, or will.
fn holders<'a>(together: Together<'a>, role: &RoleId, now: Timestamp) -> Vec<&'a SubjectRef> {
    let graph = Graph::of(together.state);
    let all = together.state.roles.keys().chain(together.state.platform.keys());
    let seniors: BTreeSet<&RoleId> = all.filter(|senior| graph.closure(senior).contains(role)).collect();
    let holds = |subject: &&SubjectRef| {
        together.census.assignments(subject, When::From(now)).any(|held| seniors.contains(&held.role))
    };
    together.census.people().filter(holds).collect()
}
