use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres};

use crate::Error;

/// A connection that returns to the pool only if its transaction is known to have ended.
///
/// Whatever else happens to it, a future dropped halfway through BEGIN, a query or COMMIT, closes it: the server rolls back, and
/// nobody borrows a connection that is still inside somebody else's transaction.
#[derive(Debug)]
pub(crate) struct Guarded(Option<PoolConnection<Postgres>>);

impl Guarded {
    /// Begins a transaction. `opening` is sent as one message, so that no statement ever runs between its parts. Cursors that somebody
    /// held beyond their transaction are closed with it: they would show one tenant's rows to the next.
    pub(crate) async fn begin(
        connection: PoolConnection<Postgres>,
        opening: &str,
    ) -> Result<Self, sqlx::Error> {
        let mut guarded = Self(Some(connection));
        guarded.send(&format!("{opening}; CLOSE ALL")).await?;
        Ok(guarded)
    }

    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Commits. When the answer is lost, nobody knows whether it was.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        match self.send("COMMIT").await {
            Ok(()) => self.release(),
            Err(error @ sqlx::Error::Database(_)) => Err(error.into()),
            Err(error) => Err(Error::Unconfirmed(error)),
        }
    }

    pub(crate) async fn rollback(mut self) -> Result<(), Error> {
        self.send("ROLLBACK").await?;
        self.release()
    }

    async fn send(&mut self, statements: &str) -> Result<(), sqlx::Error> {
        let connection = self.connection()?;
        connection.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await.map(drop)
    }

    fn release(mut self) -> Result<(), Error> {
        drop(self.0.take());
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
