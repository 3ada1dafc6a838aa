use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use stanchion_core::BoxFuture;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{Exchange, Watch};
use crate::{Ending, Gate, GovernedBody, PeerAddress, Permit, Refusal};

/// Puts a [`Gate`] in front of a service.
///
/// The connection's address is taken from the request's [`PeerAddress`] extension; without one the peer counts as `0.0.0.0`, which no
/// rule should trust.
#[derive(Debug)]
pub struct GovernLayer<G> {
    gate: Arc<G>,
}

impl<G: Gate> GovernLayer<G> {
    /// Takes the gate.
    #[must_use]
    pub const fn new(gate: Arc<G>) -> Self {
        Self { gate }
    }
}

impl<G> Clone for GovernLayer<G> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate) }
    }
}

impl<G, S> Layer<S> for GovernLayer<G> {
    type Service = Govern<G, S>;

    fn layer(&self, inner: S) -> Govern<G, S> {
        Govern { gate: Arc::clone(&self.gate), inner }
    }
}

/// A service behind a [`Gate`].
#[derive(Debug)]
pub struct Govern<G, S> {
    gate: Arc<G>,
    inner: S,
}

impl<G, S: Clone> Clone for Govern<G, S> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate), inner: self.inner.clone() }
    }
}

impl<G: Gate, S> Govern<G, S> {
    /// Governs one exchange.
    ///
    /// # Errors
    /// Whatever the inner service fails with. A refusal is an answer, not an error.
    pub async fn exchange<I, O>(
        &self,
        request: Request<I>,
    ) -> Result<Response<GovernedBody<O, G::Permit>>, S::Error>
    where
        I: Body<Data = Bytes>,
        O: Body<Data = Bytes>,
        S: Service<Request<CountedBody<I>>, Response = Response<O>> + Clone,
    {
        let (mut head, body) = request.into_parts();
        let peer =
            head.extensions.get::<PeerAddress>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        let permit = match self.gate.admit(&mut head, peer).await {
            Ok(permit) => permit,
            Err(refusal) => return Ok(refuse(*refusal)),
        };
        let bytes = Arc::new(AtomicU64::new(0));
        let mut exchange = Exchange::new(permit, Arc::clone(&bytes));
        let mut inner = self.inner.clone();
        let request = Request::from_parts(head, CountedBody { inner: body, bytes });
        let answer = async move {
            std::future::poll_fn(|context| inner.poll_ready(context)).await?;
            inner.call(request).await
        };
        let mut response = answer.await.inspect_err(|_| exchange.end(Ending::Broken))?;
        exchange.answered(response.status().as_u16());
        let status = response.status();
        if let Some(permit) = exchange.permit()
            && let Err(refusal) = permit.respond(status, response.headers_mut()).await
        {
            exchange.answered(refusal.problem.code.status());
            return Ok(refuse(*refusal));
        }
        Ok(response.map(|body| GovernedBody::of(body, exchange)))
    }
}

fn refuse<B, P: Permit>(refusal: Refusal) -> Response<GovernedBody<B, P>> {
    refusal.into_response().map(GovernedBody::refusal)
}

impl<G, S, I, O> Service<Request<I>> for Govern<G, S>
where
    G: Gate,
    S: Service<Request<CountedBody<I>>, Response = Response<O>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Send,
    I: Body<Data = Bytes> + Send + 'static,
    O: Body<Data = Bytes> + Send,
    Self: Clone,
{
    type Response = Response<GovernedBody<O, G::Permit>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // The gate may refuse; the inner service is asked for readiness when it is needed.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.exchange(request).await })
    }
}

