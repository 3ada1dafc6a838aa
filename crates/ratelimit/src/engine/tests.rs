mod callers;
mod deciding;
mod failing;
mod judging;
mod rules;
mod settling;
mod telling;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use stanchion_calendar::Window;
use stanchion_core::{
    Author, Change, FeedCursor, FeedPage, ManualClock, Page, PageRequest, Revision, Scope, SeededRandom,
    SubjectRef, SystemScope, Versioned,
};
use stanchion_replica::{ChangeFeed, MemoryOutboxStore};

use super::*;
use crate::{
    Call, Capabilities, Dimension, KeySpec, MemoryRuleStore, OnBackendFailure, Reason, Rule, RuleChange,
    RuleId, RuleSet, Settle, Settled, Settlement, Slot, StoredRule, Verdict,
};

/// Rules that can be made unreachable, and count how often they are loaded.
#[derive(Debug)]
struct Rulebook {
    store: MemoryRuleStore,
    loads: AtomicUsize,
    down: AtomicBool,
}

impl Rulebook {
    fn check(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "test", "rules"));
        }
        Ok(())
    }
}

#[async_trait]
impl ChangeFeed for Rulebook {
    async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.check()?;
        self.store.changes(system, cursor, limit).await
    }
}

#[async_trait]
impl RuleStore for Rulebook {
    async fn get(&self, scope: Scope, id: &RuleId) -> Result<Option<Versioned<StoredRule>>, StoreError> {
        self.check()?;
        self.store.get(scope, id).await
    }

    async fn list(
        &self,
        scope: Scope,
        page: &PageRequest,
    ) -> Result<Page<Versioned<StoredRule>>, StoreError> {
        self.check()?;
        self.store.list(scope, page).await
    }

    async fn load(&self, scope: Scope) -> Result<(Revision, RuleSet), StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let loaded = self.store.load(scope).await;
        tokio::task::yield_now().await;
        self.check()?;
        loaded
    }

    async fn apply(&self, scope: Scope, change: Change<RuleChange>) -> Result<Revision, StoreError> {
        self.check()?;
        self.store.apply(scope, change).await
    }
}

/// Counters that have to be waited for, as over a network, and do what a test says.
#[derive(Debug)]
struct Remote {
    store: MemoryCounterStore,
    mood: Mutex<Mood>,
    times: Mutex<Vec<Option<Timestamp>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Down,
    Answers {
        admitted: bool,
    },
    /// Answers at once, but for what ladders count.
    LaddersFail,
}

fn is_of_ladder(call: &Call<'_>) -> bool {
    call.charges.iter().any(|charge| charge.key.ends_with(b"v"))
}

#[async_trait]
impl CounterStore for Remote {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.store.capabilities().kernels, true)
    }

    async fn decide(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        tokio::task::yield_now().await;
        self.times.lock().unwrap().push(call.now);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => self.store.decide(slot, call).await,
            Mood::Down => Err(StoreError::new(StoreErrorKind::Timeout, "test", "decide")),
            Mood::Answers { admitted } => Ok(Outcome::new(admitted, Timestamp::EPOCH, [])),
            Mood::LaddersFail if is_of_ladder(call) => {
                Err(StoreError::new(StoreErrorKind::Timeout, "test", "decide"))
            }
            Mood::LaddersFail => self.store.decide(slot, call).await,
        }
    }

    fn try_decide(&self, slot: Slot, call: &Call<'_>) -> Option<Result<Outcome, StoreError>> {
        let answers = *self.mood.lock().unwrap() == Mood::LaddersFail && !is_of_ladder(call);
        if answers { self.store.try_decide(slot, call) } else { None }
    }

    async fn peek(&self, slot: Slot, call: &Call<'_>) -> Result<Outcome, StoreError> {
        self.store.peek(slot, call).await
    }

    async fn settle(
        &self,
        slot: Slot,
        call: Settled,
        corrections: &[Settlement<'_>],
        now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.store.settle(slot, call, corrections, now).await
    }

    async fn reset(&self, slot: Slot, key: &[u8]) -> Result<(), StoreError> {
        self.store.reset(slot, key).await
    }
}

/// Lets the errands that wait be done, and no more.
async fn run_errands(engine: &Engine, clock: &Arc<ManualClock>) {
    let timer = Arc::clone(clock);
    engine.close();
    let driver = async {
        // The queue lingers a little for company.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_millis(1));
        }
    };
    futures_util::future::join(engine.run(&*timer), driver).await;
}

struct Setup {
    engine: Arc<Engine>,
    rules: Arc<Rulebook>,
    outbox: Arc<MemoryOutboxStore>,
    remote: Arc<Remote>,
    clock: Arc<ManualClock>,
}

/// An engine over memory at noon on 1 March 2026.
fn memory() -> Setup {
    setup(Config::default(), false)
}

fn setup(config: Config, is_remote: bool) -> Setup {
    let clock = Arc::new(ManualClock::at(at("2026-03-01T12:00:00Z")));
    let outbox = Arc::new(MemoryOutboxStore::default());
    let rules = Arc::new(Rulebook {
        store: MemoryRuleStore::new(Some(outbox.clone())),
        loads: AtomicUsize::new(0),
        down: AtomicBool::new(false),
    });
    let store = || MemoryCounterStore::new(1_000, clock.clone());
    let remote = Arc::new(Remote { store: store(), mood: Mutex::new(Mood::Well), times: Mutex::default() });
    let counters: Arc<dyn CounterStore> = if is_remote { remote.clone() } else { Arc::new(store()) };
    let engine = Engine::new(rules.clone(), counters, clock.clone(), Arc::new(SeededRandom::new(1)), config);
    Setup { engine: Arc::new(engine), rules, outbox, remote, clock }
}

impl Setup {
    async fn put(&self, scope: Scope, rule: Rule) -> Versioned<Rule> {
        self.engine.put_rule(&Author::system("test"), scope, rule, None).await.unwrap()
    }

    async fn decide(&self, request: &Request<'_>) -> Decision {
        self.engine.decide(request).await.unwrap()
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn tenant(seed: u64) -> TenantId {
    SeededRandom::new(seed).tenant_id(Timestamp::EPOCH)
}

fn id(name: &str) -> RuleId {
    RuleId::new(name).unwrap()
}

/// So many a minute, by fixed window.
fn rule(name: &str, key: impl Into<KeySpec>, limit: u64) -> Rule {
    Rule { algorithm: crate::Algorithm::FixedWindow, ..Rule::new(id(name), key, limit, Window::MINUTE) }
}

fn alice() -> SubjectRef {
    SubjectRef::user("alice").unwrap()
}

fn by(subject: &SubjectRef) -> Request<'_> {
    Request { tenant: Some(tenant(1)), subject: Some(subject), ..Request::default() }
}

/// What each rule has left, by name.
fn remaining(decision: &Decision) -> Vec<(&str, u64)> {
    decision.rules().map(|state| (state.rule.as_str(), state.remaining)).collect()
}

/// The rule that refused, why, and for how many seconds.
fn refusal(decision: &Decision) -> Option<(&str, Reason, Option<u64>)> {
    match &decision.verdict {
        Verdict::Admitted => None,
        Verdict::Refused { rule, reason, retry_after, .. } => {
            Some((rule.as_ref().map_or("", RuleId::as_str), *reason, retry_after.map(|wait| wait.as_secs())))
        }
    }
}
