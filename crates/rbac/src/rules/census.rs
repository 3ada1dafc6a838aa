use std::collections::{BTreeMap, BTreeSet};

use stanchion_core::{SubjectKind, SubjectRef, Timestamp};

use crate::{
    Assignment, Denial, Grant, Membership, Permission, RbacChange, Record, RecordKey, ResourceSelector,
    RoleId, SubjectRecords,
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
///
/// It may lie [over](Self::over) another, of which it keeps only what is otherwise: what a change would bring about costs as much as the
/// change, however many there are whom it does not touch.
#[derive(Debug, Default)]
pub(crate) struct Census<'u> {
    under: Option<&'u Census<'u>>,
    subjects: BTreeMap<SubjectRef, Known>,
    /// Who belongs to a group.
    members: BTreeMap<SubjectRef, Members>,
    /// Every permission that a grant or denial names, or has named.
    named: BTreeSet<Permission>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) denials: Vec<Denial>,
    pub(crate) memberships: Vec<Membership>,
}

/// Who belongs to a group, but for what lies under it.
#[derive(Debug, Default)]
struct Members {
    joined: BTreeSet<SubjectRef>,
    /// Those of them under it who no longer do.
    left: BTreeSet<SubjectRef>,
}

const NOTHING: Known =
    Known { assignments: Vec::new(), grants: Vec::new(), denials: Vec::new(), memberships: Vec::new() };

impl<'u> Census<'u> {
    /// Begins with what another knows, and leaves that as it is.
    pub(crate) fn over(under: &'u Self) -> Self {
        Self { under: Some(under), ..Self::default() }
    }

    pub(crate) fn add(&mut self, subject: &SubjectRef, records: &SubjectRecords) {
        for membership in &records.memberships {
            self.join(&membership.value.group, subject);
        }
        let known = Known {
            assignments: records.assignments.iter().map(|record| record.value.clone()).collect(),
            grants: records.grants.iter().map(|record| record.value.clone()).collect(),
            denials: records.denials.iter().map(|record| record.value.clone()).collect(),
            memberships: records.memberships.iter().map(|record| record.value.clone()).collect(),
        };
        self.named.extend(known.grants.iter().map(|grant| grant.permission.clone()));
        self.named.extend(known.denials.iter().map(|denial| denial.permission.clone()));
        self.subjects.insert(subject.clone(), known);
    }

    pub(crate) fn knows(&self, subject: &SubjectRef) -> bool {
        self.subjects.contains_key(subject) || self.under.is_some_and(|under| under.knows(subject))
    }

    /// Whatever is known of a subject itself.
    pub(crate) fn of(&self, subject: &SubjectRef) -> &Known {
        let under = || self.under.map_or(const { &NOTHING }, |under| under.of(subject));
        self.subjects.get(subject).unwrap_or_else(under)
    }

    /// Every user and service, in no order.
    pub(crate) fn people(&self) -> impl Iterator<Item = &SubjectRef> {
        self.everybody().filter(|subject| subject.kind() != SubjectKind::Group)
    }

