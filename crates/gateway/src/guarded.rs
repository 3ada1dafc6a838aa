use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::answer::Turn;
use crate::framing::{Framing, Violation};

/// How long, and how much, is read after the last answer, so that a client that is still sending can read it before the reset comes.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// A connection whose framing is checked as it is read. When the HTTP library drops it, it goes to the [`Ended`] it was made with.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: Option<TcpStream>,
    framing: Framing,
    /// What is left to say when the library has ended.
    last_word: Option<Violation>,
    turn: Turn,
    /// Whether the client has not taken everything that was to be written.
    behind: bool,
    ended: Arc<Mutex<Option<Rest>>>,
}

#[derive(Debug)]
struct Rest {
    stream: TcpStream,
    last_word: Option<Violation>,
}

/// The end of a [`Guarded`] connection.
#[derive(Debug)]
pub(crate) struct Ended(Arc<Mutex<Option<Rest>>>);

impl Guarded {
    /// Guards a connection; `turn` is that of its exchanges.
    pub(crate) fn new(stream: TcpStream, turn: Turn) -> (Self, Ended) {
        let ended = Arc::default();
        let guarded = Self {
            stream: Some(stream),
            framing: Framing::default(),
            last_word: None,
            turn,
            behind: false,
            ended: Arc::clone(&ended),
        };
        (guarded, Ended(ended))
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        self.behind = written.is_pending();
        // The library has found words of its own.
        self.last_word = None;
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let rest = self.stream.take().map(|stream| Rest { stream, last_word: self.last_word });
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }
}

impl Ended {
    /// Says why the framing was refused, if it was and nothing else is being said, and lets the client read what was sent to it.
    pub(crate) async fn farewell(self) {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Rest { mut stream, last_word }) = rest else { return };
        let farewell = async {
            if let Some(violation) = last_word {
                stream.write_all(violation.answer()).await?;
            }
            stream.shutdown().await?;
            tokio::io::copy(&mut (&mut stream).take(LINGER_BYTES), &mut tokio::io::sink()).await
        };
        // The client may be gone; there is nobody left to tell.
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = this.stream()?.poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read {
            let new = buffer.filled().get(before..).unwrap_or_default();
            if let Err(violation) = this.framing.follow(new) {
                // Within the answer to another request, or before it, it would be taken for a part of it.
                let may_speak = !this.behind && this.turn.is_open(this.framing.is_in_body());
                this.last_word = may_speak.then_some(violation);
                buffer.set_filled(before);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "ambiguous framing")));
            }
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.stream()?.poll_write(context, bytes);
        this.wrote(&written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(context)
    }

    /// Only flushes: the HTTP library shuts down on a violation too, before [`Ended`] has said why.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.stream()?.poll_write_vectored(context, slices);
        this.wrote(&written);
        written
    }
}
