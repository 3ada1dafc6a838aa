use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{SubjectKind, SubjectRef, Timestamp};

use crate::{
    Assignment, Denial, Grant, Membership, Permission, Record, RecordKey, ResourceSelector, RoleId,
    SubjectRecords,
};

/// When something has to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At an instant.
    At(Timestamp),
    /// At an instant or at any time after it.
    From(Timestamp),
}

impl When {
    pub(crate) fn counts(self, not_before: Option<Timestamp>, expires_at: Option<Timestamp>) -> bool {
        let (Self::At(instant) | Self::From(instant)) = self;
        let begun = matches!(self, Self::From(_)) || not_before.is_none_or(|from| from <= instant);
        begun && expires_at.is_none_or(|until| instant < until)
    }
}

/// What subjects hold, have, are denied and belong to: of all subjects of a scope, or of those that a rule asks about. Of whom it knows
/// anything it knows everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    subjects: BTreeMap<SubjectRef, Known>,
    /// Who belongs to a group.
    members: BTreeMap<SubjectRef, BTreeSet<SubjectRef>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) denials: Vec<Denial>,
    pub(crate) memberships: Vec<Membership>,
}

const NOTHING: Known =
    Known { assignments: Vec::new(), grants: Vec::new(), denials: Vec::new(), memberships: Vec::new() };

impl Census {
    pub(crate) fn add(&mut self, subject: &SubjectRef, records: &SubjectRecords) {
        for membership in &records.memberships {
            self.members.entry(membership.value.group.clone()).or_default().insert(subject.clone());
        }
        let known = Known {
            assignments: records.assignments.iter().map(|record| record.value.clone()).collect(),
            grants: records.grants.iter().map(|record| record.value.clone()).collect(),
            denials: records.denials.iter().map(|record| record.value.clone()).collect(),
            memberships: records.memberships.iter().map(|record| record.value.clone()).collect(),
        };
        self.subjects.insert(subject.clone(), known);
    }

    /// What is known of some subjects and of the groups that they belong to.
    pub(crate) fn part(&self, subjects: &BTreeSet<SubjectRef>) -> Self {
        let groups = subjects.iter().flat_map(|subject| &self.of(subject).memberships);
        let all: BTreeSet<&SubjectRef> =
            subjects.iter().chain(groups.map(|membership| &membership.group)).collect();
        let (mut part, mut members) = (BTreeMap::new(), BTreeMap::new());
        for subject in all {
            part.extend(self.subjects.get(subject).map(|known| (subject.clone(), known.clone())));
            members.extend(self.members.get(subject).map(|members| (subject.clone(), members.clone())));
        }
        Self { subjects: part, members }
    }

    pub(crate) fn knows(&self, subject: &SubjectRef) -> bool {
        self.subjects.contains_key(subject)
    }

    /// Whatever is known of a subject itself.
    pub(crate) fn of(&self, subject: &SubjectRef) -> &Known {
        self.subjects.get(subject).unwrap_or(const { &NOTHING })
    }

    /// Every user and service, in order.
    pub(crate) fn people(&self) -> impl Iterator<Item = &SubjectRef> {
        self.subjects.keys().filter(|subject| subject.kind() != SubjectKind::Group)
    }

    /// The subject itself, or of a group its members.
    pub(crate) fn people_of(&self, subject: &SubjectRef) -> BTreeSet<SubjectRef> {
        match subject.kind() {
            SubjectKind::Group => self.members.get(subject).cloned().unwrap_or_default(),
            _ => BTreeSet::from([subject.clone()]),
        }
    }