    fn everybody(&self) -> Box<dyn Iterator<Item = &SubjectRef> + '_> {
        let below = self.under.map(Census::everybody).into_iter().flatten();
        Box::new(below.filter(|subject| !self.subjects.contains_key(subject)).chain(self.subjects.keys()))
    }

    /// The subject itself, or of a group its members.
    pub(crate) fn people_of(&self, subject: &SubjectRef) -> BTreeSet<SubjectRef> {
        match subject.kind() {
            SubjectKind::Group => self.members(subject),
            _ => BTreeSet::from([subject.clone()]),
        }
    }

    fn members(&self, group: &SubjectRef) -> BTreeSet<SubjectRef> {
        let mut all = self.under.map(|under| under.members(group)).unwrap_or_default();
        if let Some(Members { joined, left }) = self.members.get(group) {
            all.retain(|member| !left.contains(member));
            all.extend(joined.iter().cloned());
        }
        all
    }

    fn is_member(&self, group: &SubjectRef, member: &SubjectRef) -> bool {
        let below = || self.under.is_some_and(|under| under.is_member(group, member));
        match self.members.get(group) {
            Some(Members { joined, left }) => joined.contains(member) || (!left.contains(member) && below()),
            None => below(),
        }
    }

    fn join(&mut self, group: &SubjectRef, member: &SubjectRef) {
        let is_below = self.under.is_some_and(|under| under.is_member(group, member));
        let members = self.members.entry(group.clone()).or_default();
        members.left.remove(member);
        if !is_below {
            members.joined.insert(member.clone());
        }
    }

    fn leave(&mut self, group: &SubjectRef, member: &SubjectRef) {
        let is_below = self.under.is_some_and(|under| under.is_member(group, member));
        let members = self.members.entry(group.clone()).or_default();
        members.joined.remove(member);
        if is_below {
            members.left.insert(member.clone());
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
        self.ways(subject, when).map(|(held, _)| held)
    }

    /// What a subject holds itself or by a group, with when it leaves that group.
    pub(crate) fn ways<'a>(
        &'a self,
        subject: &'a SubjectRef,
        when: When,
    ) -> impl Iterator<Item = (&'a Assignment, Timestamp)> {
        let known = self.of(subject);
        let groups = known.memberships.iter();
        let groups = groups
            .filter(move |one| when.counts(one.not_before, one.expires_at))
            .map(|one| (&one.group, one.expires_at.unwrap_or(Timestamp::MAX)));
        let roots = std::iter::once((subject, Timestamp::MAX)).chain(groups);
        let all = roots
            .flat_map(move |(root, until)| self.of(root).assignments.iter().map(move |held| (held, until)));
        all.filter(move |(held, _)| when.counts(held.not_before, held.expires_at))
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
            Record::Grant(grant) => {
                self.named.insert(grant.permission.clone());
                self.known(&grant.subject).grants.push(grant.clone());
            }
            Record::Denial(denial) => {
                self.named.insert(denial.permission.clone());
                self.known(&denial.subject).denials.push(denial.clone());
            }
            Record::Membership(membership) => {
                let Membership { group, member, .. } = membership;
                self.join(group, member);
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
                self.leave(group, member);
                self.known(member).memberships.retain(|membership| membership.group != *group);
            }
            RecordKey::Role(_) | RecordKey::Separation(_) | RecordKey::Session(_) => {}
        }
    }

    pub(crate) fn take(&mut self, change: &RbacChange) {
        match change {
            RbacChange::Put(record) => self.put(record),
            RbacChange::Delete(key) => self.delete(key),
        }
    }

    fn known(&mut self, subject: &SubjectRef) -> &mut Known {
        let below = || self.under.map(|under| under.of(subject).clone()).unwrap_or_default();
        self.subjects.entry(subject.clone()).or_insert_with(below)
    }

    /// Every permission that a grant or denial names. What none names any more may be among them.
    pub(crate) fn named(&self) -> BTreeSet<Permission> {
        let mut all = self.under.map(Census::named).unwrap_or_default();
        all.extend(self.named.iter().cloned());
        all
    }

    /// Every resource that a record names.
    pub(crate) fn selectors(&self) -> impl Iterator<Item = ResourceSelector> {
        self.everybody().flat_map(|subject| {
            let known = self.of(subject);
            let held = known.assignments.iter().filter_map(|held| held.resource.clone());
            let granted = known.grants.iter().filter_map(|grant| grant.resource.clone());
            held.chain(granted).chain(known.denials.iter().filter_map(|denial| denial.resource.clone()))
        })
    }

    /// How many belong to a group.
    pub(crate) fn size(&self, group: &SubjectRef) -> usize {
        let below = self.under.map_or(0, |under| under.size(group));
        match self.members.get(group) {
            Some(Members { joined, left }) => (below + joined.len()).saturating_sub(left.len()),
            None => below,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> SubjectRef {
        text.parse().unwrap()
    }

    fn member(group: &str, member: &str) -> Record {
        Membership::new(subject(group), subject(member)).into()
    }

    fn held(who: &str, role: &str) -> Record {
        Assignment::new(subject(who), role.parse().unwrap()).into()
    }

    fn denied(who: &str, what: &str) -> Record {
        Denial::new(subject(who), what.parse().unwrap()).into()
    }

    /// Everything that can be asked of a census about these.
    fn told(census: &Census<'_>) -> String {
        let all = ["user:a", "user:b", "user:c", "service:s", "group:g", "group:h"].map(subject);
        let mut told = format!("{:?}", census.people().collect::<BTreeSet<_>>());
        for one in &all {
            let known = census.of(one);
            told.push_str(&format!("\n{one} {} {:?}", census.knows(one), census.people_of(one)));
            told.push_str(&format!(" {} {known:?}", census.size(one)));
        }
        let selectors: BTreeSet<_> = census.selectors().collect();
        format!("{told}\n{:?} {selectors:?}", census.named())
    }

    #[test]
    fn a_census_over_another_tells_what_one_that_was_changed_tells() {
        let first = [
            member("group:g", "user:a"),
            member("group:g", "user:b"),
            member("group:h", "user:a"),
            held("user:a", "clerk"),
            held("group:g", "clerk"),
            denied("user:b", "x:y"),
        ];
        let second = [
            Ok(member("group:g", "user:c")),
            Ok(member("group:g", "user:a")),
            Err(member("group:g", "user:b")),
            Ok(held("user:a", "lead")),
            Err(held("group:g", "clerk")),
            Ok(denied("service:s", "z:*")),
            Err(member("group:h", "user:c")),
            // Gone and there again, there and gone again.
            Err(member("group:h", "user:a")),
            Ok(member("group:h", "user:a")),
            Ok(member("group:h", "service:s")),
            Err(member("group:h", "service:s")),
        ];
        let mut base = Census::default();
        first.iter().for_each(|record| base.put(record));
        let before = told(&base);
        let change = |census: &mut Census<'_>, some: &[Result<Record, Record>]| {
            for one in some {
                match one {
                    Ok(record) => census.put(record),
                    Err(record) => census.delete(&record.key()),
                }
            }
        };
        for middle in 0..=second.len() {
            let (lower, upper) = second.split_at(middle);
            let mut over = Census::over(&base);
            change(&mut over, lower);
            let mut above = Census::over(&over);
            change(&mut above, upper);
            let mut changed = Census::default();
            first.iter().for_each(|record| changed.put(record));
            change(&mut changed, &second);
            assert_eq!(told(&above), told(&changed), "{middle}");
        }
        assert_eq!(told(&base), before, "what lies under is as it was");
        assert_eq!(base.size(&subject("group:g")), 2);
    }
}
