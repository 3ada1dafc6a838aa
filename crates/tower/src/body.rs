use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::{Completion, Ending, Permit};

/// The body of a governed response: passes the inner body through, counts it, and finishes the permit when it ends, breaks off or is
/// dropped.
#[derive(Debug)]
pub struct GovernedBody<B, P: Permit> {
    inner: Inner<B>,
    exchange: Option<Exchange<P>>,
}

#[derive(Debug)]
enum Inner<B> {
    Service(B),
    Refusal(Full<Bytes>),
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

    pub(crate) fn end(&mut self, ending: Ending) {
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

impl<B, P: Permit> GovernedBody<B, P> {
    pub(crate) fn refusal(body: Bytes) -> Self {
        Self { inner: Inner::Refusal(Full::new(body)), exchange: None }
    }
}

impl<B: Body, P: Permit> GovernedBody<B, P> {
    pub(crate) fn of(body: B, mut exchange: Exchange<P>) -> Self {
        // HTTP implementations do not poll a body they know to be empty.
        if body.is_end_stream() {
            exchange.end(Ending::Complete);
        }
        Self { inner: Inner::Service(body), exchange: Some(exchange) }
    }
}

impl<B, P> Body for GovernedBody<B, P>
where
    B: Body<Data = Bytes> + Unpin,
    P: Permit + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let body = match &mut this.inner {
            Inner::Service(body) => body,
            Inner::Refusal(body) => {
                return Pin::new(body).poll_frame(context).map_err(|never| match never {});
            }
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        if let Some(exchange) = &mut this.exchange {
            match &frame {
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, Buf::remaining);
                    exchange.response_bytes =
                        exchange.response_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
                    if body.is_end_stream() {
                        exchange.end(Ending::Complete);
                    }
                }
                Some(Err(_)) => exchange.end(Ending::Broken),
                None => exchange.end(Ending::Complete),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Service(body) => body.is_end_stream(),
            Inner::Refusal(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Service(body) => body.size_hint(),
            Inner::Refusal(body) => body.size_hint(),
        }
    }
}
