use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Postgres};
use stanchion_core::StoreError;
use stanchion_replica::{Breaker, BreakerConfig};
use tokio::time::Instant;

use crate::bus::Bus;
use crate::connection::Guarded;
use crate::error::is_broken;
use crate::patience::Patience;
use crate::{Config, Error, Url};

/// A pool of connections to one database. Clones share it.
///
/// There is no way to a bare connection: [`TenantTx`](crate::TenantTx) and [`SystemTx`](crate::SystemTx) are the two doors. The login
/// itself has no rights, so a statement that slipped past them would find nothing.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    pool: PgPool,
    bus: Bus,
    config: Config,
    breaker: Breaker,
    patience: Patience,
    started: Instant,
}

/// A connection that lay idle for longer is asked for a sign of life before it is used.
pub(crate) const IDLE_PROBE: Duration = Duration::from_secs(1);

/// How long a connection may take to be made. Nobody waits so long for one, except at a start.
const CONNECT: Duration = Duration::from_secs(5);

/// The longest that a database which is gone is left alone. Followers look every half second, and within one second after it is back
/// they have to know what was revoked.
const LONGEST_REST: Duration = Duration::from_millis(250);

impl Database {
    /// Sets up a pool; connections are made when they are needed. It belongs to the tokio runtime it is first used in.
    #[must_use]
    pub fn new(url: &Url, config: Config) -> Self {
        Self::with_options(options(url, &config), config, "".into())
    }

    /// Sets up a pool of connections that are each made ready by some statements.
    pub(crate) fn with_options(options: PgConnectOptions, config: Config, ready: Arc<str>) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.acquire_timeout().max(CONNECT))
            .max_lifetime(Duration::from_secs(1800))
            .idle_timeout(Duration::from_secs(300))
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for < IDLE_PROBE {
                        return Ok(true);
                    }
                    Ok(connection.ping().await.is_ok())
                })
            })
            .after_connect(move |connection, _| {
                let ready = Arc::clone(&ready);
                Box::pin(async move {
                    if !ready.is_empty() {
                        connection.execute(sqlx::raw_sql(AssertSqlSafe(&*ready))).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        let resting = BreakerConfig { failures: 3, longest_rest: LONGEST_REST, ..BreakerConfig::default() };
        let breaker = Breaker::new(resting);
        let patience = Patience::new(config.acquire_timeout(), config.max_connections);
        let (bus, started) = (Bus::default(), Instant::now());
        Self(Arc::new(Inner { pool, bus, config, breaker, patience, started }))
    }

    /// Returns the settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Makes some connections ahead, and waits for them as long as it takes to make one: at a start nobody is kept waiting yet.
    ///
    /// # Errors
    /// When the database cannot be reached within five seconds.
    pub async fn reach(&self, connections: u32) -> Result<(), Error> {
        let mut reached = Vec::new();
        for _ in 0..connections.min(self.0.config.max_connections) {
            #[expect(clippy::disallowed_methods, reason = "nothing is asked of it but to be there")]
            reached.push(self.0.pool.acquire().await?);
        }
        Ok(())
    }

    /// Closes all connections once they are free, and refuses new ones.
    pub async fn close(&self) {
        self.0.pool.close().await;
    }

    /// Listens for changes and events of other processes and wakes who waits for them, until it is dropped. While it is not run,
    /// followers and relays look every half second; nothing is lost. `failed` hears when the connection was lost.
    pub async fn listen(self, failed: impl Fn(&sqlx::Error) + Send) {
        self.0.bus.listen(&self.0.pool, failed).await;
    }

    /// Makes a connection outside the pool, for what belongs to a session.
    pub(crate) async fn dedicated(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.0.pool.connect_options()).await
    }

    /// Makes a connection outside the pool, ready by some statements, unless the database was not to be reached lately, and waits for it no
    /// longer than for one of the pool. One that is made too late goes to `keep`.
    #[cfg(feature = "audit")]
    pub(crate) async fn own_connection(
        &self,
        ready: String,
        keep: impl FnOnce(PgConnection) + Send + 'static,
    ) -> Result<PgConnection, Error> {
        let inner = &self.0;
        if !inner.breaker.admits(inner.started.elapsed()) {
            return Err(Error::Resting);
        }
        let database = self.clone();
        let making = async move {
            let made = async {
                let mut connection = database.dedicated().await?;
                sqlx::raw_sql(AssertSqlSafe(ready)).execute(&mut connection).await?;
                Ok(connection)
            };
            tokio::time::timeout(CONNECT, made).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        };
        let made = inner.patience.wait(making, keep).await;
        inner.breaker.report(made.is_ok(), inner.started.elapsed());
        Ok(made?)
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.0.bus
    }

    /// Takes a connection, unless none was to be had lately: then nobody waits but one at a time, who looks whether it is again.
    async fn connection(&self) -> Result<PoolConnection<Postgres>, Error> {
        let inner = &self.0;
        if !inner.breaker.admits(inner.started.elapsed()) {
            return Err(Error::Resting);
        }
        #[expect(clippy::disallowed_methods, reason = "the one place where connections are had")]
        let making = inner.pool.acquire();
        // What is made too late is the pool's.
        let connection = inner.patience.wait(making, drop).await;
        inner.breaker.report(connection.is_ok(), inner.started.elapsed());
        Ok(connection?)
    }

    /// Begins a transaction with one message, and returns what its first statements find. A connection that broke while it lay idle is
    /// replaced: nothing was asked of it yet, or nothing that cannot be asked again.
    pub(crate) async fn begin(&self, opening: &str) -> Result<(Guarded, Vec<PgRow>), Error> {
        let mut stale = self.0.config.max_connections;
        loop {
            let connection = self.connection().await?;
            match Guarded::begin(connection, opening).await {
                Err(error) if stale > 0 && is_broken(&error) => stale -= 1,
                begun => return Ok(begun?),
            }
        }
    }

    /// Runs an operation of a port: within the time it may take, its failure told in the port's words.
    ///
    /// # Errors
    /// `Timeout` when it takes too long; whatever `work` returns.
    pub async fn run<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, StoreError> {
        let limit = self.0.config.operation_timeout();
        let done = tokio::time::timeout(limit, work).await.unwrap_or(Err(Error::Late(limit)));
        done.map_err(|error| error.of(operation))
    }
}

/// What a connection is made with.
pub(crate) fn options(url: &Url, config: &Config) -> PgConnectOptions {
    let milliseconds = config.operation_timeout_ms.to_string();
    url.options().application_name("stanchion").options([
        ("statement_timeout", milliseconds.as_str()),
        ("lock_timeout", milliseconds.as_str()),
        ("idle_in_transaction_session_timeout", "60000"),
        ("timezone", "UTC"),
    ])
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, idle) = (self.0.pool.size(), self.0.pool.num_idle());
        f.debug_struct("Database").field("connections", &size).field("idle", &idle).finish_non_exhaustive()
    }
}
