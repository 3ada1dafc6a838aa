use std::borrow::Cow;
use std::collections::BTreeSet;

use stanchion_core::{
    Author, PageRequest, Revision, Scope, StoreError, StoreErrorKind, SubjectKind, SubjectRef, Timestamp,
    Versioned,
};

use crate::rules::{self, Census, Given, Guarded, State, Together};
use crate::{Engine, Error, Membership, RbacChange, RbacStoreExt, Record, RecordFilter, RecordKind, RoleId};

/// Up to how many members a group's are read one by one.
const FEW: usize = 32;

/// What a write stands on: what was read at the revision that it is written against.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) state: State,
    pub(crate) census: Census,
    /// Whether the census is of everybody.
    whole: bool,
}

/// What a write is about, for the rules to look at.
#[derive(Debug, Default)]
pub(crate) struct Weighed<'a> {
    pub(crate) changes: &'a [RbacChange],
    /// Who may come to have more or less: a subject, or everybody.
    pub(crate) subject: Option<&'a SubjectRef>,
    /// The roles that somebody may come to hold.
    pub(crate) roles: BTreeSet<RoleId>,
    /// What is given away.
    pub(crate) given: Vec<Given>,
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
        let mut ground = Ground { state, census: Census::default(), whole: false };
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

    /// Reads what everybody holds, has, is denied and belongs to, unless that was done.
    pub(crate) async fn survey(&self, ground: &mut Ground) -> Result<(), StoreError> {
        if !ground.whole {
            ground.census = self.everybody(&ground.state).await?;
            ground.whole = true;
        }
        Ok(())
    }

    async fn everybody(&self, state: &State) -> Result<Census, StoreError> {
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
        let is_limited = |id: &RoleId| ground.state.role(id).is_some_and(|role| role.max_holders.is_some());
        let written = weighed.changes.iter().find_map(|change| match change {
            RbacChange::Put(Record::Role(role)) => Some(role),
            _ => None,
        });
        let limited =
            written.is_some_and(|role| role.max_holders.is_some()) || weighed.roles.iter().any(is_limited);
        if weighed.subject.is_none() || limited {
            self.survey(ground).await?;
        }
        let Ground { state, census, whole } = ground;
        let after_state = after_state(state, weighed.changes);
        let mut after_census = after_census(census, weighed.changes);
        let people = match weighed.subject {
            Some(subject) => {
                let mut people = census.people_of(subject);
                people.append(&mut after_census.people_of(subject));
                for change in weighed.changes {
                    if let Some(membership) = member_of(change) {
                        people.insert(membership);
                    }
                }
                people
            }
            None => census.people().cloned().collect(),
        };
        let before = Together { state, census };
        let after = Together { state: &after_state, census: &after_census };
        rules::prerequisites(before, after, &people, now)?;
        let changed = if weighed.subject.is_none() { weighed.roles.clone() } else { BTreeSet::new() };
        rules::keep_apart(before, after, &people, &changed, now)?;
        if limited {
            rules::held_by_few(before, after, &weighed.roles, now)?;
        }
        if guards.last_administrator
            && people.iter().any(|one| rules::loses_administration(before, after, one, now, guards))
        {
            if !*whole {
                *census = self.everybody(state).await?;
                *whole = true;
            }
            after_census = self::after_census(census, weighed.changes);
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

pub(crate) fn after_census(census: &Census, changes: &[RbacChange]) -> Census {
    let mut after = census.clone();
    for change in changes {
        match change {
            RbacChange::Put(record) => after.put(record),
            RbacChange::Delete(key) => after.delete(key),
        }
    }
    after
}

fn member_of(change: &RbacChange) -> Option<SubjectRef> {
    match change {
        RbacChange::Put(Record::Membership(membership)) => Some(membership.member.clone()),
        RbacChange::Delete(crate::RecordKey::Membership { member, .. }) => Some(member.clone()),
        _ => None,
    }
}

fn is_unknown(census: &Census, subject: &SubjectRef) -> bool {
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
