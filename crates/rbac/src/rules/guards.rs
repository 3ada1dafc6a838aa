use std::collections::BTreeSet;

use stanchion_core::{SubjectRef, Timestamp};

use super::apart::Together;
use super::effective::named_by;
use super::{Census, Effective, Element, State, When};
use crate::config::Guards;
use crate::graph::Graph;
use crate::{Error, Permission, ResourceSelector, Role, RoleId};

/// What a change gives away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Given {
    /// A role, on some resources or on all.
    Role(RoleId, Option<ResourceSelector>),
    /// One permission.
    Permission(Permission, Option<ResourceSelector>),
    /// Whatever a group has.
    Group(SubjectRef),
}

/// Who makes a change, and what they have. A subject of whom the scope knows nothing is not one of its own: it can act there only for
/// the platform, and what counts then is what it has there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guarded<'a> {
    pub(crate) author: &'a SubjectRef,
    pub(crate) home: Together<'a>,
    /// Whether that is another scope than the one that is changed.
    pub(crate) from_outside: bool,
}

/// Tells whether the author has what it gives, or may give what it does not have; and that it gives itself nothing at all.
pub(crate) fn elevation(
    guarded: Guarded<'_>,
    before: Together<'_>,
    after: Together<'_>,
    given: &[Given],
    now: Timestamp,
    guards: &Guards,
) -> Result<(), Error> {
    let Guarded { author, home, .. } = guarded;
    if !guards.self_elevation {
        return Ok(());
    }
    let names = universe(before, after);
    let selectors = given.iter().filter_map(selector).cloned().collect::<BTreeSet<_>>();
    let refused = |element: &Element, to_self| {
        let (author, permission) = (author.clone(), element.permission.clone());
        Err(Error::SelfElevation { author, permission, to_self })
    };
    let mut will = Effective::new(after.state, names.clone(), selectors.clone());
    if !guarded.from_outside {
        let had = Effective::new(before.state, names.clone(), selectors.clone()).of(
            before.census,
            author,
            When::From(now),
        );
        let has = will.of(after.census, author, When::From(now));
        // Whether something counts now or later: nobody may prolong what they have either, so grown spans are compared at the end too.
        let had_for_good = Effective::new(before.state, names.clone(), selectors.clone()).of(
            before.census,
            author,
            When::At(Timestamp::MAX),
        );
        let has_for_good = will.of(after.census, author, When::At(Timestamp::MAX));
        let more = has.difference(&had).next().or_else(|| has_for_good.difference(&had_for_good).next());
        if let Some(element) = more {
            return refused(element, true);
        }
    }
    let mine = |names: BTreeSet<Permission>| {
        Effective::new(home.state, names, selectors.clone()).of(home.census, author, When::At(now))
    };
    if mine(BTreeSet::from([guards.granting.clone()])).iter().any(is_whole) {
        return Ok(());
    }
    let mine = mine(names);
    for given in given {
        let elements = match given {
            Given::Role(role, on) => will.of_role(role, on.as_ref()),
            Given::Permission(permission, on) => {
                let asked = Effective::new(after.state, [permission.clone()], BTreeSet::new()).universe;
                let covered = asked.into_iter().filter(|wanted| permission.covers(wanted));
                covered
                    .map(|permission| Element { permission, resource: on.clone(), conditional: false })
                    .collect()
            }
            Given::Group(group) => will.of(after.census, group, When::From(now)),
        };
        let has = |element: &Element| {
            let everywhere = Element { resource: None, ..element.clone() };
            mine.contains(element) || mine.contains(&everywhere)
        };
        if let Some(element) = elements.iter().find(|element| !has(element)) {
            return refused(element, false);
        }
    }
    Ok(())
}

fn selector(given: &Given) -> Option<&ResourceSelector> {
    match given {
        Given::Role(_, on) | Given::Permission(_, on) => on.as_ref(),
        Given::Group(_) => None,
    }
}

fn is_whole(element: &Element) -> bool {
    element.permission.is_exact() && element.resource.is_none() && !element.conditional
}

/// Every permission that is named before or after.
pub(crate) fn universe(before: Together<'_>, after: Together<'_>) -> BTreeSet<Permission> {
    let of = |state: &State, census: &Census<'_>| {
        let roles = state.roles.values().chain(state.platform.values()).map(|role| &role.value);
        let mut all = named_by(roles.collect::<Vec<&Role>>());
        all.append(&mut census.named());
        all
    };
    let mut all = of(before.state, before.census);
    all.append(&mut of(after.state, after.census));
    all
}

/// Tells whether somebody is left who can administer the scope, if there was somebody: now, and when all that ends has ended. The
/// census has to be of everybody.
pub(crate) fn last_administrator(
    before: Together<'_>,
    after: Together<'_>,
    now: Timestamp,
    guards: &Guards,
) -> Result<(), Error> {
    for when in [When::At(now), When::At(Timestamp::MAX)] {
        let Some(last) = administrators(before, when, guards).next() else { continue };
        if administrators(after, when, guards).next().is_none() {
            return Err(Error::LastAdministrator {
                subject: last.clone(),
                scope: after.state.scope,
                permissions: guards.administrative.clone(),
            });
        }
    }
    Ok(())
}

/// Tells whether one of the subjects administers the scope before a change and no longer after it.
pub(crate) fn loses_administration(
    before: Together<'_>,
    after: Together<'_>,
    subjects: &BTreeSet<SubjectRef>,
    now: Timestamp,
    guards: &Guards,
) -> bool {
    let (mut were, mut are) = (Administration::new(before, guards), Administration::new(after, guards));
    subjects.iter().any(|subject| {
        [When::At(now), When::At(Timestamp::MAX)]
            .into_iter()
            .any(|when| were.includes(subject, when) && !are.includes(subject, when))
    })
}

fn administrators<'a>(
    together: Together<'a>,
    when: When,
    guards: &'a Guards,
) -> impl Iterator<Item = &'a SubjectRef> {
    let mut administration = Administration::new(together, guards);
    together.census.people().filter(move |subject| administration.includes(subject, when))
}

struct Administration<'a> {
    census: &'a Census<'a>,
    effective: Effective<'a>,
    guards: &'a Guards,
}

impl<'a> Administration<'a> {
    fn new(together: Together<'a>, guards: &'a Guards) -> Self {
        let effective = Effective::new(together.state, guards.administrative.clone(), BTreeSet::new());
        Self { census: together.census, effective, guards }
    }

    fn includes(&mut self, subject: &SubjectRef, when: When) -> bool {
        let has = self.effective.of(self.census, subject, when);
        self.guards.administrative.iter().all(|permission| {
            let needed = Element { permission: permission.clone(), resource: None, conditional: false };
            has.contains(&needed)
        })
    }
}

/// The roles whose conveyance a change of one role may change: itself and those that include it.
pub(crate) fn seniors(state: &State, role: &RoleId) -> BTreeSet<RoleId> {
    let graph = Graph::of(state);
    let all = state.roles.keys().chain(state.platform.keys());
    all.filter(|senior| graph.closure(senior).contains(role)).cloned().collect()
}
