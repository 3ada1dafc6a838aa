//! The keys of protected values.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use stanchion_audit::{
    Basis, DataSubject, Exception, KeyName, KeyNode, ProtectionChange, Rewrapped, StoredKey, SubjectKeyId,
    SubjectKeyStore,
};
use stanchion_core::{Change, KeyVersion, Revision, Scope, StoreError, SystemScope, Text, Versioned};
use uuid::Uuid;

use super::most;
use super::row::{class_number, class_of, escaped, unescaped};
use crate::feed::{Feed, follow};
use crate::records::{advance, current, instant, number, parsed, parsed_option, time, versioned};
use crate::transaction::{scope_id, scope_of};
use crate::{Database, Error, SystemTx, TenantTx};

const DOMAIN: &str = "audit_keys";

/// The keys of protected values in Postgres.
///
/// A destroyed key is gone from the tables with the commit. Copies that the database makes of what it writes, its log and backups of
/// it, hold it as long as they are kept, wrapped with a secret that is in none of them.
#[derive(Debug)]
pub struct PgSubjectKeyStore {
    database: Database,
    feed: Feed,
}

const CURRENT: &str = "
SELECT k.*, asked.place
FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (scope_id, subject, period, place)
JOIN stanchion.audit_subject_key AS k
  ON k.scope_id = asked.scope_id AND k.subject = asked.subject AND k.period = asked.period AND k.node = ''";

/// Whoever comes second waits for the first, and writes nothing.
const CREATE: &str = "
INSERT INTO stanchion.audit_subject_key (scope_id, id, node, subject, period, version, wrapped, created_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], $8::timestamptz[])
    AS made (scope_id, id, node, subject, period, version, wrapped, created_at)
ORDER BY scope_id, subject, period
ON CONFLICT DO NOTHING";

const DESTROY: &str =
    "DELETE FROM stanchion.audit_subject_key WHERE scope_id = $1 AND subject = $2 RETURNING id, node";

const REWRAP: &str = "
UPDATE stanchion.audit_subject_key AS k SET version = w.version, wrapped = w.wrapped
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])
    AS w (scope_id, id, node, from_version, version, wrapped)
WHERE k.scope_id = w.scope_id AND k.id = w.id AND k.node = w.node AND k.version = w.from_version";

const PUT: &str = "
INSERT INTO stanchion.audit_exception
    (scope_id, id, revision, created_at, updated_at, subject, class, field, basis, until, reason)
VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (scope_id, id) DO UPDATE SET
    (revision, updated_at, subject, class, field, basis, until, reason) =
    (excluded.revision, excluded.updated_at, excluded.subject, excluded.class, excluded.field, excluded.basis, excluded.until,
     excluded.reason)";

