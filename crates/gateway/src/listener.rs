use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stanchion_tower::{Gate, Govern, PeerAddress, Permit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::answer::Turn;
use crate::guarded::Guarded;
use crate::{GatewayConfig, Proxy};

/// The data plane's accept loop.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    config: GatewayConfig,
    stats: Arc<ListenerStats>,
}

/// What a listener has counted since the process started.
#[derive(Debug, Default)]
pub struct ListenerStats {
    open: AtomicUsize,
    accepted: AtomicU64,
    failed: AtomicU64,
}

impl ListenerStats {
    /// Returns how many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns how many connections were accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Returns how many connections ended by a fault: a head that is no HTTP, a timeout, a reset.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Listener {
    /// Takes the address of the configuration.
    ///
    /// # Errors
    /// When it cannot be listened on: taken, or not this machine's.
    pub async fn bind(config: GatewayConfig) -> io::Result<Self> {
        let socket = TcpListener::bind(config.listen).await?;
        Ok(Self { socket, config, stats: Arc::default() })
    }

    /// Returns where it listens, with the port the system chose if the configuration said 0.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns the counts, for metrics.
    #[must_use]
    pub fn stats(&self) -> Arc<ListenerStats> {
        Arc::clone(&self.stats)
    }

    /// Serves until `stop` completes, then drains: no new connection, no further request on an old one, and up to the configured time
    /// for exchanges to end. What is left then is cut off. Returns how many connections were cut off.
    pub async fn serve<G: Gate>(self, service: Govern<G, Proxy>, stop: impl Future<Output = ()>) -> usize
    where
        G::Permit: Permit + Unpin,
    {
        let connections = Arc::new(Semaphore::new(self.config.max_connections));
        let (draining, drain) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accept = async {
                let permit = Arc::clone(&connections).acquire_owned().await;
                (permit, self.socket.accept().await)
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = tasks.join_next() => {}
                (permit, accepted) = accept => match accepted {
                    Ok((stream, peer)) => {
                        self.stats.accepted.fetch_add(1, Ordering::Relaxed);
                        let connection = Connection {
                            peer: PeerAddress(peer.ip().to_canonical()),
                            service: service.clone(),
                            drain: drain.clone(),
                            stats: Arc::clone(&self.stats),
                        };
                        let serve = connection.serve(stream, self.config.clone());
                        tasks.spawn(async move {
                            serve.await;
                            drop(permit);
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
        let patience = Duration::from_millis(self.config.drain_timeout_ms);
        let ended = async { while tasks.join_next().await.is_some() {} };
        // Whoever is still there has had its time.
        let _ = tokio::time::timeout(patience, ended).await;
        let cut_off = tasks.len();
        tasks.shutdown().await;
        cut_off
    }
}

struct Connection<G> {
    peer: PeerAddress,
    service: Govern<G, Proxy>,
    drain: watch::Receiver<bool>,
    stats: Arc<ListenerStats>,
}

impl<G: Gate> Connection<G>
where
    G::Permit: Permit + Unpin,
{
    async fn serve(self, stream: TcpStream, config: GatewayConfig) {
        let Self { peer, service, mut drain, stats } = self;
        stats.open.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let turn = Turn::default();
        let (stream, end) = Guarded::new(stream, turn.clone());
        let exchange = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            turn.asked();
            let (service, turn) = (service.clone(), turn.clone());
            async move { service.exchange(request).await.map(|answer| answer.map(|body| turn.answer(body))) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(config.head_timeout_ms))
            .max_buf_size(config.max_head_bytes)
            .max_headers(config.max_headers)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), exchange);
        let ended = {
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = async { drop(drain.wait_for(|draining| *draining).await) } => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            stats.failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(peer = %peer.0, %error, "connection failed");
        }
        end.farewell().await;
        stats.open.fetch_sub(1, Ordering::Relaxed);
    }
}
