//! Which of many rows may be written together.

use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{Author, SubjectRef, Timestamp};

use super::accept::Chunk;
use super::candidate::{Candidate, Weighs};
use crate::rules::Given;
use crate::survey::{Ground, Weighed, Whom};
use crate::{Engine, Error, RbacChange};

/// How many resources what is given away may name, so that it is compared with what the author has in one go.
const SELECTORS: usize = 16;

impl Engine {
    /// Picks the candidates that the rules allow together: all at once, or, where that is refused, half by half down to those that are
    /// the cause. Returns their numbers among the candidates, and why the others are refused.
    pub(super) async fn accept(
        &self,
        chunk: &Chunk<'_>,
        at: Timestamp,
        ground: &mut Ground,
        candidates: &[Candidate],
    ) -> Result<(BTreeSet<usize>, Vec<(usize, Error)>), Error> {
        let (mut accepted, mut refused) = (BTreeSet::new(), Vec::new());
        let mut wanting = vec![(0..candidates.len()).collect::<Vec<usize>>()];
        // What only lacks something that a row after it brings.
        let mut early: Vec<(usize, Error)> = Vec::new();
        let mut tried = 0;
        loop {
            let progress = accepted.len();
            while let Some(run) = wanting.pop() {
                match self.weigh_together(chunk.author, at, ground, candidates, &accepted, &run).await {
                    Ok(()) => accepted.extend(run),
                    Err(Error::Store(error)) => return Err(error.into()),
                    Err(error) => match run.as_slice() {
                        [] => {}
                        [one] if matches!(error, Error::MissingPrerequisite { .. }) => {
                            early.push((*one, error))
                        }
                        [one] => {
                            let place = candidates.get(*one).map_or(0, |candidate| candidate.place);
                            refused.push((place, error));
                        }
                        run => {
                            let (left, right) = run.split_at(run.len() / 2);
                            wanting.extend([right.to_vec(), left.to_vec()]);
                        }
                    },
                }
            }
            if accepted.len() > progress {
                tried = 0;
            }
            // Some may need one another: all of them, or those of one subject.
            let runs = match tried {
                _ if early.is_empty() => break,
                0 => vec![early.iter().map(|(one, _)| *one).collect()],
                1 => by_subject(candidates, &early),
                _ => break,
            };
            tried += 1;
            early.clear();
            wanting.extend(runs.into_iter().rev());
        }
        refused
            .extend(early.into_iter().filter_map(|(one, error)| Some((candidates.get(one)?.place, error))));
        Ok((accepted, refused))
    }

    pub(super) async fn weigh_together(
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
}

/// Candidates by whom they give something.
fn by_subject(candidates: &[Candidate], some: &[(usize, Error)]) -> Vec<Vec<usize>> {
    let mut runs: BTreeMap<Option<&SubjectRef>, Vec<usize>> = BTreeMap::new();
    for (one, _) in some {
        let subject = match candidates.get(*one).map(|candidate| &candidate.weighs) {
            Some(Weighs::Subject(subject)) => Some(subject),
            _ => None,
        };
        runs.entry(subject).or_default().push(*one);
    }
    runs.into_values().collect()
}
