use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{SubjectRef, Timestamp};

use super::apart::{Holding, Together};
use super::{Census, NAMED, When};
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

/// Tells whether roles that only few may hold are held by few. The census has to be of everybody. With `touched`, those who alone may
/// come to hold more or less, nobody else is looked at but for what the holders ask once.
pub(crate) fn held_by_few(
    before: Together<'_>,
    after: Together<'_>,
    roles: &BTreeSet<RoleId>,
    mut touched: Option<(&BTreeSet<SubjectRef>, &mut Holders)>,
    now: Timestamp,
) -> Result<(), Error> {
    let limited = roles.iter().filter_map(|id| Some((id, after.state.role(id)?.max_holders?)));
    for (role, limit) in limited {
        let lowered = before.state.role(role).and_then(|role| role.max_holders) != Some(limit);
        let is_too_many = |count: usize| count > usize::try_from(limit).unwrap_or(usize::MAX);
        let refused = |holders, by| Err(Error::TooManyHolders { role: role.clone(), limit, holders, by });
        let Some((touched, holders)) = &mut touched else {
            let have = Held::new(after, role, now).who;
            let more = || lowered || have.len() > Held::new(before, role, now).who.len();
            if is_too_many(have.len()) && more() {
                return refused(have.len(), named(have.keys(), have.len()));
            }
            continue;
        };
        let had = holders.of(before, role, now);
        let (mut gained, mut lost) = (BTreeSet::new(), BTreeSet::new());
        for person in *touched {
            match (had.who.contains_key(person), had.until(after.census, person, now).is_some()) {
                (false, true) => drop(gained.insert(person)),
                (true, false) => drop(lost.insert(person)),
                _ => {}
            }
        }
        let have = had.who.len() + gained.len() - lost.len();
        if is_too_many(have) && (lowered || gained.len() > lost.len()) {
            // Both are in order, so the first of all are among the first of each.
            let stay = had.who.keys().filter(|person| !lost.contains(person)).take(NAMED);
            let first: BTreeSet<&SubjectRef> = stay.chain(gained.iter().copied().take(NAMED)).collect();
            return refused(have, named(first, have));
        }
    }
    Ok(())
}

fn named<'a>(first: impl IntoIterator<Item = &'a SubjectRef>, count: usize) -> Vec<String> {
    let mut named: Vec<String> = first.into_iter().take(NAMED).map(ToString::to_string).collect();
    if count > NAMED {
        named.push(format!("and {} more", count - NAMED));
    }
    named
}

/// Who holds the roles that only few may hold, as far as that was asked: so that it need not be found out anew for each of many changes.
#[derive(Debug, Default)]
pub(crate) struct Holders(BTreeMap<RoleId, Held>);

impl Holders {
    fn of(&mut self, together: Together<'_>, role: &RoleId, now: Timestamp) -> &Held {
        let held = self.0.entry(role.clone()).or_insert_with(|| Held::new(together, role, now));
        if held.next <= now {
            let over: BTreeSet<SubjectRef> =
                held.who.iter().filter(|(_, until)| **until <= now).map(|(who, _)| who.clone()).collect();
            held.take(together.census, &over, now);
            held.next = held.who.values().min().copied().unwrap_or(Timestamp::MAX);
        }
        held
    }

    /// Takes over what people hold who may have come to hold more or less.
    pub(crate) fn take(&mut self, census: &Census<'_>, people: &BTreeSet<SubjectRef>, now: Timestamp) {
        self.0.values_mut().for_each(|held| held.take(census, people, now));
    }
}

/// Who holds a role, or will.
#[derive(Debug)]
struct Held {
    /// The roles by which it is held: itself and those that include it.
    seniors: BTreeSet<RoleId>,
    /// Each with the first instant at which something ends by which it is held.
    who: BTreeMap<SubjectRef, Timestamp>,
    /// No later than the first of those instants.
    next: Timestamp,
}

impl Held {
    fn new(together: Together<'_>, role: &RoleId, now: Timestamp) -> Self {
        let seniors = super::seniors(together.state, role);
        let mut held = Self { seniors, who: BTreeMap::new(), next: Timestamp::MAX };
        for person in together.census.people() {
            if let Some(until) = held.until(together.census, person, now) {
                held.who.insert(person.clone(), until);
            }
        }
        held.next = held.who.values().min().copied().unwrap_or(Timestamp::MAX);
        held
    }

    /// When something ends by which somebody holds the role, or will; `None` if they do not.
    fn until(&self, census: &Census<'_>, person: &SubjectRef, now: Timestamp) -> Option<Timestamp> {
        let when = When::From(now);
        let by = census.ways(person, when).filter(|(held, _)| self.seniors.contains(&held.role));
        by.map(|(held, until)| held.expires_at.unwrap_or(Timestamp::MAX).min(until)).min()
    }

    fn take(&mut self, census: &Census<'_>, people: &BTreeSet<SubjectRef>, now: Timestamp) {
        for person in people {
            match self.until(census, person, now) {
                Some(until) => {
                    self.who.insert(person.clone(), until);
                    self.next = self.next.min(until);
                }
                None => drop(self.who.remove(person)),
            }
        }
    }
}
