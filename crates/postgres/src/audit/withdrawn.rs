//! Taking the words of erased values from what queries look at.
//!
//! First it is written which keys are withdrawn, and committed. A projector that looked for that before holds the cursors of its chains
//! until it has committed; so once those were held after the commit, whatever a projector did not know of is there to be seen, and is
//! gone through. What it does later it does without the words.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use stanchion_audit::{
    ChainId, Facet, KeyNode, RetentionClass, Row, SearchRow, SubjectKeyId, Withdrawn, term,
};
use stanchion_core::{Scope, SystemScope};
use uuid::Uuid;

use super::PgLedgerStore;
use super::row::{class_number, row};
use super::search::{BEGIN, literal};
use crate::transaction::{scope_id, scope_of};
use crate::{Error, SystemTx, TenantTx};

const ADD: &str = "
INSERT INTO stanchion.audit_withdrawn (scope_id, key_id, keeps)
SELECT $1, unnest($2::uuid[]), unnest($3::text[]) ORDER BY 2
ON CONFLICT DO NOTHING";

const KNOWN: &str =
    "SELECT scope_id, key_id, keeps FROM stanchion.audit_withdrawn WHERE scope_id = $1 AND key_id = ANY ($2)";

const FINISHED: &str = "SELECT scope_id, key_id, keeps FROM stanchion.audit_withdrawn \
                        WHERE scope_id = $1 AND key_id = ANY ($2) AND is_done";

const HELD: &str = "SELECT scope_id, key_id, keeps FROM stanchion.audit_withdrawn \
                    WHERE scope_id = $1 AND key_id = ANY ($2) ORDER BY key_id FOR UPDATE";

const NARROW: &str = "
UPDATE stanchion.audit_withdrawn AS w SET keeps = n.keeps, is_done = false
FROM unnest($2::uuid[], $3::text[]) AS n (key_id, keeps)
WHERE w.scope_id = $1 AND w.key_id = n.key_id AND w.keeps <> n.keeps";

const UNDONE: &str = "SELECT scope_id, key_id, keeps FROM stanchion.audit_withdrawn \
                      WHERE scope_id = $1 AND NOT is_done ORDER BY key_id LIMIT 1000";

const BARRIER: &str = "SELECT FROM stanchion.audit_cursor WHERE scope_id = $1 ORDER BY class FOR UPDATE";

/// Which entries of a chain have values protected with the keys, by the keys' terms.
const WITH_KEYS: &str = "
SELECT s.seq FROM stanchion.audit_search AS s
WHERE s.scope_id = $1 AND s.class = $2 AND s.seq > $3 AND s.terms && $4::bigint[] ORDER BY s.seq LIMIT $5";

const ENTRIES: &str = "
SELECT e.* FROM unnest($3::bigint[]) AS found (seq)
CROSS JOIN LATERAL stanchion.audit_get($1, $2, found.seq) AS e ORDER BY e.seq";

const RID: &str = "
UPDATE stanchion.audit_search AS s SET terms = n.terms::bigint[]
FROM unnest($3::integer[], $4::bigint[], $5::text[]) AS n (part, seq, terms)
WHERE s.scope_id = $1 AND s.class = $2 AND s.part = n.part AND s.seq = n.seq";

const DONE: &str = "
UPDATE stanchion.audit_withdrawn AS w SET is_done = true
FROM unnest($2::uuid[], $3::text[]) AS n (key_id, keeps)
WHERE w.scope_id = $1 AND w.key_id = n.key_id AND w.keeps = n.keeps";

/// How many entries are rid of words at a time.
const STEP: i64 = 500;

impl PgLedgerStore {
    pub(super) async fn withdraw_words(
        &self,
        system: SystemScope,
        scope: Scope,
        withdrawn: &Withdrawn,
    ) -> Result<(), Error> {
        if withdrawn.is_empty() {
            return Ok(());
        }
        let mut tx = SystemTx::begin(&self.database, system).await?;
        let added = add(tx.connection()?, scope, withdrawn).await;
        tx.end(added).await?;
        self.finish_withdrawal(system, scope).await
    }

