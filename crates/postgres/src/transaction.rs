#[cfg(any(feature = "ratelimit", feature = "rbac"))]
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection};
use stanchion_core::{Scope, SystemScope};
use uuid::Uuid;

use crate::connection::Guarded;
use crate::{Database, Error};

/// A transaction that sees and writes the records of one scope and no other's, whatever it asks for.
///
/// It runs as the role `stanchion_tenant` under row-level security. Dropped before [`commit`](Self::commit) it is rolled back, and
/// its connection closed.
#[derive(Debug)]
pub struct TenantTx<'c> {
    scope: Scope,
    held: Held<'c>,
}

/// A transaction across tenants, for the work that a [`SystemScope`] states the reason of.
///
/// It runs as the role `stanchion_system`, which may do on each table what the table's migration grants it. The reason is its
/// `application_name`, so `pg_stat_activity` shows it.
#[derive(Debug)]
pub struct SystemTx {
    guarded: Guarded,
}

#[derive(Debug)]
enum Held<'c> {
    Own(Guarded),
    Joined { connection: &'c mut PgConnection, role: String },
}

/// How a transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Sees one moment throughout.
    Read,
    /// Sees what was committed before each statement, and may write.
    Write,
}

impl Access {
    const fn begin(self) -> &'static str {
        match self {
            Self::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Self::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        }
    }
}

/// Returns what `pg_stat_activity` shows of work across tenants, fit to stand within quotes: as much of the reason as Postgres keeps.
pub(crate) fn application_name(system: SystemScope) -> String {
    let plain =
        |letter: char| if letter.is_ascii_graphic() && !"'\\".contains(letter) { letter } else { ' ' };
    format!("stanchion: {}", system.reason()).chars().map(plain).take(63).collect()
}

/// Returns the column value of a scope: a tenant's id, or the nil UUID for the platform.
///
/// # Errors
/// [`Error::NilTenant`] when a tenant has the platform's number.
pub fn scope_id(scope: Scope) -> Result<Uuid, Error> {
    match scope {
        Scope::Platform => Ok(Uuid::nil()),
        Scope::Tenant(tenant) if tenant.uuid().is_nil() => Err(Error::NilTenant),
        Scope::Tenant(tenant) => Ok(tenant.uuid()),
    }
}

/// Returns the scope of a column value.
#[must_use]
pub fn scope_of(id: Uuid) -> Scope {
    if id.is_nil() { Scope::Platform } else { Scope::Tenant(stanchion_core::TenantId::from_uuid(id)) }
}

fn enter(scope: Uuid) -> String {
    format!("SET LOCAL ROLE stanchion_tenant; SET LOCAL stanchion.scope = '{scope}'")
}

impl TenantTx<'static> {
    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// When no connection is to be had, or `scope` is no tenant's.
    pub async fn begin(database: &Database, scope: Scope) -> Result<Self, Error> {
        Self::open(database, scope, Access::Write).await
    }

    /// Begins a transaction that reads one moment.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn begin_read(database: &Database, scope: Scope) -> Result<Self, Error> {
        Self::open(database, scope, Access::Read).await
    }

    async fn open(database: &Database, scope: Scope, access: Access) -> Result<Self, Error> {
        let opening = format!("{}; {}", access.begin(), enter(scope_id(scope)?));
        let (guarded, _) = database.begin(&opening).await?;
        Ok(Self { scope, held: Held::Own(guarded) })
    }

    /// Begins a transaction that may write, and asks its first question, in one message.
    #[cfg(feature = "ratelimit")]
    pub(crate) async fn begin_asking(
        database: &Database,
        scope: Scope,
        question: &str,
    ) -> Result<(Self, Vec<PgRow>), Error> {
        let opening = format!("{}; {}; {question}", Access::Write.begin(), enter(scope_id(scope)?));
        let (guarded, rows) = database.begin(&opening).await?;
        Ok((Self { scope, held: Held::Own(guarded) }, rows))
    }

    /// Reads in a transaction of its own, all in one message.
    #[cfg(any(feature = "ratelimit", feature = "rbac"))]
    pub(crate) async fn read(database: &Database, scope: Scope, question: &str) -> Result<Vec<PgRow>, Error> {
        let whole = format!("{}; {}; {question}; COMMIT", Access::Read.begin(), enter(scope_id(scope)?));
        let (guarded, rows) = database.begin(&whole).await?;
        guarded.release()?;
        Ok(rows)
    }

    /// Commits a transaction of its own after some last statements, if there are any, in one message.
    #[cfg(feature = "ratelimit")]
    pub(crate) async fn commit_after(self, statements: &str) -> Result<(), Error> {
        match self.held {
            Held::Own(guarded) if statements.is_empty() => guarded.commit().await,
            Held::Own(guarded) => guarded.commit_after(&format!("{statements}; ")).await,
            Held::Joined { .. } => Err(Error::Unsupported("commit a transaction of somebody else's")),
        }
    }
}

