use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::EXPECT;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use stanchion_core::{BoxFuture, Clock, Problem, ProblemCode, RequestId};
use stanchion_pipeline::Route;
use stanchion_tower::{CountedBody, clean_response_head, problem_response};
use tower_service::Service;

use crate::body::Upload;
use crate::load::InFlight;
use crate::upstream::Upstream;
use crate::{ProxiedRequestBody, ProxiedResponseBody, Upstreams};

/// Forwards governed requests to the upstream of their route.
///
/// It expects what the pipeline's gate leaves in the request's extensions: the [`Route`] and the [`RequestId`].
#[derive(Clone, Debug)]
pub struct Proxy {
    upstreams: Arc<ArcSwap<Upstreams>>,
    clock: Arc<dyn Clock>,
    stall: Duration,
}

impl Proxy {
    /// Sets up a proxy; `stall` is how long a body may stall in either direction.
    #[must_use]
    pub fn new(upstreams: Arc<Upstreams>, clock: Arc<dyn Clock>, stall: Duration) -> Self {
        Self { upstreams: Arc::new(ArcSwap::new(upstreams)), clock, stall }
    }

    /// Returns the upstreams in force.
    #[must_use]
    pub fn upstreams(&self) -> Arc<Upstreams> {
        self.upstreams.load_full()
    }

    /// Puts other upstreams in force, for this proxy and its clones. Exchanges under way keep the upstream they have.
    pub fn set_upstreams(&self, upstreams: Upstreams) {
        self.upstreams.store(Arc::new(upstreams));
    }

    async fn forward(
        &self,
        request: Request<CountedBody<Incoming>>,
    ) -> Result<Response<ProxiedResponseBody>, Problem> {
        let route = request.extensions().get::<Arc<Route>>().cloned();
        let route = route.ok_or_else(|| Problem::from(ProblemCode::Internal))?;
        let upstream = self.upstreams.load().get(route.config().upstream.as_str()).cloned();
        let upstream = upstream.ok_or_else(|| unavailable(&route))?;
        self.attempt(&upstream, &route, request).await
    }

    async fn attempt(
        &self,
        upstream: &Upstream,
        route: &Route,
        request: Request<CountedBody<Incoming>>,
    ) -> Result<Response<ProxiedResponseBody>, Problem> {
        let (mut head, body) = request.into_parts();
        head.headers.remove(EXPECT);
        head.extensions.clear();
        let upload = (!body.is_end_stream()).then(Upload::default);
        let limit = route.config().max_body_bytes;
        let mut body = Some(ProxiedRequestBody::new(body, limit, self.stall, upload.clone()));
        let mut head = Some(head);
        let mut order = upstream.order(self.clock.now()).peekable();
        while let Some(endpoint) = order.next() {
            // Only a request without a body can be sent again, so only that one is copied, and only while there is somewhere to go.
            let again = upload.is_none() && order.peek().is_some();
            let (Some(head), Some(attempt)) = (if again { head.clone() } else { head.take() }, body.take())
            else {
                break;
            };
            let mut request = Request::from_parts(head, attempt);
            endpoint.address(&mut request);
            let (watch, in_flight) = upstream.meter.watch(upload.as_ref()).unzip();
            let answered = answer(upstream.client.request(request), route, upload.as_ref()).await;
            if let Some(watch) = watch {
                // No answer in time is an answer, too.
                if matches!(answered, Ok(Err(_))) { watch.forget() } else { watch.waited() }
            }
            match answered? {
                Ok(response) => return Ok(self.relay(response, in_flight)),
                Err(error) if error.is_connect() => {
                    endpoint.rest(&*self.clock);
                    tracing::debug!(upstream = %route.config().upstream, %error, "endpoint refused the connection");
                    body = again.then(ProxiedRequestBody::none);
                }
                Err(error) => return Err(failure(route, &error, upload.as_ref())),
            }
        }
        Err(unavailable(route))
    }

    fn relay(
        &self,
        response: Response<Incoming>,
        in_flight: Option<InFlight>,
    ) -> Response<ProxiedResponseBody> {
        let mut response = response.map(|body| ProxiedResponseBody::upstream(body, self.stall, in_flight));
        // The version is each connection's own (RFC 9110 §6.2): an upstream of HTTP/1.0 does not make us one.
        *response.version_mut() = http::Version::HTTP_11;
        clean_response_head(response.headers_mut());
        response
    }
}

/// Waits for the answer to begin. The route's timeout begins anew as long as parts of the request's body are forwarded: a client that
/// takes its time to send is no fault of the upstream.
async fn answer<T>(
    exchange: impl Future<Output = T>,
    route: &Route,
    upload: Option<&Upload>,
) -> Result<T, Problem> {
    let mut exchange = std::pin::pin!(exchange);
    loop {
        match tokio::time::timeout(route.timeout(), exchange.as_mut()).await {
            Ok(answer) => return Ok(answer),
            Err(_) if upload.is_some_and(Upload::has_moved) => {}
            Err(_) => {
                let detail = format!("no answer began within {} ms", route.config().timeout_ms);
                return Err(Problem::new(ProblemCode::UpstreamTimeout, detail));
            }
        }
    }
}

fn unavailable(route: &Route) -> Problem {
    let detail = format!("no endpoint of the upstream of route `{}` can be reached", route.id());
    Problem::new(ProblemCode::UpstreamUnavailable, detail)
}

fn failure(route: &Route, error: &hyper_util::client::legacy::Error, upload: Option<&Upload>) -> Problem {
    match upload.and_then(Upload::fault) {
        Some(code @ ProblemCode::PayloadTooLarge) => {
            let limit = route.config().max_body_bytes;
            Problem::new(code, format!("route `{}` takes bodies of at most {limit} bytes", route.id()))
        }
        Some(code) => code.into(),
        None => {
            tracing::warn!(upstream = %route.config().upstream, %error, "upstream broke off");
            ProblemCode::UpstreamInvalid.into()
        }
    }
}

impl Service<Request<CountedBody<Incoming>>> for Proxy {
    type Response = Response<ProxiedResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<CountedBody<Incoming>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let id = request.extensions().get::<RequestId>().copied();
            let response = this.forward(request).await;
            Ok(response.unwrap_or_else(|problem| {
                problem_response(&problem, id).map(|body| ProxiedResponseBody::Problem(Some(body)))
            }))
        })
    }
}
