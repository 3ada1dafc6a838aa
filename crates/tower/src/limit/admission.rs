use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use stanchion_core::{Clock, Timer};
use stanchion_ratelimit::{Charged, Decision, Engine, RequestOutcome, Stage};

use crate::body::{Watch, Watched};
use crate::grpc::{grpc_status, is_grpc};
use crate::{CountedRequest, Ended, Ending, Observe};

/// A request between its first decision and its end. Whatever becomes of it, its end is told once; without another word it was
/// abandoned.
#[derive(Debug)]
pub(crate) struct Admission {
    observer: Option<Arc<dyn Observe>>,
    request: CountedRequest,
    edge: Option<Decision>,
    inner: Option<Decision>,
    /// What the request owes the limits until it has ended.
    charged: Option<Charged>,
    status: Option<StatusCode>,
    response_bytes: u64,
    /// Of the answer to a gRPC call, which says only at the end whether it is a failure: its status, once it is known.
    call: Option<Option<u16>>,
}

impl Admission {
    pub(super) fn new(
        request: CountedRequest,
        engine: &Arc<Engine>,
        observer: Option<Arc<dyn Observe>>,
    ) -> Self {
        let charged = Some(Charged::new(engine));
        Self {
            observer,
            request,
            edge: None,
            inner: None,
            charged,
            status: None,
            response_bytes: 0,
            call: None,
        }
    }

    pub(super) const fn request(&self) -> &CountedRequest {
        &self.request
    }

    pub(super) fn add(&mut self, stage: Stage, mut decision: Decision) {
        if let Some(charged) = &mut self.charged {
            charged.add(&mut decision);
        }
        match stage {
            Stage::Edge => self.edge = Some(decision),
            Stage::Inner => self.inner = Some(decision),
        }
    }

    pub(super) fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.edge.iter().chain(&self.inner)
    }

    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        self.status = Some(response.status());
        self.call = is_grpc(response.headers()).then(|| grpc_status(response.headers()));
    }

    fn is_success(&self, ending: Ending) -> bool {
        let is_answered = self.status.is_some_and(|status| status.as_u16() < 400);
        ending == Ending::Complete && is_answered && matches!(self.call, None | Some(Some(0)))
    }

    /// Waits for the request's turn, where a limit lets it through late.
    pub(super) async fn wait(&mut self, clock: &dyn Clock, timer: &dyn Timer) {
        let delay = self.delay();
        if let Some(charged) = &mut self.charged {
            charged.wait(delay, clock, timer).await;
        }
    }

    /// How late it is let through.
    pub(super) fn delay(&self) -> Duration {
        self.decisions().map(|decision| decision.delay).max().unwrap_or(Duration::ZERO)
    }

    /// Nobody can wait for its turn: its place is given back.
    pub(super) fn release(mut self) {
        self.observer = None;
        if let Some(charged) = self.charged.take() {
            charged.release();
        }
    }

    /// The request goes no further: there is no exchange whose end could be told.
    pub(super) fn withdraw(&mut self) {
        self.observer = None;
    }

    /// Returns what is to be kept until the body has ended; most often nothing is owed and nobody to be told.
    pub(super) fn kept(self) -> Option<Box<Self>> {
        let is_owed = self.charged.as_ref().is_some_and(|charged| !charged.is_empty());
        (is_owed || self.observer.is_some()).then(|| Box::new(self))
    }
}

impl Watch for Admission {
    fn sent(&mut self, bytes: u64) {
        self.response_bytes = self.response_bytes.saturating_add(bytes);
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(status) = &mut self.call {
            *status = grpc_status(trailers);
        }
    }

    fn end(&mut self, ending: Ending) {
        let is_success = self.is_success(ending);
        if let Some(charged) = self.charged.take() {
            charged.end(if is_success { RequestOutcome::Success } else { RequestOutcome::Failure });
        }
        if let Some(observer) = self.observer.take() {
            observer.ended(&Ended {
                request: &self.request,
                edge: self.edge.as_ref(),
                inner: self.inner.as_ref(),
                status: self.status,
                response_bytes: self.response_bytes,
                ending,
                success: is_success,
            });
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.end(Ending::Abandoned);
    }
}

pin_project_lite::pin_project! {
    /// The body of a response that passed a [`RateLimitLayer`](crate::RateLimitLayer), or of its refusal.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        #[pin]
        watched: Watched<B, Box<Admission>>,
    }
}

impl<B> LimitedBody<B> {
    pub(super) fn refusal(body: Bytes) -> Self {
        Self { watched: Watched::refusal(body) }
    }
}

impl<B: Body> LimitedBody<B> {
    pub(super) fn of(body: B, kept: Option<Box<Admission>>) -> Self {
        Self { watched: Watched::of(body, kept) }
    }
}

impl<B: Body<Data = Bytes>> Body for LimitedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().watched.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.watched.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.watched.size_hint()
    }
}
