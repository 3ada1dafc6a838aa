//! Brings a database to the schema that this version works with.

mod error;
mod list;
mod roles;

use std::fmt;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use stanchion_core::SystemScope;

pub use error::MigrateError;
pub(crate) use list::MIGRATIONS;

use crate::{Database, SystemTx, Url};

/// One step of a domain's schema: `migrations/<domain>/<version>_<name>.sql`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Whose tables it is about.
    pub domain: &'static str,
    /// Its number within the domain, from 1.
    pub version: i32,
    /// What it does.
    pub name: &'static str,
    sql: &'static str,
}

/// A step that begins with this line runs outside a transaction, for what Postgres does only there (`CREATE INDEX CONCURRENTLY`). It
/// has to bear being run again, since it may have been cut off anywhere.
const NO_TRANSACTION: &str = "-- no transaction";

/// Held while migrating, so that one runs at a time: the first eight letters of the name.
const LOCK: i64 = i64::from_be_bytes(*b"stanchio");

impl Migration {
    fn checksum(&self) -> String {
        Sha256::digest(self.sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn in_transaction(&self) -> bool {
        !self.sql.starts_with(NO_TRANSACTION)
    }

    /// Returns the SQL.
    #[must_use]
    pub const fn sql(&self) -> &'static str {
        self.sql
    }
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:04}_{}", self.domain, self.version, self.name)
    }
}

impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Migration({self})")
    }
}

/// What to migrate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrateOptions {
    /// Only tells what would be done.
    pub dry_run: bool,
    /// Only this domain and the foundation all domains rest on.
    pub domain: Option<String>,
    /// Lets this login, which has to exist, take the roles that the server works in.
    pub grant_to: Option<String>,
}

/// Applies every step that a database lacks, each wholly or not at all, and returns them. It can be cut off at any point and run
/// again, and several may be started at once.
///
/// The login of `url` makes the roles `stanchion_owner`, `stanchion_tenant` and `stanchion_system` if they are not there, which takes
/// `CREATEROLE`; and the schema `stanchion`, which takes `CREATE` on the database.
///
/// # Errors
/// When a step that was applied has changed since, when the database is ahead of this version, or when a step fails.
pub async fn migrate(url: &Url, options: &MigrateOptions) -> Result<Vec<Migration>, MigrateError> {
    apply(url, options, &list::of(options.domain.as_deref())?).await
}

/// As [`migrate`], but leaves out the steps of a domain that come after a version.
#[cfg(feature = "testing")]
pub(crate) async fn migrate_up_to(
    url: &Url,
    options: &MigrateOptions,
    (domain, version): (&str, i32),
) -> Result<Vec<Migration>, MigrateError> {
    let mut known = list::of(options.domain.as_deref())?;
    known.retain(|step| step.domain != domain || step.version <= version);
    apply(url, options, &known).await
}

async fn apply(
    url: &Url,
    options: &MigrateOptions,
    known: &[Migration],
) -> Result<Vec<Migration>, MigrateError> {
    let mut connection = PgConnection::connect_with(&url.options()).await.map_err(MigrateError::Connect)?;
    let done = Runner { connection: &mut connection, known }.run(options).await;
    // Whatever was held or set ends with the connection.
    let _ = connection.close().await;
    done
}

/// Tells whether a database has exactly the schema that this version works with.
///
/// # Errors
/// [`MigrateError::Pending`] when it lacks steps, and as [`migrate`].
pub async fn check(database: &Database) -> Result<(), MigrateError> {
    let read = async {
        let system = SystemScope::new("check the schema");
        let mut tx = SystemTx::begin_read(database, system).await?;
        let applied = applied(tx.connection()?).await?;
        tx.commit().await?;
        Ok::<_, crate::Error>(applied)
    };
    let limit = database.config().operation_timeout();
    let applied = tokio::time::timeout(limit, read).await.unwrap_or(Err(crate::Error::Late(limit)));
    let pending = pending(MIGRATIONS, &applied.map_err(MigrateError::Unreadable)?)?;
    if pending.is_empty() { Ok(()) } else { Err(MigrateError::Pending(pending)) }
}

