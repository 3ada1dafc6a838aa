use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use stanchion_core::{StoreError, StoreErrorKind};
use stanchion_replica::{Breaker, BreakerConfig};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::{Config, InvalidConfig, Topology};

/// The servers, and the one connection to them that all callers share.
pub(crate) struct Servers {
    source: Source,
    live: RwLock<Option<Live>>,
    /// Held while a connection is made, so that however many callers are waiting, one is.
    connecting: Mutex<()>,
    breaker: Breaker,
    started: Instant,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// The nodes of a Cluster, any of which tells what is published on any other; and whose turn it is.
    #[cfg(feature = "rbac")]
    nodes: (Vec<String>, std::sync::atomic::AtomicUsize),
}

enum Source {
    Single(Box<Client>),
    Sentinel(Box<Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Live {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("no connection within {} ms", .0.as_millis())]
    Unconnected(Duration),
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    #[error("the server did not answer lately")]
    Resting,
    #[error("the server answered something else: {0}")]
    Unexpected(String),
    #[cfg_attr(
        not(feature = "ratelimit"),
        expect(dead_code, reason = "counters alone can be asked too much")
    )]
    #[error("{0}")]
    Unsupported(&'static str),
}

impl Failure {
    /// Says that it happened in an operation of a port.
    pub(crate) fn of(self, operation: &'static str) -> StoreError {
        let kind = match &self {
            Self::Late(_) => StoreErrorKind::Timeout,
            Self::Unconnected(_) | Self::Resting => StoreErrorKind::Unavailable,
            Self::Unexpected(_) => StoreErrorKind::Corrupt,
            Self::Unsupported(_) => StoreErrorKind::Unsupported,
            // It was on its way when the connection broke.
            Self::Redis(error) if error.is_timeout() || error.is_connection_dropped() => {
                StoreErrorKind::Timeout
            }
            Self::Redis(error) if is_unavailable(error) => StoreErrorKind::Unavailable,
            Self::Redis(_) => StoreErrorKind::Internal,
        };
        StoreError::new(kind, "redis", operation).with_source(self)
    }

    /// Tells whether the server is at fault, rather than what was asked of it.
    fn is_outage(&self) -> bool {
        match self {
            Self::Redis(error) => {
                error.is_timeout() || error.is_connection_dropped() || is_unavailable(error)
            }
            Self::Late(_) | Self::Unconnected(_) => true,
            Self::Resting | Self::Unexpected(_) | Self::Unsupported(_) => false,
        }
    }
}

fn is_unavailable(error: &RedisError) -> bool {
    let is_busy = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain
        ) | ErrorKind::ClusterConnectionNotFound
    );
    // Out of memory, too few replicas, a script that runs on, no more connections: codes without a name in the driver.
    let codes = ["OOM", "NOREPLICAS", "BUSY", "MISCONF"];
    let code = error.code().unwrap_or_default();
    is_busy || error.is_io_error() || error.is_connection_refusal() || codes.contains(&code)
}

