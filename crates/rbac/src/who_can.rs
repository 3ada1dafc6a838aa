use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use stanchion_core::{PageRequest, Scope, SubjectKind, SubjectRef};

use crate::check::GrantingRoles;
use crate::view::{Place, View};
use crate::{
    CheckRequest, Decision, Engine, Error, Permission, Record, RecordFilter, RecordKind, Resource, RoleId,
};

/// Who may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WhoCan {
    /// The users and services, in the order of their texts, with what decides for each.
    pub subjects: Vec<(SubjectRef, Decision)>,
    /// Whether these are all. If not, there were more subjects to look at than were asked for.
    pub complete: bool,
    /// The last that was looked at, if there are more: [what follows](Engine::who_can_after) comes after it.
    pub next: Option<SubjectRef>,
}

impl Engine {
    /// Finds the users and services that may do something, on a resource or everywhere in the scope. Nobody is left out: where there
    /// are more than `most` to look at, the answer says that it is not complete. What it costs goes by how many are looked at, by how
    /// many roles permit it, and by how many groups have it; not by how many there are who do not.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn who_can(
        &self,
        scope: Scope,
        permission: &Permission,
        resource: Option<&Resource>,
        most: usize,
    ) -> Result<WhoCan, Error> {
        self.who_can_from(scope, permission, resource, None, most).await
    }

    /// As [`Engine::who_can`], of those who come after a subject: what changes before it does not shift what comes after it.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn who_can_after(
        &self,
        scope: Scope,
        permission: &Permission,
        resource: Option<&Resource>,
        after: &SubjectRef,
        most: usize,
    ) -> Result<WhoCan, Error> {
        self.who_can_from(scope, permission, resource, Some(after), most).await
    }

    async fn who_can_from(
        &self,
        scope: Scope,
        permission: &Permission,
        resource: Option<&Resource>,
        after: Option<&SubjectRef>,
        most: usize,
    ) -> Result<WhoCan, Error> {
        let mut found = WhoCan { complete: true, ..WhoCan::default() };
        if !permission.is_exact() {
            return Ok(found);
        }
        let granting = {
            let view = self.view(scope).await?;
            granting(&view, permission)
        };
        let holders =
            granting.into_iter().map(|role| RecordFilter::all(RecordKind::Assignment).of_role(role));
        let grants = RecordFilter::all(RecordKind::Grant).covering(permission.clone());
        let mut candidates = self.candidates(scope, holders.chain([grants]).collect(), after, most).await?;
        if candidates.len() > most {
            candidates.truncate(most);
            found.complete = false;
            found.next = candidates.last().cloned();
        }
        for subject in candidates {
            let request = CheckRequest { resource, ..CheckRequest::new(scope, &subject, permission) };
            let decision = self.answer(&request).await?;
            if decision.allowed {
                found.subjects.push((subject, decision));
            }
        }
        Ok(found)
    }

    /// The users and services that any of some lists names, themselves or by a group, in order: one more than `most`, if there are.
    async fn candidates(
        &self,
        scope: Scope,
        lists: Vec<RecordFilter>,
        after: Option<&SubjectRef>,
        most: usize,
    ) -> Result<Vec<SubjectRef>, Error> {
        let at_once = (most / lists.len().max(1)).saturating_add(1).clamp(FEW, PageRequest::MAX_LIMIT);
        let mut groups = BTreeSet::new();
        let mut sources = Vec::with_capacity(lists.len());
        for filter in lists {
            // Groups come before all others, so they are read first.
            let mut source = Source::new(filter, None);
            while let Some(subject) = self.head(scope, &mut source, at_once).await? {
                if subject.kind() != SubjectKind::Group {
                    break;
                }
                groups.insert(subject);
                source.read.pop_front();
            }
            if let Some(after) = after {
                source.skip_to(after);
            }
            sources.push(source);
        }
        let members = |group| Source::new(RecordFilter::all(RecordKind::Membership).of_group(group), after);
        sources.extend(groups.into_iter().map(members));
        let mut heads = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            if let Some(subject) = self.head(scope, source, at_once).await? {
                heads.push(Reverse((subject.to_string(), number)));
            }
        }
        let mut found: Vec<SubjectRef> = Vec::new();
        while let Some(Reverse((_, number))) = heads.pop() {
            let Some(source) = sources.get_mut(number) else { continue };
            if let Some(subject) = source.read.pop_front()
                && found.last() != Some(&subject)
            {
                found.push(subject);
                if found.len() > most {
                    break;
                }
            }
            if let Some(subject) = self.head(scope, source, at_once).await? {
                heads.push(Reverse((subject.to_string(), number)));
            }
        }
        Ok(found)
    }

    /// The subject that comes next in a source.
    async fn head(
        &self,
        scope: Scope,
        source: &mut Source,
        at_once: usize,
    ) -> Result<Option<SubjectRef>, Error> {
        while source.read.is_empty() && !source.is_read {
            let mut page = PageRequest::first(at_once);
            if let Some(after) = &source.after {
                page = page.after(after.clone());
            }
            let found = self.store.list(scope, &source.filter, &page).await?;
            source.is_read = found.next.is_none();
            source.after = found.next;
            let subjects = found.items.into_iter().filter_map(|record| match record.value {
                Record::Assignment(held) => Some(held.subject),
                Record::Grant(grant) => Some(grant.subject),
                Record::Membership(membership) => Some(membership.member),
                _ => None,
            });
            source.read.extend(subjects);
        }
        Ok(source.read.front().cloned())
    }
}

/// The fewest records that are read at once.
const FEW: usize = 32;

/// A list in which subjects come in the order of their texts, read as far as is needed.
struct Source {
    filter: RecordFilter,
    after: Option<String>,
    read: VecDeque<SubjectRef>,
    /// Whether there is no more to read.
    is_read: bool,
}

impl Source {
    fn new(filter: RecordFilter, after: Option<&SubjectRef>) -> Self {
        // The members of a group, which stands first in their keys.
        let after = filter.group.as_ref().zip(after).map(|(group, after)| format!("{group} {after}"));
        Self { filter, after, read: VecDeque::new(), is_read: false }
    }

    /// Goes on after a subject.
    fn skip_to(&mut self, after: &SubjectRef) {
        let text = after.to_string();
        self.read.retain(|subject| subject.to_string() > text);
        // Subjects are of letters beyond the blank that follows them in a key: this comes after all keys of the subject, and before those
        // of the next.
        let key = format!("{text}!");
        if self.read.is_empty() && !self.is_read && self.after.as_ref().is_none_or(|read| *read < key) {
            self.after = Some(key);
        }
    }
}

/// The roles that may permit it, by the names that they have in the scope.
fn granting(view: &View, permission: &Permission) -> Vec<RoleId> {
    let granting = GrantingRoles::new(view, permission);
    let own = (0..).map_while(|number| view.own.role(number)).map(|role| &role.id);
    let platform = view.platform.iter().flat_map(|platform| (0..).map_while(|number| platform.role(number)));
    // A role of the platform whose name the tenant uses for its own cannot be assigned here.
    let platform = platform.map(|role| &role.id).filter(|id| view.own.number(id).is_none());
    let all = own.chain(platform);
    all.filter(|id| granting.may_contain(view.place(id)) && view.place(id) != Place::NOWHERE)
        .cloned()
        .collect()
}
