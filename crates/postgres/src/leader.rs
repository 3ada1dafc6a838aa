use std::future::Future;
use std::time::Duration;

use futures_util::future::{Either, select};
use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};

use crate::{Database, Error};

/// How often who does not lead asks again, and who leads looks whether it still does.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the database may take to say that the lead is still held.
const PATIENCE: Duration = Duration::from_secs(2);

/// What becomes of a lead.
#[derive(Debug)]
#[non_exhaustive]
pub enum Leadership<'a> {
    /// This replica leads from now on.
    Taken,
    /// The lead was lost, and the work stopped; another replica may have it by now.
    Lost(&'a Error),
    /// Nobody could be asked for the lead.
    Unknown(&'a Error),
}

impl Database {
    /// Runs work on one replica at a time, until it is dropped: whoever holds the advisory lock of this name on a connection of its
    /// own. When that connection breaks, the work is dropped, and starts again wherever the lock is had next.
    ///
    /// A replica that stood still may go on for up to three seconds after another has taken over, so the work has to bear being done
    /// twice: a relay does, since its reader knows events by their ids. Locks belong to sessions: a pooler that shares connections
    /// between transactions cannot stand in between.
    pub async fn lead<F: Future<Output = ()> + Send>(
        &self,
        name: &str,
        work: impl Fn() -> F + Send,
        tell: impl Fn(Leadership<'_>) + Send,
    ) {
        let key = key(name);
        loop {
            match self.take(key).await {
                Ok(connection) => {
                    tell(Leadership::Taken);
                    let work = std::pin::pin!(work());
                    let held = std::pin::pin!(hold(connection));
                    match select(work, held).await {
                        Either::Left(((), _)) => return,
                        Either::Right((error, _)) => tell(Leadership::Lost(&error)),
                    }
                }
                Err(error) => {
                    tell(Leadership::Unknown(&error));
                    sleep(INTERVAL).await;
                }
            }
        }
    }

    /// Waits for the lock.
    async fn take(&self, key: i64) -> Result<PgConnection, Error> {
        let mut connection = within(self.dedicated()).await?;
        loop {
            let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key);
            if within(lock.fetch_one(&mut connection)).await? {
                return Ok(connection);
            }
            sleep(INTERVAL).await;
        }
    }
}

/// Returns once the connection that holds the lock is broken.
async fn hold(mut connection: PgConnection) -> Error {
    loop {
        sleep(INTERVAL).await;
        if let Err(error) = within(connection.ping()).await {
            return error;
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    timeout(PATIENCE, work).await.map_err(|_| Error::Late(PATIENCE))?.map_err(Error::from)
}

/// Returns the number by which Postgres knows the lock of a name.
fn key(name: &str) -> i64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("stanchion leader {name}").as_bytes());
    digest.iter().take(8).fold(0, |key, byte| (key << 8) | i64::from(*byte))
}