impl PgSubjectKeyStore {
    /// Keeps them in a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let feed = Feed::new(database.clone(), DOMAIN);
        Self { database, feed }
    }

    async fn current_on(tx: &mut SystemTx, names: &[KeyName]) -> Result<Vec<Option<StoredKey>>, Error> {
        let scopes = names.iter().map(|name| scope_id(name.scope)).collect::<Result<Vec<_>, Error>>()?;
        let subjects: Vec<&str> = names.iter().map(|name| name.subject.as_str()).collect();
        let periods: Vec<&str> = names.iter().map(|name| name.period.as_str()).collect();
        let query = sqlx::query(CURRENT).bind(scopes).bind(subjects).bind(periods);
        let mut found = vec![None; names.len()];
        for row in query.fetch_all(tx.connection()?).await? {
            let place: i64 = row.try_get("place")?;
            let place = usize::try_from(place - 1).ok().and_then(|place| found.get_mut(place));
            if let Some(place) = place {
                *place = Some(stored(&row)?);
            }
        }
        Ok(found)
    }

    async fn part(
        tx: &mut TenantTx<'_>,
        change: &Change<ProtectionChange>,
        part: &ProtectionChange,
        revision: Revision,
    ) -> Result<(), Error> {
        let scope = scope_id(tx.scope())?;
        match part {
            ProtectionChange::PutException(exception) => {
                let Exception { id, subject, class, field, basis, until, reason } = exception;
                let query = sqlx::query(PUT).bind(scope).bind(id.as_str()).bind(number(revision));
                let query = query.bind(instant(change.at)).bind(subject.as_ref().map(DataSubject::as_str));
                let query = query.bind(class.map(class_number)).bind(field.as_ref().map(ToString::to_string));
                let query = query.bind(basis.as_str()).bind(instant(*until)).bind(escaped(reason.as_str()));
                query.execute(tx.connection()?).await?;
            }
            ProtectionChange::LiftException(id) => {
                let lift = "DELETE FROM stanchion.audit_exception WHERE scope_id = $1 AND id = $2";
                sqlx::query(lift).bind(scope).bind(id.as_str()).execute(tx.connection()?).await?;
            }
            ProtectionChange::Erase { subject, had, keeps } => {
                let query = sqlx::query(DESTROY).bind(scope).bind(subject.as_str());
                let rows = query.fetch_all(tx.connection()?).await?;
                let mut gone = Vec::with_capacity(rows.len());
                for row in &rows {
                    gone.push((row.try_get::<Uuid, _>("id")?, row.try_get::<String, _>("node")?));
                }
                let mut had: Vec<(Uuid, String)> =
                    had.iter().map(|place| (place.id.uuid(), place.node.to_string())).collect();
                gone.sort_unstable();
                had.sort_unstable();
                if gone != had {
                    return Err(Error::Conflict);
                }
                if !keeps.is_empty() {
                    insert(tx.connection()?, keeps).await?;
                }
            }
        }
        Ok(())
    }
}

