//! The numbers that a process gives to the events it makes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hashbrown::HashMap;
use stanchion_core::{ProducerNumber, Scope, Text};
use uuid::Uuid;

use crate::Shard;

/// Numbers events, densely within each scope: a tenant can tell that none of its own is missing, and learns nothing of how many others
/// have.
///
/// Only what is made once and offered once is numbered. An event that may be offered again has to be the same bytes then, so whoever
/// makes it would have to keep its number with it: events of an outbox, and events that others report, are not numbered here.
#[derive(Debug)]
pub(crate) struct Numbers {
    producer: Text,
    boot: Uuid,
    scopes: RwLock<HashMap<Scope, Arc<Counter>>>,
    /// How many numbers were given to events that were not recorded and that nobody was told of yet.
    undeclared: AtomicU64,
}

#[derive(Debug, Default)]
struct Counter {
    last: AtomicU64,
    /// Numbers of events that were not recorded, as ranges, until that is recorded.
    unused: Mutex<Vec<(u64, u64)>>,
}

/// Numbers of a scope's events that were made and not recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) scope: Scope,
    pub(crate) ranges: Vec<(u64, u64)>,
}

impl Numbers {
    pub(crate) fn new(producer: Text, boot: Uuid) -> Self {
        Self { producer, boot, scopes: RwLock::default(), undeclared: AtomicU64::new(0) }
    }

    /// Takes the next number of a scope: an atomic addition, under a lock that only a scope's first event takes for itself.
    pub(crate) fn take(&self, scope: Scope) -> Option<ProducerNumber> {
        let number = self.counter(scope).last.fetch_add(1, Ordering::Relaxed) + 1;
        ProducerNumber::new(self.producer.clone(), self.boot, number)
    }

    /// Tells that the event of a number is not recorded.
    pub(crate) fn leave(&self, scope: Scope, number: &ProducerNumber) {
        if number.boot() != self.boot || number.producer() != &self.producer {
            return;
        }
        let (counter, number) = (self.counter(scope), number.number());
        let mut unused = counter.unused.lock().unwrap_or_else(PoisonError::into_inner);
        match unused.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => unused.push((number, number)),
        }
        self.undeclared.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells whether there is something to declare.
    pub(crate) fn has_unused(&self) -> bool {
        self.undeclared.load(Ordering::Relaxed) > 0
    }

    /// Takes what is to be declared in a shard.
    pub(crate) fn take_unused(&self, shard: Shard) -> Vec<Unused> {
        let scopes = self.scopes.read().unwrap_or_else(PoisonError::into_inner);
        let unused = |(scope, counter): (&Scope, &Arc<Counter>)| {
            let ranges = std::mem::take(&mut *counter.unused.lock().unwrap_or_else(PoisonError::into_inner));
            let count = ranges.iter().map(|(first, last)| last - first + 1).sum();
            self.undeclared.fetch_sub(count, Ordering::Relaxed);
            (!ranges.is_empty()).then_some(Unused { scope: *scope, ranges })
        };
        scopes.iter().filter(|(scope, _)| shard.has(**scope)).filter_map(unused).collect()
    }

    fn counter(&self, scope: Scope) -> Arc<Counter> {
        if let Some(known) = self.scopes.read().unwrap_or_else(PoisonError::into_inner).get(&scope) {
            return Arc::clone(known);
        }
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(scopes.entry(scope).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_within_a_scope_and_what_is_not_recorded_is_declared_once() {
        let numbers = Numbers::new("a".into(), Uuid::from_u128(1));
        let tenant: Scope = "0192f0c1-2345-7abc-8def-000000000001".parse().unwrap();
        let taken: Vec<_> = (0..4).map(|_| numbers.take(tenant).unwrap()).collect();
        assert_eq!(taken.iter().map(ProducerNumber::number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(numbers.take(Scope::Platform).unwrap().number(), 1);
        assert!(!numbers.has_unused());
        for place in [0, 1, 3] {
            numbers.leave(tenant, &taken[place]);
        }
        let another = ProducerNumber::new("b".into(), Uuid::from_u128(1), 3).unwrap();
        numbers.leave(tenant, &another);
        let of_another_run = ProducerNumber::new("a".into(), Uuid::from_u128(2), 3).unwrap();
        numbers.leave(tenant, &of_another_run);
        assert!(numbers.has_unused());
        assert_eq!(
            numbers.take_unused(Shard::ONLY),
            [Unused { scope: tenant, ranges: vec![(1, 2), (4, 4)] }]
        );
        assert!(!numbers.has_unused() && numbers.take_unused(Shard::ONLY).is_empty());
    }
}
