use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::{DefaultHashBuilder, HashMap};
use stanchion_core::{Scope, Timestamp};

use super::{CallerName, Violation};
use crate::RuleId;

const SHARDS: usize = 16;

/// A caller who goes beyond limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offender {
    /// Who.
    pub identifiers: CallerName,
    /// How often at most.
    pub violations: u64,
    /// How many of them may have been others' before it was watched: it has caused at least `violations - error`.
    pub error: u64,
    /// The rule it went beyond last.
    pub rule: RuleId,
    /// When that was.
    pub last_at: Timestamp,
}

/// The callers of each scope who go beyond its rules most often, since the process began.
///
/// A space-saving sketch per scope (Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
/// Streams", 2005): so many callers are watched, and a new one takes the place and the number of the one with the fewest violations.
/// Of *n* violations, whoever caused more than *n* divided by that many is among them, and no number is too high by more.
#[derive(Debug)]
pub struct Offenders {
    shards: Box<[Mutex<HashMap<Scope, Sketch>>]>,
    watched: usize,
    scopes_of_shard: usize,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Sketch {
    /// Beside each offender the hash of its identifiers, and its number: what is searched through lies close together.
    hashes: Vec<u64>,
    violations: Vec<u64>,
    offenders: Vec<Watched>,
    last_at: Timestamp,
}

#[derive(Debug)]
struct Watched {
    identifiers: CallerName,
    error: u64,
    rule: RuleId,
    last_at: Timestamp,
}

impl Offenders {
    /// Starts with none: so many callers are watched in each of so many scopes.
    #[must_use]
    pub fn new(watched: NonZeroUsize, scopes: NonZeroUsize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            watched: watched.get(),
            scopes_of_shard: scopes.get().div_ceil(SHARDS),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Counts a violation against its caller.
    pub fn add(&self, violation: &Violation) {
        let hash = self.hasher.hash_one(violation.identifiers.as_str());
        let mut shard = self.shard(violation.scope);
        if !shard.contains_key(&violation.scope) && shard.len() >= self.scopes_of_shard {
            let quietest = shard.iter().min_by_key(|(_, sketch)| sketch.last_at).map(|(scope, _)| *scope);
            quietest.map(|scope| shard.remove(&scope));
        }
        shard.entry(violation.scope).or_insert_with(Sketch::new).add(hash, violation, self.watched);
    }

    /// Returns the worst of a scope, at most so many, those with most violations first.
    #[must_use]
    pub fn top(&self, scope: Scope, count: usize) -> Vec<Offender> {
        let shard = self.shard(scope);
        let Some(sketch) = shard.get(&scope) else { return Vec::new() };
        let offender = |(watched, violations): (&Watched, &u64)| Offender {
            identifiers: watched.identifiers.clone(),
            violations: *violations,
            error: watched.error,
            rule: watched.rule.clone(),
            last_at: watched.last_at,
        };
        let mut offenders: Vec<_> = sketch.offenders.iter().zip(&sketch.violations).map(offender).collect();
        drop(shard);
        offenders.sort_by(|one, other| {
            let by_number = other.violations.cmp(&one.violations);
            by_number.then(one.error.cmp(&other.error)).then_with(|| one.identifiers.cmp(&other.identifiers))
        });
        offenders.truncate(count);
        offenders
    }

    /// Forgets the violations of a scope.
    pub fn forget(&self, scope: Scope) {
        self.shard(scope).remove(&scope);
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is less than the number of shards")]
    fn shard(&self, scope: Scope) -> MutexGuard<'_, HashMap<Scope, Sketch>> {
        let shard = usize::try_from(self.hasher.hash_one(scope) >> 32).unwrap_or(0) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sketch {
    const fn new() -> Self {
        Self { hashes: Vec::new(), violations: Vec::new(), offenders: Vec::new(), last_at: Timestamp::MIN }
    }

    fn add(&mut self, hash: u64, violation: &Violation, most: usize) {
        self.last_at = self.last_at.max(violation.at);
        let at = match self.find(hash, &violation.identifiers) {
            Some(at) => at,
            None if self.offenders.len() < most => {
                self.hashes.push(hash);
                self.violations.push(0);
                self.offenders.push(Watched::new(violation, 0));
                self.offenders.len() - 1
            }
            None => {
                let fewest = self.violations.iter().enumerate().min_by_key(|(_, number)| **number);
                let Some((at, error)) = fewest.map(|(at, number)| (at, *number)) else { return };
                if let (Some(known), Some(watched)) = (self.hashes.get_mut(at), self.offenders.get_mut(at)) {
                    (*known, *watched) = (hash, Watched::new(violation, error));
                }
                at
            }
        };
        if let (Some(number), Some(watched)) = (self.violations.get_mut(at), self.offenders.get_mut(at)) {
            *number += 1;
            watched.last_at = watched.last_at.max(violation.at);
            if watched.rule != violation.rule {
                watched.rule = violation.rule.clone();
            }
        }
    }

    fn find(&self, hash: u64, identifiers: &CallerName) -> Option<usize> {
        let is_wanted =
            |at: &usize| self.offenders.get(*at).is_some_and(|one| one.identifiers == *identifiers);
        let candidates = self.hashes.iter().enumerate().filter(|(_, known)| **known == hash);
        candidates.map(|(at, _)| at).find(is_wanted)
    }
}

impl Watched {
    fn new(violation: &Violation, error: u64) -> Self {
        Self {
            identifiers: violation.identifiers.clone(),
            error,
            rule: violation.rule.clone(),
            last_at: violation.at,
        }
    }
}