impl<'c> TenantTx<'c> {
    /// Goes on in a transaction of the caller's, as one scope, until [`commit`](Self::commit) gives the connection its role back.
    /// The caller's login has to be a member of `stanchion_tenant`. Dropped without that, the caller's transaction stays confined to
    /// the scope.
    ///
    /// # Errors
    /// When the connection is in no transaction, or its login may not take the role.
    pub async fn join(connection: &'c mut PgConnection, scope: Scope) -> Result<Self, Error> {
        let opening = enter(scope_id(scope)?);
        let role: String =
            sqlx::query_scalar("SELECT current_setting('role')").fetch_one(&mut *connection).await?;
        sqlx::raw_sql(AssertSqlSafe(opening)).execute(&mut *connection).await?;
        // Outside a transaction the settings are gone by now.
        let confined = "SELECT current_user = 'stanchion_tenant' AND stanchion.scope() IS NOT NULL";
        let confined = sqlx::query_scalar(confined).fetch_one(&mut *connection).await;
        if !confined.unwrap_or(false) {
            return Err(Error::Unsupported("begin a transaction before you join it"));
        }
        Ok(Self { scope, held: Held::Joined { connection, role } })
    }

    /// Returns whose records it works on.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Borrows the connection, for statements of your own on `stanchion` tables or on yours.
    ///
    /// # Errors
    /// Never, before it was committed.
    pub fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        match &mut self.held {
            Held::Own(guarded) => Ok(guarded.connection()?),
            Held::Joined { connection, .. } => Ok(connection),
        }
    }

    /// Commits; of a joined transaction that is left to its owner.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] when nobody knows whether it was committed, other errors when it was not.
    pub async fn commit(self) -> Result<(), Error> {
        match self.held {
            Held::Own(guarded) => guarded.commit().await,
            Held::Joined { connection, role } => {
                let leave = "SELECT set_config('stanchion.scope', '', true), set_config('role', $1, true)";
                sqlx::query(leave).bind(role).execute(connection).await?;
                Ok(())
            }
        }
    }

    /// Commits what was written, or undoes it all when writing failed.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), or why writing failed.
    pub async fn end<T>(self, written: Result<T, Error>) -> Result<T, Error> {
        match written {
            Ok(value) => self.commit().await.map(|()| value),
            Err(error) => {
                // What went wrong first is what counts; a connection that cannot even roll back is closed.
                let _ = self.rollback().await;
                Err(error)
            }
        }
    }

    /// Undoes everything and keeps the connection; a joined transaction is only left, and its owner has to undo it.
    ///
    /// # Errors
    /// When the connection is broken, which undoes everything as well.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.held {
            Held::Own(guarded) => guarded.rollback().await,
            Held::Joined { .. } => self.commit().await,
        }
    }
}

impl SystemTx {
    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn begin(database: &Database, system: SystemScope) -> Result<Self, Error> {
        Self::open(database, system, Access::Write).await
    }

    /// Begins a transaction that reads one moment.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn begin_read(database: &Database, system: SystemScope) -> Result<Self, Error> {
        Self::open(database, system, Access::Read).await
    }

    async fn open(database: &Database, system: SystemScope, access: Access) -> Result<Self, Error> {
        let opening = format!(
            "{}; SET LOCAL ROLE stanchion_system; SET LOCAL application_name = '{}'",
            access.begin(),
            application_name(system)
        );
        Ok(Self { guarded: database.begin(&opening).await?.0 })
    }

    /// Borrows the connection.
    ///
    /// # Errors
    /// Never, before it was committed.
    pub fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        Ok(self.guarded.connection()?)
    }

    /// Commits.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] when nobody knows whether it was committed, other errors when it was not.
    pub async fn commit(self) -> Result<(), Error> {
        self.guarded.commit().await
    }

    /// Commits what was written, or undoes it all when writing failed.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), or why writing failed.
    pub async fn end<T>(self, written: Result<T, Error>) -> Result<T, Error> {
        match written {
            Ok(value) => self.commit().await.map(|()| value),
            Err(error) => {
                // What went wrong first is what counts; a connection that cannot even roll back is closed.
                let _ = self.rollback().await;
                Err(error)
            }
        }
    }

    /// Undoes everything and keeps the connection.
    ///
    /// # Errors
    /// When the connection is broken, which undoes everything as well.
    pub async fn rollback(self) -> Result<(), Error> {
        self.guarded.rollback().await
    }
}
