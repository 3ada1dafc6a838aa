//! API keys.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use stanchion_core::{
    Change, KeyId, KeyVersion, Page, PageRequest, Revision, Scope, StoreError, SystemScope, Text, Timestamp,
    Versioned,
};
use stanchion_identity::{ApiKey, Former, Generation, KeyChange, KeyHash, KeyStatus, KeyStore};
use uuid::Uuid;

use crate::feed::{Feed, follow};
use crate::records::{
    advance, current, instant, number, page, parsed, parsed_all, rows_of, time, time_option, versioned,
};
use crate::transaction::{scope_id, scope_of};
use crate::{Database, Error, SystemTx, TenantTx};

const DOMAIN: &str = "identity";

/// API keys in Postgres.
#[derive(Debug)]
pub struct PgKeyStore {
    database: Database,
    feed: Feed,
}

impl PgKeyStore {
    /// Keeps them in a database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let feed = Feed::new(database.clone(), DOMAIN);
        Self { database, feed }
    }

    /// Writes a change as a part of a transaction, whose scope it is for. Both are committed, or neither is.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the scope has moved on, [`Error::OtherScope`] for a key of another scope, and the database's refusal
    /// of a hash that another key has.
    pub async fn apply_on(tx: &mut TenantTx<'_>, change: &Change<KeyChange>) -> Result<Revision, Error> {
        let scope = tx.scope();
        let connection = tx.connection()?;
        let key = |KeyChange::Put(key): &KeyChange| key.id.to_string().into();
        let revision = advance(connection, DOMAIN, scope, change, key).await?;
        for KeyChange::Put(key) in &change.changes {
            if key.scope != scope {
                return Err(Error::OtherScope);
            }
            put(connection, scope_id(scope)?, key, revision, change.at).await?;
        }
        Ok(revision)
    }
}

const PUT: &str = "
INSERT INTO stanchion.identity_key (
    scope_id, id, revision, created_at, updated_at, subject, name, environment, expires_at, revoked_at, cidrs,
    current_number, current_prefix, current_pepper, current_digest, current_created_at,
    former_number, former_prefix, former_pepper, former_digest, former_created_at, former_not_after)
VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (scope_id, id) DO UPDATE SET (
    revision, updated_at, subject, name, environment, expires_at, revoked_at, cidrs,
    current_number, current_prefix, current_pepper, current_digest, current_created_at,
    former_number, former_prefix, former_pepper, former_digest, former_created_at, former_not_after) = (
    excluded.revision, excluded.updated_at, excluded.subject, excluded.name, excluded.environment,
    excluded.expires_at, excluded.revoked_at, excluded.cidrs,
    excluded.current_number, excluded.current_prefix, excluded.current_pepper, excluded.current_digest,
    excluded.current_created_at, excluded.former_number, excluded.former_prefix, excluded.former_pepper,
    excluded.former_digest, excluded.former_created_at, excluded.former_not_after)";

const FORGET: &str = "DELETE FROM stanchion.identity_secret WHERE scope_id = $1 AND key_id = $2";

const REMEMBER: &str = "INSERT INTO stanchion.identity_secret (scope_id, key_id, pepper, digest) \
                        SELECT $1, $2, * FROM unnest($3::bigint[], $4::bytea[])";

const FIND: &str = "
SELECT found.* FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS asked (pepper, digest, place)
JOIN stanchion.identity_secret AS secret ON secret.pepper = asked.pepper AND secret.digest = asked.digest
JOIN stanchion.identity_key AS found ON found.scope_id = secret.scope_id AND found.id = secret.key_id
ORDER BY place LIMIT 1";

async fn put(
    connection: &mut PgConnection,
    scope: Uuid,
    key: &ApiKey,
    revision: Revision,
    at: Timestamp,
) -> Result<(), Error> {
    let revoked_at = match key.status {
        KeyStatus::Active => None,
        KeyStatus::Revoked { at } => Some(instant(at)),
    };
    let former = key.former.as_ref();
    let of_former = former.map(|former| &former.generation);
    sqlx::query(PUT)
        .bind(scope)
        .bind(key.id.uuid())
        .bind(number(revision))
        .bind(instant(at))
        .bind(key.subject.to_string())
        .bind(key.name.as_str())
        .bind(key.environment.as_str())
        .bind(key.expires_at.map(instant))
        .bind(revoked_at)
        .bind(key.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>())
        .bind(i64::from(key.current.number))
        .bind(key.current.prefix.as_str())
        .bind(i64::from(key.current.hash.pepper()))
        .bind(key.current.hash.digest().as_slice())
        .bind(instant(key.current.created_at))
        .bind(of_former.map(|generation| i64::from(generation.number)))
        .bind(of_former.map(|generation| generation.prefix.as_str()))
        .bind(of_former.map(|generation| i64::from(generation.hash.pepper())))
        .bind(of_former.map(|generation| generation.hash.digest().as_slice()))
        .bind(of_former.map(|generation| instant(generation.created_at)))
        .bind(former.map(|former| instant(former.not_after)))
        .execute(&mut *connection)
        .await?;
    sqlx::query(FORGET).bind(scope).bind(key.id.uuid()).execute(&mut *connection).await?;
    let hashes: BTreeSet<KeyHash> = key.generations().map(|generation| generation.hash).collect();
    let (peppers, digests) = columns(&hashes);
    let remember = sqlx::query(REMEMBER).bind(scope).bind(key.id.uuid()).bind(peppers).bind(digests);
    remember.execute(connection).await?;
    Ok(())
}

