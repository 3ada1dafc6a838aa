//! What a row would write, looked at by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stanchion_core::{Author, Event, Scope, SubjectKind, SubjectRef, Timestamp, Versioned};

use crate::graph::Graph;
use crate::rules::{self, Census, Given, State, When};
use crate::{
    Assignment, Denial, Duty, Engine, Error, Grant, Membership, OverDenial, Record, RecordKind, Role, RoleId,
    Separation, Session,
};

/// A record that may be written, if the whole is allowed.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The place of its row in the chunk.
    pub(super) place: usize,
    pub(super) record: Record,
    pub(super) event: Event,
    pub(super) weighs: Weighs,
    /// The roles that somebody may come to hold.
    pub(super) roles: BTreeSet<RoleId>,
    pub(super) given: Option<Given>,
}

/// Who may come to have more or less by a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Weighs {
    Nobody,
    Subject(SubjectRef),
    Everybody,
}

/// What a row turns out to be.
#[derive(Debug)]
pub(super) enum Verdict {
    Unchanged,
    /// It has expired, and nothing stands there that still counts.
    Expired,
    Write(Box<Candidate>),
}

impl From<Candidate> for Verdict {
    fn from(candidate: Candidate) -> Self {
        Self::Write(Box::new(candidate))
    }
}

/// What rows are looked at against: the scope as the rows before would leave it.
pub(super) struct Standing<'a> {
    pub(super) engine: &'a Engine,
    pub(super) author: &'a Author,
    pub(super) scope: Scope,
    pub(super) at: Timestamp,
    /// As it is.
    pub(super) base: &'a State,
    /// With the roles and separations of the rows before; what is refused of them only as part of the whole counts here.
    pub(super) state: State,
    /// What is known of the subjects of the rows, with what the rows before would write.
    pub(super) census: Census<'a>,
    /// The roles that each includes, as far as somebody asked.
    closures: BTreeMap<RoleId, BTreeSet<RoleId>>,
    /// Whether it matters to a rule which roles come to be held.
    limited: bool,
}