    pub(super) async fn withdrawn_of(&self, scope: Scope, keys: &[SubjectKeyId]) -> Result<Withdrawn, Error> {
        if keys.is_empty() {
            return Ok(Withdrawn::default());
        }
        let mut tx = TenantTx::begin_read(&self.database, scope).await?;
        let withdrawn = of_keys(tx.connection()?, scope, keys).await?;
        tx.commit().await?;
        Ok(withdrawn)
    }

    pub(super) async fn unfinished_of(&self, scope: Scope, withdrawn: &Withdrawn) -> Result<u64, Error> {
        let keys: Vec<Uuid> = withdrawn.iter().map(|(key, _)| key.uuid()).collect();
        let id = scope_id(scope)?;
        let mut tx = TenantTx::begin_read(&self.database, scope).await?;
        let rows = sqlx::query(FINISHED).bind(id).bind(keys).fetch_all(tx.connection()?).await?;
        tx.commit().await?;
        Ok(withdrawn.beyond(&read(&rows)?.remove(&id).unwrap_or_default()))
    }

    /// Goes through what was projected before the withdrawal was known, until all of a scope is done.
    pub(super) async fn finish_withdrawal(&self, system: SystemScope, scope: Scope) -> Result<(), Error> {
        let id = scope_id(scope)?;
        loop {
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let undone = sqlx::query(UNDONE).bind(id).fetch_all(tx.connection()?).await?;
            let withdrawn = read(&undone)?.remove(&id).unwrap_or_default();
            if withdrawn.is_empty() {
                return tx.commit().await;
            }
            let classes: Vec<i16> = RetentionClass::ALL.into_iter().map(class_number).collect();
            let begin = sqlx::query(BEGIN).bind(vec![id; classes.len()]).bind(&classes);
            begin.execute(tx.connection()?).await?;
            sqlx::query(BARRIER).bind(id).execute(tx.connection()?).await?;
            tx.commit().await?;
            for class in RetentionClass::ALL {
                self.rid(system, ChainId { scope, class }, &withdrawn).await?;
            }
            let (keys, keeps) = columns(&withdrawn);
            let mut tx = SystemTx::begin(&self.database, system).await?;
            sqlx::query(DONE).bind(id).bind(keys).bind(keeps).execute(tx.connection()?).await?;
            tx.commit().await?;
        }
    }

    /// Rids what is kept for queries of a chain of words.
    async fn rid(&self, system: SystemScope, chain: ChainId, withdrawn: &Withdrawn) -> Result<(), Error> {
        let (scope, class) = (scope_id(chain.scope)?, class_number(chain.class));
        let terms: Vec<i64> =
            withdrawn.iter().map(|(key, _)| term(chain.scope, Facet::Key, &key.to_string())).collect();
        let mut after = 0_i64;
        loop {
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let find = sqlx::query_scalar(WITH_KEYS).bind(scope).bind(class).bind(after).bind(&terms);
            let keyed: Vec<i64> = find.bind(STEP).fetch_all(tx.connection()?).await?;
            let Some(last) = keyed.last().copied() else { return tx.commit().await };
            let read = sqlx::query(ENTRIES).bind(scope).bind(class).bind(&keyed);
            let found = read.fetch_all(tx.connection()?).await?;
            let entries: Vec<Row> = found.iter().map(row).collect::<Result<_, Error>>()?;
            // Parts of an erasure that came before this one may concern the same entries.
            let withdrawn = of_rows(tx.connection()?, chain.scope, &entries).await?;
            let (mut parts, mut numbers, mut made) = (Vec::new(), Vec::new(), Vec::new());
            for (entry, found) in entries.iter().zip(&found) {
                if let Ok(one) = SearchRow::of(chain.scope, entry.seq, &entry.content, &withdrawn) {
                    parts.push(found.try_get::<i32, _>("part")?);
                    numbers.push(found.try_get::<i64, _>("seq")?);
                    made.push(literal(&one.terms));
                }
            }
            let rid = sqlx::query(RID).bind(scope).bind(class).bind(parts).bind(numbers).bind(made);
            rid.execute(tx.connection()?).await?;
            tx.commit().await?;
            after = last;
        }
    }
}

