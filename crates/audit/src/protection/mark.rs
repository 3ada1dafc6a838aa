use std::fmt;

use stanchion_core::Event;

use super::{DataSubject, FieldPath};

/// That a field of an event is to be protected, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which field.
    pub field: FieldPath,
    /// Whom its value is about; the event's actor if nobody is named.
    pub subject: Option<DataSubject>,
    /// Whether it is to be found by its value.
    pub searchable: bool,
}

impl Mark {
    /// Marks a field, for the event's actor, not to be found by its value.
    #[must_use]
    pub const fn new(field: FieldPath) -> Self {
        Self { field, subject: None, searchable: false }
    }

    /// Names whom the value is about.
    #[must_use]
    pub fn about(self, subject: impl Into<DataSubject>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// Lets it be found by its value.
    #[must_use]
    pub fn searchable(self) -> Self {
        Self { searchable: true, ..self }
    }
}

/// An event some of whose values are to be protected. It is never printed.
#[derive(Clone)]
pub struct Marked {
    pub(crate) event: Event,
    pub(crate) marks: Vec<Mark>,
}

impl Marked {
    /// Marks fields of an event.
    #[must_use]
    pub fn new(event: Event, marks: impl IntoIterator<Item = Mark>) -> Self {
        Self { event, marks: marks.into_iter().collect() }
    }
}

impl fmt::Debug for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marked")
            .field("id", &self.event.id)
            .field("marks", &self.marks)
            .finish_non_exhaustive()
    }
}
