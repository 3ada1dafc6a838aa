use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stanchion_api::ListenerCounts;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How many connections are served at once; others wait in the kernel.
const CONNECTIONS: usize = 512;
/// How long a head may take, and a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long exchanges may go on once the listener is to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// A small HTTP/1.1 listener for what is not the data plane: the admin API, and the service of the quickstart.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    counts: Arc<Counts>,
}

/// What a listener has counted since it began.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    open: AtomicU64,
    accepted: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    pub(crate) fn read(&self) -> ListenerCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ListenerCounts { open: read(&self.open), accepted: read(&self.accepted), failed: read(&self.failed) }
    }
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, counts: Arc::default() })
    }

    /// Returns where it listens, with the port the system chose if it was asked for 0.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Answers requests with `answer` until `stop` completes, then lets exchanges end for a while.
    pub(crate) async fn serve<A, F, B>(self, answer: A, stop: impl Future<Output = ()>)
    where
        A: Fn(IpAddr, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let (draining, drain) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accept = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (place, self.socket.accept().await)
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = tasks.join_next() => {}
                (place, accepted) = accept => match accepted {
                    Ok((stream, peer)) => {
                        let (answer, drain) = (answer.clone(), drain.clone());
                        let counts = self.counts();
                        tasks.spawn(async move {
                            connection(stream, peer, answer, drain, &counts).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: waiting lets connections end.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        drop(self.socket);
        draining.send_replace(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        // Whoever is still there has had its time.
        let _ = tokio::time::timeout(PATIENCE, ended).await;
        tasks.shutdown().await;
    }
}

async fn connection<A, F, B>(
    stream: TcpStream,
    peer: SocketAddr,
    answer: A,
    mut drain: watch::Receiver<bool>,
    counts: &Counts,
) where
    A: Fn(IpAddr, Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    counts.accepted.fetch_add(1, Ordering::Relaxed);
    counts.open.fetch_add(1, Ordering::Relaxed);
    let peer_ip = peer.ip().to_canonical();
    let service = service_fn(move |request| {
        let answer = answer(peer_ip, request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let told = async { drain.wait_for(|draining| *draining).await.map(drop) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = told => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        counts.failed.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, %error, "connection failed");
    }
    counts.open.fetch_sub(1, Ordering::Relaxed);
}
