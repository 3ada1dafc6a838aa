//! Rate-limit rules, and what holds for single callers beside them.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use stanchion_core::{Change, Page, PageRequest, Revision, Scope, StoreError, Versioned};
use stanchion_ratelimit::{Control, RuleChange, RuleId, RuleSet, RuleStore, StoredRule};

use crate::feed::{Feed, follow};
use crate::records::{advance, current, instant, number, page, page_key, revision, rows_of, versioned};
use crate::transaction::scope_id;
use crate::{Database, Error, TenantTx};

const DOMAIN: &str = "ratelimit";

/// Rate-limit rules in Postgres.
#[derive(Debug)]
pub struct PgRuleStore {
    database: Database,
    feed: Feed,
}

impl PgRuleStore {
    /// Keeps them in a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let feed = Feed::new(database.clone(), DOMAIN);
        Self { database, feed }
    }

    /// Writes a change as a part of a transaction, whose scope it is for. Both are committed, or neither is.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the scope has moved on.
    pub async fn apply_on(tx: &mut TenantTx<'_>, change: &Change<RuleChange>) -> Result<Revision, Error> {
        let scope = tx.scope();
        let connection = tx.connection()?;
        let revision = advance(connection, DOMAIN, scope, change, RuleChange::key).await?;
        for part in &change.changes {
            let query = match part {
                RuleChange::Put(stored) => sqlx::query(PUT)
                    .bind(scope_id(scope)?)
                    .bind(number(revision))
                    .bind(instant(change.at))
                    .bind(stored.rule.id.as_str())
                    .bind(number(stored.epoch))
                    .bind(
                        serde_json::to_string(&stored.rule).map_err(|error| Error::corrupt("rule", error))?,
                    ),
                RuleChange::Delete(id) => {
                    let gone = "DELETE FROM stanchion.ratelimit_rule WHERE scope_id = $1 AND id = $2";
                    sqlx::query(gone).bind(scope_id(scope)?).bind(id.as_str())
                }
                RuleChange::PutControl(control) => sqlx::query(PUT_CONTROL)
                    .bind(scope_id(scope)?)
                    .bind(number(revision))
                    .bind(instant(change.at))
                    .bind(control.id().to_string())
                    .bind(serde_json::to_string(control).map_err(|error| Error::corrupt("control", error))?),
                RuleChange::DeleteControl(id) => {
                    let gone = "DELETE FROM stanchion.ratelimit_control WHERE scope_id = $1 AND id = $2";
                    sqlx::query(gone).bind(scope_id(scope)?).bind(id.to_string())
                }
            };
            query.execute(&mut *connection).await?;
        }
        Ok(revision)
    }
}

const PUT: &str = "
INSERT INTO stanchion.ratelimit_rule (scope_id, revision, created_at, updated_at, id, epoch, rule)
VALUES ($1, $2, $3, $3, $4, $5, $6)
ON CONFLICT (scope_id, id) DO UPDATE SET
    (revision, updated_at, epoch, rule) = (excluded.revision, excluded.updated_at, excluded.epoch, excluded.rule)";

const PUT_CONTROL: &str = "
INSERT INTO stanchion.ratelimit_control (scope_id, revision, created_at, updated_at, id, control)
VALUES ($1, $2, $3, $3, $4, $5)
ON CONFLICT (scope_id, id) DO UPDATE SET
    (revision, updated_at, control) = (excluded.revision, excluded.updated_at, excluded.control)";

#[async_trait]
impl RuleStore for PgRuleStore {
    async fn get(&self, scope: Scope, id: &RuleId) -> Result<Option<Versioned<StoredRule>>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let one = "SELECT * FROM stanchion.ratelimit_rule WHERE scope_id = $1 AND id = $2";
            let query = sqlx::query(one).bind(scope_id(scope)?).bind(id.as_str());
            let row = query.fetch_optional(tx.connection()?).await?;
            tx.commit().await?;
            row.as_ref().map(rule).transpose()
        };
        self.database.run("get", read).await
    }

    async fn list(
        &self,
        scope: Scope,
        request: &PageRequest,
    ) -> Result<Page<Versioned<StoredRule>>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let rest = "SELECT * FROM stanchion.ratelimit_rule \
                        WHERE scope_id = $1 AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3";
            let query = sqlx::query(rest).bind(scope_id(scope)?).bind(page_key(request));
            let rows = query.bind(rows_of(request)).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            page(&rows, request, rule, |stored| stored.value.rule.id.to_string())
        };
        self.database.run("list", read).await
    }

    async fn load(&self, scope: Scope) -> Result<(Revision, RuleSet), StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let revision = current(tx.connection()?, DOMAIN, scope).await?;
            let all = "SELECT * FROM stanchion.ratelimit_rule WHERE scope_id = $1 ORDER BY id";
            let rules = sqlx::query(all).bind(scope_id(scope)?).fetch_all(tx.connection()?).await?;
            let all = "SELECT * FROM stanchion.ratelimit_control WHERE scope_id = $1 ORDER BY id";
            let controls = sqlx::query(all).bind(scope_id(scope)?).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            let rules = rules.iter().map(rule).collect::<Result<_, Error>>()?;
            Ok((
                revision,
                RuleSet { rules, controls: controls.iter().map(control).collect::<Result<_, Error>>()? },
            ))
        };
        self.database.run("load", read).await
    }

    async fn apply(&self, scope: Scope, change: Change<RuleChange>) -> Result<Revision, StoreError> {
        let write = async {
            let mut tx = TenantTx::begin(&self.database, scope).await?;
            let written = Self::apply_on(&mut tx, &change).await;
            tx.end(written).await
        };
        self.database.run("apply", write).await
    }
}

follow!(PgRuleStore);

fn rule(row: &PgRow) -> Result<Versioned<StoredRule>, Error> {
    let rule = serde_json::from_str(row.try_get("rule")?).map_err(|error| Error::corrupt("rule", error))?;
    versioned(row, StoredRule { rule, epoch: revision(row.try_get("epoch")?) })
}

fn control(row: &PgRow) -> Result<Versioned<Control>, Error> {
    let control = serde_json::from_str(row.try_get("control")?);
    versioned(row, control.map_err(|error| Error::corrupt("control", error))?)
}
