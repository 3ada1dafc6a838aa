use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use stanchion_core::{PageRequest, Revision, Scope};

use super::order;
use crate::{Engine, Error, RbacStore, Record, RecordFilter, RecordKind, RoleId};

/// The records of a scope on their way out, page by page. What changes in the scope meanwhile may be in it or not: it
/// [tells](Export::has_moved).
///
/// Each record comes after those that it needs, so that they can be imported in this order: roles with what they include and require
/// first, then separations, memberships, assignments (those first that others require), grants, denials, sessions. What needs one another
/// in a circle stands together. Records that have expired and were not swept yet are among them.
pub struct Export {
    store: Arc<dyn RbacStore>,
    scope: Scope,
    revision: Revision,
    steps: VecDeque<Step>,
    /// The page key within the first step.
    after: Option<String>,
    records: u64,
}

enum Step {
    Known(Vec<Record>),
    /// All that is picked, but for assignments of roles that are not.
    Listed(RecordFilter, Roles),
}

/// Of which roles assignments are wanted.
enum Roles {
    AllBut(BTreeSet<RoleId>),
    Only(BTreeSet<RoleId>),
}

impl Roles {
    fn pick(&self, record: &Record) -> bool {
        match (self, record) {
            (Self::AllBut(roles), Record::Assignment(held)) => !roles.contains(&held.role),
            (Self::Only(roles), Record::Assignment(held)) => roles.contains(&held.role),
            _ => true,
        }
    }
}

impl Engine {
    /// Begins an export of all records of some kinds; of all kinds it is [`RecordKind::ALL`].
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn export(&self, scope: Scope, kinds: &[RecordKind]) -> Result<Export, Error> {
        let state = self.state(scope).await?;
        let mut steps = VecDeque::new();
        let has = |kind| kinds.contains(&kind);
        if has(RecordKind::Role) {
            steps.push_back(Step::Known(order::roles(&state).into_iter().map(Record::Role).collect()));
        }
        if has(RecordKind::Separation) {
            let all = state.separations.values().map(|one| Record::Separation(one.value.clone()));
            steps.push_back(Step::Known(all.collect()));
        }
        let whole = |filter| Step::Listed(filter, Roles::AllBut(BTreeSet::new()));
        let all = |kind| whole(RecordFilter::all(kind));
        if has(RecordKind::Membership) {
            steps.push_back(all(RecordKind::Membership));
        }
        if has(RecordKind::Assignment) {
            let filter = RecordFilter::all(RecordKind::Assignment);
            let bound = order::bound(&state);
            let others = Roles::AllBut(bound.iter().flatten().cloned().collect());
            steps.push_back(Step::Listed(filter.clone(), others));
            steps.extend(bound.into_iter().map(|roles| match <[RoleId; 1]>::try_from(roles) {
                Ok([role]) => whole(filter.clone().of_role(role)),
                // Subject by subject, since of each all are needed together.
                Err(circle) => Step::Listed(filter.clone(), Roles::Only(circle.into_iter().collect())),
            }));
        }
        let rest = [RecordKind::Grant, RecordKind::Denial, RecordKind::Session];
        steps.extend(rest.into_iter().filter(|kind| has(*kind)).map(all));
        let (store, revision) = (Arc::clone(&self.store), state.revision);
        Ok(Export { store, scope, revision, steps, after: None, records: 0 })
    }
}

impl Export {
    /// Returns the next records, at most 1,000 from a list; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read; it goes on from there when it is asked again.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, Error> {
        while let Some(step) = self.steps.front_mut() {
            let found = match step {
                Step::Known(records) => std::mem::take(records),
                Step::Listed(filter, roles) => {
                    let mut page = PageRequest::first(PageRequest::MAX_LIMIT);
                    if let Some(after) = &self.after {
                        page = page.after(after.clone());
                    }
                    let found = self.store.list(self.scope, filter, &page).await?;
                    self.after = found.next;
                    found.items.into_iter().map(|record| record.value).filter(|one| roles.pick(one)).collect()
                }
            };
            if self.after.is_none() {
                self.steps.pop_front();
            }
            if !found.is_empty() {
                let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
                self.records = self.records.saturating_add(count);
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the revision of the scope when it began.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns how many records were returned so far.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Tells whether the scope has changed since it began, so that the records may not be of one instant.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn has_moved(&self) -> Result<bool, Error> {
        Ok(self.store.load(self.scope).await?.revision != self.revision)
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("scope", &self.scope)
            .field("revision", &self.revision)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}
