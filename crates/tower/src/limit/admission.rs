use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use stanchion_ratelimit::{Decision, Stage};

use crate::body::{Watch, Watched};
use crate::{Ended, Ending, Identity, Observe};

/// A request between its first decision and its end. Whatever becomes of it, its end is told once; without another word it was
/// abandoned.
#[derive(Debug)]
pub(crate) struct Admission {
    observer: Option<Arc<dyn Observe>>,
    identity: Identity,
    edge: Option<Decision>,
    inner: Option<Decision>,
    status: Option<StatusCode>,
    response_bytes: u64,
}

impl Admission {
    pub(super) const fn new(identity: Identity, observer: Option<Arc<dyn Observe>>) -> Self {
        Self { observer, identity, edge: None, inner: None, status: None, response_bytes: 0 }
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn add(&mut self, stage: Stage, decision: Decision) {
        match stage {
            Stage::Edge => self.edge = Some(decision),
            Stage::Inner => self.inner = Some(decision),
        }
    }

    pub(super) fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.edge.iter().chain(&self.inner)
    }

    pub(super) const fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// The request goes no further: there is no exchange whose end could be told.
    pub(super) fn withdraw(&mut self) {
        self.observer = None;
    }

    /// Returns what is to be kept until the body has ended; most often there is nobody to tell.
    pub(super) fn kept(self) -> Option<Box<Self>> {
        self.observer.is_some().then(|| Box::new(self))
    }
}

impl Watch for Admission {
    fn sent(&mut self, bytes: u64) {
        self.response_bytes = self.response_bytes.saturating_add(bytes);
    }

    fn end(&mut self, ending: Ending) {
        if let Some(observer) = self.observer.take() {
            observer.ended(&Ended {
                identity: &self.identity,
                edge: self.edge.as_ref(),
                inner: self.inner.as_ref(),
                status: self.status,
                response_bytes: self.response_bytes,
                ending,
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
