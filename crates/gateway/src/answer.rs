use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

/// Whose turn it is on a connection: the client's, or ours to answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicU8>);

impl Turn {
    const OPEN: u8 = 0;
    const ASKED: u8 = 1;
    const ANSWERING: u8 = 2;

    /// A request has come and is not answered yet.
    pub(crate) fn asked(&self) {
        self.0.store(Self::ASKED, Ordering::Relaxed);
    }

    /// The answer has begun; it ends when its body is dropped.
    pub(crate) fn answer<B>(&self, body: B) -> Answer<B> {
        self.0.store(Self::ANSWERING, Ordering::Relaxed);
        Answer { body, turn: self.clone() }
    }

    /// Tells whether something that is said now would be heard as the answer it is: to a new request, or `to_this` one.
    pub(crate) fn is_open(&self, to_this: bool) -> bool {
        match self.0.load(Ordering::Relaxed) {
            Self::OPEN => true,
            Self::ASKED => to_this,
            _ => false,
        }
    }
}

/// The body of an answer, which holds the turn as long as it lasts.
#[derive(Debug)]
pub(crate) struct Answer<B> {
    body: B,
    turn: Turn,
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.turn.0.store(Turn::OPEN, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
