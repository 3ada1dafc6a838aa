use std::sync::Arc;

use stanchion_core::{Revision, SubjectRef, Timestamp};

use crate::view::{Place, View};
use crate::{Constraint, Permission, ResourceSelector, RoleId, SubjectRecords};

/// What one subject holds in a scope, with its roles found in a view. There are a great many of these: most are a few numbers.
#[derive(Clone, Debug)]
pub(crate) struct Holdings {
    pub(crate) revision: Revision,
    pub(crate) view: Arc<View>,
    /// Where the roles that it holds stand.
    places: Places,
    more: Option<Arc<More>>,
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
#[derive(Debug)]
struct More {
    /// By place, if one of the roles is not held for good and everywhere.
    terms: Box<[Terms]>,
    grants: Box<[HeldGrant]>,
    denials: Box<[HeldDenial]>,
    groups: Box<[(SubjectRef, Span)]>,
}

/// When and on what a role counts that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) span: Span,
    pub(crate) resource: Option<ResourceSelector>,
}

impl Terms {
    const NONE: Self = Self { span: Span::FOR_GOOD, resource: None };
}

/// A permission that is had besides roles.
#[derive(Debug)]
pub(crate) struct HeldGrant {
    pub(crate) permission: Permission,
    pub(crate) terms: Terms,
    pub(crate) constraints: Box<[Constraint]>,
    pub(crate) awaits_approval: bool,
}

#[derive(Debug)]
pub(crate) struct HeldDenial {
    pub(crate) permission: Permission,
    pub(crate) resource: Option<ResourceSelector>,
}

/// When something counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first instant at which it counts.
    pub(crate) from: Timestamp,
    /// The first instant at which it no longer counts; [`Timestamp::MAX`] for never.
    pub(crate) until: Timestamp,
}

impl Span {
    pub(crate) const FOR_GOOD: Self = Self { from: Timestamp::MIN, until: Timestamp::MAX };

    fn new(from: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self { from: from.unwrap_or(Timestamp::MIN), until: until.unwrap_or(Timestamp::MAX) }
    }

    pub(crate) fn contains(self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// The time that lies in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}

impl Holdings {
    pub(crate) fn new(records: &SubjectRecords, view: &Arc<View>) -> Self {
        let assignments = || records.assignments.iter().map(|assignment| &assignment.value);
        let terms = |from, until, resource: &Option<ResourceSelector>| Terms {
            span: Span::new(from, until),
            resource: resource.clone(),
        };
        let mut held: Box<[Terms]> =
            assignments().map(|held| terms(held.not_before, held.expires_at, &held.resource)).collect();
        if held.iter().all(|terms| *terms == Terms::NONE) {
            held = Box::default();
        }
        let grant = |grant: &crate::Grant| HeldGrant {
            permission: grant.permission.clone(),
            terms: terms(grant.not_before, grant.expires_at, &grant.resource),
            constraints: grant.constraints.clone().into(),
            awaits_approval: grant.awaits_approval(),
        };
        let denial = |denial: &crate::Denial| HeldDenial {
            permission: denial.permission.clone(),
            resource: denial.resource.clone(),
        };
        let group = |membership: &crate::Membership| {
            (membership.group.clone(), Span::new(membership.not_before, membership.expires_at))
        };
        let more = More {
            terms: held,
            grants: records.grants.iter().map(|record| grant(&record.value)).collect(),
            denials: records.denials.iter().map(|record| denial(&record.value)).collect(),
            groups: records.memberships.iter().map(|record| group(&record.value)).collect(),
        };
        let plain = more.terms.is_empty()
            && more.grants.is_empty()
            && more.denials.is_empty()
            && more.groups.is_empty();
        Self {
            revision: records.revision,
            view: Arc::clone(view),
            places: assignments().map(|assignment| view.place(&assignment.role)).collect(),
            more: (!plain).then(|| Arc::new(more)),
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

    /// Tells whether it holds roles for good and everywhere, and nothing else.
    pub(crate) const fn is_plain(&self) -> bool {
        self.more.is_none()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.as_slice().is_empty()
            && self.denials().is_empty()
            && self.permissions().is_empty()
            && self.groups().is_empty()
    }

    pub(crate) fn permissions(&self) -> &[HeldGrant] {
        self.more.as_ref().map_or(&[], |more| &more.grants)
    }

    pub(crate) fn denials(&self) -> &[HeldDenial] {
        self.more.as_ref().map_or(&[], |more| &more.denials)
    }

    /// The groups that it belongs to at some time.
    pub(crate) fn groups(&self) -> &[(SubjectRef, Span)] {
        self.more.as_ref().map_or(&[], |more| &more.groups)
    }

    pub(crate) fn places(&self) -> &[Place] {
        self.places.as_slice()
    }

    /// The roles that it holds at some time, with when and on what.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (Place, &Terms)> {
        let terms: &[Terms] = self.more.as_ref().map_or(&[], |more| &more.terms);
        let places = self.places.as_slice().iter().enumerate();
        places.map(|(index, place)| (*place, terms.get(index).unwrap_or(&Terms::NONE)))
    }
}
