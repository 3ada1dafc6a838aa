use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{SubjectRef, Timestamp};

use super::{Census, State, When, at_most, some};
use crate::graph::Graph;
use crate::{Duty, Error, Limits, RoleId, Separation};

/// Tells whether the separation may be written, as far as it is fit to be one.
pub(crate) fn put_separation(state: &State, separation: &Separation, limits: &Limits) -> Result<(), Error> {
    if !state.separations.contains_key(&separation.id) {
        at_most("separations of duty", state.separations.len() + 1, limits.separations)?;
    }
    at_most("roles kept apart by a separation", separation.roles.len(), limits.separated_roles)?;
    let invalid = |part: &str, rule| {
        Err(Error::Invalid { what: format!("`{part}` of separation `{}`", separation.id), rule })
    };
    if separation.roles.len() < 2 {
        return invalid("roles", "names two roles or more");
    }
    let at_most = usize::try_from(separation.at_most).unwrap_or(usize::MAX);
    if at_most == 0 || at_most >= separation.roles.len() {
        return invalid("at_most", "is at least 1 and less than the number of its roles");
    }
    match separation.roles.iter().find(|role| state.role(role).is_none()) {
        Some(unknown) => Err(Error::UnknownRole(unknown.clone())),
        None => Ok(()),
    }
}

/// What a change may bring together, as it would be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Together<'a> {
    pub(crate) state: &'a State,
    pub(crate) census: &'a Census<'a>,
}

/// Tells whether roles that must never be held together stay apart: for each of the subjects, and within each of the roles. What was
/// together before, and does not become more, is no reason to refuse.
pub(crate) fn keep_apart(
    before: Together<'_>,
    after: Together<'_>,
    subjects: &BTreeSet<SubjectRef>,
    roles: &BTreeSet<RoleId>,
    now: Timestamp,
) -> Result<(), Error> {
    let separations = || {
        let all = after.state.separations.values().map(|separation| &separation.value);
        all.filter(|separation| separation.duty == Duty::Static)
    };
    if separations().next().is_none() {
        return Ok(());
    }
    let (were, are) = (Graph::of(before.state), Graph::of(after.state));
    let mut holding = Holding::new(&are);
    let all_held: Vec<_> =
        subjects.iter().map(|subject| (subject, holding.of(after.census, subject, now))).collect();
    for separation in separations() {
        let limit = usize::try_from(separation.at_most).unwrap_or(usize::MAX);
        // What is kept apart only from now on was together without harm.
        let standing = before.state.separations.get(&separation.id);
        let is_standing = standing.is_some_and(|standing| standing.value == *separation);
        let more = |had: &dyn Fn() -> usize, have: &BTreeSet<RoleId>| {
            have.len() > limit && (!is_standing || have.len() > had())
        };
        let mut by = Vec::new();
        for role in roles {
            let have = among(separation, are.closure(role));
            if more(&|| among(separation, were.closure(role)).len(), &have) {
                by.push(("role ", role.to_string(), have));
            }
        }
        for (subject, held_after) in &all_held {
            let have = among(separation, held_after.clone());
            if more(&|| among(separation, held(&were, before.census, subject, now)).len(), &have) {
                by.push(("", subject.to_string(), have));
            }
        }
        if !by.is_empty() {
            let named = some(by, |(what, who, have)| format!("{what}{who} would have {}", list(&have)));
            return Err(separated(separation, named));
        }
    }
    Ok(())
}

pub(super) fn separated(separation: &Separation, by: Vec<String>) -> Error {
    Error::Separated { separation: separation.id.clone(), at_most: separation.at_most, by }
}

/// Those of the roles that a separation keeps apart.
pub(super) fn among(separation: &Separation, mut roles: BTreeSet<RoleId>) -> BTreeSet<RoleId> {
    roles.retain(|role| separation.roles.contains(role));
    roles
}

pub(super) fn list(roles: &BTreeSet<RoleId>) -> String {
    roles.iter().map(RoleId::as_str).collect::<Vec<_>>().join(", ")
}

/// What many subjects hold, each role followed once.
#[derive(Debug)]
pub(super) struct Holding<'g, 's> {
    graph: &'g Graph<'s>,
    closures: BTreeMap<RoleId, BTreeSet<RoleId>>,
}

impl<'g, 's> Holding<'g, 's> {
    pub(super) const fn new(graph: &'g Graph<'s>) -> Self {
        Self { graph, closures: BTreeMap::new() }
    }

    /// As [`held`].
    pub(super) fn of(
        &mut self,
        census: &Census<'_>,
        subject: &SubjectRef,
        now: Timestamp,
    ) -> BTreeSet<RoleId> {
        self.all(census.roles(subject, When::From(now)))
    }

    /// The roles, with what they include.
    pub(super) fn all(&mut self, roles: BTreeSet<RoleId>) -> BTreeSet<RoleId> {
        let mut all = BTreeSet::new();
        for role in roles {
            let graph = self.graph;
            let closure = self.closures.entry(role).or_insert_with_key(|role| graph.closure(role));
            all.extend(closure.iter().cloned());
        }
        all
    }
}

/// Every role that a subject holds or will hold, by itself, by its groups, by what these include.
pub(super) fn held(
    graph: &Graph<'_>,
    census: &Census<'_>,
    subject: &SubjectRef,
    now: Timestamp,
) -> BTreeSet<RoleId> {
    let direct = census.roles(subject, When::From(now));
    direct.iter().flat_map(|role| graph.closure(role)).collect()
}
