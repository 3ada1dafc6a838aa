use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres};

use crate::Error;
use crate::error::is_broken;

/// A connection that returns to the pool only if its transaction is known to have ended.
///
/// Whatever else happens to it, a future dropped halfway through BEGIN, a query or COMMIT, closes it: the server rolls back, and
/// nobody borrows a connection that is still inside somebody else's transaction.
#[derive(Debug)]
pub(crate) struct Guarded(Option<PoolConnection<Postgres>>);

impl Guarded {
    /// Begins a transaction, and returns what its first statements find. `opening` is sent as one message, so that no statement ever
    /// runs between its parts. Cursors that somebody held beyond their transaction are closed with it: they would show one tenant's
    /// rows to the next.
    pub(crate) async fn begin(
        connection: PoolConnection<Postgres>,
        opening: &str,
    ) -> Result<(Self, Vec<PgRow>), sqlx::Error> {
        let mut guarded = Self(Some(connection));
        match guarded.send(&format!("{opening}; CLOSE ALL")).await {
            Ok(rows) => Ok((guarded, rows)),
            Err(error) => {
                guarded.undo(&error).await;
                Err(error)
            }
        }
    }

    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Commits. When the answer is lost, nobody knows whether it was.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        self.commit_after("").await
    }

    /// Commits after some last statements, in one message: when one of them is refused, nothing is committed.
    pub(crate) async fn commit_after(mut self, statements: &str) -> Result<(), Error> {
        match self.send(&format!("{statements}COMMIT")).await {
            Ok(_) => self.release(),
            Err(error @ sqlx::Error::Database(_)) => {
                self.undo(&error).await;
                Err(error.into())
            }
            Err(error) => Err(Error::Unconfirmed(error)),
        }
    }

    pub(crate) async fn rollback(mut self) -> Result<(), Error> {
        self.send("ROLLBACK").await?;
        self.release()
    }

    /// Keeps the connection when a statement was refused: a lock that was not had in time is no reason to lose it.
    async fn undo(self, error: &sqlx::Error) {
        if matches!(error, sqlx::Error::Database(_)) && !is_broken(error) {
            // One that cannot even roll back is closed.
            let _ = self.rollback().await;
        }
    }

    async fn send(&mut self, statements: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        let connection = self.connection()?;
        connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await
    }

    /// Gives the connection back to the pool. Its transaction has ended.
    pub(crate) fn release(mut self) -> Result<(), Error> {
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