impl<'a> Standing<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        author: &'a Author,
        at: Timestamp,
        base: &'a State,
        state: State,
        census: Census<'a>,
    ) -> Self {
        let mut all = state.roles.values().chain(state.platform.values());
        let limited = all.any(|role| role.value.max_holders.is_some());
        let (scope, closures) = (base.scope, BTreeMap::new());
        Self { engine, author, scope, at, base, state, census, closures, limited }
    }

    /// Looks at a row that is no role.
    pub(super) async fn verdict(&mut self, place: usize, record: &Record) -> Result<Verdict, Error> {
        let verdict = match record {
            Record::Assignment(assignment) => self.assignment(assignment)?,
            Record::Grant(grant) => self.grant(grant)?,
            Record::Denial(denial) => self.denial(denial)?,
            Record::Membership(membership) => self.membership(membership)?,
            Record::Separation(separation) => self.separation(separation).await?,
            Record::Session(session) => self.session(session).await?,
            Record::Role(_) => Verdict::Unchanged,
        };
        let Verdict::Write(mut candidate) = verdict else { return Ok(verdict) };
        candidate.place = place;
        match &candidate.record {
            Record::Separation(separation) => {
                let written = Versioned::created(separation.clone(), self.base.revision, self.at);
                self.state.separations.insert(separation.id.clone(), written);
            }
            record => self.census.put(record),
        }
        Ok(Verdict::Write(candidate))
    }

    /// Tells whether a row that ends then is history, and what stands there ends too. What still counts is not left in silence to a row
    /// that says it has ended.
    fn is_over(&self, row: Option<Timestamp>, before: Option<Option<Timestamp>>) -> bool {
        let is_over =
            |expires_at: Option<Timestamp>| expires_at.is_some_and(|expires_at| expires_at <= self.at);
        is_over(row) && before.is_none_or(is_over)
    }

    fn closure(&mut self, roles: impl IntoIterator<Item = RoleId>) -> BTreeSet<RoleId> {
        if !self.limited {
            return BTreeSet::new();
        }
        let mut all = BTreeSet::new();
        for role in roles {
            let state = &self.state;
            let found = self.closures.entry(role).or_insert_with_key(|role| Graph::of(state).closure(role));
            all.extend(found.iter().cloned());
        }
        all
    }

    fn assignment(&mut self, row: &Assignment) -> Result<Verdict, Error> {
        let known = self.census.of(&row.subject);
        let is_it = |held: &&Assignment| (&held.role, &held.resource) == (&row.role, &row.resource);
        let before = known.assignments.iter().find(is_it).cloned();
        let mut wanted = row.clone();
        wanted.granted_by = self.giver(row.granted_by.as_ref());
        if let Some(before) = &before {
            // Who gave it does not make it another assignment, or each repetition would write everything anew.
            let by_whoever = || Assignment { granted_by: before.granted_by.clone(), ..row.clone() };
            if *before == wanted || (!self.restores(row.granted_by.is_some()) && *before == by_whoever()) {
                return Ok(Verdict::Unchanged);
            }
        }
        if self.is_over(row.expires_at, before.as_ref().map(|before| before.expires_at)) {
            return Ok(Verdict::Expired);
        }
        rules::assign(&self.state, known, &wanted, self.at, &self.engine.config.limits)?;
        let event = self.engine.assigned(self.author, self.at, self.scope, before.as_ref(), &wanted);
        let roles = self.closure([wanted.role.clone()]);
        let given = Given::Role(wanted.role.clone(), wanted.resource.clone());
        let weighs = Weighs::Subject(wanted.subject.clone());
        Ok(Candidate { place: 0, record: wanted.into(), event, weighs, roles, given: Some(given) }.into())
    }

    fn grant(&mut self, row: &Grant) -> Result<Verdict, Error> {
        let known = self.census.of(&row.subject);
        let is_it = |had: &&Grant| (&had.permission, &had.resource) == (&row.permission, &row.resource);
        let before = known.grants.iter().find(is_it).cloned();
        if let Some(before) = &before {
            let mut same = row.clone();
            if !self.restores(row.granted_by.is_some()) {
                same.granted_by.clone_from(&before.granted_by);
            }
            if !rules::is_system(self.author) && row.emergency.is_some() == before.emergency.is_some() {
                // Whether it is approved is not for the row to say, and its end is not put off by saying none.
                same.emergency.clone_from(&before.emergency);
                same.expires_at = same.expires_at.or(before.expires_at.filter(|_| row.emergency.is_some()));
            }
            if *before == same {
                return Ok(Verdict::Unchanged);
            }
        }
        if self.is_over(row.expires_at, before.as_ref().map(|before| before.expires_at)) {
            return Ok(Verdict::Expired);
        }
        let mut wanted = row.clone();
        if !rules::is_system(self.author) {
            wanted = rules::in_emergency(wanted, self.at, &self.engine.config.emergency)?;
        }
        wanted.granted_by = self.giver(row.granted_by.as_ref());
        let limits = &self.engine.config.limits;
        rules::grant(self.scope, &self.census, &wanted, OverDenial::Refuse, self.at, limits)?;
        let event = self.engine.told(self.author, self.at, self.scope, "grant.put", before.as_ref(), &wanted);
        let given = Given::Permission(wanted.permission.clone(), wanted.resource.clone());
        let weighs = Weighs::Subject(wanted.subject.clone());
        let roles = BTreeSet::new();
        Ok(Candidate { place: 0, record: wanted.into(), event, weighs, roles, given: Some(given) }.into())
    }

    fn denial(&mut self, row: &Denial) -> Result<Verdict, Error> {
        let known = self.census.of(&row.subject);
        let is_it = |one: &&Denial| (&one.permission, &one.resource) == (&row.permission, &row.resource);
        let before = known.denials.iter().find(is_it).cloned();
        if before.as_ref() == Some(row) {
            return Ok(Verdict::Unchanged);
        }
        rules::deny(self.scope, known, row, &self.engine.config.limits)?;
        let event = self.engine.denied(self.author, self.at, self.scope, before.as_ref(), row);
        let weighs = Weighs::Subject(row.subject.clone());
        let (record, roles) = (row.clone().into(), BTreeSet::new());
        Ok(Candidate { place: 0, record, event, weighs, roles, given: None }.into())
    }

    fn membership(&mut self, row: &Membership) -> Result<Verdict, Error> {
        let known = self.census.of(&row.member);
        let before = known.memberships.iter().find(|one| one.group == row.group).cloned();
        if before.as_ref() == Some(row) {
            return Ok(Verdict::Unchanged);
        }
        if self.is_over(row.expires_at, before.as_ref().map(|before| before.expires_at)) {
            return Ok(Verdict::Expired);
        }
        rules::add_member(&self.census, row, self.at, &self.engine.config.limits)?;
        let event = self.engine.joined(self.author, self.at, self.scope, before.as_ref(), row);
        let held = self.census.roles(&row.group, When::From(self.at));
        let roles = self.closure(held);
        let (weighs, given) = (Weighs::Subject(row.member.clone()), Some(Given::Group(row.group.clone())));
        Ok(Candidate { place: 0, record: row.clone().into(), event, weighs, roles, given }.into())
    }

    async fn separation(&self, row: &Separation) -> Result<Verdict, Error> {
        let before = self.base.separations.get(&row.id).map(|before| &before.value);
        if before == Some(row) {
            return Ok(Verdict::Unchanged);
        }
        rules::put_separation(&self.state, row, &self.engine.config.limits)?;
        let (weighs, roles) = match row.duty {
            Duty::Static => (Weighs::Everybody, self.state.roles.keys().cloned().collect()),
            Duty::Dynamic => {
                self.engine.sessions_stay_apart(&self.state, row, self.at).await?;
                (Weighs::Nobody, BTreeSet::new())
            }
        };
        let event = self.engine.separated(self.author, self.at, self.scope, before, row);
        Ok(Candidate { place: 0, record: row.clone().into(), event, weighs, roles, given: None }.into())
    }

    async fn session(&self, row: &Session) -> Result<Verdict, Error> {
        let before = self.engine.store.get_session(self.scope, row.id).await?.map(|before| before.value);
        if before.as_ref() == Some(row) {
            return Ok(Verdict::Unchanged);
        }
        if row.subject.kind() == SubjectKind::Group {
            let what = "has no sessions; its members have";
            return Err(Error::UnfitSubject { kind: row.subject.kind(), what });
        }
        if before.as_ref().is_some_and(|before| before.subject != row.subject) {
            let what = format!("`subject` of session {}", row.id);
            return Err(Error::Invalid { what, rule: "stays whose it is; give the session another id" });
        }
        if self.is_over(Some(row.expires_at), before.as_ref().map(|before| Some(before.expires_at))) {
            return Ok(Verdict::Expired);
        }
        if row.expires_at <= self.at {
            return Err(Error::NeverValid { what: "session", why: "it has expired already" });
        }
        let max_minutes = self.engine.config.sessions.max_minutes;
        if row.expires_at > self.at.plus(Duration::from_secs(60 * u64::from(max_minutes))) {
            return Err(Error::TooLong { what: "a session", max_minutes });
        }
        if before.is_none() {
            let limit = self.engine.config.limits.sessions;
            let all = self.engine.all_sessions(self.scope, &row.subject).await?;
            let standing = all.iter().filter(|session| session.value.expires_at > self.at).count();
            if standing >= limit {
                return Err(Error::TooMany { what: "sessions of a subject", limit });
            }
        }
        let had = before.as_ref().map(|before| before.active.clone()).unwrap_or_default();
        let newly: BTreeSet<RoleId> = row.active.difference(&had).cloned().collect();
        rules::put_session(&self.state, &self.census, row, &newly, self.at)?;
        let action = if before.is_some() { "session.changed" } else { "session.created" };
        let event = self.engine.of_session(self.author, self.at, self.scope, action, row);
        let (weighs, roles) = (Weighs::Nobody, BTreeSet::new());
        Ok(Candidate { place: 0, record: row.clone().into(), event, weighs, roles, given: None }.into())
    }

    /// Looks at a role that the rules of roles have let pass.
    pub(super) fn role(&self, place: usize, row: &Role) -> Candidate {
        let before = self.base.roles.get(&row.id).map(|before| &before.value);
        let event = self.engine.defined(self.author, self.at, self.scope, before, row);
        let (mut weighs, mut roles, mut given) = (Weighs::Nobody, BTreeSet::new(), None);
        if self.engine.may_matter(&self.state, self.author, before, row) {
            weighs = Weighs::Everybody;
            roles = Graph::of(&self.state).closure(&row.id);
            roles.append(&mut rules::seniors(&self.state, &row.id));
            if !before.is_some_and(|before| crate::admin::is_within(before, row)) {
                given = Some(Given::Role(row.id.clone(), None));
            }
        }
        Candidate { place, record: row.clone().into(), event, weighs, roles, given }
    }

    /// Who gave what a row writes. Only Stanchion itself may say that it was somebody else.
    fn giver(&self, said: Option<&stanchion_core::Actor>) -> Option<stanchion_core::Actor> {
        let said = said.filter(|_| rules::is_system(self.author));
        Some(said.unwrap_or(&self.author.actor).clone())
    }

    /// Whether who gave it is taken from the row.
    fn restores(&self, said: bool) -> bool {
        said && rules::is_system(self.author)
    }
}

