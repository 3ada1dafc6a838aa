use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{
    Author, PageRequest, Revision, Scope, StoreError, StoreErrorKind, SubjectKind, SubjectRef, Timestamp,
    Versioned,
};

use crate::rules::{self, Census, Given, Guarded, Holders, State, Together};
use crate::{
    Engine, Error, Membership, RbacChange, RbacStoreExt, Record, RecordFilter, RecordKey, RecordKind, Role,
    RoleId,
};

/// Up to how many members a group's are read one by one.
const FEW: usize = 32;

/// What a write stands on: what was read at the revision that it is written against.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) state: State,
    pub(crate) census: Census<'static>,
    /// Whether the census is of everybody.
    pub(crate) whole: bool,
    pub(crate) holders: Holders,
}

/// What a write is about, for the rules to look at.
#[derive(Debug, Default)]
pub(crate) struct Weighed<'a> {
    pub(crate) changes: &'a [RbacChange],
    /// Who may come to have more or less.
    pub(crate) whom: Whom<'a>,
    /// The roles that somebody may come to hold.
    pub(crate) roles: BTreeSet<RoleId>,
    /// What is given away.
    pub(crate) given: Vec<Given>,
}

impl Ground {
    /// Nothing is known of anybody yet.
    pub(crate) fn new(state: State) -> Self {
        Self { state, census: Census::default(), whole: false, holders: Holders::default() }
    }

    /// Takes over changes that are made, or would be.
    pub(crate) fn take(&mut self, changes: &[RbacChange], now: Timestamp) {
        let mut people = people_of(&self.census, changes);
        for change in changes {
            self.census.take(change);
            self.state.take(change);
        }
        if changes.iter().any(State::concerns) {
            self.holders = Holders::default();
        } else {
            people.append(&mut people_of(&self.census, changes));
            self.holders.take(&self.census, &people, now);
        }
    }
}

/// Whom a write may give or take something.
#[derive(Clone, Debug, Default)]
pub(crate) enum Whom<'a> {
    #[default]
    Everybody,
    /// These, and of a group its members.
    These(Vec<&'a SubjectRef>),
}

impl Engine {
    pub(crate) async fn state(&self, scope: Scope) -> Result<State, StoreError> {
        let own = self.store.load(scope).await?;
        let platform = match scope {
            Scope::Platform => None,
            Scope::Tenant(_) => Some(self.store.load(Scope::Platform).await?),
        };
        Ok(State::new(scope, own, platform))
    }

    /// Reads what rules about some subjects ask: of each its groups, and of a group its members with their groups.
    pub(crate) async fn ground(&self, scope: Scope, subjects: &[&SubjectRef]) -> Result<Ground, StoreError> {
        let state = self.state(scope).await?;
        let mut ground = Ground::new(state);
        for subject in subjects {
            self.ask_about(&mut ground, subject).await?;
        }
        Ok(ground)
    }

    async fn ask_about(&self, ground: &mut Ground, subject: &SubjectRef) -> Result<(), StoreError> {
        if ground.whole {
            return Ok(());
        }
        let scope = ground.state.scope;
        if subject.kind() == SubjectKind::Group {
            let filter = RecordFilter::all(RecordKind::Membership).of_group(subject.clone());
            let page = PageRequest::first(FEW);
            let page = self.store.list_of::<Membership>(scope, &filter, &page).await?;
            if page.next.is_some() {
                return self.survey(ground).await;
            }
            for Versioned { value: membership, .. } in page.items {
                self.ask(ground, &membership.member).await?;
            }
        }
        self.ask(ground, subject).await
    }

    async fn ask(&self, ground: &mut Ground, subject: &SubjectRef) -> Result<(), StoreError> {
        let mut next = vec![subject.clone()];
        while let Some(subject) = next.pop() {
            if !ground.census.knows(&subject) {
                let records = self.store.subject(ground.state.scope, &subject).await?;
                is_at(ground.state.revision, records.revision)?;
                next.extend(records.memberships.iter().map(|membership| membership.value.group.clone()));
                ground.census.add(&subject, &records);
            }
        }
        Ok(())
    }

