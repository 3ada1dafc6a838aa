use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection as _, PgConnection, Postgres, Row as _};
use stanchion_core::SystemScope;
use tokio::time::Instant;

use crate::database::IDLE_PROBE;
use crate::error::is_broken;
use crate::transaction::application_name;
use crate::{Database, Error};

/// A connection is replaced after so long, so that a database that moved is followed.
const LIFETIME: Duration = Duration::from_secs(1800);

/// Connections of their own that work across tenants from their first moment to their last, as [`SystemTx`](crate::SystemTx) does for the
/// time of a transaction: for a statement that is a transaction by itself, which so takes one message instead of three.
///
/// None of them was ever in the pool, nor will be: nobody borrows one who is to see a single scope. There are as many as statements were
/// under way at once.
#[derive(Debug)]
pub(crate) struct SystemSessions {
    database: Database,
    idle: Arc<Mutex<Vec<Session>>>,
}

#[derive(Debug)]
struct Session {
    connection: PgConnection,
    made_at: Instant,
    used_at: Instant,
}

impl Session {
    fn new(connection: PgConnection) -> Self {
        let now = Instant::now();
        Self { connection, made_at: now, used_at: now }
    }
}

impl SystemSessions {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, idle: Arc::default() }
    }

    /// Runs a statement that returns one value, and commits it. A future dropped halfway closes its connection.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] when nobody knows whether it was committed, other errors when it was not.
    pub(crate) async fn call(
        &self,
        system: SystemScope,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<Option<String>, Error> {
        let mut session = self.take(system).await?;
        // It is committed when the server is ready for the next one, not when it has answered: all rows are asked for, which waits for that.
        match statement.fetch_all(&mut session.connection).await {
            Ok(rows) => {
                let answer = rows.first().map_or(Ok(None), |row| row.try_get(0))?;
                self.keep(session);
                Ok(answer)
            }
            Err(error @ sqlx::Error::Database(_)) if !is_broken(&error) => {
                self.keep(session);
                Err(error.into())
            }
            Err(error @ sqlx::Error::Encode(_)) => Err(error.into()),
            Err(error) => Err(Error::Unconfirmed(error)),
        }
    }

    async fn take(&self, system: SystemScope) -> Result<Session, Error> {
        loop {
            let Some(mut session) = self.idle().pop() else { break };
            if session.made_at.elapsed() < LIFETIME
                && (session.used_at.elapsed() < IDLE_PROBE || session.connection.ping().await.is_ok())
            {
                return Ok(session);
            }
        }
        let opening = format!(
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; \
             SET ROLE stanchion_system; SET application_name = '{}'",
            application_name(system)
        );
        let idle = Arc::clone(&self.idle);
        let late = move |connection| {
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(Session::new(connection));
        };
        Ok(Session::new(self.database.own_connection(opening, late).await?))
    }

    fn keep(&self, mut session: Session) {
        session.used_at = Instant::now();
        self.idle().push(session);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