/// Something of a row, with its place in the chunk.
pub(super) type Placed<T> = (usize, T);

/// Takes those roles of a chunk that may be written, together: a row may need another. Returns the state with them, and why the others
/// may not be.
pub(super) fn roles<'r>(
    base: &State,
    rows: Vec<Placed<&'r Role>>,
    author: &Author,
    limits: &crate::Limits,
) -> (State, Vec<Placed<&'r Role>>, Vec<Placed<Error>>) {
    let (mut state, mut rows, mut refused) = (base.clone(), rows, Vec::new());
    let written = |role: &Role| Versioned::created(role.clone(), base.revision, Timestamp::EPOCH);
    for (_, role) in &rows {
        state.roles.insert(role.id.clone(), written(role));
    }
    // How many there are is looked at when those are gone that are wrong by themselves.
    let each = crate::Limits { roles: usize::MAX, ..limits.clone() };
    loop {
        let before = rows.len();
        for index in (0..rows.len()).rev() {
            let Some((place, role)) = rows.get(index).copied() else { continue };
            match base.roles.get(&role.id) {
                Some(standing) => state.roles.insert(role.id.clone(), standing.clone()),
                None => state.roles.remove(&role.id),
            };
            match rules::put_role(&state, role, author, None, &each) {
                Ok(()) => drop(state.roles.insert(role.id.clone(), written(role))),
                Err(error) => {
                    refused.push((place, error));
                    rows.remove(index);
                }
            }
        }
        if rows.len() < before {
            continue;
        }
        let is_new = |(_, role): &(usize, &Role)| !base.roles.contains_key(&role.id);
        while state.roles.len() > limits.roles
            && let Some(index) = rows.iter().rposition(is_new)
        {
            let (place, role) = rows.remove(index);
            state.roles.remove(&role.id);
            refused.push((place, Error::TooMany { what: "roles", limit: limits.roles }));
        }
        if rows.len() == before {
            return (state, rows, refused);
        }
    }
}

