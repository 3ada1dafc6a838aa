use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use stanchion_audit::tree::{Tile, TileId};
use stanchion_audit::{ChainId, Checkpoint, GrowOutcome, Growth, TreeStore};
use stanchion_core::{Scope, StoreError, SystemScope};

use super::row::{class_number, digest};
use super::{PgLedgerStore, chain, most, number, seq};
use crate::records::{instant, time};
use crate::transaction::scope_id;
use crate::{Error, SystemTx, TenantTx};

const FIRST: &str = "INSERT INTO stanchion.audit_checkpoint (scope_id, class, size, root, signed_at, note) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

const NEXT: &str = "UPDATE stanchion.audit_checkpoint SET size = $3, root = $4, signed_at = $5, note = $6 \
                    WHERE scope_id = $1 AND class = $2 AND size = $7 AND root = $8";

const TILES: &str = "
INSERT INTO stanchion.audit_tile (scope_id, class, level, number, hashes)
SELECT $1, $2, * FROM unnest($3::smallint[], $4::bigint[], $5::bytea[])
ON CONFLICT (scope_id, class, level, number) DO UPDATE SET hashes = excluded.hashes
WHERE octet_length(audit_tile.hashes) < octet_length(excluded.hashes)";

const LATEST: &str = "
SELECT asked.scope_id, asked.class, c.size, c.root, c.signed_at, c.note
FROM unnest($1::uuid[], $2::smallint[]) WITH ORDINALITY AS asked (scope_id, class, place)
LEFT JOIN stanchion.audit_checkpoint AS c ON c.scope_id = asked.scope_id AND c.class = asked.class
ORDER BY place";

const CHECKPOINTS: &str = "SELECT * FROM stanchion.audit_checkpoint WHERE scope_id = $1 ORDER BY class";

const READ: &str = "
SELECT t.hashes
FROM unnest($3::smallint[], $4::bigint[]) WITH ORDINALITY AS asked (level, number, place)
LEFT JOIN stanchion.audit_tile AS t
  ON t.scope_id = $1 AND t.class = $2 AND t.level = asked.level AND t.number = asked.number
ORDER BY place";

const UNCOVERED: &str = "
SELECT h.scope_id, h.class
FROM stanchion.audit_head AS h
LEFT JOIN stanchion.audit_checkpoint AS c ON c.scope_id = h.scope_id AND c.class = h.class
WHERE h.seq > coalesce(c.size, 0) AND ($1::uuid IS NULL OR (h.scope_id, h.class) > ($1, $2))
ORDER BY h.scope_id, h.class LIMIT $3";

#[async_trait]
impl TreeStore for PgLedgerStore {
    async fn grow(&self, system: SystemScope, growth: &Growth) -> Result<GrowOutcome, StoreError> {
        let write = async {
            let Checkpoint { chain, size, root, signed_at, note } = &growth.checkpoint;
            let (scope, class) = (scope_id(chain.scope)?, class_number(chain.class));
            let mut tx = SystemTx::begin(&self.database, system).await?;
            let query = sqlx::query(if growth.from.is_some() { NEXT } else { FIRST });
            let query = query.bind(scope).bind(class).bind(number(*size)).bind(root.bytes());
            let mut query = query.bind(instant(*signed_at)).bind(note.as_str());
            if let Some((size, root)) = &growth.from {
                query = query.bind(number(*size)).bind(root.bytes());
            }
            if query.execute(tx.connection()?).await?.rows_affected() == 0 {
                tx.rollback().await?;
                return Ok(GrowOutcome::Moved);
            }
            if !growth.tiles.is_empty() {
                let (levels, numbers) = places(growth.tiles.iter().map(|tile| tile.id));
                let hashes: Vec<Vec<u8>> = growth.tiles.iter().map(Tile::to_bytes).collect();
                let query = sqlx::query(TILES).bind(scope).bind(class);
                query.bind(levels).bind(numbers).bind(hashes).execute(tx.connection()?).await?;
            }
            tx.commit().await?;
            Ok(GrowOutcome::Grown)
        };
        self.database.run("grow", write).await
    }

    async fn latest(
        &self,
        system: SystemScope,
        chains: &[ChainId],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let read = async {
            let scopes =
                chains.iter().map(|chain| scope_id(chain.scope)).collect::<Result<Vec<_>, Error>>()?;
            let classes: Vec<i16> = chains.iter().map(|chain| class_number(chain.class)).collect();
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let query = sqlx::query(LATEST).bind(scopes).bind(classes);
            let rows = query.fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            let one = |row: &PgRow| match row.try_get::<Option<i64>, _>("size")? {
                None => Ok(None),
                Some(_) => checkpoint(row).map(Some),
            };
            rows.iter().map(one).collect()
        };
        self.database.run("latest", read).await
    }

    async fn checkpoints(&self, scope: Scope) -> Result<Vec<Checkpoint>, StoreError> {
        let read = async {
            let mut tx = TenantTx::begin_read(&self.database, scope).await?;
            let rows = sqlx::query(CHECKPOINTS).bind(scope_id(scope)?).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(checkpoint).collect()
        };
        self.database.run("checkpoints", read).await
    }

    async fn tiles(&self, chain: ChainId, ids: &[TileId]) -> Result<Vec<Option<Tile>>, StoreError> {
        let read = async {
            let (levels, numbers) = places(ids.iter().copied());
            let mut tx = TenantTx::begin_read(&self.database, chain.scope).await?;
            let query = sqlx::query(READ).bind(scope_id(chain.scope)?).bind(class_number(chain.class));
            let rows = query.bind(levels).bind(numbers).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            let tile = |(id, row): (&TileId, &PgRow)| match row.try_get::<Option<&[u8]>, _>("hashes")? {
                None => Ok(None),
                Some(bytes) => {
                    let tile = Tile::from_bytes(*id, bytes);
                    tile.map(Some).ok_or_else(|| Error::corrupt("hashes", "not 1 to 256 hashes"))
                }
            };
            ids.iter().zip(&rows).map(tile).collect()
        };
        self.database.run("tiles", read).await
    }

    async fn uncovered(
        &self,
        system: SystemScope,
        after: Option<ChainId>,
        limit: usize,
    ) -> Result<Vec<ChainId>, StoreError> {
        let read = async {
            let mut tx = SystemTx::begin_read(&self.database, system).await?;
            let scope = after.map(|after| scope_id(after.scope)).transpose()?;
            let query = sqlx::query(UNCOVERED).bind(scope).bind(after.map(|after| class_number(after.class)));
            let rows = query.bind(most(limit)).fetch_all(tx.connection()?).await?;
            tx.commit().await?;
            rows.iter().map(chain).collect()
        };
        self.database.run("uncovered", read).await
    }
}

fn checkpoint(row: &PgRow) -> Result<Checkpoint, Error> {
    Ok(Checkpoint {
        chain: chain(row)?,
        size: seq(row, "size")?,
        root: digest(row, "root")?,
        signed_at: time(row, "signed_at")?,
        note: row.try_get::<String, _>("note")?.into(),
    })
}

/// Returns the levels and the numbers of tiles, as columns.
fn places(ids: impl Iterator<Item = TileId>) -> (Vec<i16>, Vec<i64>) {
    ids.map(|id| (i16::from(id.level), number(id.index))).unzip()
}