impl Servers {
    pub(crate) fn new(urls: &str, config: &Config) -> Result<Self, InvalidConfig> {
        config.validate().map_err(|problems| InvalidConfig(problems.join("; ")))?;
        let urls: Vec<&str> = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
        #[cfg(feature = "rbac")]
        let nodes = urls.clone();
        let invalid = |what: &str| {
            InvalidConfig(format!(
                "{what}: write redis://user:password@host:6379, several with commas between"
            ))
        };
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms.into());
        let response_timeout = Duration::from_millis(config.response_timeout_ms.into());
        let source = match config.topology {
            Topology::Single => match urls.as_slice() {
                [url] => {
                    let client = Client::open(*url).map_err(|_| invalid("not the URL of a server"))?;
                    Source::Single(Box::new(client))
                }
                _ => return Err(invalid("one server has one URL")),
            },
            Topology::Sentinel => {
                let kind = SentinelServerType::Master;
                let client = SentinelClient::build(urls, config.primary.clone(), None, kind);
                Source::Sentinel(Box::new(Mutex::new(
                    client.map_err(|_| invalid("not the URLs of Sentinels"))?,
                )))
            }
            Topology::Cluster => {
                let builder = ClusterClientBuilder::new(urls)
                    .connection_timeout(connect_timeout)
                    .response_timeout(response_timeout)
                    .retries(2)
                    .max_retry_wait(20);
                let client = builder.build().map_err(|_| invalid("not the URLs of a Cluster"))?;
                Source::Cluster(Box::new(client))
            }
        };
        #[cfg(feature = "rbac")]
        let nodes = nodes.into_iter().map(str::to_owned).collect();
        let breaker = BreakerConfig { failures: config.failures, ..BreakerConfig::default() };
        Ok(Self {
            source,
            live: RwLock::new(None),
            connecting: Mutex::new(()),
            breaker: Breaker::new(breaker),
            started: Instant::now(),
            connect_timeout,
            response_timeout,
            #[cfg(feature = "rbac")]
            nodes: (nodes, std::sync::atomic::AtomicUsize::default()),
        })
    }

    /// Connects to be told what is published on a channel.
    #[cfg(feature = "rbac")]
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<redis::aio::PubSub, Failure> {
        let connecting = async {
            let client = match &self.source {
                Source::Single(client) => Client::clone(client),
                Source::Sentinel(client) => client.lock().await.async_get_client().await?,
                Source::Cluster(_) => {
                    let (nodes, turn) = &self.nodes;
                    let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let node = nodes.iter().cycle().nth(turn.checked_rem(nodes.len()).unwrap_or(0));
                    Client::open(node.map_or("", String::as_str))?
                }
            };
            let mut subscriber = client.get_async_pubsub().await?;
            subscriber.subscribe(channel).await?;
            Ok(subscriber)
        };
        timeout(self.connect_timeout, connecting)
            .await
            .unwrap_or(Err(Failure::Unconnected(self.connect_timeout)))
    }

    /// Asks the servers one thing.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, Failure> {
        if !self.breaker.admits(self.started.elapsed()) {
            return Err(Failure::Resting);
        }
        let answer = self.try_ask(command).await;
        let failed = answer.as_ref().err().is_some_and(Failure::is_outage);
        self.breaker.report(!failed, self.started.elapsed());
        if failed {
            // The next caller connects anew, perhaps to another primary.
            self.set_live(None);
        }
        answer
    }

    async fn try_ask(&self, command: &Cmd) -> Result<Value, Failure> {
        let live = match self.live() {
            Some(live) => live,
            None => timeout(self.connect_timeout, self.connected())
                .await
                .unwrap_or(Err(Failure::Unconnected(self.connect_timeout)))?,
        };
        let answer = async {
            match live {
                Live::One(mut connection) => command.query_async(&mut connection).await,
                Live::Cluster(mut connection) => command.query_async(&mut connection).await,
            }
        };
        let answer = timeout(self.response_timeout, answer).await;
        let answer: Value = answer.map_err(|_| Failure::Late(self.response_timeout))??;
        Ok(answer)
    }

    async fn connected(&self) -> Result<Live, Failure> {
        let _connecting = self.connecting.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        // How long an answer may take is looked after here, once for all topologies.
        let config = || {
            AsyncConnectionConfig::new()
                .set_connection_timeout(Some(self.connect_timeout))
                .set_response_timeout(None)
        };
        let made = match &self.source {
            Source::Single(client) => {
                Live::One(client.get_multiplexed_async_connection_with_config(&config()).await?)
            }
            Source::Sentinel(client) => {
                let mut client = client.lock().await;
                Live::One(client.get_async_connection_with_config(&config()).await?)
            }
            Source::Cluster(client) => Live::Cluster(client.get_async_connection().await?),
        };
        self.set_live(Some(made.clone()));
        Ok(made)
    }

    fn live(&self) -> Option<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_live(&self, live: Option<Live>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topology = match self.source {
            Source::Single(_) => Topology::Single,
            Source::Sentinel(_) => Topology::Sentinel,
            Source::Cluster(_) => Topology::Cluster,
        };
        f.debug_struct("Servers").field("topology", &topology).field("open", &self.breaker.is_open()).finish()
    }
}