/// Tells whether what a row lacks may be what a row after it brings.
pub(super) const fn may_come(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownRole(_)
            | Error::UnknownInclude { .. }
            | Error::UnfitRequirement { .. }
            | Error::MissingPrerequisite { .. }
            | Error::RoleNotHeld { .. }
    )
}

/// Which part of a record an error is about.
pub(super) fn field(kind: RecordKind, error: &Error) -> Option<&'static str> {
    let roles = match kind {
        RecordKind::Separation => "roles",
        RecordKind::Session => "active",
        _ => "role",
    };
    Some(match error {
        Error::UnknownRole(_) => roles,
        Error::RoleNotHeld { .. } => "active",
        Error::MissingPrerequisite { .. } | Error::TooManyHolders { .. } => "role",
        Error::Separated { .. } => roles,
        Error::UnknownInclude { .. } | Error::Cycle { .. } | Error::TooDeep { .. } => "includes",
        Error::UnfitRequirement { .. } => "requires",
        Error::ReservedRole(_) => "id",
        Error::SystemRole(_) => "system",
        Error::BeyondTenant(_) if kind == RecordKind::Role => "permissions",
        Error::BeyondTenant(_) | Error::DenialStands { .. } => "permission",
        Error::UnfitSubject { .. } if kind == RecordKind::Membership => "member",
        Error::UnfitSubject { .. } => "subject",
        Error::NeverValid { .. } | Error::TooLong { .. } => "expires_at",
        Error::ReasonMissing => "reason",
        _ => return None,
    })
}