/// Returns the columns of hashes: the versions of the pepper, and the digests.
fn columns<'a>(hashes: impl IntoIterator<Item = &'a KeyHash>) -> (Vec<i64>, Vec<&'a [u8]>) {
    hashes.into_iter().map(|hash| (i64::from(hash.pepper()), hash.digest().as_slice())).unzip()
}

#[async_trait]
impl KeyStore for PgKeyStore {
    async fn revision(&self, scope: Scope) -> Result<Revision, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let revision = current(tx.connection()?, DOMAIN, scope).await?;
            tx.commit().await?;
            Ok(revision)
        };
        self.database.run("revision", read).await
    }

    async fn get(&self, scope: Scope, id: KeyId) -> Result<Option<Versioned<ApiKey>>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let one = "SELECT * FROM stanchion.identity_key WHERE scope_id = $1 AND id = $2";
            let query = sqlx::query(one).bind(scope_id(scope)?).bind(id.uuid());
            let row = query.fetch_optional(tx.connection()?).await?;
            tx.commit().await?;
            row.as_ref().map(key).transpose()
        };
        self.database.run("get", read).await
    }

    async fn list(&self, scope: Scope, request: &PageRequest) -> Result<Page<Versioned<ApiKey>>, StoreError> {
        let read = async {
            let after = request.key().map(str::parse::<KeyId>).transpose();
            let after = after.map_err(|error| Error::corrupt("page key", error))?.map(KeyId::uuid);
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let rest = "SELECT * FROM stanchion.identity_key \
                        WHERE scope_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3";
            let query = sqlx::query(rest).bind(scope_id(scope)?).bind(after).bind(rows_of(request));
            let rows = query.fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            page(&rows, request, key, |key| key.value.id.to_string())
        };
        self.database.run("list", read).await
    }

    async fn find(
        &self,
        system: SystemScope,
        hashes: &[KeyHash],
    ) -> Result<Option<Versioned<ApiKey>>, StoreError> {
        let read = async {
            let (peppers, digests) = columns(hashes);
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let query = sqlx::query(FIND).bind(peppers).bind(digests);
            let row = query.fetch_optional(tx.connection()?).await?;
            tx.commit().await?;
            row.as_ref().map(key).transpose()
        };
        self.database.run("find", read).await
    }

    async fn apply(&self, scope: Scope, change: Change<KeyChange>) -> Result<Revision, StoreError> {
        let write = async {
            let mut tx = TenantTx::begin(&self.database, scope).await?;
            let written = Self::apply_on(&mut tx, &change).await;
            tx.end(written).await
        };
        self.database.run("apply", write).await
    }
}

follow!(PgKeyStore);

fn key(row: &PgRow) -> Result<Versioned<ApiKey>, Error> {
    let revoked_at = time_option(row, "revoked_at")?;
    let former = match time_option(row, "former_not_after")? {
        None => None,
        Some(not_after) => Some(Former {
            generation: generation(
                row.try_get("former_number")?,
                row.try_get("former_prefix")?,
                (row.try_get("former_pepper")?, row.try_get("former_digest")?),
                time(row, "former_created_at")?,
            )?,
            not_after,
        }),
    };
    let key = ApiKey {
        id: KeyId::from_uuid(row.try_get("id")?),
        scope: scope_of(row.try_get("scope_id")?),
        subject: parsed(row, "subject")?,
        name: parsed(row, "name")?,
        environment: parsed(row, "environment")?,
        expires_at: time_option(row, "expires_at")?,
        status: revoked_at.map_or(KeyStatus::Active, |at| KeyStatus::Revoked { at }),
        cidrs: parsed_all(row, "cidrs")?,
        current: generation(
            row.try_get("current_number")?,
            row.try_get("current_prefix")?,
            (row.try_get("current_pepper")?, row.try_get("current_digest")?),
            time(row, "current_created_at")?,
        )?,
        former,
    };
    versioned(row, key)
}

fn generation(
    number: i64,
    prefix: String,
    (pepper, digest): (i64, &[u8]),
    created_at: Timestamp,
) -> Result<Generation, Error> {
    let corrupt = |what| Error::corrupt(what, "out of range");
    let pepper = KeyVersion::try_from(pepper).map_err(|_| corrupt("pepper"))?;
    let digest = digest.try_into().map_err(|_| corrupt("digest"))?;
    Ok(Generation {
        number: u32::try_from(number).map_err(|_| corrupt("generation"))?,
        prefix: Text::from(prefix),
        hash: KeyHash::from_parts(pepper, digest),
        created_at,
    })
}
