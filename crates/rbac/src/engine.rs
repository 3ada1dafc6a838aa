use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use stanchion_core::{Clock, IdGen, Revision, Scope, StoreError, SubjectRef, Timestamp};
use stanchion_replica::Cache;

use crate::compiled::Compiled;
use crate::view::{Holdings, View};
use crate::{CheckRequest, Config, Decision, Error, Explanation, RbacStore, Reason};

/// Decides who may do what, and keeps what it decides by.
///
/// Roles are compiled per scope, assignments are read per subject; both are kept in memory, so a check that has been made before
/// waits for nothing. A write is visible to the next check of the engine that made it. Writes of others are visible once they have been
/// [followed](stanchion_replica::Follower), which an engine of several over one store has to be made to do; while it is not, what it
/// has in memory is read again after [`Config::max_stale_seconds`].
pub struct Engine {
    pub(crate) store: Arc<dyn RbacStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdGen>,
    pub(crate) config: Config,
    pub(crate) views: Cache<Scope, Arc<View>>,
    pub(crate) subjects: Cache<SubjectKey, Arc<Holdings>>,
    generations: AtomicU64,
    /// How often the platform's roles were let go. A tenant's view is of use while it has the last ones.
    epoch: AtomicU64,
    /// Until when, in microseconds, everything in memory may be trusted, since all changes were followed.
    followed_until: AtomicI64,
}

impl Engine {
    /// Makes an engine over `store`. A clock and ids are all it needs of the world.
    #[must_use]
    pub fn new(
        store: Arc<dyn RbacStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGen>,
        config: Config,
    ) -> Self {
        Self {
            store,
            clock,
            ids,
            views: Cache::new(config.cached_scopes),
            subjects: Cache::new(config.cached_subjects),
            config,
            generations: AtomicU64::new(1),
            epoch: AtomicU64::new(0),
            followed_until: AtomicI64::new(Timestamp::MIN.micros()),
        }
    }

    /// Decides at once from what is in memory; `None` when something has to be read first, which [`Engine::check`] does.
    ///
    /// In this order: what is not exact is denied; an explicit denial wins; a role that counts now and permits it grants it; all else
    /// is denied.
    #[must_use]
    pub fn try_check(&self, request: &CheckRequest<'_>) -> Option<Decision> {
        if !request.permission.is_exact() {
            return Some(Decision::denied(Reason::PermissionNotExact, Revision::ZERO));
        }
        let now = self.clock.now();
        let trusted = self.trusted(now);
        self.views.with(&request.scope, trusted, |view| {
            if !self.is_current(request.scope, view) {
                return None;
            }
            let key: &dyn InScope = request;
            self.subjects.with(key, trusted, |holdings| {
                let found_here = holdings.generation == view.generation;
                found_here.then(|| view.decide(holdings, request.permission, now))
            })?
        })?
    }

    /// Decides, reading first what is not in memory.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read. That is no answer: whoever asked has to refuse.
    pub async fn check(&self, request: &CheckRequest<'_>) -> Result<Decision, Error> {
        if let Some(decision) = self.try_check(request) {
            return Ok(decision);
        }
        let (view, holdings) = self.evidence(request).await?;
        Ok(view.decide(&holdings, request.permission, self.clock.now()))
    }

