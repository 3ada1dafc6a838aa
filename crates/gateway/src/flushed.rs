use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

/// A body that fails one poll late. hyper gives a connection up as soon as a body fails, and with it the head and the data that it
/// has not written yet; a body that is pending first has them written.
#[derive(Debug)]
pub struct Flushed<B: Body> {
    inner: B,
    failure: Option<B::Error>,
}

impl<B: Body> Flushed<B> {
    pub(crate) const fn new(inner: B) -> Self {
        Self { inner, failure: None }
    }
}

impl<B: Body + Unpin> Body for Flushed<B>
where
    B::Error: Unpin,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Err(failure))) => {
                self.failure = Some(failure);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Has all it has to say at once: nine bytes, then that it failed.
    #[derive(Debug)]
    struct BreaksOff(bool);

    impl Body for BreaksOff {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            let said = std::mem::replace(&mut self.0, true);
            Poll::Ready(Some(if said {
                Err(std::io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(Frame::data(Bytes::from_static(b"only this")))
            }))
        }
    }

    #[tokio::test]
    async fn what_came_before_a_failure_is_sent() {
        let (mut client, server) = tokio::io::duplex(4096);
        let service = service_fn(|_: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(Flushed::new(BreaksOff(false))))
        });
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(http1::Builder::new().serve_connection(TokioIo::new(server), service).await.is_err());
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
        assert!(answer.ends_with("9\r\nonly this\r\n"), "{answer:?}");
    }
}
