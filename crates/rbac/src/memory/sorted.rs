use std::cmp::Ordering;

use stanchion_core::{Revision, Timestamp, Versioned};

use crate::ResourceSelector;

/// A few records in the order of a key of theirs: in a vector, since nearly all subjects have only a few.
#[derive(Debug)]
pub(super) struct Sorted<T>(pub(super) Vec<Versioned<T>>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Sorted<T> {
    pub(super) fn put(
        &mut self,
        value: T,
        order: impl Fn(&T, &T) -> Ordering,
        revision: Revision,
        at: Timestamp,
    ) {
        match self.0.binary_search_by(|record| order(&record.value, &value)) {
            Ok(place) => {
                if let Some(record) = self.0.get_mut(place) {
                    *record = record.replaced(value, revision, at);
                }
            }
            Err(place) => {
                // One more, not twice as many: there are a great many subjects and few of them grow again.
                self.0.reserve_exact(1);
                self.0.insert(place, Versioned::created(value, revision, at));
            }
        }
    }

    pub(super) fn delete(&mut self, is: impl Fn(&T) -> bool) {
        self.0.retain(|record| !is(&record.value));
        self.0.shrink_to_fit();
    }
}

/// The order of the texts of keys that agree in their subject.
pub(super) fn in_order(
    a: (&str, Option<&ResourceSelector>),
    b: (&str, Option<&ResourceSelector>),
) -> Ordering {
    let text = |resource: Option<&ResourceSelector>| resource.map(ToString::to_string);
    // A name has no letter before the blank that may follow it.
    a.0.cmp(b.0).then_with(|| text(a.1).cmp(&text(b.1)))
}
