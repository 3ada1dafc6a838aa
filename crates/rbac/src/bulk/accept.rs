//! A chunk of rows, weighed as one change.

use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{Author, Change, Revision, Scope, StoreErrorKind, SubjectRef, Timestamp};

use super::candidate::{self, Candidate, Standing, Verdict};
use super::import::{BadRows, ImportOptions};
use crate::rules::{Census, Holders};
use crate::survey::Ground;
use crate::{Engine, Error, RbacChange, Record, Role};

/// What became of a chunk.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) written: usize,
    /// The places in the chunk of rows that say what is there already.
    pub(super) unchanged: Vec<usize>,
    pub(super) expired: Vec<usize>,
    pub(super) refused: Vec<(usize, Error)>,
    /// The places of those that are to be tried once more, with the rows that follow, and what they lack as far as that is known.
    pub(super) waiting: BTreeMap<usize, Option<Error>>,
    pub(super) revision: Revision,
    /// What is known of everybody after it, if that had to be read.
    pub(super) ground: Option<Ground>,
}

/// The places of rows of new roles that are left out, with why if it is for themselves.
type Without = BTreeMap<usize, Option<Error>>;

/// What a look at a chunk has found.
struct Look {
    outcome: Outcome,
    candidates: Vec<Candidate>,
    /// The numbers of the candidates that may be written together.
    accepted: BTreeSet<usize>,
}

impl Look {
    /// The places of new roles that do not come into being, although other rows were looked at as if they did.
    fn lost(&self, rows: &[(u64, Record)], ground: &Ground, without: &Without) -> Vec<usize> {
        let written: BTreeSet<usize> =
            self.accepted.iter().filter_map(|number| Some(self.candidates.get(*number)?.place)).collect();
        let is_lost = |(place, (_, record)): (usize, &(u64, Record))| match record {
            Record::Role(role) => {
                let is_new = !ground.state.roles.contains_key(&role.id);
                (is_new && !written.contains(&place) && !without.contains_key(&place)).then_some(place)
            }
            _ => None,
        };
        rows.iter().enumerate().filter_map(is_lost).collect()
    }
}

/// A chunk of rows and where they stand in the file.
pub(super) struct Chunk<'a> {
    pub(super) author: &'a Author,
    pub(super) scope: Scope,
    pub(super) options: &'a ImportOptions,
    pub(super) rows: &'a [(u64, Record)],
    /// How many of them, the first, were tried before.
    pub(super) again: usize,
    /// Whether rows follow in which may be what one of these lacks.
    pub(super) goes_on: bool,
}

