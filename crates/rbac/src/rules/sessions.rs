use std::collections::BTreeSet;

use stanchion_core::Timestamp;

use super::apart::{among, list, separated};
use super::{Census, State, When};
use crate::graph::Graph;
use crate::{Duty, Error, RoleId, Session};

/// The roles that a session uses, with what they include.
pub(crate) fn active_roles(state: &State, session: &Session) -> BTreeSet<RoleId> {
    let graph = Graph::of(state);
    session.active.iter().flat_map(|role| graph.closure(role)).collect()
}

/// Tells whether a session may be as it is about to be: whatever is active in it is held now, and nothing of it is to be kept apart.
pub(crate) fn put_session(
    state: &State,
    census: &Census<'_>,
    session: &Session,
    newly: &BTreeSet<RoleId>,
    now: Timestamp,
) -> Result<(), Error> {
    if let Some(unknown) = newly.iter().find(|role| state.role(role).is_none()) {
        return Err(Error::UnknownRole(unknown.clone()));
    }
    let held = conveyed(state, census, session, now);
    if let Some(role) = newly.iter().find(|role| !held.contains(*role)) {
        return Err(Error::RoleNotHeld { subject: session.subject.clone(), role: role.clone() });
    }
    let active = active_roles(state, session);
    for separation in state.separations.values().map(|separation| &separation.value) {
        let have = among(separation, active.clone());
        if separation.duty == Duty::Dynamic
            && have.len() > usize::try_from(separation.at_most).unwrap_or(usize::MAX)
        {
            let by = format!("the session of {} would have {} active", session.subject, list(&have));
            return Err(separated(separation, vec![by]));
        }
    }
    Ok(())
}

/// What a subject holds now, by roles that convey something.
fn conveyed(state: &State, census: &Census<'_>, session: &Session, now: Timestamp) -> BTreeSet<RoleId> {
    let is_active = |id: &RoleId| state.role(id).is_some_and(|role| role.active);
    let mut seen = BTreeSet::new();
    let mut next: Vec<RoleId> = census.roles(&session.subject, When::At(now)).into_iter().collect();
    while let Some(id) = next.pop() {
        if is_active(&id) && seen.insert(id.clone()) {
            next.extend(state.role(&id).into_iter().flat_map(|role| role.includes.iter().cloned()));
        }
    }
    seen
}