    /// The subject and the groups that it belongs to.
    pub(crate) fn roots<'a>(
        &'a self,
        subject: &'a SubjectRef,
        when: When,
    ) -> impl Iterator<Item = &'a SubjectRef> {
        let groups = self.of(subject).memberships.iter();
        let groups =
            groups.filter(move |membership| when.counts(membership.not_before, membership.expires_at));
        std::iter::once(subject).chain(groups.map(|membership| &membership.group))
    }

    pub(crate) fn assignments<'a>(
        &'a self,
        subject: &'a SubjectRef,
        when: When,
    ) -> impl Iterator<Item = &'a Assignment> {
        let all = self.roots(subject, when).flat_map(|root| &self.of(root).assignments);
        all.filter(move |held| when.counts(held.not_before, held.expires_at))
    }

    pub(crate) fn grants<'a>(
        &'a self,
        subject: &'a SubjectRef,
        when: When,
    ) -> impl Iterator<Item = &'a Grant> {
        let all = self.roots(subject, when).flat_map(|root| &self.of(root).grants);
        all.filter(move |grant| when.counts(grant.not_before, grant.expires_at))
    }

    pub(crate) fn denials<'a>(
        &'a self,
        subject: &'a SubjectRef,
        when: When,
    ) -> impl Iterator<Item = &'a Denial> {
        self.roots(subject, when).flat_map(|root| &self.of(root).denials)
    }

    /// The roles that a subject holds itself or by a group, without what they include.
    pub(crate) fn roles(&self, subject: &SubjectRef, when: When) -> BTreeSet<RoleId> {
        self.assignments(subject, when).map(|held| held.role.clone()).collect()
    }

    /// Writes a record about a subject; what is about none has no place here.
    pub(crate) fn put(&mut self, record: &Record) {
        self.delete(&record.key());
        match record {
            Record::Assignment(held) => self.known(&held.subject).assignments.push(held.clone()),
            Record::Grant(grant) => self.known(&grant.subject).grants.push(grant.clone()),
            Record::Denial(denial) => self.known(&denial.subject).denials.push(denial.clone()),
            Record::Membership(membership) => {
                let Membership { group, member, .. } = membership;
                self.members.entry(group.clone()).or_default().insert(member.clone());
                self.known(member).memberships.push(membership.clone());
            }
            Record::Role(_) | Record::Separation(_) | Record::Session(_) => {}
        }
    }

    pub(crate) fn delete(&mut self, key: &RecordKey) {
        match key {
            RecordKey::Assignment { subject, role, resource } => {
                let all = &mut self.known(subject).assignments;
                all.retain(|held| (&held.role, &held.resource) != (role, resource));
            }
            RecordKey::Grant { subject, permission, resource } => {
                let all = &mut self.known(subject).grants;
                all.retain(|grant| (&grant.permission, &grant.resource) != (permission, resource));
            }
            RecordKey::Denial { subject, permission, resource } => {
                let all = &mut self.known(subject).denials;
                all.retain(|denial| (&denial.permission, &denial.resource) != (permission, resource));
            }
            RecordKey::Membership { group, member } => {
                if let Some(members) = self.members.get_mut(group) {
                    members.remove(member);
                }
                self.known(member).memberships.retain(|membership| membership.group != *group);
            }
            RecordKey::Role(_) | RecordKey::Separation(_) | RecordKey::Session(_) => {}
        }
    }

    fn known(&mut self, subject: &SubjectRef) -> &mut Known {
        self.subjects.entry(subject.clone()).or_default()
    }

    /// Every permission that a grant or denial names.
    pub(crate) fn named(&self) -> impl Iterator<Item = Permission> {
        self.subjects.values().flat_map(|known| {
            let granted = known.grants.iter().map(|grant| &grant.permission);
            granted.chain(known.denials.iter().map(|denial| &denial.permission)).cloned()
        })
    }

    /// Every resource that a record names.
    pub(crate) fn selectors(&self) -> impl Iterator<Item = ResourceSelector> {
        self.subjects.values().flat_map(|known| {
            let held = known.assignments.iter().filter_map(|held| held.resource.clone());
            let granted = known.grants.iter().filter_map(|grant| grant.resource.clone());
            held.chain(granted).chain(known.denials.iter().filter_map(|denial| denial.resource.clone()))
        })
    }

    /// How many belong to a group.
    pub(crate) fn size(&self, group: &SubjectRef) -> usize {
        self.members.get(group).map_or(0, BTreeSet::len)
    }
}
