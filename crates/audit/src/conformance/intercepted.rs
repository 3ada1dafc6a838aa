use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use stanchion_core::{EventId, Scope, StoreError, SystemScope};

use crate::{
    AppendBatch, AppendOutcome, Chain, ChainId, CutOutcome, Fence, Head, LedgerStore, Place, Projected,
    Query, Row, Seal, SearchPage, Shard, SubjectKeyId, Withdrawn, Writers,
};

/// A call to a store that has not been made yet: it is when this is awaited.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// What comes between a ledger and its store: it can fail calls, hold them up, lose their answers, and alter what is read, as a network
/// does, or somebody who can write to the database.
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

    fn alter(&self, answer: Answer<'_>) {
        (**self).alter(answer);
    }
}

/// Which method is called.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is named as the method of the port")]
pub enum Call<'a> {
    Open,
    Heads,
    Append(&'a AppendBatch),
    Chains,
    List,
    Read { chain: ChainId, from: u64 },
    Seals { chain: ChainId, from: u64 },
    Query,
    Get,
    Project,
    Unprojected,
    Projected,
    Withdraw,
    Withdrawn,
    Unfinished,
    Cut { chain: ChainId, base: Head },
    Reclaim,
}

/// What is returned.
#[derive(Debug)]
pub enum Answer<'a> {
    /// Of `heads`.
    Heads(&'a mut Vec<Head>),
    /// Of `chains` and `list`.
    Chains(&'a mut Vec<Chain>),
    /// Of `read` and `query`.
    Rows(&'a mut Vec<Row>),
    /// Of `seals`.
    Seals(&'a mut Vec<Seal>),
    /// Of `projected`.
    Projected(&'a mut SearchPage),
}

/// A store behind an [`Intercept`]: all calls go on to the store, unless that says otherwise.
#[derive(Debug)]
pub struct Intercepted<I> {
    store: RwLock<Arc<dyn LedgerStore>>,
    /// What comes between.
    pub by: I,
}

impl<I: Intercept> Intercepted<I> {
    /// Puts `by` before a store.
    #[must_use]
    pub fn new(store: Arc<dyn LedgerStore>, by: I) -> Self {
        Self { store: RwLock::new(store), by }
    }

    /// Puts another store in the place of the one behind, as when a backup is restored.
    pub fn replace(&self, store: Arc<dyn LedgerStore>) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
    }

    /// Returns the store behind.
    #[must_use]
    pub fn behind(&self) -> Arc<dyn LedgerStore> {
        Arc::clone(&self.store.read().unwrap_or_else(PoisonError::into_inner))
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
impl<I: Intercept> LedgerStore for Intercepted<I> {
    async fn open(&self, system: SystemScope, shard: Shard, writers: Writers) -> Result<Fence, StoreError> {
        self.around(Call::Open, self.behind().open(system, shard, writers)).await
    }

    async fn heads(&self, system: SystemScope, chains: &[ChainId]) -> Result<Vec<Head>, StoreError> {
        let mut heads = self.around(Call::Heads, self.behind().heads(system, chains)).await?;
        self.by.alter(Answer::Heads(&mut heads));
        Ok(heads)
    }

    async fn append(&self, system: SystemScope, batch: &AppendBatch) -> Result<AppendOutcome, StoreError> {
        self.around(Call::Append(batch), self.behind().append(system, batch)).await
    }

    async fn chains(&self, scope: Scope) -> Result<Vec<Chain>, StoreError> {
        let mut chains = self.around(Call::Chains, self.behind().chains(scope)).await?;
        self.by.alter(Answer::Chains(&mut chains));
        Ok(chains)
    }

    async fn list(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<Chain>, StoreError> {
        let mut chains = self.around(Call::List, self.behind().list(system, after, limit)).await?;
        self.by.alter(Answer::Chains(&mut chains));
        Ok(chains)
    }

    async fn read(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Row>, StoreError> {
        let call = Call::Read { chain, from };
        let mut rows = self.around(call, self.behind().read(chain, from, limit)).await?;
        self.by.alter(Answer::Rows(&mut rows));
        Ok(rows)
    }

    async fn seals(&self, chain: ChainId, from: u64, limit: usize) -> Result<Vec<Seal>, StoreError> {
        let call = Call::Seals { chain, from };
        let mut seals = self.around(call, self.behind().seals(chain, from, limit)).await?;
        self.by.alter(Answer::Seals(&mut seals));
        Ok(seals)
    }

    async fn query(
        &self,
        scope: Scope,
        query: &Query,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = self.around(Call::Query, self.behind().query(scope, query, before, limit)).await?;
        self.by.alter(Answer::Rows(&mut rows));
        Ok(rows)
    }

    async fn get(&self, scope: Scope, id: EventId) -> Result<Option<Row>, StoreError> {
        self.around(Call::Get, self.behind().get(scope, id)).await
    }

    async fn project(
        &self,
        system: SystemScope,
        chains: &[ChainId],
        limit: usize,
    ) -> Result<Projected, StoreError> {
        self.around(Call::Project, self.behind().project(system, chains, limit)).await
    }

    async fn unprojected(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<ChainId>, StoreError> {
        self.around(Call::Unprojected, self.behind().unprojected(system, after, limit)).await
    }

    async fn projected(&self, chain: ChainId, from: u64, limit: usize) -> Result<SearchPage, StoreError> {
        let mut page = self.around(Call::Projected, self.behind().projected(chain, from, limit)).await?;
        self.by.alter(Answer::Projected(&mut page));
        Ok(page)
    }

    async fn withdraw(
        &self,
        system: SystemScope,
        scope: Scope,
        withdrawn: &Withdrawn,
    ) -> Result<(), StoreError> {
        self.around(Call::Withdraw, self.behind().withdraw(system, scope, withdrawn)).await
    }

    async fn withdrawn(&self, scope: Scope, keys: &[SubjectKeyId]) -> Result<Withdrawn, StoreError> {
        self.around(Call::Withdrawn, self.behind().withdrawn(scope, keys)).await
    }

    async fn unfinished(&self, scope: Scope, withdrawn: &Withdrawn) -> Result<u64, StoreError> {
        self.around(Call::Unfinished, self.behind().unfinished(scope, withdrawn)).await
    }

    async fn cut(
        &self,
        system: SystemScope,
        chain: ChainId,
        from: &Head,
        base: Head,
    ) -> Result<CutOutcome, StoreError> {
        self.around(Call::Cut { chain, base }, self.behind().cut(system, chain, from, base)).await
    }

    async fn reclaim(&self, system: SystemScope) -> Result<u64, StoreError> {
        self.around(Call::Reclaim, self.behind().reclaim(system)).await
    }
}