async fn insert(connection: &mut sqlx::PgConnection, keys: &[StoredKey]) -> Result<(), Error> {
    let scopes = keys.iter().map(|key| scope_id(key.name.scope)).collect::<Result<Vec<_>, Error>>()?;
    sqlx::query(CREATE)
        .bind(scopes)
        .bind(keys.iter().map(|key| key.id.uuid()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.node.to_string()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.name.subject.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.name.period.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| i64::from(key.version)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| &*key.wrapped).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| instant(key.created_at)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

#[async_trait]
impl SubjectKeyStore for PgSubjectKeyStore {
    async fn current(
        &self,
        system: SystemScope,
        names: &[KeyName],
    ) -> Result<Vec<Option<StoredKey>>, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let found = Self::current_on(&mut tx, names).await?;
            tx.commit().await?;
            Ok(found)
        };
        self.database.run("current", read).await
    }

    async fn create(
        &self,
        system: SystemScope,
        keys: &[StoredKey],
    ) -> Result<Vec<Option<StoredKey>>, StoreError> {
        let write = async {
            let names: Vec<KeyName> = keys.iter().map(|key| key.name.clone()).collect();
            let mut tx = SystemTx::begin(&self.database, system).await?;
            insert(tx.connection()?, keys).await?;
            // A statement of its own, so that it sees what it had to wait for.
            let found = Self::current_on(&mut tx, &names).await?;
            tx.commit().await?;
            Ok(found)
        };
        self.database.run("create", write).await
    }

    async fn by_id(&self, scope: Scope, ids: &[SubjectKeyId]) -> Result<Vec<StoredKey>, StoreError> {
        let read = async {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let select = "SELECT * FROM stanchion.audit_subject_key WHERE scope_id = $1 AND id = ANY ($2)";
            let rows =
                sqlx::query(select).bind(scope_id(scope)?).bind(ids).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(stored).collect()
        };
        self.database.run("by_id", read).await
    }

    async fn of_subject(&self, scope: Scope, subject: &DataSubject) -> Result<Vec<StoredKey>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let select = "SELECT * FROM stanchion.audit_subject_key WHERE scope_id = $1 AND subject = $2 \
                          ORDER BY period COLLATE \"C\", id, node COLLATE \"C\"";
            let query = sqlx::query(select).bind(scope_id(scope)?).bind(subject.as_str());
            let rows = query.fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(stored).collect()
        };
        self.database.run("of_subject", read).await
    }

    async fn exceptions(&self, scope: Scope) -> Result<(Revision, Vec<Versioned<Exception>>), StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let revision = current(tx.connection()?, DOMAIN, scope).await?;
            let select =
                "SELECT * FROM stanchion.audit_exception WHERE scope_id = $1 ORDER BY id COLLATE \"C\"";
            let rows = sqlx::query(select).bind(scope_id(scope)?).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            Ok((revision, rows.iter().map(exception).collect::<Result<_, Error>>()?))
        };
        self.database.run("exceptions", read).await
    }

    async fn apply(&self, scope: Scope, change: Change<ProtectionChange>) -> Result<Revision, StoreError> {
        let write = async {
            let mut tx = TenantTx::begin(&self.database, scope).await?;
            let written = async {
                let revision =
                    advance(tx.connection()?, DOMAIN, scope, &change, ProtectionChange::key).await?;
                for part in &change.changes {
                    Self::part(&mut tx, &change, part, revision).await?;
                }
                Ok(revision)
            }
            .await;
            tx.end(written).await
        };
        self.database.run("apply", write).await
    }

    async fn outdated(
        &self,
        system: SystemScope,
        version: KeyVersion,
        limit: usize,
    ) -> Result<Vec<StoredKey>, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let select = "SELECT * FROM stanchion.audit_subject_key WHERE version < $1 LIMIT $2";
            let query = sqlx::query(select).bind(i64::from(version)).bind(most(limit));
            let rows = query.fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(stored).collect()
        };
        self.database.run("outdated", read).await
    }

    async fn rewrap(&self, system: SystemScope, keys: &[Rewrapped]) -> Result<u64, StoreError> {
        let write = async {
            let scopes =
                keys.iter().map(|one| scope_id(one.key.name.scope)).collect::<Result<Vec<_>, Error>>()?;
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let done = sqlx::query(REWRAP)
                .bind(scopes)
                .bind(keys.iter().map(|one| one.key.id.uuid()).collect::<Vec<_>>())
                .bind(keys.iter().map(|one| one.key.node.to_string()).collect::<Vec<_>>())
                .bind(keys.iter().map(|one| i64::from(one.from)).collect::<Vec<_>>())
                .bind(keys.iter().map(|one| i64::from(one.key.version)).collect::<Vec<_>>())
                .bind(keys.iter().map(|one| &*one.key.wrapped).collect::<Vec<_>>())
                .execute(tx.connection()?)
                .await?;
            tx.commit().await?;
            Ok(done.rows_affected())
        };
        self.database.run("rewrap", write).await
    }
}

follow!(PgSubjectKeyStore);

fn stored(row: &PgRow) -> Result<StoredKey, Error> {
    let subject = row.try_get::<&str, _>("subject")?;
    let subject = DataSubject::from_stored(subject).map_err(|error| Error::corrupt("subject", error))?;
    let version: i64 = row.try_get("version")?;
    Ok(StoredKey {
        id: SubjectKeyId::from_uuid(row.try_get("id")?),
        node: parsed::<KeyNode>(row, "node")?,
        name: KeyName {
            scope: scope_of(row.try_get("scope_id")?),
            subject,
            period: Text::from(row.try_get::<String, _>("period")?),
        },
        version: KeyVersion::try_from(version).map_err(|error| Error::corrupt("version", error))?,
        wrapped: row.try_get::<Vec<u8>, _>("wrapped")?.into(),
        created_at: time(row, "created_at")?,
    })
}

fn exception(row: &PgRow) -> Result<Versioned<Exception>, Error> {
    let (basis, class) = (row.try_get::<&str, _>("basis")?, row.try_get::<Option<i16>, _>("class")?);
    let exception = Exception {
        id: parsed(row, "id")?,
        subject: parsed_option(row, "subject")?,
        class: class.map(class_of).transpose()?,
        field: parsed_option(row, "field")?,
        basis: Basis::from_name(basis).ok_or_else(|| Error::corrupt("basis", basis))?,
        until: time(row, "until")?,
        reason: unescaped(row.try_get("reason")?)?.into(),
    };
    versioned(row, exception)
}