pin_project_lite::pin_project! {
    /// A request's body, counted as the inner service takes it.
    #[derive(Debug)]
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        bytes: Arc<AtomicU64>,
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Buf::remaining);
            this.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Mutex;

    use http::request::Parts;
    use http::{HeaderMap, StatusCode};
    use http_body_util::{BodyExt, Full};
    use stanchion_core::{IdGen, Problem, ProblemCode, RequestId, SeededRandom, Timestamp};

    use crate::{Completion, RateLimitFields};

    #[derive(Debug, Default)]
    struct Script {
        refuse: bool,
        refuse_answer: bool,
        ended: Arc<Mutex<Vec<Completion>>>,
    }

    #[derive(Debug)]
    struct TestPermit {
        request: RequestId,
        refuse: bool,
        ended: Arc<Mutex<Vec<Completion>>>,
    }

    fn refusal(code: ProblemCode) -> Box<Refusal> {
        let request = SeededRandom::new(1).request_id(Timestamp::EPOCH);
        let rate_limit = RateLimitFields::default();
        Box::new(Refusal {
            problem: Problem::from(code),
            request,
            at: Timestamp::EPOCH,
            rate_limit,
            allow: None,
        })
    }

    impl Gate for Script {
        type Permit = TestPermit;

        async fn admit(&self, _head: &mut Parts, _peer: IpAddr) -> Result<TestPermit, Box<Refusal>> {
            if self.refuse {
                return Err(refusal(ProblemCode::Forbidden));
            }
            let request = SeededRandom::new(1).request_id(Timestamp::EPOCH);
            Ok(TestPermit { request, refuse: self.refuse_answer, ended: Arc::clone(&self.ended) })
        }
    }

    impl Permit for TestPermit {
        async fn respond(
            &mut self,
            _status: StatusCode,
            _headers: &mut HeaderMap,
        ) -> Result<(), Box<Refusal>> {
            if self.refuse { Err(refusal(ProblemCode::BackendUnavailable)) } else { Ok(()) }
        }

        fn finish(self, completion: Completion) {
            self.ended.lock().unwrap().push(completion);
        }

        fn request(&self) -> RequestId {
            self.request
        }
    }

    #[derive(Clone, Debug)]
    struct Echo;

    impl Service<Request<CountedBody<Full<Bytes>>>> for Echo {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<CountedBody<Full<Bytes>>>) -> Self::Future {
            Box::pin(async move {
                let body = request.into_body().collect().await?.to_bytes();
                Ok(Response::new(Full::new(body)))
            })
        }
    }

    async fn exchange(
        script: Script,
    ) -> (Response<GovernedBody<Full<Bytes>, TestPermit>>, Arc<Mutex<Vec<Completion>>>) {
        let ended = Arc::clone(&script.ended);
        let mut service = GovernLayer::new(Arc::new(script)).layer(Echo);
        let response = service.call(Request::new(Full::new(Bytes::from_static(b"hello")))).await.unwrap();
        (response, ended)
    }

    #[tokio::test]
    async fn an_exchange_ends_once_with_what_was_sent() {
        let (response, ended) = exchange(Script::default()).await;
        assert!(ended.lock().unwrap().is_empty());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        let completion =
            Completion { ending: Ending::Complete, status: Some(200), request_bytes: 5, response_bytes: 5 };
        assert_eq!(*ended.lock().unwrap(), [completion]);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_ends_the_exchange_too() {
        let (response, ended) = exchange(Script::default()).await;
        drop(response);
        let ended = ended.lock().unwrap();
        assert_eq!((ended.len(), ended[0].ending, ended[0].response_bytes), (1, Ending::Abandoned, 0));
    }

    #[tokio::test]
    async fn a_refused_request_never_reaches_the_service() {
        let (response, ended) = exchange(Script { refuse: true, ..Script::default() }).await;
        assert_eq!(response.status(), 403);
        drop(response);
        assert!(ended.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_recorded_is_replaced() {
        let (response, ended) = exchange(Script { refuse_answer: true, ..Script::default() }).await;
        assert_eq!(response.status(), 503);
        assert_eq!(ended.lock().unwrap()[0].status, Some(503));
    }
}