    /// Reads what rules about many subjects ask, as [`Engine::ground`] does, with one read for many of them.
    pub(crate) async fn ask_about_all(
        &self,
        ground: &mut Ground,
        subjects: BTreeSet<SubjectRef>,
    ) -> Result<(), StoreError> {
        let groups = subjects.iter().filter(|subject| subject.kind() == SubjectKind::Group);
        if groups.clone().count() > FEW {
            return self.survey(ground).await;
        }
        for group in groups {
            self.ask_about(ground, group).await?;
        }
        if ground.whole {
            return Ok(());
        }
        let mut next: Vec<SubjectRef> = subjects.into_iter().collect();
        loop {
            next.retain(|subject| !ground.census.knows(subject));
            if next.is_empty() {
                return Ok(());
            }
            let found = self.store.subjects(ground.state.scope, &next).await?;
            let mut groups = BTreeSet::new();
            for (subject, records) in next.iter().zip(&found) {
                is_at(ground.state.revision, records.revision)?;
                groups.extend(records.memberships.iter().map(|membership| membership.value.group.clone()));
                ground.census.add(subject, records);
            }
            if found.len() < next.len() {
                return Err(StoreError::new(StoreErrorKind::Corrupt, "rbac", "answer for each subject"));
            }
            next = groups.into_iter().collect();
        }
    }

    /// Reads what everybody holds, has, is denied and belongs to, unless that was done.
    pub(crate) async fn survey(&self, ground: &mut Ground) -> Result<(), StoreError> {
        if !ground.whole {
            ground.census = self.everybody(&ground.state).await?;
            ground.whole = true;
        }
        Ok(())
    }

    async fn everybody(&self, state: &State) -> Result<Census<'static>, StoreError> {
        let mut census = Census::default();
        for kind in [RecordKind::Membership, RecordKind::Assignment, RecordKind::Grant, RecordKind::Denial] {
            let filter = RecordFilter::all(kind);
            let mut page = PageRequest::first(PageRequest::MAX_LIMIT);
            loop {
                let found = self.store.list(state.scope, &filter, &page).await?;
                found.items.iter().for_each(|record| census.put(&record.value));
                match found.next {
                    Some(next) => page = PageRequest::first(PageRequest::MAX_LIMIT).after(next),
                    None => break,
                }
            }
        }
        is_at(state.revision, self.store.load(state.scope).await?.revision)?;
        Ok(census)
    }

    /// Asks all rules about what a change would bring about.
    pub(crate) async fn weigh(
        &self,
        author: &Author,
        now: Timestamp,
        ground: &mut Ground,
        weighed: Weighed<'_>,
    ) -> Result<(), Error> {
        let guards = &self.config.guards;
        let by = rules::subject_of(&author.actor).filter(|_| guards.self_elevation);
        if let Some(by) = by {
            self.ask_about(ground, by).await?;
        }
        let written: BTreeMap<&RoleId, &Role> = weighed.changes.iter().filter_map(role_of).collect();
        let is_limited = |id: &RoleId| {
            let role = written.get(id).copied().or_else(|| ground.state.role(id));
            role.is_some_and(|role| role.max_holders.is_some())
        };
        let limited = weighed.roles.iter().any(is_limited);
        if matches!(weighed.whom, Whom::Everybody) || limited {
            self.survey(ground).await?;
        }
        let Ground { state, census, whole, holders } = ground;
        let after_state = after_state(state, weighed.changes);
        let mut after_census = after_census(census, weighed.changes);
        let is_anybody = matches!(weighed.whom, Whom::Everybody);
        let people = match &weighed.whom {
            Whom::These(subjects) => {
                let of = |census: &Census<'_>| {
                    subjects.iter().flat_map(|subject| census.people_of(subject)).collect::<BTreeSet<_>>()
                };
                let mut people = of(census);
                people.append(&mut of(&after_census));
                people.extend(weighed.changes.iter().filter_map(member_of));
                people
            }
            Whom::Everybody => census.people().chain(after_census.people()).cloned().collect(),
        };
        let before = Together { state, census };
        let after = Together { state: &after_state, census: &after_census };
        rules::prerequisites(before, after, &people, now)?;
        let is_of_roles = weighed.changes.iter().any(State::concerns);
        let changed = if is_of_roles { weighed.roles.clone() } else { BTreeSet::new() };
        rules::keep_apart(before, after, &people, &changed, now)?;
        if limited {
            let touched = (!is_anybody && !is_of_roles).then_some((&people, holders));
            rules::held_by_few(before, after, &weighed.roles, touched, now)?;
        }
        if guards.last_administrator && rules::loses_administration(before, after, &people, now, guards) {
            if !*whole {
                drop(after_census);
                *census = self.everybody(state).await?;
                *whole = true;
                after_census = self::after_census(census, weighed.changes);
            }
            let before = Together { state, census };
            let after = Together { state: &after_state, census: &after_census };
            rules::last_administrator(before, after, now, guards)?;
        }
        let Some(by) = by else { return Ok(()) };
        let from_outside = state.scope != Scope::Platform && is_unknown(census, by);
        let outside = match from_outside {
            true => Some(self.ground(Scope::Platform, &[by]).await?),
            false => None,
        };
        let before = Together { state, census };
        let after = Together { state: &after_state, census: &after_census };
        let home =
            outside.as_ref().map_or(before, |home| Together { state: &home.state, census: &home.census });
        let guarded = Guarded { author: by, home, from_outside };
        rules::elevation(guarded, before, after, &weighed.given, now, guards)
    }
}