    /// Decides as [`Engine::check`] does, and shows by what.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn explain(&self, request: &CheckRequest<'_>) -> Result<Explanation, Error> {
        if !request.permission.is_exact() {
            let decision = Decision::denied(Reason::PermissionNotExact, Revision::ZERO);
            return Ok(Explanation { decision, path: Vec::new(), matched: None, candidates: Vec::new() });
        }
        let (view, holdings) = self.evidence(request).await?;
        Ok(view.explain(&holdings, request.permission, self.clock.now()))
    }

    async fn evidence(&self, request: &CheckRequest<'_>) -> Result<(Arc<View>, Arc<Holdings>), StoreError> {
        let view = self.view(request.scope).await?;
        let holdings = self.holdings(request, &view).await?;
        Ok((view, holdings))
    }

    async fn view(&self, scope: Scope) -> Result<Arc<View>, StoreError> {
        let trusted = Stopped(self.trusted(self.clock.now()));
        let load = || self.load_view(scope);
        let view = self.views.get_or_load(&scope, &trusted, load).await?;
        if self.is_current(scope, &view) {
            return Ok(view);
        }
        // The scope's own roles are as they were; only the platform's have to be taken anew.
        let epoch = self.epoch();
        let platform = self.platform_view().await?;
        let expires_at = view.expires_at.min(platform.expires_at);
        let own = Arc::clone(&view.own);
        let platform = Some(Arc::clone(&platform.own));
        let fresh = Arc::new(View::new(self.next_generation(), own, platform, epoch, expires_at));
        self.views.update(&scope, |kept| Arc::ptr_eq(kept, &view).then(|| Arc::clone(&fresh)));
        Ok(fresh)
    }

    async fn load_view(&self, scope: Scope) -> Result<(Arc<View>, Timestamp), StoreError> {
        let epoch = self.epoch();
        let platform = match scope {
            Scope::Platform => None,
            Scope::Tenant(_) => Some(self.platform_view().await?),
        };
        let mut expires_at = self.clock.now().plus(self.config.max_stale());
        if let Some(platform) = &platform {
            expires_at = expires_at.min(platform.expires_at);
        }
        let snapshot = self.store.load(scope).await?;
        let own = Arc::new(Compiled::new(snapshot.revision, snapshot.roles));
        let platform = platform.map(|platform| Arc::clone(&platform.own));
        let view = View::new(self.next_generation(), own, platform, epoch, expires_at);
        Ok((Arc::new(view), expires_at))
    }

    async fn platform_view(&self) -> Result<Arc<View>, StoreError> {
        let trusted = Stopped(self.trusted(self.clock.now()));
        let load = || async {
            // Nested: a tenant's view waits for the platform's, and that one for nothing else.
            let expires_at = self.clock.now().plus(self.config.max_stale());
            let snapshot = self.store.load(Scope::Platform).await?;
            let own = Arc::new(Compiled::new(snapshot.revision, snapshot.roles));
            let view = View::new(self.next_generation(), own, None, self.epoch(), expires_at);
            Ok::<_, StoreError>((Arc::new(view), expires_at))
        };
        self.views.get_or_load(&Scope::Platform, &trusted, load).await
    }

    async fn holdings(
        &self,
        request: &CheckRequest<'_>,
        view: &Arc<View>,
    ) -> Result<Arc<Holdings>, StoreError> {
        let trusted = Stopped(self.trusted(self.clock.now()));
        let key = SubjectKey { scope: request.scope, subject: request.subject.clone() };
        let load = || async {
            let expires_at = self.clock.now().plus(self.config.max_stale());
            let records = self.store.subject(request.scope, request.subject).await?;
            Ok::<_, StoreError>((Arc::new(Holdings::new(records, view)), expires_at))
        };
        let holdings = self.subjects.get_or_load(&key, &trusted, load).await?;
        if holdings.generation == view.generation {
            return Ok(holdings);
        }
        let found = Arc::new(holdings.within(view));
        self.subjects.update(&key, |kept| Arc::ptr_eq(kept, &holdings).then(|| Arc::clone(&found)));
        Ok(found)
    }

    /// Lets go of the scope's roles, so that the next check reads them.
    pub(crate) fn forget_roles(&self, scope: Scope) {
        self.views.remove(&scope);
        if scope == Scope::Platform {
            // Only now: whoever sees the new epoch must not find the old roles any more.
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Lets go of what the subject holds, so that the next check reads it.
    pub(crate) fn forget_subject(&self, scope: Scope, subject: &SubjectRef) {
        self.subjects.remove::<dyn InScope>(&(scope, subject));
    }

    pub(crate) fn trust_until(&self, until: Timestamp) {
        self.followed_until.fetch_max(until.micros(), Ordering::Relaxed);
    }

    /// The time to look into the caches by: while all changes are followed, nothing in them expires.
    fn trusted(&self, now: Timestamp) -> Timestamp {
        if now.micros() < self.followed_until.load(Ordering::Relaxed) { Timestamp::MIN } else { now }
    }

    fn is_current(&self, scope: Scope, view: &View) -> bool {
        scope == Scope::Platform || view.epoch == self.epoch()
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.store)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A clock that tells one time.
#[derive(Debug)]
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A subject of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SubjectKey {
    scope: Scope,
    subject: SubjectRef,
}

/// Whatever names a subject of a scope, so that a look-up need not make a [`SubjectKey`].
pub(crate) trait InScope {
    fn scope(&self) -> Scope;
    fn subject(&self) -> &SubjectRef;
}

impl InScope for SubjectKey {
    fn scope(&self) -> Scope {
        self.scope
    }

    fn subject(&self) -> &SubjectRef {
        &self.subject
    }
}

impl InScope for CheckRequest<'_> {
    fn scope(&self) -> Scope {
        self.scope
    }

    fn subject(&self) -> &SubjectRef {
        self.subject
    }
}

impl InScope for (Scope, &SubjectRef) {
    fn scope(&self) -> Scope {
        self.0
    }

    fn subject(&self) -> &SubjectRef {
        self.1
    }
}

impl<'a> Borrow<dyn InScope + 'a> for SubjectKey {
    fn borrow(&self) -> &(dyn InScope + 'a) {
        self
    }
}

/// As [`SubjectKey`] hashes itself.
impl Hash for dyn InScope + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scope().hash(state);
        self.subject().hash(state);
    }
}

impl PartialEq for dyn InScope + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.scope() == other.scope() && self.subject() == other.subject()
    }
}

impl Eq for dyn InScope + '_ {}
