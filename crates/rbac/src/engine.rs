use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stanchion_core::{Clock, EventSink, IdGen, Scope, SessionId, StoreError, SubjectRef, Timestamp};
use stanchion_replica::Cache;

use crate::compiled::Compiled;
use crate::holdings::Holdings;
use crate::statistics::Counters;
use crate::subject_key::{BorrowedKey, SubjectKey};
use crate::view::View;
use crate::{Config, RbacStore, ResourceAttributes, Session, SubjectDirectory};

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
    pub(crate) subjects: Cache<SubjectKey, Holdings>,
    pub(crate) sessions: Cache<(Scope, SessionId), Option<Arc<Session>>>,
    pub(crate) directory: Option<Arc<dyn SubjectDirectory>>,
    pub(crate) attributes: Option<Arc<dyn ResourceAttributes>>,
    pub(crate) sink: Option<Arc<dyn EventSink>>,
    pub(crate) counters: Counters,
    /// How often the roles of scopes were let go: the platform's first, then the tenants', several to a stamp. What was found in roles
    /// with an older stamp is to be found anew.
    stamps: Vec<AtomicU64>,
    forgotten: AtomicU64,
}

/// How many stamps tenants share.
const STAMPS: u64 = 1024;

/// How often roles are let go before the memory is searched for what still holds on to old ones.
const SWEEP_EVERY: u64 = 64;

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
            sessions: Cache::new(config.cached_sessions),
            directory: None,
            attributes: None,
            sink: None,
            counters: Counters::default(),
            config,
            stamps: (0..=STAMPS).map(|_| AtomicU64::new(0)).collect(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Returns what it was made with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns how many scopes' roles and how many subjects' assignments are in memory.
    #[must_use]
    pub fn in_memory(&self) -> (usize, usize) {
        (self.views.len(), self.subjects.len())
    }

    /// Asks a directory who is known and active, and what else is known of subjects.
    #[must_use]
    pub fn with_directory(mut self, directory: Arc<dyn SubjectDirectory>) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Has what a caller does not say of a resource looked up where it matters.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Arc<dyn ResourceAttributes>) -> Self {
        self.attributes = Some(attributes);
        self
    }

    /// Tells of decisions: of every refusal, and of as many permits as [`DecisionRecords`](crate::DecisionRecords) says.
    #[must_use]
    pub fn with_sink(mut self, sink: Arc<dyn EventSink>) -> Self {
        self.sink = Some(sink);
        self
    }

    pub(crate) async fn holdings(&self, scope: Scope, subject: &SubjectRef) -> Result<Holdings, StoreError> {
        let view = self.view(scope).await?;
        let key = BorrowedKey::new(scope, subject).to_owned();
        let load = || async {
            let expires_at = self.expires_at().min(view.expires_at);
            let records = self.store.subject(scope, subject).await?;
            Ok::<_, StoreError>((Holdings::new(&records, &view), expires_at))
        };
        let holdings = self.subjects.get_or_load(&key, &*self.clock, load).await?;
        if Arc::ptr_eq(&holdings.view, &view) {
            return Ok(holdings);
        }
        let Some(found) = holdings.within(&view) else {
            self.subjects.remove(&key);
            return self.subjects.get_or_load(&key, &*self.clock, load).await;
        };
        let is_same =
            |kept: &Holdings| kept.revision == holdings.revision && Arc::ptr_eq(&kept.view, &holdings.view);
        self.subjects.update(&key, |kept| is_same(kept).then(|| found.clone()));
        Ok(found)
    }

    /// Finds a session, if there is one.
    pub(crate) async fn session_to_decide_by(
        &self,
        scope: Scope,
        id: SessionId,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let load = || async {
            let expires_at = self.expires_at();
            let session = self.store.get_session(scope, id).await?;
            Ok::<_, StoreError>((session.map(|session| Arc::new(session.value)), expires_at))
        };
        self.sessions.get_or_load(&(scope, id), &*self.clock, load).await
    }

    pub(crate) fn forget_session(&self, scope: Scope, id: SessionId) {
        self.sessions.remove(&(scope, id));
    }

    pub(crate) async fn view(&self, scope: Scope) -> Result<Arc<View>, StoreError> {
        let load = || self.load_view(scope);
        let view = self.views.get_or_load(&scope, &*self.clock, load).await?;
        if self.is_current(scope, &view) {
            return Ok(view);
        }
        if view.stamps.0 != self.stamp(scope) {
            // Let go of just now, or its stamp was moved by another tenant: the two cannot be told apart.
            self.views.remove(&scope);
            return self.views.get_or_load(&scope, &*self.clock, load).await;
        }
        // The scope's own roles are as they were; only the platform's have to be taken anew.
        let stamps = (view.stamps.0, self.stamp(Scope::Platform));
        let platform = self.platform_view().await?;
        let expires_at = view.expires_at.min(platform.expires_at);
        let platform = Some(Arc::clone(&platform.own));
        let fresh = Arc::new(View::new(Arc::clone(&view.own), platform, stamps, expires_at));
        self.views.update(&scope, |kept| Arc::ptr_eq(kept, &view).then(|| Arc::clone(&fresh)));
        Ok(fresh)
    }

    async fn load_view(&self, scope: Scope) -> Result<(Arc<View>, Timestamp), StoreError> {
        let stamps = (self.stamp(scope), self.stamp(Scope::Platform));
        let mut expires_at = self.expires_at();
        let platform = match scope {
            Scope::Platform => None,
            Scope::Tenant(_) => {
                let view = self.platform_view().await?;
                expires_at = expires_at.min(view.expires_at);
                Some(Arc::clone(&view.own))
            }
        };
        let own = self.compiled(scope).await?;
        Ok((Arc::new(View::new(own, platform, stamps, expires_at)), expires_at))
    }

    /// The platform's own view. A tenant's view waits for it while it is loaded, and it waits for none.
    async fn platform_view(&self) -> Result<Arc<View>, StoreError> {
        let load = || async {
            let stamp = self.stamp(Scope::Platform);
            let expires_at = self.expires_at();
            let own = self.compiled(Scope::Platform).await?;
            Ok::<_, StoreError>((Arc::new(View::new(own, None, (stamp, stamp), expires_at)), expires_at))
        };
        self.views.get_or_load(&Scope::Platform, &*self.clock, load).await
    }

    async fn compiled(&self, scope: Scope) -> Result<Arc<Compiled>, StoreError> {
        let snapshot = self.store.load(scope).await?;
        Ok(Arc::new(Compiled::new(snapshot.revision, snapshot.roles)))
    }

    /// Lets go of the scope's roles, so that the next check reads them.
    pub(crate) fn forget_roles(&self, scope: Scope) {
        self.views.remove(&scope);
        // Only now: whoever sees the new stamp must not find the old roles any more.
        if let Some(stamp) = self.stamps.get(place_of_stamp(scope)) {
            stamp.fetch_add(1, Ordering::SeqCst);
        }
        // Subjects are found anew when they are next asked about; who is not asked about must not keep old roles in memory for ever.
        if self.forgotten.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.subjects.remove_if(|key, holdings| !self.is_current(key.scope(), &holdings.view));
        }
    }

    /// Lets go of what the subject holds, so that the next check reads it.
    pub(crate) fn forget_subject(&self, scope: Scope, subject: &SubjectRef) {
        self.subjects.remove(&BorrowedKey::new(scope, subject));
    }

    pub(crate) fn forget_everything_of(&self, scope: Scope) {
        self.forget_roles(scope);
        self.subjects.remove_if(|key, _| key.scope() == scope);
        self.sessions.remove_if(|(of, _), _| *of == scope);
    }

    /// Tells whether neither the scope's roles nor the platform's were let go since the view was taken.
    pub(crate) fn is_current(&self, scope: Scope, view: &View) -> bool {
        view.stamps == (self.stamp(scope), self.stamp(Scope::Platform))
    }

    fn stamp(&self, scope: Scope) -> u64 {
        self.stamps.get(place_of_stamp(scope)).map_or(0, |stamp| stamp.load(Ordering::SeqCst))
    }

    fn expires_at(&self) -> Timestamp {
        self.clock.now().plus(self.config.max_stale())
    }
}

fn place_of_stamp(scope: Scope) -> usize {
    let place = scope.tenant().map_or(0, |tenant| 1 + tenant.uuid().as_u64_pair().1 % STAMPS);
    usize::try_from(place).unwrap_or(0)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.store)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
