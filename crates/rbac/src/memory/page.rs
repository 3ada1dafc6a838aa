use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use stanchion_core::{Page, PageRequest, Versioned};

use super::data::{Data, Subject};
use crate::{Membership, Record, RecordFilter, RecordKind};

impl Data {
    /// Cuts a page out of all records of a kind.
    pub(super) fn page(&self, filter: &RecordFilter, page: &PageRequest) -> Page<Versioned<Record>> {
        match filter.kind {
            RecordKind::Role => cut(self.roles.values(), filter, page),
            RecordKind::Separation => cut(self.separations.values(), filter, page),
            RecordKind::Session => cut(self.sessions.values(), filter, page),
            RecordKind::Membership => cut(self.members(filter, page), filter, page),
            RecordKind::Assignment => {
                let subjects = self.subjects(filter, page);
                cut(subjects.flat_map(|subject| &subject.assignments.0), filter, page)
            }
            RecordKind::Grant => {
                let grants = self.subjects(filter, page).filter_map(|subject| subject.more.as_ref());
                cut(grants.flat_map(|more| &more.grants.0), filter, page)
            }
            RecordKind::Denial => {
                let denials = self.subjects(filter, page).filter_map(|subject| subject.more.as_ref());
                cut(denials.flat_map(|more| &more.denials.0), filter, page)
            }
        }
    }

    /// The memberships among which those are that a page may show.
    fn members(
        &self,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Box<dyn Iterator<Item = &Versioned<Membership>> + '_> {
        let Some(group) = filter.group.as_ref().map(|group| Arc::<str>::from(group.to_string())) else {
            return Box::new(self.memberships.values());
        };
        let after = page.key().and_then(|key| key.strip_prefix(&*group)?.strip_prefix(' '));
        let first = (Arc::clone(&group), after.unwrap_or_default().into());
        let members = self.memberships.range(first..).take_while(move |((of, _), _)| *of == group);
        Box::new(members.map(|(_, membership)| membership))
    }

    /// The subjects among which those are whose records a page may show.
    fn subjects(&self, filter: &RecordFilter, page: &PageRequest) -> Box<dyn Iterator<Item = &Subject> + '_> {
        // Subjects are of letters beyond the blank, so those before the one of the page key hold nothing that comes after it.
        let from = page.key().map(|key| key.split(|letter| letter <= ' ').next().unwrap_or_default());
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        if let Some(only) = &filter.subject {
            return Box::new(self.subjects.get(only.to_string().as_str()).into_iter());
        }
        let indexed: Vec<&BTreeSet<Arc<str>>> = match (&filter.role, &filter.covering) {
            (Some(role), _) => self.holders.get(role).into_iter().collect(),
            (None, Some(permission)) => {
                let texts = permission.covering();
                texts.iter().filter_map(|text| self.granted.get(text.as_str())).collect()
            }
            (None, None) => {
                return Box::new(self.subjects.range::<str, _>((from, Bound::Unbounded)).map(|(_, one)| one));
            }
        };
        // One more than the page shows, from each, so that it is known whether another comes. All that a subject has stands with it.
        let most = page.limit().saturating_add(2);
        let each = indexed.iter().map(|index| index.range::<str, _>((from, Bound::Unbounded)).take(most));
        let texts: BTreeSet<&Arc<str>> = each.flatten().collect();
        Box::new(texts.into_iter().filter_map(|text| self.subjects.get(text)))
    }
}

/// Cuts a page out of records in the order of their keys.
fn cut<'a, T: Clone + Into<Record> + 'a>(
    all: impl Iterator<Item = &'a Versioned<T>>,
    filter: &RecordFilter,
    page: &PageRequest,
) -> Page<Versioned<Record>> {
    let records = all.map(|record| record.clone().map(Into::into));
    let is_after = |record: &Versioned<Record>| {
        page.key().is_none_or(|after| record.value.key().to_string().as_str() > after)
    };
    let mut rest = records.filter(|record| filter.picks(&record.value) && is_after(record));
    let items: Vec<Versioned<Record>> = rest.by_ref().take(page.limit()).collect();
    let next =
        if rest.next().is_some() { items.last().map(|last| last.value.key().to_string()) } else { None };
    Page { items, next }
}
