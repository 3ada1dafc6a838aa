use std::sync::Arc;

use stanchion_core::{Revision, Timestamp};

use crate::view::{Place, View};
use crate::{Permission, RoleId, SubjectRecords};

/// What one subject holds in a scope, with its roles found in a view. There are a great many of these: most are a few numbers.
#[derive(Clone, Debug)]
pub(crate) struct Holdings {
    pub(crate) revision: Revision,
    pub(crate) view: Arc<View>,
    /// Where the roles that it holds stand.
    places: Places,
    more: Option<Box<More>>,
}

/// The places of roles; a few need no memory of their own.
#[derive(Clone, Debug)]
enum Places {
    Few { count: u8, places: [Place; 5] },
    Many(Box<[Place]>),
}

impl Places {
    fn as_slice(&self) -> &[Place] {
        match self {
            Self::Few { count, places } => places.get(..usize::from(*count)).unwrap_or_default(),
            Self::Many(places) => places,
        }
    }
}

impl FromIterator<Place> for Places {
    fn from_iter<I: IntoIterator<Item = Place>>(all: I) -> Self {
        let all: Vec<Place> = all.into_iter().collect();
        let mut places = [Place::NOWHERE; 5];
        match (places.get_mut(..all.len()), u8::try_from(all.len())) {
            (Some(few), Ok(count)) => {
                few.copy_from_slice(&all);
                Self::Few { count, places }
            }
            _ => Self::Many(all.into()),
        }
    }
}

/// What few subjects have.
#[derive(Clone, Debug)]
struct More {
    /// By place, if one of the roles is not held for good.
    spans: Box<[Span]>,
    denials: Box<[Permission]>,
}

/// When a role that is held counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first instant at which it counts.
    pub(crate) from: Timestamp,
    /// The first instant at which it no longer counts; [`Timestamp::MAX`] for never.
    pub(crate) until: Timestamp,
}

impl Span {
    pub(crate) const FOR_GOOD: Self = Self { from: Timestamp::MIN, until: Timestamp::MAX };
}

/// A role that is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) place: Place,
    pub(crate) span: Span,
}

impl Holdings {
    pub(crate) fn new(records: &SubjectRecords, view: &Arc<View>) -> Self {
        let assignments = || records.assignments.iter().map(|assignment| &assignment.value);
        let mut spans: Box<[Span]> = assignments()
            .map(|assignment| Span {
                from: assignment.not_before.unwrap_or(Timestamp::MIN),
                until: assignment.expires_at.unwrap_or(Timestamp::MAX),
            })
            .collect();
        if spans.iter().all(|span| *span == Span::FOR_GOOD) {
            spans = Box::default();
        }
        let denials: Box<[Permission]> =
            records.denials.iter().map(|denial| denial.value.permission.clone()).collect();
        let plain = spans.is_empty() && denials.is_empty();
        Self {
            revision: records.revision,
            view: Arc::clone(view),
            places: assignments().map(|assignment| view.place(&assignment.role)).collect(),
            more: (!plain).then(|| Box::new(More { spans, denials })),
        }
    }

    /// The same holdings, with their roles found in another view; `None` if the name of a role is not known any more, so that they
    /// have to be read again.
    pub(crate) fn within(&self, view: &Arc<View>) -> Option<Self> {
        let places = self.places.as_slice().iter();
        let names: Option<Vec<&RoleId>> =
            places.map(|place| self.view.role(*place).map(|role| &role.id)).collect();
        let places = names?.into_iter().map(|role| view.place(role)).collect();
        Some(Self { revision: self.revision, view: Arc::clone(view), places, more: self.more.clone() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.as_slice().is_empty() && self.denials().is_empty()
    }

    pub(crate) fn denials(&self) -> &[Permission] {
        self.more.as_ref().map_or(&[], |more| &more.denials)
    }

    pub(crate) fn places(&self) -> &[Place] {
        self.places.as_slice()
    }

    /// Tells whether every role that it holds counts at any time.
    pub(crate) fn all_for_good(&self) -> bool {
        self.more.as_ref().is_none_or(|more| more.spans.is_empty())
    }

    pub(crate) fn grants(&self) -> impl Iterator<Item = Grant> {
        let spans: &[Span] = self.more.as_ref().map_or(&[], |more| &more.spans);
        let span = move |index| spans.get(index).copied().unwrap_or(Span::FOR_GOOD);
        self.places
            .as_slice()
            .iter()
            .enumerate()
            .map(move |(index, place)| Grant { place: *place, span: span(index) })
    }
}
