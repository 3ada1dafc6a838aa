use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::request::Parts;
use http::{Extensions, Request, Response};
use http_body::Body;
use stanchion_core::{BoxFuture, Clock, Random, SystemClock, Timer};
use stanchion_ratelimit::Engine;
use tower_layer::Layer;
use tower_service::Service;

use super::settings::{Seen, Settings};
use crate::body::Watch;
use crate::{ClientAddress, CountedRequest, Dialects, Ending, LimitedBody, Observe, PeerAddress, Stages};

/// Puts rate limits in front of a service.
///
/// A request is identified, the engine is asked, and either the service answers or the caller gets a problem document (RFC 9457);
/// a gRPC call gets a gRPC status. Both tell how the limits stand.
///
/// Without further words a request is known by the address of its connection, the [`PeerAddress`] in its extensions, and by the
/// [`Principal`](stanchion_core::Principal) in its extensions, itself or in an `Arc`, if whoever authenticates has put one there.
/// A request without an address counts as `0.0.0.0`: all such requests share their counters, rather than none being counted.
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    settings: Arc<Settings>,
}

impl RateLimitLayer {
    /// Takes the engine that decides.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        let settings = Settings {
            engine,
            clock: Arc::new(SystemClock),
            timer: None,
            clients: ClientAddress::default(),
            peer: Arc::new(|extensions| extensions.get::<PeerAddress>().map(|peer| peer.0)),
            identify: Vec::new(),
            stages: Stages::default(),
            dialects: Dialects::default(),
            spread: None,
            observer: None,
        };
        Self { settings: Arc::new(settings) }
    }

    /// Says which limits to ask; by default all.
    #[must_use]
    pub fn stages(self, stages: Stages) -> Self {
        self.with(|settings| settings.stages = stages)
    }

    /// Finds the client's address behind proxies; by default the connection's address is the client's.
    #[must_use]
    pub fn clients(self, clients: ClientAddress) -> Self {
        self.with(|settings| settings.clients = clients)
    }

    /// Finds the connection's address in the request's extensions some other way than by [`PeerAddress`], such as axum's
    /// `ConnectInfo` or tonic's `TcpConnectInfo`.
    #[must_use]
    pub fn peer(self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.peer = Arc::new(find))
    }

    /// Identifies a request by its head: who calls, which route takes it, what it costs. What is set last counts.
    ///
    /// A field that the client wrote says what the client likes: see [`proxy_header`](Self::proxy_header).
    #[must_use]
    pub fn identify(self, identify: impl Fn(&Parts, &mut CountedRequest) + Send + Sync + 'static) -> Self {
        self.identify_seen(move |seen, request| identify(seen.head, request))
    }

    /// Identifies a request by an extension that somebody in front of the layer has left, such as axum's `MatchedPath`.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(
        self,
        identify: impl Fn(&T, &mut CountedRequest) + Send + Sync + 'static,
    ) -> Self {
        self.identify_seen(move |seen, request| {
            if let Some(extension) = seen.head.extensions.get::<T>() {
                identify(extension, request);
            }
        })
    }

    /// Identifies a request by a field that a proxy writes. It counts only on a connection from one of the proxies that
    /// [`clients`](Self::clients) trusts, and only if it stands there once: a proxy that adds its own to a client's leaves two.
    #[must_use]
    pub fn proxy_header(
        self,
        name: HeaderName,
        identify: impl Fn(&str, &mut CountedRequest) + Send + Sync + 'static,
    ) -> Self {
        self.identify_seen(move |seen, request| {
            let mut fields = seen.head.headers.get_all(&name).iter();
            if let (true, Some(field), None) = (seen.from_proxy, fields.next(), fields.next())
                && let Ok(value) = field.to_str()
            {
                identify(value, request);
            }
        })
    }

    /// Says how responses tell of limits; by default as [`Dialects::default`].
    #[must_use]
    pub fn dialects(self, dialects: impl Into<Dialects>) -> Self {
        let dialects = dialects.into();
        self.with(|settings| settings.dialects = dialects)
    }

    /// Puts off the times to come back that responses tell, each by a random part of `most`, so that not all clients come back at
    /// the same moment. By default they are exact.
    #[must_use]
    pub fn spread(self, most: Duration, random: Arc<dyn Random>) -> Self {
        self.with(|settings| settings.spread = Some((random, most)))
    }

    /// Tells somebody what becomes of requests.
    #[must_use]
    pub fn observe(self, observer: Arc<dyn Observe>) -> Self {
        self.with(|settings| settings.observer = Some(observer))
    }

    /// Takes the time from `clock`; by default from the system.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|settings| settings.clock = clock)
    }

    /// Lets requests wait by `timer` that a limit admits late: a throttled one, or one in a queue. A request that is dropped while it
    /// waits gives its place back. Without a timer such requests are refused.
    #[must_use]
    pub fn timer(self, timer: Arc<dyn Timer>) -> Self {
        self.with(|settings| settings.timer = Some(timer))
    }

    fn identify_seen(
        self,
        identify: impl Fn(&Seen<'_>, &mut CountedRequest) + Send + Sync + 'static,
    ) -> Self {
        self.with(|settings| settings.identify.push(Arc::new(identify)))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit { settings: Arc::clone(&self.settings), inner }
    }
}

/// A service behind rate limits; made by a [`RateLimitLayer`].
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    settings: Arc<Settings>,
    inner: S,
}

impl<S, I, O> Service<Request<I>> for RateLimit<S>
where
    S: Service<Request<I>, Response = Response<O>> + Clone + Send + 'static,
    S::Future: Send,
    I: Send + 'static,
    O: Body<Data = Bytes>,
{
    type Response = Response<LimitedBody<O>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // A request may be refused; the inner service is asked for readiness when it is needed.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let mut admission = match settings.admit(&head).await {
                Ok(admission) => admission,
                Err(refusal) => return Ok(refusal.map(LimitedBody::refusal)),
            };
            let request = Request::from_parts(head, body);
            let answer = async {
                std::future::poll_fn(|context| inner.poll_ready(context)).await?;
                inner.call(request).await
            };
            let mut response = answer.await.inspect_err(|_| admission.end(Ending::Broken))?;
            admission.answered(&response);
            settings.tell(&admission, &mut response);
            Ok(response.map(|body| LimitedBody::of(body, admission.kept())))
        })
    }
}
