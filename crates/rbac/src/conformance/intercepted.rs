use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedPage, Page, PageRequest, Revision, Scope, SessionId, StoreError, SubjectRef,
    SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_replica::ChangeFeed;

use crate::{
    RbacChange, RbacStore, Record, RecordFilter, RecordKey, RecordKind, Role, RoleId, Session, Snapshot,
    SubjectRecords,
};

/// A call to a store that has not been made yet: it is when this is awaited.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// What comes between an engine and its store: it can count and fail calls, hold them up, lose their answers, and alter what is
/// written and read, as a network does, or a store that breaks the contract.
#[async_trait]
pub trait Intercept: fmt::Debug + Send + Sync {
    /// Makes a call, or does not. `Ok` may be returned only when the store was called, and has answered.
    ///
    /// # Errors
    /// What the caller is to get in the place of an answer.
    async fn around(&self, call: Call<'_>, pending: Pending<'_>) -> Result<(), StoreError> {
        let _ = call;
        pending.await
    }

    /// Sees what is about to be written, last of all, with the store behind; returns what the caller is told in the place of the
    /// store's answer, if the change is not to be applied.
    async fn apply(
        &self,
        store: &dyn RbacStore,
        scope: Scope,
        change: Change<RbacChange>,
    ) -> Result<Revision, StoreError> {
        store.apply(scope, change).await
    }

    /// Sees what is returned, last of all.
    fn alter(&self, answer: Answer<'_>) {
        let _ = answer;
    }
}

/// What a test keeps a hand on.
#[async_trait]
impl<I: Intercept> Intercept for Arc<I> {
    async fn around(&self, call: Call<'_>, pending: Pending<'_>) -> Result<(), StoreError> {
        (**self).around(call, pending).await
    }

    async fn apply(
        &self,
        store: &dyn RbacStore,
        scope: Scope,
        change: Change<RbacChange>,
    ) -> Result<Revision, StoreError> {
        (**self).apply(store, scope, change).await
    }

    fn alter(&self, answer: Answer<'_>) {
        (**self).alter(answer);
    }
}

/// Which method is called.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is named as the method of the port")]
pub enum Call<'a> {
    Load(Scope),
    Subject(&'a SubjectRef),
    Subjects(&'a [SubjectRef]),
    GetRole,
    GetSession,
    List(&'a RecordFilter),
    TenantsUsing,
    Expired,
    Apply,
    Changes,
}

/// What is returned.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Of `load`.
    Snapshot(&'a mut Snapshot),
    /// Of `subject`.
    Subject(&'a mut SubjectRecords),
    /// Of `list`.
    Page(&'a mut Page<Versioned<Record>>),
}

/// A store behind an [`Intercept`]: all calls go on to the store, unless that says otherwise. Followers are not told when something
/// arrives in it: they look.
#[derive(Debug)]
pub struct Intercepted<I> {
    store: Arc<dyn RbacStore>,
    /// What comes between.
    pub by: I,
}

impl<I: Intercept> Intercepted<I> {
    /// Puts `by` before a store.
    #[must_use]
    pub fn new(store: Arc<dyn RbacStore>, by: I) -> Self {
        Self { store, by }
    }

    async fn around<T: Send>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let mut answer = None;
        let pending = Box::pin(async {
            answer = Some(work.await?);
            Ok(())
        });
        self.by.around(call, pending).await?;
        Ok(answer.expect("whoever says that it is well has called the store"))
    }
}

#[async_trait]
impl<I: Intercept> RbacStore for Intercepted<I> {
    async fn load(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        let mut found = self.around(Call::Load(scope), self.store.load(scope)).await?;
        self.by.alter(Answer::Snapshot(&mut found));
        Ok(found)
    }

    async fn subject(&self, scope: Scope, subject: &SubjectRef) -> Result<SubjectRecords, StoreError> {
        let mut found = self.around(Call::Subject(subject), self.store.subject(scope, subject)).await?;
        self.by.alter(Answer::Subject(&mut found));
        Ok(found)
    }

    async fn subjects(
        &self,
        scope: Scope,
        subjects: &[SubjectRef],
    ) -> Result<Vec<SubjectRecords>, StoreError> {
        self.around(Call::Subjects(subjects), self.store.subjects(scope, subjects)).await
    }

    async fn get_role(&self, scope: Scope, id: &RoleId) -> Result<Option<Versioned<Role>>, StoreError> {
        self.around(Call::GetRole, self.store.get_role(scope, id)).await
    }

    async fn get_session(
        &self,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Versioned<Session>>, StoreError> {
        self.around(Call::GetSession, self.store.get_session(scope, id)).await
    }

    async fn list(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<Record>>, StoreError> {
        let mut found = self.around(Call::List(filter), self.store.list(scope, filter, page)).await?;
        self.by.alter(Answer::Page(&mut found));
        Ok(found)
    }

    async fn tenants_using(
        &self,
        system: SystemScope,
        role: &RoleId,
        limit: usize,
    ) -> Result<Vec<TenantId>, StoreError> {
        self.around(Call::TenantsUsing, self.store.tenants_using(system, role, limit)).await
    }

    async fn expired(
        &self,
        system: SystemScope,
        kind: RecordKind,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Scope, RecordKey)>, StoreError> {
        self.around(Call::Expired, self.store.expired(system, kind, at, limit)).await
    }

    async fn apply(&self, scope: Scope, change: Change<RbacChange>) -> Result<Revision, StoreError> {
        self.around(Call::Apply, self.by.apply(&*self.store, scope, change)).await
    }
}

#[async_trait]
impl<I: Intercept> ChangeFeed for Intercepted<I> {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.around(Call::Changes, self.store.changes(system, cursor, limit)).await
    }
}
