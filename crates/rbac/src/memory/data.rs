use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stanchion_core::{Revision, SessionId, SubjectRef, Timestamp, Versioned};

use super::sorted::{Sorted, in_order};
use crate::{
    Assignment, Denial, Grant, Membership, RbacChange, Record, RecordKey, RecordKind, Role, RoleId,
    Separation, SeparationId, Session, SubjectRecords,
};

/// The records of a scope.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) roles: BTreeMap<RoleId, Versioned<Role>>,
    pub(super) separations: BTreeMap<SeparationId, Versioned<Separation>>,
    pub(super) sessions: BTreeMap<SessionId, Versioned<Session>>,
    /// By the subject's text, which is the order of the lists.
    pub(super) subjects: BTreeMap<Arc<str>, Subject>,
    /// By the group's text and the member's.
    pub(super) memberships: BTreeMap<(Arc<str>, Arc<str>), Versioned<Membership>>,
    /// The texts of the subjects that hold a role.
    pub(super) holders: BTreeMap<RoleId, BTreeSet<Arc<str>>>,
    /// The texts of the subjects that are granted a permission, by its text.
    pub(super) granted: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

/// What is about one subject.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub(super) assignments: Sorted<Assignment>,
    /// What few have.
    pub(super) more: Option<Box<More>>,
}

#[derive(Debug, Default)]
pub(super) struct More {
    pub(super) grants: Sorted<Grant>,
    pub(super) denials: Sorted<Denial>,
    /// The groups that it belongs to.
    pub(super) groups: BTreeSet<Arc<str>>,
}

fn put<K: Ord, T>(
    records: &mut BTreeMap<K, Versioned<T>>,
    key: K,
    value: T,
    revision: Revision,
    at: Timestamp,
) {
    let written = match records.get(&key) {
        Some(before) => before.replaced(value, revision, at),
        None => Versioned::created(value, revision, at),
    };
    records.insert(key, written);
}

/// Takes a subject out of an index.
fn forget<K, Q>(index: &mut BTreeMap<K, BTreeSet<Arc<str>>>, key: &Q, subject: &SubjectRef)
where
    K: Ord + Borrow<Q>,
    Q: Ord + ?Sized,
{
    if let Some(subjects) = index.get_mut(key) {
        subjects.remove(subject.to_string().as_str());
        if subjects.is_empty() {
            index.remove(key);
        }
    }
}

impl Data {
    pub(super) fn write(&mut self, part: RbacChange, revision: Revision, at: Timestamp) {
        match part {
            RbacChange::Put(record) => self.put(record, revision, at),
            RbacChange::Delete(key) => self.delete(&key),
        }
    }

    fn put(&mut self, record: Record, revision: Revision, at: Timestamp) {
        match record {
            Record::Role(role) => put(&mut self.roles, role.id.clone(), role, revision, at),
            Record::Separation(separation) => {
                put(&mut self.separations, separation.id.clone(), separation, revision, at);
            }
            Record::Session(session) => put(&mut self.sessions, session.id, session, revision, at),
            Record::Assignment(assignment) => {
                let of = |held: &Assignment| (held.role.shared(), held.resource.clone());
                let order = |a: &Assignment, b: &Assignment| {
                    let ((a, on_a), (b, on_b)) = (of(a), of(b));
                    in_order((&a, on_a.as_ref()), (&b, on_b.as_ref()))
                };
                let (key, subject) = self.subject(&assignment.subject);
                let role = assignment.role.clone();
                subject.assignments.put(assignment, order, revision, at);
                self.holders.entry(role).or_default().insert(key);
            }
            Record::Grant(grant) => {
                let order = |a: &Grant, b: &Grant| {
                    in_order(
                        (a.permission.as_str(), a.resource.as_ref()),
                        (b.permission.as_str(), b.resource.as_ref()),
                    )
                };
                let (key, more) = self.more(&grant.subject);
                let permission = grant.permission.shared();
                more.grants.put(grant, order, revision, at);
                self.granted.entry(permission).or_default().insert(key);
            }
            Record::Denial(denial) => {
                let order = |a: &Denial, b: &Denial| {
                    in_order(
                        (a.permission.as_str(), a.resource.as_ref()),
                        (b.permission.as_str(), b.resource.as_ref()),
                    )
                };
                self.more(&denial.subject).1.denials.put(denial, order, revision, at);
            }
            Record::Membership(membership) => {
                let group: Arc<str> = membership.group.to_string().into();
                let (member, more) = self.more(&membership.member);
                more.groups.insert(Arc::clone(&group));
                put(&mut self.memberships, (group, member), membership, revision, at);
            }
        }
    }

