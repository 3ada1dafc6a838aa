use stanchion_core::{StoreError, StoreErrorKind};

/// What went wrong between an adapter and Postgres.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The driver or the database refused.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// The connection broke while a commit was on its way: what it wrote may be there or not.
    #[error("nobody knows whether the transaction was committed: {0}")]
    Unconfirmed(#[source] sqlx::Error),
    /// The scope is not at the revision that the change expects.
    #[error("the scope has moved on")]
    Conflict,
    /// A stored value is not what its column may hold.
    #[error("{what} breaks the format: {reason}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The adapter does not know how to do this.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A record was to be written to a scope that is not its own.
    #[error("a record of another scope")]
    OtherScope,
    /// The nil UUID, by which the platform is stored, was given as a tenant.
    #[error("the nil UUID is no tenant")]
    NilTenant,
    /// Too many calls failed just before; this one was not tried.
    #[error("the database did not answer lately")]
    Resting,
    /// Others were first, again and again; nothing was written.
    #[error("others were first, again and again")]
    Contended,
    /// No answer within the time an operation may take.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(std::time::Duration),
}

impl Error {
    /// Reports a stored value that cannot be read.
    #[must_use]
    pub fn corrupt(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, reason: reason.to_string() }
    }

    /// Tells what kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Database(error) => kind(error),
            Self::Unconfirmed(_) | Self::Late(_) => StoreErrorKind::Timeout,
            Self::Conflict => StoreErrorKind::Conflict,
            Self::Corrupt { .. } => StoreErrorKind::Corrupt,
            Self::Unsupported(_) => StoreErrorKind::Unsupported,
            Self::NilTenant | Self::OtherScope => StoreErrorKind::Internal,
            Self::Resting | Self::Contended => StoreErrorKind::Unavailable,
        }
    }

    /// Says that it happened in an operation of a port.
    #[must_use]
    pub fn of(self, operation: &'static str) -> StoreError {
        StoreError::new(self.kind(), "postgres", operation).with_source(self)
    }
}

fn kind(error: &sqlx::Error) -> StoreErrorKind {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code();
            sql_state(code.as_deref().unwrap_or_default())
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Internal,
    }
}

/// Tells what an SQLSTATE means for the caller (PostgreSQL documentation, appendix A).
fn sql_state(code: &str) -> StoreErrorKind {
    match code {
        "23505" => StoreErrorKind::AlreadyExists,
        // statement_timeout, or somebody's pg_cancel_backend
        "57014" => StoreErrorKind::Timeout,
        // a standby took over and this is not it, we stood still for too long, or it was rolled back to let another go on
        "25006" | "25P03" | "40001" | "40P01" | "55P03" => StoreErrorKind::Unavailable,
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Internal,
    }
}

/// Tells whether the connection, rather than what was asked of it, is at fault.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08") || code == "25P03"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sql_state_tells_what_the_caller_may_do() {
        for (code, kind) in [
            ("23505", StoreErrorKind::AlreadyExists),
            ("53300", StoreErrorKind::Unavailable),
            ("57P01", StoreErrorKind::Unavailable),
            ("08006", StoreErrorKind::Unavailable),
            ("25P03", StoreErrorKind::Unavailable),
            ("40P01", StoreErrorKind::Unavailable),
            ("57014", StoreErrorKind::Timeout),
            ("42501", StoreErrorKind::Internal),
            ("", StoreErrorKind::Internal),
        ] {
            assert_eq!(sql_state(code), kind, "{code}");
        }
    }

    #[test]
    fn an_end_that_nobody_knows_is_no_refusal() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert_eq!(Error::Database(lost()).kind(), StoreErrorKind::Unavailable);
        assert_eq!(Error::Unconfirmed(lost()).of("apply").kind(), StoreErrorKind::Timeout);
    }
}
