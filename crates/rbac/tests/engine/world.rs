//! An engine over a watched store, and short names for what the tests write.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stanchion_core::{
    Author, BoxFuture, ManualClock, Scope, SeededRandom, StoreError, StoreErrorKind, SubjectRef, TenantId,
    Timestamp, Versioned,
};
use stanchion_rbac::conformance::{Call, Intercept, Intercepted, Pending};
use stanchion_rbac::{
    Assignment, CheckRequest, Config, Decision, Denial, Engine, Error, Guards, MemoryRbacStore, Permission,
    Role, RoleId, SubjectDirectory,
};
use stanchion_replica::{Follower, FollowerConfig, MemoryOutboxStore};
use tokio::sync::Notify;

pub(crate) const PLATFORM: Scope = Scope::Platform;

pub(crate) fn tenant(number: u128) -> Scope {
    let uuid = format!("0192f0c1-2345-7abc-8def-{number:012}");
    Scope::Tenant(uuid.parse::<TenantId>().unwrap())
}

pub(crate) fn id(id: &str) -> RoleId {
    id.parse().unwrap()
}

pub(crate) fn permission(text: &str) -> Permission {
    text.parse().unwrap()
}

pub(crate) fn user(name: &str) -> SubjectRef {
    SubjectRef::user(name.to_owned()).unwrap()
}

pub(crate) fn role(name: &str, permissions: &[&str], includes: &[&str]) -> Role {
    Role::new(id(name), name.parse().unwrap())
        .with_permissions(permissions.iter().map(|text| permission(text)))
        .with_includes(includes.iter().map(|name| id(name)))
}

pub(crate) fn author() -> Author {
    Author {
        actor: stanchion_core::Actor::Subject {
            subject: user("root"),
            method: stanchion_core::AuthenticationMethod::ApiKey,
            key: None,
        },
        acted_as: None,
        authorization: Vec::new(),
        request: None,
        source: stanchion_core::Source::default(),
    }
}

/// The instant `seconds` after the tests begin.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_772_366_400_000_000 + seconds * 1_000_000)
}

/// Lets whoever writes give what they do not have.
pub(crate) fn giving_freely(mut config: Config) -> Config {
    config.guards.self_elevation = false;
    config
}

pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<Watched>,
    pub(crate) outbox: Arc<MemoryOutboxStore>,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    /// Worlds in which administrators come and go and give as they please; what they are kept from doing is tested by itself.
    pub(crate) fn new() -> Self {
        let guards = Guards { last_administrator: false, ..Guards::default() };
        Self::with(Config { guards, ..Config::default() })
    }

    pub(crate) fn with(config: Config) -> Self {
        Self::guarded(giving_freely(config))
    }

    /// With all guards of the configuration.
    pub(crate) fn guarded(config: Config) -> Self {
        let outbox = Arc::new(MemoryOutboxStore::default());
        let store = Arc::new(MemoryRbacStore::new(Some(Arc::clone(&outbox))));
        let store = Arc::new(Watched::new(store, Watch::new()));
        let clock = Arc::new(ManualClock::at(at(0)));
        let ids = Arc::new(SeededRandom::new(1));
        let engine = Arc::new(Engine::new(Arc::clone(&store) as _, Arc::clone(&clock) as _, ids, config));
        Self { engine, store, outbox, clock }
    }

    /// With a directory of subjects.
    pub(crate) fn knowing(directory: Arc<dyn SubjectDirectory>) -> Self {
        let Self { store, outbox, clock, .. } = Self::new();
        let ids = Arc::new(SeededRandom::new(1));
        let config = giving_freely(Config::default());
        let engine = Engine::new(Arc::clone(&store) as _, Arc::clone(&clock) as _, ids, config);
        Self { engine: Arc::new(engine.with_directory(directory)), store, outbox, clock }
    }

    /// Another replica over the same store.
    pub(crate) fn replica(&self) -> Arc<Engine> {
        self.replica_with(Config::default())
    }

    pub(crate) fn replica_with(&self, config: Config) -> Arc<Engine> {
        let config = giving_freely(config);
        let (store, clock) = (Arc::clone(&self.store) as _, Arc::clone(&self.clock) as _);
        Arc::new(Engine::new(store, clock, Arc::new(SeededRandom::new(2)), config))
    }

    pub(crate) fn follower(&self, engine: &Arc<Engine>) -> Follower {
        let (feed, target) = (Arc::clone(&self.store) as _, Arc::clone(engine) as _);
        let (clock, timer) = (Arc::clone(&self.clock) as _, Arc::clone(&self.clock) as _);
        Follower::new(feed, target, clock, timer, FollowerConfig::default())
    }

    pub(crate) async fn put(&self, scope: Scope, role: Role) -> Versioned<Role> {
        self.engine.put_role(&author(), scope, role, None).await.unwrap().role
    }

    pub(crate) async fn try_put(&self, scope: Scope, role: Role) -> Result<Versioned<Role>, Error> {
        self.engine.put_role(&author(), scope, role, None).await.map(|written| written.role)
    }

    pub(crate) async fn assign(&self, scope: Scope, subject: &str, role: &str) {
        self.give(scope, Assignment::new(user(subject), id(role))).await;
    }

    pub(crate) async fn give(&self, scope: Scope, assignment: Assignment) {
        self.engine.assign(&author(), scope, assignment).await.unwrap();
    }

    pub(crate) async fn revoke(&self, scope: Scope, subject: &str, role: &str) {
        self.engine.revoke(&author(), scope, &user(subject), &id(role)).await.unwrap().unwrap();
    }

    pub(crate) async fn deny(&self, scope: Scope, subject: &str, what: &str) {
        self.engine.deny(&author(), scope, Denial::new(user(subject), permission(what))).await.unwrap();
    }

    pub(crate) async fn check(&self, scope: Scope, subject: &str, what: &str) -> Decision {
        check(&self.engine, scope, subject, what).await
    }

    pub(crate) async fn allows(&self, scope: Scope, subject: &str, what: &str) -> bool {
        self.check(scope, subject, what).await.allowed
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub(crate) async fn check(engine: &Engine, scope: Scope, subject: &str, what: &str) -> Decision {
    let (subject, what) = (user(subject), permission(what));
    let request = CheckRequest::new(scope, &subject, &what);
    let decision = engine.check(&request).await.unwrap();
    assert_eq!(engine.try_check(&request), Some(decision.clone()), "what was read once is in memory");
    decision
}

/// A store that counts what is read of it, can be down, and can keep a write waiting.
pub(crate) type Watched = Intercepted<Watch>;

pub(crate) struct Watch {
    pub(crate) loads: AtomicUsize,
    pub(crate) subjects: AtomicUsize,
    pub(crate) lists: AtomicUsize,
    pub(crate) down: AtomicBool,
    /// Done once, after records were listed and before that is told.
    pub(crate) intruder: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Once set, a write is done, but its answer never comes.
    pub(crate) mute: AtomicBool,
    pub(crate) written: Notify,
    /// How many writes are still let through, if that is bounded; the others fail.
    pub(crate) writes_left: Mutex<Option<usize>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    fn new() -> Self {
        Self {
            loads: AtomicUsize::new(0),
            subjects: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            intruder: Mutex::new(None),
            mute: AtomicBool::new(false),
            written: Notify::new(),
            writes_left: Mutex::new(None),
        }
    }

    /// How often roles and subjects were read since this was last asked.
    pub(crate) fn reads(&self) -> (usize, usize) {
        (self.loads.swap(0, Ordering::SeqCst), self.subjects.swap(0, Ordering::SeqCst))
    }

    fn may_write(&self) -> bool {
        match self.writes_left.lock().unwrap().as_mut() {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

#[async_trait]
impl Intercept for Watch {
    async fn around(&self, call: Call<'_>, pending: Pending<'_>) -> Result<(), StoreError> {
        let unavailable = || Err(StoreError::new(StoreErrorKind::Unavailable, "watched", "any"));
        let may_fail = !matches!(call, Call::List(_) | Call::TenantsUsing | Call::GetRole | Call::GetSession);
        if may_fail && self.down.load(Ordering::SeqCst) {
            return unavailable();
        }
        match call {
            Call::Load(_) => drop(self.loads.fetch_add(1, Ordering::SeqCst)),
            Call::Subject(_) | Call::Subjects(_) => drop(self.subjects.fetch_add(1, Ordering::SeqCst)),
            Call::List(_) => drop(self.lists.fetch_add(1, Ordering::SeqCst)),
            Call::Apply if !self.may_write() => return unavailable(),
            _ => {}
        }
        if !matches!(call, Call::List(_)) {
            tokio::task::yield_now().await;
        }
        let done = pending.await;
        if matches!(call, Call::List(_)) {
            let intruder = self.intruder.lock().unwrap().take();
            if let Some(intruder) = intruder {
                intruder.await;
            }
        }
        if matches!(call, Call::Apply) && self.mute.load(Ordering::SeqCst) {
            self.written.notify_one();
            std::future::pending::<()>().await;
        }
        done
    }
}
