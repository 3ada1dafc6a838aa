use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
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
/// How many exchanges there may be at once on a connection of HTTP/2.
const STREAMS: u32 = 1_000;
/// The largest head on a connection of HTTP/2, in bytes.
const HEAD: u32 = 16 * 1024;
/// How often a connection of HTTP/2 is asked whether somebody is still there, and how long the answer may take.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A small listener for what is not the data plane: the admin API, the services that proxies ask, and the service of the quickstart.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    protocol: Protocol,
    counts: Arc<Counts>,
}

/// What is spoken on a listener, without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 from the first byte, as gRPC has it.
    Http2,
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
    pub(crate) async fn bind(address: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, protocol, counts: Arc::default() })
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
                        let (protocol, counts) = (self.protocol, self.counts());
                        tasks.spawn(async move {
                            connection(stream, protocol, peer, answer, drain, &counts).await;
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
    protocol: Protocol,
    peer: SocketAddr,
    answer: A,
    drain: watch::Receiver<bool>,
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
    // Small answers in several parts would otherwise wait for each other; a socket that cannot be told will do.
    let _ = stream.set_nodelay(true);
    let ended = match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            until(connection, drain).await
        }
        Protocol::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEAD)
                .keep_alive_interval(PING.0)
                .keep_alive_timeout(PING.1)
                .serve_connection(TokioIo::new(stream), service);
            until(connection, drain).await
        }
    };
    if let Err(error) = ended {
        counts.failed.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, %error, "connection failed");
    }
    counts.open.fetch_sub(1, Ordering::Relaxed);
}

/// Serves a connection to its end; once the listener drains, to the end of the exchanges that have begun.
async fn until<C: GracefulConnection>(
    connection: C,
    mut drain: watch::Receiver<bool>,
) -> Result<(), C::Error> {
    let mut connection = std::pin::pin!(connection);
    let told = async { drain.wait_for(|draining| *draining).await.map(drop) };
    tokio::select! {
        ended = connection.as_mut() => ended,
        _ = told => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}
