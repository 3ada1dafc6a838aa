//! An engine with rules, in memory, and what tests look at.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{Ready, ready};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use stanchion_calendar::Window;
use stanchion_core::{
    Author, IdGen, ManualClock, Scope, SeededRandom, StoreError, StoreErrorKind, TenantId, Timestamp,
};
use stanchion_ratelimit::{
    Call, Capabilities, Config, CounterStore, Decision, Dimension, Engine, Error, MemoryCounterStore,
    MemoryRuleStore, Outcome, Rule, RuleId, Settled, Settlement, Slot, Verdict,
};
use stanchion_tower::{CountedRequest, Ended, LimitedBody, Observe, PeerAddress, RateLimitLayer};
use tower::Service;

/// 1 772 366 400 in Unix seconds.
pub(crate) fn noon() -> Timestamp {
    Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap()
}

/// So many each minute, counted by one dimension; steadily refilled.
pub(crate) fn per_minute(id: &str, dimension: Dimension, limit: u64) -> Rule {
    Rule::new(RuleId::new(id).unwrap(), dimension, limit, Window::MINUTE)
}

pub(crate) struct Bed {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) tenant: TenantId,
    pub(crate) log: Arc<Log>,
}

impl Bed {
    /// The platform has these rules.
    pub(crate) async fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let clock = Arc::new(ManualClock::at(noon()));
        let counters = MemoryCounterStore::new(1_000, clock.clone());
        Self::with(Arc::new(MemoryRuleStore::new(None)), Arc::new(counters), clock, rules).await
    }

    pub(crate) async fn with(
        store: Arc<MemoryRuleStore>,
        counters: Arc<dyn CounterStore>,
        clock: Arc<ManualClock>,
        rules: impl IntoIterator<Item = Rule>,
    ) -> Self {
        let ids = Arc::new(SeededRandom::new(1));
        let tenant = ids.tenant_id(noon());
        let engine = Arc::new(Engine::new(store, counters, clock.clone(), ids, Config::default()));
        let bed = Self { clock, engine, tenant, log: Arc::default() };
        for rule in rules {
            bed.put(Scope::Platform, rule).await;
        }
        bed
    }

    pub(crate) async fn put(&self, scope: Scope, rule: Rule) {
        self.engine.put_rule(&Author::system("test"), scope, rule, None).await.unwrap();
    }

    pub(crate) fn layer(&self) -> RateLimitLayer {
        RateLimitLayer::new(Arc::clone(&self.engine)).clock(self.clock.clone()).observe(self.log.clone())
    }
}

/// Everything that the layer told, a line each, and which requests did what was asked.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<String>>,
    successes: Mutex<Vec<bool>>,
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn successes(&self) -> Vec<bool> {
        self.successes.lock().unwrap().clone()
    }

    fn add(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

impl Observe for Log {
    fn refused(&self, request: &CountedRequest, decision: &Decision) {
        let Verdict::Refused { rule, .. } = &decision.verdict else { panic!("not refused") };
        let rule = rule.as_ref().map_or("", RuleId::as_str);
        self.add(format!("refused {rule} cost={}", request.cost));
    }

    fn failed(&self, _identity: &CountedRequest, _error: &Error) {
        self.add("failed".to_owned());
    }

    fn ended(&self, ended: &Ended<'_>) {
        let asked = (ended.edge.is_some(), ended.inner.is_some());
        let status = ended.status.map(|status| status.as_u16());
        self.add(format!("{:?} {asked:?} {status:?} bytes={}", ended.ending, ended.response_bytes));
        self.successes.lock().unwrap().push(ended.success);
    }
}

/// Answers "hello" to a request with any body, and counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hello(Arc<Mutex<u32>>);

impl Hello {
    pub(crate) fn calls(&self) -> u32 {
        *self.0.lock().unwrap()
    }
}

impl<B> Service<Request<B>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        *self.0.lock().unwrap() += 1;
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"hello")))))
    }
}

/// A request without a body, over a connection from `peer`.
pub(crate) fn from(peer: &str) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddress(peer.parse::<IpAddr>().unwrap()));
    request
}

pub(crate) type Answer = Response<LimitedBody<Full<Bytes>>>;

/// Asks a service, whose errors are none.
pub(crate) async fn ask<S, B>(service: &S, request: Request<B>) -> S::Response
where
    S: Service<Request<B>, Error = Infallible> + Clone,
{
    let mut service = service.clone();
    std::future::poll_fn(|context| service.poll_ready(context)).await.unwrap();
    service.call(request).await.unwrap()
}

pub(crate) async fn text(answer: Answer) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(crate) fn field<'a, B>(answer: &'a Response<B>, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Counters that nobody can reach.
#[derive(Debug)]
pub(crate) struct Unreachable;

impl Unreachable {
    fn error<T>() -> Result<T, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unavailable, "test", "decide"))
    }
}

#[async_trait]
impl CounterStore for Unreachable {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(stanchion_ratelimit::Kernel::ALL, false)
    }

    async fn decide(&self, _slot: Slot, _call: &Call<'_>) -> Result<Outcome, StoreError> {
        Self::error()
    }

    async fn peek(&self, _slot: Slot, _call: &Call<'_>) -> Result<Outcome, StoreError> {
        Self::error()
    }

    async fn settle(
        &self,
        _slot: Slot,
        _call: Settled,
        _corrections: &[Settlement<'_>],
        _now: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        Self::error()
    }

    async fn reset(&self, _slot: Slot, _key: &[u8]) -> Result<(), StoreError> {
        Self::error()
    }
}
