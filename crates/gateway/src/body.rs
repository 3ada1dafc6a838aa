use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use stanchion_core::ProblemCode;
use stanchion_tower::CountedBody;
use tokio::time::{Instant, Sleep};

use crate::flushed::Flushed;
use crate::load::InFlight;

/// Why a body was cut off.
#[derive(Debug)]
pub enum StreamError {
    /// It is larger than the route takes.
    TooLarge,
    /// Nothing came for longer than the listener waits.
    Stalled,
    /// The connection it came from failed.
    Connection(hyper::Error),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is larger than the route takes",
            Self::Stalled => "the body stalled",
            Self::Connection(_) => "the connection of the body failed",
        })
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::TooLarge | Self::Stalled => None,
        }
    }
}

/// Waits for a body no longer than it may stall. The timer starts when nothing is there, so a body that is there costs none.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Patience {
    const fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, waiting: false }
    }

    fn arrived(&mut self) {
        self.waiting = false;
    }

    fn exhausted(&mut self, context: &mut Context<'_>) -> bool {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        if !self.waiting {
            self.waiting = true;
            sleep.as_mut().reset(Instant::now() + self.limit);
        }
        sleep.as_mut().poll(context).is_ready()
    }
}

/// How the forwarding of a request's body goes; shared with the proxy, which otherwise sees only that the exchange takes long or fails.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upload(Arc<Progress>);

#[derive(Debug)]
struct Progress {
    begun: Instant,
    /// How many microseconds after the beginning the last part was forwarded.
    last: AtomicU64,
    moved: AtomicBool,
    fault: AtomicU8,
}

impl Default for Progress {
    fn default() -> Self {
        let (begun, last) = (Instant::now(), AtomicU64::new(0));
        Self { begun, last, moved: AtomicBool::new(false), fault: AtomicU8::new(0) }
    }
}

impl Upload {
    const TOO_LARGE: u8 = 1;
    const STALLED: u8 = 2;
    const CONNECTION: u8 = 3;

    fn failed(&self, error: &StreamError) {
        let fault = match error {
            StreamError::TooLarge => Self::TOO_LARGE,
            StreamError::Stalled => Self::STALLED,
            StreamError::Connection(_) => Self::CONNECTION,
        };
        self.0.fault.store(fault, Ordering::Relaxed);
    }

    pub(crate) fn moved(&self) {
        let since = u64::try_from(self.0.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.last.store(since, Ordering::Relaxed);
        self.0.moved.store(true, Ordering::Relaxed);
    }

    /// Returns how long ago a part of the body was forwarded, or where none was yet, the forwarding began.
    pub(crate) fn rests(&self) -> Duration {
        let last = Duration::from_micros(self.0.last.load(Ordering::Relaxed));
        self.0.begun.elapsed().saturating_sub(last)
    }

    /// Tells whether a part of the body was forwarded since the last time this was asked.
    pub(crate) fn has_moved(&self) -> bool {
        self.0.moved.swap(false, Ordering::Relaxed)
    }

    /// Returns why the body could not be forwarded, if that is why the exchange failed.
    pub(crate) fn fault(&self) -> Option<ProblemCode> {
        match self.0.fault.load(Ordering::Relaxed) {
            Self::TOO_LARGE => Some(ProblemCode::PayloadTooLarge),
            Self::STALLED => Some(ProblemCode::RequestTimeout),
            Self::CONNECTION => Some(ProblemCode::RequestRejected),
            _ => None,
        }
    }
}

/// A request's body on its way to the upstream: bounded in size and in how long it may stall.
#[derive(Debug)]
pub struct ProxiedRequestBody<B> {
    inner: Option<CountedBody<B>>,
    left: u64,
    patience: Patience,
    upload: Option<Upload>,
}

impl<B> ProxiedRequestBody<B> {
    pub(crate) const fn new(
        inner: CountedBody<B>,
        limit: u64,
        stall: Duration,
        upload: Option<Upload>,
    ) -> Self {
        Self { inner: Some(inner), left: limit, patience: Patience::new(stall), upload }
    }

    /// Makes the body of a request that has none.
    pub(crate) fn none() -> Self {
        Self { inner: None, left: 0, patience: Patience::new(Duration::ZERO), upload: None }
    }

    fn fail(&self, error: StreamError) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(upload) = &self.upload {
            upload.failed(&error);
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for ProxiedRequestBody<B> {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.patience.arrived();
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                match self.left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
                    Some(left) => self.left = left,
                    None => return self.fail(StreamError::TooLarge),
                }
                if let Some(upload) = &self.upload {
                    upload.moved();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(StreamError::Connection(error)),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.patience.exhausted(context) => self.fail(StreamError::Stalled),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// An upstream's body on its way to the client, or a problem document in its place.
#[derive(Debug)]
pub enum ProxiedResponseBody {
    /// The upstream's.
    Upstream {
        /// The body.
        body: Flushed<hyper::body::Incoming>,
        /// How long it may stall.
        stall: Stall,
    },
    /// Ours.
    Problem(Option<Bytes>),
}

/// How long an upstream's body may stall.
#[derive(Debug)]
pub struct Stall {
    patience: Patience,
    /// Where it is measured, the request is on its way as long as its answer is.
    _in_flight: Option<InFlight>,
}

impl ProxiedResponseBody {
    pub(crate) fn upstream(
        body: hyper::body::Incoming,
        stall: Duration,
        in_flight: Option<InFlight>,
    ) -> Self {
        let body = Flushed::new(body);
        Self::Upstream { body, stall: Stall { patience: Patience::new(stall), _in_flight: in_flight } }
    }
}

impl Body for ProxiedResponseBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut *self {
            Self::Problem(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Upstream { body, stall } => match Pin::new(body).poll_frame(context) {
                Poll::Ready(frame) => {
                    stall.patience.arrived();
                    Poll::Ready(frame.map(|frame| frame.map_err(StreamError::Connection)))
                }
                Poll::Pending if stall.patience.exhausted(context) => {
                    Poll::Ready(Some(Err(StreamError::Stalled)))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Problem(body) => body.is_none(),
            Self::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Problem(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| u64::try_from(body.len()).unwrap_or(0)))
            }
            Self::Upstream { body, .. } => body.size_hint(),
        }
    }
}
