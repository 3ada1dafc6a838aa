use std::collections::{HashMap, VecDeque};

use stanchion_core::Timestamp;

use crate::{CallId, Slot};

/// The calls that can still be settled.
#[derive(Debug, Default)]
pub(super) struct Holds {
    until: HashMap<(Slot, CallId), Timestamp>,
    /// In the order in which they were made, to find those that have ended.
    made: VecDeque<(Slot, CallId)>,
}

impl Holds {
    /// Tells whether there is room for one more, and lets go of what has ended.
    pub(super) fn has_room(&mut self, capacity: usize, now: Timestamp) -> bool {
        while let Some(first) = self.made.front() {
            if self.until.get(first).is_some_and(|until| *until > now) {
                break;
            }
            if let Some(first) = self.made.pop_front() {
                self.until.remove(&first);
            }
        }
        if self.until.len() >= capacity {
            // Longer ones stand before those that have ended.
            self.until.retain(|_, until| *until > now);
        }
        if self.made.len() > 2 * capacity {
            let Self { until, made } = self;
            made.retain(|hold| until.contains_key(hold));
        }
        self.until.len() < capacity
    }

    pub(super) fn add(&mut self, slot: Slot, id: CallId, until: Timestamp) {
        self.until.insert((slot, id), until);
        self.made.push_back((slot, id));
    }

    /// Tells whether a hold was made and has not ended.
    pub(super) fn lasts(&self, slot: Slot, id: CallId, now: Timestamp) -> bool {
        self.until.get(&(slot, id)).is_some_and(|until| *until > now)
    }

    pub(super) fn end(&mut self, slot: Slot, id: CallId) {
        self.until.remove(&(slot, id));
    }
}