/// The state after changes, which most leave as it is.
pub(crate) fn after_state<'a>(state: &'a State, changes: &[RbacChange]) -> Cow<'a, State> {
    let mut after = Cow::Borrowed(state);
    for change in changes.iter().filter(|change| State::concerns(change)) {
        after.to_mut().take(change);
    }
    after
}

pub(crate) fn after_census<'a>(census: &'a Census<'a>, changes: &[RbacChange]) -> Census<'a> {
    let mut after = Census::over(census);
    changes.iter().for_each(|change| after.take(change));
    after
}

/// The users and services whom changes are about, themselves or by a group.
fn people_of(census: &Census<'_>, changes: &[RbacChange]) -> BTreeSet<SubjectRef> {
    let subject = |change: &RbacChange| {
        let key = match change {
            RbacChange::Put(record) => record.key(),
            RbacChange::Delete(key) => key.clone(),
        };
        match key {
            RecordKey::Assignment { subject, .. } | RecordKey::Membership { member: subject, .. } => {
                Some(subject)
            }
            _ => None,
        }
    };
    changes.iter().filter_map(subject).flat_map(|subject| census.people_of(&subject)).collect()
}

fn role_of(change: &RbacChange) -> Option<(&RoleId, &Role)> {
    match change {
        RbacChange::Put(Record::Role(role)) => Some((&role.id, role)),
        _ => None,
    }
}

fn member_of(change: &RbacChange) -> Option<SubjectRef> {
    match change {
        RbacChange::Put(Record::Membership(membership)) => Some(membership.member.clone()),
        RbacChange::Delete(RecordKey::Membership { member, .. }) => Some(member.clone()),
        _ => None,
    }
}

fn is_unknown(census: &Census<'_>, subject: &SubjectRef) -> bool {
    let known = census.of(subject);
    known.assignments.is_empty()
        && known.grants.is_empty()
        && known.denials.is_empty()
        && known.memberships.is_empty()
}

/// What was read in several steps has to be of one revision, else the write begins anew.
fn is_at(expected: Revision, actual: Revision) -> Result<(), StoreError> {
    if expected == actual {
        Ok(())
    } else {
        Err(StoreError::new(StoreErrorKind::Conflict, "rbac", "read at one revision"))
    }
}
