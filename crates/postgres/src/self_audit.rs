//! Looks for holes in the walls between tenants.

mod checks;

use std::fmt;

use sqlx::Row;
use stanchion_core::SystemScope;

use self::checks::CHECKS;
use crate::{Database, Error, SystemTx};

/// A hole: a way past row-level security that somebody has made since the migrations ran, or has let stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What must hold.
    pub rule: &'static str,
    /// Where it does not.
    pub object: String,
    /// The statement that mends it.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; mend it with: {}", self.object, self.rule, self.fix)
    }
}

/// Why a database is not to be worked on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfAuditError {
    /// There are holes.
    #[error("{}", lines(.0))]
    Holes(Vec<Finding>),
    /// The catalogs could not be read.
    #[error("the catalogs cannot be read: {0}")]
    Unreadable(#[from] Error),
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Looks through the catalogs for every known way past row-level security, as the login that the server uses. It takes some ten
/// queries, and is meant for every start.
///
/// It finds: roles that are superusers, pass by row-level security, own tables, or are members of one that does; tables without forced
/// row-level security, with other policies than their own, or with rights for the public; partitions that can be named directly;
/// views and functions that run as their owner; foreign keys that leave out the scope, unique keys that do not begin with it; a
/// scope that is set for a whole session. It does not find hostile SQL within a transaction of ours, which can set the scope itself.
///
/// # Errors
/// [`SelfAuditError::Holes`], with what to do about each.
pub async fn self_audit(database: &Database) -> Result<(), SelfAuditError> {
    let look = async {
        let mut tx = SystemTx::begin_read(database, SystemScope::new("audit the walls")).await?;
        let mut findings = Vec::new();
        for check in CHECKS {
            for row in sqlx::query(check.query).fetch_all(tx.connection()?).await? {
                let (object, fix) = (row.try_get("object")?, row.try_get("fix")?);
                findings.push(Finding { rule: check.rule, object, fix });
            }
        }
        tx.commit().await?;
        Ok::<_, Error>(findings)
    };
    let limit = database.config().operation_timeout();
    let found = tokio::time::timeout(limit, look).await.unwrap_or(Err(Error::Late(limit)))?;
    if found.is_empty() { Ok(()) } else { Err(SelfAuditError::Holes(found)) }
}