    fn delete(&mut self, key: &RecordKey) {
        match key {
            RecordKey::Role(id) => drop(self.roles.remove(id)),
            RecordKey::Separation(id) => drop(self.separations.remove(id)),
            RecordKey::Session(id) => drop(self.sessions.remove(id)),
            RecordKey::Assignment { subject, role, resource } => {
                let is = |held: &Assignment| held.role == *role && held.resource == *resource;
                self.change(subject, |records| records.assignments.delete(is));
                let left = self.subjects.get(subject.to_string().as_str());
                let mut held = left.into_iter().flat_map(|left| &left.assignments.0);
                if !held.any(|held| held.value.role == *role) {
                    forget(&mut self.holders, role, subject);
                }
            }
            RecordKey::Grant { subject, permission, resource } => {
                let is = |grant: &Grant| grant.permission == *permission && grant.resource == *resource;
                self.change_more(subject, |more| more.grants.delete(is));
                let left = self.subjects.get(subject.to_string().as_str());
                let left = left.and_then(|left| left.more.as_ref());
                let mut had = left.into_iter().flat_map(|left| &left.grants.0);
                if !had.any(|grant| grant.value.permission == *permission) {
                    forget(&mut self.granted, permission.as_str(), subject);
                }
            }
            RecordKey::Denial { subject, permission, resource } => {
                let is = |denial: &Denial| denial.permission == *permission && denial.resource == *resource;
                self.change_more(subject, |more| more.denials.delete(is));
            }
            RecordKey::Membership { group, member } => {
                let (group_key, member_key) = (group.to_string(), member.to_string());
                self.memberships.remove(&(group_key.as_str().into(), member_key.into()));
                self.change_more(member, |more| {
                    more.groups.remove(group_key.as_str());
                });
            }
        }
    }

    fn subject(&mut self, subject: &SubjectRef) -> (Arc<str>, &mut Subject) {
        let text = subject.to_string();
        let key = match self.subjects.get_key_value(text.as_str()) {
            Some((key, _)) => Arc::clone(key),
            None => text.into(),
        };
        (Arc::clone(&key), self.subjects.entry(key).or_default())
    }

    fn more(&mut self, subject: &SubjectRef) -> (Arc<str>, &mut More) {
        let (key, subject) = self.subject(subject);
        (key, subject.more.get_or_insert_default())
    }

    /// Changes what a subject has, if it is known, and forgets it when nothing is left.
    fn change(&mut self, subject: &SubjectRef, change: impl FnOnce(&mut Subject)) {
        let key = subject.to_string();
        if let Some(records) = self.subjects.get_mut(key.as_str()) {
            change(records);
            if records.assignments.0.is_empty() && records.more.is_none() {
                self.subjects.remove(key.as_str());
            }
        }
    }

    fn change_more(&mut self, subject: &SubjectRef, change: impl FnOnce(&mut More)) {
        self.change(subject, |records| {
            let Some(more) = &mut records.more else { return };
            change(more);
            if more.grants.0.is_empty() && more.denials.0.is_empty() && more.groups.is_empty() {
                records.more = None;
            }
        });
    }

    pub(super) fn of_subject(&self, subject: &SubjectRef, revision: Revision) -> SubjectRecords {
        let mut found = SubjectRecords::none(revision);
        let key = subject.to_string();
        if let Some((key, records)) = self.subjects.get_key_value(key.as_str()) {
            found.assignments.clone_from(&records.assignments.0);
            if let Some(more) = &records.more {
                found.grants.clone_from(&more.grants.0);
                found.denials.clone_from(&more.denials.0);
                let memberships = more.groups.iter();
                let memberships = memberships
                    .filter_map(|group| self.memberships.get(&(Arc::clone(group), Arc::clone(key))));
                found.memberships = memberships.cloned().collect();
            }
        }
        found
    }

    /// The keys of records of a kind that have expired at an instant.
    pub(super) fn expired(&self, kind: RecordKind, at: Timestamp, limit: usize) -> Vec<RecordKey> {
        fn over<'a, T: Clone + Into<Record> + 'a>(
            all: impl Iterator<Item = &'a Versioned<T>>,
            is_over: impl Fn(&T) -> bool,
            limit: usize,
        ) -> Vec<RecordKey> {
            let over = all.filter(|record| is_over(&record.value)).take(limit);
            over.map(|record| record.value.clone().into().key()).collect()
        }
        let by = |expires_at: Option<Timestamp>| expires_at.is_some_and(|expires_at| expires_at <= at);
        let more = || self.subjects.values().filter_map(|subject| subject.more.as_ref());
        let held = || self.subjects.values().flat_map(|subject| &subject.assignments.0);
        match kind {
            RecordKind::Session => over(self.sessions.values(), |one| one.expires_at <= at, limit),
            RecordKind::Membership => over(self.memberships.values(), |one| by(one.expires_at), limit),
            RecordKind::Assignment => over(held(), |one| by(one.expires_at), limit),
            RecordKind::Grant => {
                over(more().flat_map(|more| &more.grants.0), |one| by(one.expires_at), limit)
            }
            RecordKind::Role | RecordKind::Separation | RecordKind::Denial => Vec::new(),
        }
    }

    pub(super) fn uses(&self, role: &RoleId) -> bool {
        let included = || self.roles.values().any(|other| other.value.includes.contains(role));
        !self.roles.contains_key(role) && (self.holders.contains_key(role) || included())
    }
}
