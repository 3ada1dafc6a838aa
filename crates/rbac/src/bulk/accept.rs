//! A chunk of rows, weighed as one change.

use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{Author, Change, Revision, Scope, StoreErrorKind, SubjectRef, Timestamp};

use super::candidate::{self, Candidate, Standing, Verdict, Weighs};
use super::import::{BadRows, ImportOptions};
use crate::rules::{Census, Given, Holders};
use crate::survey::{Ground, Weighed, Whom};
use crate::{Engine, Error, RbacChange, Record, Role};

/// How many resources what is given away may name, so that it is compared with what the author has in one go.
const SELECTORS: usize = 16;

/// What became of a chunk.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) written: usize,
    pub(super) unchanged: usize,
    /// By their places in the chunk.
    pub(super) refused: Vec<(usize, Error)>,
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
        let Chunk { author, scope, options, rows } = *chunk;
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
        let Chunk { author, scope, options, rows } = *chunk;
        let mut outcome = Outcome::default();
        let mut of_roles: Vec<(usize, &Role)> = Vec::new();
        for (place, (_, record)) in rows.iter().enumerate() {
            let Record::Role(role) = record else { continue };
            if let Some(why) = without.get(&place) {
                outcome.refused.extend(why.clone().map(|why| (place, why)));
            } else if ground.state.roles.get(&role.id).is_some_and(|before| before.value == *role) {
                outcome.unchanged += 1;
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
                Ok(Verdict::Unchanged) => outcome.unchanged += 1,
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
        if stops && let Some(first) = outcome.refused.iter().map(|(place, _)| *place).min() {
            candidates.retain(|candidate| candidate.place < first);
        }
        let accepted = self.accept(chunk, at, ground, &candidates, &mut outcome.refused).await?;
        Ok(Look { outcome, candidates, accepted })
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

    /// Picks the candidates that the rules allow together: all at once, or, where that is refused, half by half down to those that are
    /// the cause. Returns their places among the candidates.
    async fn accept(
        &self,
        chunk: &Chunk<'_>,
        at: Timestamp,
        ground: &mut Ground,
        candidates: &[Candidate],
        refused: &mut Vec<(usize, Error)>,
    ) -> Result<BTreeSet<usize>, Error> {
        let stops = chunk.options.bad_rows == BadRows::Stop;
        let mut accepted = BTreeSet::new();
        let mut wanting = vec![(0..candidates.len()).collect::<Vec<usize>>()];
        // What only lacks something that a row after it brings.
        let mut early: Vec<(usize, Error)> = Vec::new();
        loop {
            let progress = accepted.len();
            while let Some(run) = wanting.pop() {
                match self.weigh_together(chunk.author, at, ground, candidates, &accepted, &run).await {
                    Ok(()) => accepted.extend(run),
                    Err(Error::Store(error)) => return Err(error.into()),
                    Err(error) => match run.as_slice() {
                        [] => {}
                        [one] if matches!(error, Error::MissingPrerequisite { .. }) && !stops => {
                            early.push((*one, error));
                        }
                        [one] => {
                            let place = candidates.get(*one).map_or(0, |candidate| candidate.place);
                            refused.push((place, error));
                            if stops {
                                return Ok(accepted);
                            }
                        }
                        run => {
                            let (left, right) = run.split_at(run.len() / 2);
                            wanting.extend([right.to_vec(), left.to_vec()]);
                        }
                    },
                }
            }
            if early.is_empty() || accepted.len() == progress {
                break;
            }
            wanting.extend(early.drain(..).rev().map(|(one, _)| vec![one]));
        }
        refused
            .extend(early.into_iter().filter_map(|(one, error)| Some((candidates.get(one)?.place, error))));
        Ok(accepted)
    }

    async fn weigh_together(
        &self,
        author: &Author,
        at: Timestamp,
        ground: &mut Ground,
        candidates: &[Candidate],
        accepted: &BTreeSet<usize>,
        run: &[usize],
    ) -> Result<(), Error> {
        let picked = |places: &mut dyn Iterator<Item = usize>| -> Vec<&Candidate> {
            places.filter_map(|place| candidates.get(place)).collect()
        };
        let new = picked(&mut run.iter().copied());
        if new.iter().all(|candidate| candidate.weighs == Weighs::Nobody) {
            return Ok(());
        }
        let all = picked(&mut accepted.iter().copied().chain(run.iter().copied()));
        let changes: Vec<RbacChange> =
            all.iter().map(|candidate| RbacChange::Put(candidate.record.clone())).collect();
        let mut subjects: BTreeSet<&SubjectRef> = BTreeSet::new();
        let mut everybody = false;
        for candidate in &all {
            match &candidate.weighs {
                Weighs::Nobody => {}
                Weighs::Subject(subject) => drop(subjects.insert(subject)),
                Weighs::Everybody => everybody = true,
            }
        }
        let whom = if everybody { Whom::Everybody } else { Whom::These(subjects.into_iter().collect()) };
        let roles: BTreeSet<_> = all.iter().flat_map(|candidate| candidate.roles.iter().cloned()).collect();
        let given: BTreeSet<Given> = new.iter().filter_map(|candidate| candidate.given.clone()).collect();
        let given: Vec<Given> = given.into_iter().collect();
        if self.config.guards.self_elevation {
            // Each resource is looked at with each permission.
            for some in given.chunks(SELECTORS) {
                let (whom, roles) = (whom.clone(), roles.clone());
                let weighed = Weighed { changes: &changes, whom, roles, given: some.to_vec() };
                self.weigh(author, at, ground, weighed).await?;
            }
            if !given.is_empty() {
                return Ok(());
            }
        }
        self.weigh(author, at, ground, Weighed { changes: &changes, whom, roles, given }).await
    }

    /// The event that tells of a chunk as a whole; each of its records has one of its own.
    fn imported(&self, chunk: &Chunk<'_>, at: Timestamp, outcome: &Outcome) -> stanchion_core::Event {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let line = |row: Option<&(u64, Record)>| row.map_or(0, |(line, _)| *line);
        self.event(chunk.author, at, chunk.scope, "access.imported", None, None)
            .with_detail("first_line", line(chunk.rows.first()))
            .with_detail("last_line", line(chunk.rows.last()))
            .with_detail("written", count(outcome.written))
            .with_detail("unchanged", count(outcome.unchanged))
            .with_detail("refused", count(outcome.refused.len()))
    }
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