impl Engine {
    /// Writes what may be written of a chunk, in one change; again from the start when the scope has moved on meanwhile.
    pub(super) async fn import_chunk(
        &self,
        chunk: &Chunk<'_>,
        mut known: Option<Ground>,
    ) -> Result<Outcome, Error> {
        let mut attempt = 1;
        loop {
            match self.try_chunk(chunk, known.take()).await {
                Err(Error::Store(error))
                    if error.kind() == StoreErrorKind::Conflict && attempt < self.config.write_attempts =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_chunk(&self, chunk: &Chunk<'_>, known: Option<Ground>) -> Result<Outcome, Error> {
        let Chunk { author, scope, options, rows, .. } = *chunk;
        let at = self.clock.now();
        let mut ground = self.ground_for(chunk, known).await?;
        let mut without = Without::new();
        let Look { mut outcome, candidates, accepted } = loop {
            let look = self.look(chunk, at, &mut ground, &without).await?;
            // Rows were looked at as if all new roles came into being. Where one does not, they are looked at without it.
            let lost: Vec<usize> = look.lost(rows, &ground, &without);
            if lost.is_empty() {
                break look;
            }
            for place in lost {
                let why = look.outcome.refused.iter().find(|(refused, _)| *refused == place);
                without.insert(place, why.map(|(_, error)| error.clone()));
            }
        };
        outcome.written = accepted.len();
        chunk.put_off(&mut outcome);
        let (mut changes, mut events) = (Vec::new(), Vec::new());
        for (number, candidate) in candidates.into_iter().enumerate() {
            if accepted.contains(&number) {
                changes.push(RbacChange::Put(candidate.record));
                events.push(candidate.event);
            }
        }
        outcome.revision = ground.state.revision;
        if !changes.is_empty() && !options.dry_run {
            events.push(self.imported(chunk, at, &outcome));
            let (expected, actor) = (ground.state.revision, author.actor.clone());
            let change = Change { expected, changes: changes.clone(), at, actor, events };
            outcome.revision = self.commit(scope, change).await?;
        }
        // What everybody has is kept for the rows that follow only if such rows ask for it: it grows with the scope.
        let is_of_roles =
            |(_, record): &(u64, Record)| matches!(record, Record::Role(_) | Record::Separation(_));
        if ground.whole && (options.dry_run || !rows.iter().any(is_of_roles)) {
            ground.take(&changes, at);
            ground.state.revision = outcome.revision;
            outcome.ground = Some(ground);
        }
        Ok(outcome)
    }

    /// Looks at the rows of a chunk but for some roles, and weighs together what may be written.
    async fn look(
        &self,
        chunk: &Chunk<'_>,
        at: Timestamp,
        ground: &mut Ground,
        without: &Without,
    ) -> Result<Look, Error> {
        let Chunk { author, scope, options, rows, .. } = *chunk;
        let mut outcome = Outcome::default();
        let mut of_roles: Vec<(usize, &Role)> = Vec::new();
        for (place, (_, record)) in rows.iter().enumerate() {
            let Record::Role(role) = record else { continue };
            if let Some(why) = without.get(&place) {
                outcome.refused.extend(why.clone().map(|why| (place, why)));
            } else if ground.state.roles.get(&role.id).is_some_and(|before| before.value == *role) {
                outcome.unchanged.push(place);
            } else {
                of_roles.push((place, role));
            }
        }
        let (state, of_roles, mut refused) =
            candidate::roles(&ground.state, of_roles, author, &self.config.limits);
        outcome.refused.append(&mut refused);
        let mut borne = Vec::with_capacity(of_roles.len());
        for (place, role) in of_roles {
            let bears = match scope {
                Scope::Platform => self.tenants_bear(&ground.state, role, at).await,
                Scope::Tenant(_) => Ok(true),
            };
            match bears {
                Ok(_) => borne.push((place, role)),
                Err(Error::Store(error)) => return Err(error.into()),
                Err(error) => outcome.refused.push((place, error)),
            }
        }
        let stops = options.bad_rows == BadRows::Stop;
        let census = Census::over(&ground.census);
        let mut standing = Standing::new(self, author, at, &ground.state, state, census);
        let mut candidates: Vec<Candidate> =
            borne.into_iter().map(|(place, role)| standing.role(place, role)).collect();
        for (place, (_, record)) in rows.iter().enumerate() {
            if matches!(record, Record::Role(_)) {
                continue;
            }
            match standing.verdict(place, record).await {
                Ok(Verdict::Unchanged) => outcome.unchanged.push(place),
                Ok(Verdict::Expired) => outcome.expired.push(place),
                Ok(Verdict::Write(candidate)) => candidates.push(*candidate),
                Err(Error::Store(error)) => return Err(error.into()),
                Err(error) => {
                    outcome.refused.push((place, error));
                    if stops {
                        break;
                    }
                }
            }
        }
        loop {
            if stops && let Some(first) = first_of(&outcome.refused) {
                candidates.retain(|candidate| candidate.place < first);
            }
            let (accepted, refused) = self.accept(chunk, at, ground, &candidates).await?;
            match first_of(&refused).filter(|_| stops) {
                // Rows before it may have been let pass for the sake of rows below it.
                Some(first) => outcome.refused.extend(refused.into_iter().find(|(place, _)| *place == first)),
                None => {
                    outcome.refused.extend(refused);
                    return Ok(Look { outcome, candidates, accepted });
                }
            }
        }
    }

    /// What a chunk stands on: the roles as they are, and what its rules ask of its subjects, unless it is known.
    async fn ground_for(&self, chunk: &Chunk<'_>, known: Option<Ground>) -> Result<Ground, Error> {
        // What was tried but not written is known here alone.
        if chunk.options.dry_run
            && let Some(known) = known
        {
            return Ok(known);
        }
        let mut ground = self.ground(chunk.scope, &[]).await?;
        if let Some(known) = known.filter(|known| known.state.revision == ground.state.revision) {
            // The platform's roles have revisions of their own.
            let is_same = known.state.platform == ground.state.platform;
            let holders = if is_same { known.holders } else { Holders::default() };
            ground = Ground { state: ground.state, holders, ..known };
        }
        if chunk.options.dry_run {
            self.survey(&mut ground).await?;
        }
        self.ask_about_all(&mut ground, subjects_of(chunk.rows)).await?;
        Ok(ground)
    }

    /// The event that tells of a chunk as a whole; each of its records has one of its own.
    fn imported(&self, chunk: &Chunk<'_>, at: Timestamp, outcome: &Outcome) -> stanchion_core::Event {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let line = |row: Option<&(u64, Record)>| row.map_or(0, |(line, _)| *line);
        self.event(chunk.author, at, chunk.scope, "access.imported", None, None)
            .with_detail("first_line", line(chunk.rows.first()))
            .with_detail("last_line", line(chunk.rows.last()))
            .with_detail("written", count(outcome.written))
            .with_detail("unchanged", count(outcome.unchanged.len()))
            .with_detail("expired", count(outcome.expired.len()))
            .with_detail("refused", count(outcome.refused.len()))
    }
}

impl Chunk<'_> {
    /// Puts off what lacks something that may be in the rows that follow, once. Where an import ends at the first bad row, all that stand
    /// below the one that is put off are put off with it.
    fn put_off(&self, outcome: &mut Outcome) {
        let may_wait =
            |place: usize, error: &Error| self.goes_on && place >= self.again && candidate::may_come(error);
        let (waiting, refused): (Vec<_>, Vec<_>) = std::mem::take(&mut outcome.refused)
            .into_iter()
            .partition(|(place, error)| may_wait(*place, error));
        if self.options.bad_rows != BadRows::Stop {
            outcome.waiting = waiting.into_iter().map(|(place, error)| (place, Some(error))).collect();
            outcome.refused = refused;
        } else if first_of(&refused)
            .is_some_and(|refused| first_of(&waiting).is_none_or(|waits| refused < waits))
        {
            outcome.refused = refused.into_iter().chain(waiting).collect();
        } else if let Some(first) = first_of(&waiting) {
            outcome.unchanged.retain(|place| *place < first);
            outcome.expired.retain(|place| *place < first);
            outcome.waiting = (first..self.rows.len()).map(|place| (place, None)).collect();
        }
    }
}

fn first_of(refused: &[(usize, Error)]) -> Option<usize> {
    refused.iter().map(|(place, _)| *place).min()
}

/// The subjects that rules about some rows ask about.
fn subjects_of(rows: &[(u64, Record)]) -> BTreeSet<SubjectRef> {
    let mut all = BTreeSet::new();
    for (_, record) in rows {
        match record {
            Record::Assignment(held) => drop(all.insert(held.subject.clone())),
            Record::Grant(grant) => drop(all.insert(grant.subject.clone())),
            Record::Denial(denial) => drop(all.insert(denial.subject.clone())),
            Record::Session(session) => drop(all.insert(session.subject.clone())),
            Record::Membership(membership) => {
                all.extend([membership.group.clone(), membership.member.clone()]);
            }
            Record::Role(_) | Record::Separation(_) => {}
        }
    }
    all
}
