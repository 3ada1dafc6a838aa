use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::{Completion, Ending, Permit};

/// Follows the body of a response to its end.
pub(crate) trait Watch {
    /// Learns that so many bytes were handed on.
    fn sent(&mut self, bytes: u64);

    /// Learns what stood behind it.
    fn trailers(&mut self, trailers: &HeaderMap) {
        let _ = trailers;
    }

    /// Learns how it ended; only the first time counts. A watch that is dropped before that was abandoned.
    fn end(&mut self, ending: Ending);
}

#[cfg(feature = "ratelimit")]
impl<W: Watch> Watch for Box<W> {
    fn sent(&mut self, bytes: u64) {
        (**self).sent(bytes);
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        (**self).trailers(trailers);
    }

    fn end(&mut self, ending: Ending) {
        (**self).end(ending);
    }
}

pin_project_lite::pin_project! {
    /// A service's body with its watch, or the body of a refusal.
    #[derive(Debug)]
    pub(crate) struct Watched<B, W> {
        #[pin]
        inner: Inner<B>,
        watch: Option<W>,
    }
}

pin_project_lite::pin_project! {
    #[derive(Debug)]
    #[project = InnerProjection]
    enum Inner<B> {
        Service { #[pin] body: B },
        Refusal { body: Full<Bytes> },
    }
}

impl<B, W> Watched<B, W> {
    pub(crate) fn refusal(body: Bytes) -> Self {
        Self { inner: Inner::Refusal { body: Full::new(body) }, watch: None }
    }
}

impl<B: Body, W: Watch> Watched<B, W> {
    pub(crate) fn of(body: B, mut watch: Option<W>) -> Self {
        // HTTP implementations do not poll a body they know to be empty.
        if body.is_end_stream()
            && let Some(watch) = &mut watch
        {
            watch.end(Ending::Complete);
        }
        Self { inner: Inner::Service { body }, watch }
    }
}

impl<B: Body<Data = Bytes>, W: Watch> Body for Watched<B, W> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let mut body = match this.inner.project() {
            InnerProjection::Service { body } => body,
            InnerProjection::Refusal { body } => {
                return Pin::new(body).poll_frame(context).map_err(|never| match never {});
            }
        };
        let frame = ready!(body.as_mut().poll_frame(context));
        if let Some(watch) = this.watch {
            match &frame {
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, Buf::remaining);
                    watch.sent(u64::try_from(bytes).unwrap_or(u64::MAX));
                    if let Some(trailers) = frame.trailers_ref() {
                        watch.trailers(trailers);
                    }
                    if body.is_end_stream() {
                        watch.end(Ending::Complete);
                    }
                }
                Some(Err(_)) => watch.end(Ending::Broken),
                None => watch.end(Ending::Complete),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Service { body } => body.is_end_stream(),
            Inner::Refusal { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Service { body } => body.size_hint(),
            Inner::Refusal { body } => body.size_hint(),
        }
    }
}

pin_project_lite::pin_project! {
    /// The body of a governed response: passes the inner body through, counts it, and finishes the permit when it ends, breaks off or is
    /// dropped.
    #[derive(Debug)]
    pub struct GovernedBody<B, P: Permit> {
        #[pin]
        watched: Watched<B, Exchange<P>>,
    }
}

impl<B, P: Permit> GovernedBody<B, P> {
    pub(crate) fn refusal(body: Bytes) -> Self {
        Self { watched: Watched::refusal(body) }
    }
}

impl<B: Body, P: Permit> GovernedBody<B, P> {
    pub(crate) fn of(body: B, exchange: Exchange<P>) -> Self {
        Self { watched: Watched::of(body, Some(exchange)) }
    }
}

impl<B: Body<Data = Bytes>, P: Permit> Body for GovernedBody<B, P> {
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

/// An admitted exchange that has not ended.
#[derive(Debug)]
pub(crate) struct Exchange<P: Permit> {
    permit: Option<P>,
    status: Option<u16>,
    request_bytes: Arc<AtomicU64>,
    response_bytes: u64,
}

impl<P: Permit> Exchange<P> {
    pub(crate) const fn new(permit: P, request_bytes: Arc<AtomicU64>) -> Self {
        Self { permit: Some(permit), status: None, request_bytes, response_bytes: 0 }
    }

    pub(crate) const fn permit(&mut self) -> Option<&mut P> {
        self.permit.as_mut()
    }

    pub(crate) const fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl<P: Permit> Watch for Exchange<P> {
    fn sent(&mut self, bytes: u64) {
        self.response_bytes = self.response_bytes.saturating_add(bytes);
    }

    fn end(&mut self, ending: Ending) {
        if let Some(permit) = self.permit.take() {
            permit.finish(Completion {
                ending,
                status: self.status,
                request_bytes: self.request_bytes.load(Ordering::Relaxed),
                response_bytes: self.response_bytes,
            });
        }
    }
}

impl<P: Permit> Drop for Exchange<P> {
    fn drop(&mut self) {
        self.end(Ending::Abandoned);
    }
}
