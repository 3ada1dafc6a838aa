use super::Migration;

/// Why a database was not brought to the schema, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The database cannot be reached, or broke off.
    #[error("the database cannot be reached: {0}")]
    Connect(#[source] sqlx::Error),
    /// The schema could not be looked at.
    #[error("the schema cannot be read: {0}; if this database is new, run `stanchion migrate`")]
    Unreadable(#[source] crate::Error),
    /// Another migration runs and does not end.
    #[error("another migration has held the lock for five minutes: {0}")]
    Locked(#[source] sqlx::Error),
    /// No such domain.
    #[error("there is no domain `{given}`: use one of {}", .known.join(", "))]
    UnknownDomain {
        /// What was asked for.
        given: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The roles or the schema could not be made.
    #[error("{what}: {source}; let an administrator of the database run: {remedy}")]
    Roles {
        /// What was tried.
        what: &'static str,
        /// Statements that make up for it.
        remedy: String,
        /// Why it was refused.
        source: sqlx::Error,
    },
    /// A step failed. Those before it stay applied, of it nothing is.
    #[error(
        "{step}.sql failed: {source}; what was applied before it stays, run `stanchion migrate` again after the cause is gone"
    )]
    Failed {
        /// The step.
        step: Migration,
        /// Why.
        source: sqlx::Error,
    },
    /// A step was edited after it was applied.
    #[error(
        "{0}.sql is not what was applied to this database: steps are never edited, restore the file and add a new one"
    )]
    Changed(Migration),
    /// The database was migrated by a newer program.
    #[error(
        "the database is newer than this program: it has {domain}/{version:04}, which is unknown here; run the program that made it, or a later one"
    )]
    Newer {
        /// Whose step.
        domain: String,
        /// Its number.
        version: i32,
    },
    /// The database lacks steps.
    #[error("the database lacks {} of {}; run `stanchion migrate`", .0.len(), names(.0))]
    Pending(Vec<Migration>),
}

fn names(steps: &[Migration]) -> String {
    let names: Vec<String> = steps.iter().map(ToString::to_string).collect();
    format!("the schema's steps ({})", names.join(", "))
}