/// A step that the database says it has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Applied {
    domain: String,
    version: i32,
    checksum: String,
    finished: bool,
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let all = "SELECT domain, version, checksum, finished_at IS NOT NULL AS finished FROM stanchion.migration \
               ORDER BY domain, version";
    let rows = sqlx::query(all).fetch_all(connection).await?;
    let read = |row: &sqlx::postgres::PgRow| {
        Ok(Applied {
            domain: row.try_get("domain")?,
            version: row.try_get("version")?,
            checksum: row.try_get("checksum")?,
            finished: row.try_get("finished")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Returns the known steps that were not applied, in order.
fn pending(known: &[Migration], applied: &[Applied]) -> Result<Vec<Migration>, MigrateError> {
    for seen in applied {
        let is = |step: &&Migration| step.domain == seen.domain && step.version == seen.version;
        match MIGRATIONS.iter().chain(known).find(is) {
            None => {
                return Err(MigrateError::Newer { domain: seen.domain.clone(), version: seen.version });
            }
            Some(step) if step.checksum() != seen.checksum => return Err(MigrateError::Changed(*step)),
            Some(_) => {}
        }
    }
    let is_done = |step: &Migration| {
        applied.iter().any(|seen| seen.finished && seen.domain == step.domain && seen.version == step.version)
    };
    Ok(known.iter().filter(|step| !is_done(step)).copied().collect())
}

struct Runner<'a> {
    connection: &'a mut PgConnection,
    known: &'a [Migration],
}

impl Runner<'_> {
    async fn run(&mut self, options: &MigrateOptions) -> Result<Vec<Migration>, MigrateError> {
        if options.dry_run {
            return self.plan().await;
        }
        self.lock().await?;
        roles::prepare(self.connection).await?;
        let pending = self.plan().await?;
        for step in &pending {
            self.apply(step).await.map_err(|source| MigrateError::Failed { step: *step, source })?;
        }
        if let Some(login) = &options.grant_to {
            roles::grant(self.connection, login).await?;
        }
        Ok(pending)
    }

    async fn plan(&mut self) -> Result<Vec<Migration>, MigrateError> {
        let begun = "SELECT to_regclass('stanchion.migration') IS NOT NULL";
        let begun = sqlx::query_scalar(begun).fetch_one(&mut *self.connection).await;
        let seen = if begun.map_err(MigrateError::Connect)? {
            applied(self.connection).await.map_err(MigrateError::Connect)?
        } else {
            Vec::new()
        };
        pending(self.known, &seen)
    }

    /// Waits for others to finish.
    async fn lock(&mut self) -> Result<(), MigrateError> {
        let wait = "SET lock_timeout = '5min'; SET statement_timeout = 0";
        sqlx::raw_sql(wait).execute(&mut *self.connection).await.map_err(MigrateError::Connect)?;
        let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK);
        lock.execute(&mut *self.connection).await.map(drop).map_err(MigrateError::Locked)
    }

    async fn apply(&mut self, step: &Migration) -> Result<(), sqlx::Error> {
        let checksum = step.checksum();
        if step.in_transaction() {
            self.send("BEGIN; SET LOCAL ROLE stanchion_owner").await?;
            self.send(step.sql).await?;
            self.record(step, &checksum, true).await?;
            self.send("COMMIT").await
        } else {
            self.send("SET ROLE stanchion_owner").await?;
            self.record(step, &checksum, false).await?;
            self.send(step.sql).await?;
            self.record(step, &checksum, true).await?;
            self.send("RESET ROLE").await
        }
    }

    async fn record(&mut self, step: &Migration, checksum: &str, finished: bool) -> Result<(), sqlx::Error> {
        let record = "INSERT INTO stanchion.migration (domain, version, name, checksum, finished_at) \
            VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN clock_timestamp() END) \
            ON CONFLICT (domain, version) DO UPDATE SET finished_at = excluded.finished_at";
        let query = sqlx::query(record).bind(step.domain).bind(step.version).bind(step.name);
        query.bind(checksum).bind(finished).execute(&mut *self.connection).await.map(drop)
    }

    async fn send(&mut self, statements: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        query.execute(&mut *self.connection).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Migration = Migration { domain: "core", version: 1, name: "a", sql: "SELECT 1" };
    const B: Migration =
        Migration { domain: "core", version: 2, name: "b", sql: "-- no transaction\nSELECT 2" };

    fn seen(step: &Migration, finished: bool) -> Applied {
        let checksum = step.checksum();
        Applied { domain: step.domain.to_owned(), version: step.version, checksum, finished }
    }

    /// Every file is in the list, every entry of the list is a file, and the numbers of a domain are dense.
    #[test]
    fn the_list_is_what_the_directory_holds() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files = Vec::new();
        for domain in std::fs::read_dir(directory).unwrap() {
            let domain = domain.unwrap();
            for file in std::fs::read_dir(domain.path()).unwrap() {
                let file = file.unwrap().file_name().into_string().unwrap();
                files.push(format!("{}/{file}", domain.file_name().into_string().unwrap()));
            }
        }
        let mut listed: Vec<_> = MIGRATIONS.iter().map(|step| format!("{step}.sql")).collect();
        assert_eq!(MIGRATIONS.first().map(|step| step.domain), Some("core"), "all else rests on it");
        for (index, step) in MIGRATIONS.iter().enumerate() {
            let before = MIGRATIONS.iter().take(index).filter(|before| before.domain == step.domain).count();
            assert_eq!(usize::try_from(step.version), Ok(before + 1), "{step}");
        }
        files.sort();
        listed.sort();
        assert_eq!(listed, files);
    }

    #[test]
    fn what_was_cut_off_is_pending_again() {
        let known = [MIGRATIONS[0], B];
        let applied = [seen(&MIGRATIONS[0], true), seen(&B, false)];
        assert!(!B.in_transaction() && A.in_transaction());
        assert_eq!(pending(&known, &applied).unwrap(), [B]);
    }

    #[test]
    fn a_step_that_changed_after_it_was_applied_is_named() {
        let mut applied = seen(&MIGRATIONS[0], true);
        applied.checksum = A.checksum();
        let error = pending(MIGRATIONS, &[applied]).unwrap_err().to_string();
        assert!(error.starts_with("core/0001_create_foundation.sql is not what was applied"), "{error}");
    }

    #[test]
    fn a_database_ahead_of_the_program_is_refused() {
        let ahead = Migration { version: 9_999, ..A };
        let error = pending(MIGRATIONS, &[seen(&ahead, true)]).unwrap_err().to_string();
        assert!(error.starts_with("the database is newer than this program: it has core/9999"), "{error}");
    }
}