/// Writes that keys are withdrawn, with what was withdrawn of them before.
pub(super) async fn add(
    connection: &mut PgConnection,
    scope: Scope,
    withdrawn: &Withdrawn,
) -> Result<(), Error> {
    let id = scope_id(scope)?;
    let (keys, keeps) = columns(withdrawn);
    sqlx::query(ADD).bind(id).bind(&keys).bind(keeps).execute(&mut *connection).await?;
    let held = sqlx::query(HELD).bind(id).bind(&keys).fetch_all(&mut *connection).await?;
    let mut all = read(&held)?.remove(&id).unwrap_or_default();
    all.extend(withdrawn);
    let (keys, keeps) = columns(&all);
    sqlx::query(NARROW).bind(id).bind(keys).bind(keeps).execute(connection).await?;
    Ok(())
}

/// Finds what is withdrawn of the keys of entries.
pub(super) async fn of_rows(
    connection: &mut PgConnection,
    scope: Scope,
    rows: &[Row],
) -> Result<Withdrawn, Error> {
    let keys = rows.iter().flat_map(|row| Withdrawn::keys_of(&row.content));
    let keys: BTreeSet<SubjectKeyId> = keys.collect();
    if keys.is_empty() {
        return Ok(Withdrawn::default());
    }
    of_keys(connection, scope, &keys.into_iter().collect::<Vec<_>>()).await
}

async fn of_keys(
    connection: &mut PgConnection,
    scope: Scope,
    keys: &[SubjectKeyId],
) -> Result<Withdrawn, Error> {
    let keys: Vec<Uuid> = keys.iter().map(|key| key.uuid()).collect();
    let id = scope_id(scope)?;
    let rows = sqlx::query(KNOWN).bind(id).bind(keys).fetch_all(connection).await?;
    Ok(read(&rows)?.remove(&id).unwrap_or_default())
}

/// What is kept is written a part in a line: no name of a field has a line feed.
fn columns(withdrawn: &Withdrawn) -> (Vec<Uuid>, Vec<String>) {
    let lines =
        |keeps: &BTreeSet<KeyNode>| keeps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    withdrawn.iter().map(|(key, keeps)| (key.uuid(), lines(keeps))).unzip()
}

fn read(rows: &[PgRow]) -> Result<BTreeMap<Uuid, Withdrawn>, Error> {
    let mut read: BTreeMap<Uuid, Withdrawn> = BTreeMap::new();
    for row in rows {
        let key = SubjectKeyId::from_uuid(row.try_get("key_id")?);
        let keeps = row.try_get::<&str, _>("keeps")?.lines().map(str::parse::<KeyNode>);
        let keeps = keeps.collect::<Result<Vec<_>, _>>().map_err(|error| Error::corrupt("keeps", error))?;
        read.entry(row.try_get("scope_id")?).or_default().insert(key, keeps);
    }
    Ok(read)
}

/// Returns the scopes among some of which not all is done.
pub(super) async fn undone(connection: &mut PgConnection, scopes: &[Uuid]) -> Result<Vec<Scope>, Error> {
    let select =
        "SELECT DISTINCT scope_id FROM stanchion.audit_withdrawn WHERE scope_id = ANY ($1) AND NOT is_done";
    let rows = sqlx::query(select).bind(scopes).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(scope_of(row.try_get("scope_id")?))).collect()
}
