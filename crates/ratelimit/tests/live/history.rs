use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The versions of one rule, when each was written, and how far they have been seen.
pub(crate) struct History {
    /// Shared by everything that happens: what has ended before something begins has a lower number.
    instants: Arc<AtomicU64>,
    limit: fn(usize) -> u64,
    versions: Mutex<Vec<Version>>,
    /// Whether a version may be gone by after it was replaced, as by a replica that has not heard of it.
    is_late: bool,
    /// The latest that a decision which has ended went by.
    seen: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Version {
    is_there: bool,
    /// How often the rule had been put where it was not: its counters began then.
    life: usize,
    began: u64,
    ended: Option<u64>,
    was_seen: bool,
}

/// How a decision found the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Absent,
    Limit(u64),
}

/// A decision that has begun.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    at: u64,
    /// No version before this one may be gone by.
    least: usize,
}

impl History {
    /// Begins with version zero, which is there.
    pub(crate) fn new(instants: Arc<AtomicU64>, limit: fn(usize) -> u64) -> Self {
        let first = Version { is_there: true, life: 0, began: 0, ended: Some(0), was_seen: false };
        Self { instants, limit, versions: Mutex::new(vec![first]), is_late: false, seen: AtomicUsize::new(0) }
    }

    /// Begins with version zero, which is that there is no rule.
    pub(crate) fn absent(instants: Arc<AtomicU64>, limit: fn(usize) -> u64) -> Self {
        let history = Self::new(instants, limit);
        history.versions()[0].is_there = false;
        history
    }

    /// Allows for a replica that hears of changes later.
    pub(crate) fn late(self) -> Self {
        Self { is_late: true, ..self }
    }

    fn versions(&self) -> MutexGuard<'_, Vec<Version>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instant(&self) -> u64 {
        self.instants.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Writes the next version.
    pub(crate) fn write(&self, is_there: bool, write: impl FnOnce(usize)) {
        let version = {
            let mut versions = self.versions();
            let last = versions[versions.len() - 1];
            let life = last.life + usize::from(is_there && !last.is_there);
            versions.push(Version { is_there, life, began: self.instant(), ended: None, was_seen: false });
            versions.len() - 1
        };
        write(version);
        self.versions()[version].ended = Some(self.instant());
    }

    pub(crate) fn begin(&self) -> Begun {
        // First what has been seen, then the instant: whoever saw it has ended by now.
        let least = self.seen.load(Ordering::SeqCst);
        Begun { at: self.instant(), least }
    }

    /// Finds the version that a decision went by, and stops at one that it may not have gone by.
    pub(crate) fn end(&self, begun: Begun, seen: Seen) -> usize {
        let end = self.instant();
        let mut versions = self.versions();
        let was_in_force = |version: usize| {
            let replaced = versions.get(version + 1).and_then(|next| next.ended);
            versions[version].began < end && (self.is_late || replaced.is_none_or(|ended| ended > begun.at))
        };
        // Absence looks the same each time. The latest that it may have been is the one that demands the least.
        let mut found = (begun.least..versions.len())
            .rev()
            .filter(|version| self.looks_like(&versions, *version, seen) && was_in_force(*version));
        let (found, another) = (found.next(), found.next());
        let Some(found) = found else {
            let shown: Vec<_> = versions
                .iter()
                .enumerate()
                .map(|(number, one)| (number, one.is_there, (self.limit)(number), one.began, one.ended))
                .collect();
            panic!("{seen:?} from {} to {end}, after version {}: {shown:?}", begun.at, begun.least);
        };
        versions[found].was_seen = true;
        // What is only perhaps this version obliges nobody after it.
        if another.is_none() {
            self.seen.fetch_max(found, Ordering::SeqCst);
        }
        found
    }

    pub(crate) fn life_of(&self, version: usize) -> usize {
        self.versions()[version].life
    }

    pub(crate) fn versions_seen(&self) -> usize {
        self.versions().iter().filter(|version| version.was_seen).count()
    }

    /// Whether a decision has gone by the last version, or one that looks like it.
    pub(crate) fn is_seen_to_the_end(&self) -> bool {
        self.versions().last().is_some_and(|last| last.was_seen)
    }

    fn looks_like(&self, versions: &[Version], version: usize, seen: Seen) -> bool {
        match (versions[version].is_there, seen) {
            (true, Seen::Limit(limit)) => limit == (self.limit)(version),
            (false, Seen::Absent) => true,
            _ => false,
        }
    }
}
