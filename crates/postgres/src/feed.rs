use sqlx::Row;
use sqlx::postgres::PgRow;
use stanchion_core::{FeedCursor, FeedEntry, FeedPage, StoreError, SystemScope};
use uuid::Uuid;

use crate::bus::{News, Topic};
use crate::records::revision;
use crate::transaction::scope_of;
use crate::{Database, Error, SystemTx};

/// The change feed of one domain.
///
/// A cursor is the database snapshot that was read last. A change is new to a follower if that snapshot does not show it, so none is
/// missed in whatever order writers commit, and a transaction that stays open holds nobody up.
#[derive(Debug)]
pub struct Feed {
    database: Database,
    domain: &'static str,
    news: News,
}

/// Where a follower stands: it has seen what `seen` shows; and, while a long page is being read, of what `until` shows, all changes
/// up to number `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    timeline: String,
    seen: String,
    rest: Option<(String, i64)>,
}

/// `$1` is the snapshot that was seen: the feed has to reach back to its oldest open transaction, and it must not lie in the future,
/// as after a restore.
const PRESENT: &str = "
SELECT pg_current_snapshot()::text AS snapshot,
       left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline,
       (SELECT pg_snapshot_xmin($1::pg_snapshot) > after FROM stanchion.feed_start)
       AND pg_snapshot_xmax($1::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) AS continues";

const CHANGES: &str = "
SELECT id, scope_id, revision, keys FROM stanchion.change
WHERE domain = $1
  AND written_by >= pg_snapshot_xmin($2::pg_snapshot)
  AND NOT pg_visible_in_snapshot(written_by, $2::pg_snapshot)
  AND pg_visible_in_snapshot(written_by, $3::pg_snapshot)
  AND id > $4
ORDER BY id LIMIT $5";

impl Feed {
    /// Reads the feed of a domain.
    #[must_use]
    pub fn new(database: Database, domain: &'static str) -> Self {
        let news = database.bus().subscribe(Topic::Changes(domain));
        Self { database, domain, news }
    }

    /// Waits for an announcement; see [`Database::listen`].
    pub async fn arrived(&self) {
        self.news.arrived().await;
    }

    /// Returns at most `limit` changes after a cursor; see [`ChangeFeed`](stanchion_replica::ChangeFeed), which adapters answer with
    /// this.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the database cannot be read; `Corrupt` for a cursor that is not its own.
    pub async fn changes(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        self.database.run("changes", self.read(system, cursor, limit)).await
    }

    async fn read(
        &self,
        system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, Error> {
        let cursor = cursor.map(Cursor::read).transpose()?;
        let mut tx = SystemTx::begin_read(&self.database, system).await?;
        let seen = cursor.as_ref().map(|cursor| cursor.seen.as_str());
        let present = sqlx::query(PRESENT).bind(seen).fetch_one(tx.connection()?).await?;
        let timeline: String = present.try_get("timeline")?;
        let snapshot: String = present.try_get("snapshot")?;
        let continues = present.try_get::<Option<bool>, _>("continues")?.unwrap_or(false);
        let Some(cursor) = cursor.filter(|cursor| continues && cursor.timeline == timeline) else {
            tx.commit().await?;
            let cursor = Cursor { timeline, seen: snapshot, rest: None };
            return Ok(FeedPage { entries: Vec::new(), cursor: cursor.written(), reset: true });
        };
        let (until, last) = cursor.rest.unwrap_or((snapshot, 0));
        let rows = sqlx::query(CHANGES)
            .bind(self.domain)
            .bind(&cursor.seen)
            .bind(&until)
            .bind(last)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(tx.connection()?)
            .await?;
        tx.commit().await?;
        let last = rows.last().map(|row| row.try_get("id")).transpose()?;
        let entries = rows.iter().map(entry).collect::<Result<Vec<FeedEntry>, Error>>()?;
        let cursor = match last.filter(|_| entries.len() >= limit) {
            Some(last) => Cursor { timeline, seen: cursor.seen, rest: Some((until, last)) },
            None => Cursor { timeline, seen: until, rest: None },
        };
        Ok(FeedPage { entries, cursor: cursor.written(), reset: false })
    }
}

/// Lets followers of a store read the `feed` that it has.
#[cfg(any(
    feature = "audit",
    feature = "identity",
    feature = "ratelimit",
    feature = "rbac",
    feature = "tenancy"
))]
macro_rules! follow {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl stanchion_replica::ChangeFeed for $store {
            async fn changes(
                &self,
                system: stanchion_core::SystemScope,
                cursor: Option<&stanchion_core::FeedCursor>,
                limit: usize,
            ) -> Result<stanchion_core::FeedPage, stanchion_core::StoreError> {
                self.feed.changes(system, cursor, limit).await
            }

            async fn arrived(&self) {
                self.feed.arrived().await;
            }
        }
    };
}

#[cfg(any(
    feature = "audit",
    feature = "identity",
    feature = "ratelimit",
    feature = "rbac",
    feature = "tenancy"
))]
pub(crate) use follow;

fn entry(row: &PgRow) -> Result<FeedEntry, Error> {
    let keys: Vec<String> = row.try_get("keys")?;
    Ok(FeedEntry {
        scope: scope_of(row.try_get::<Uuid, _>("scope_id")?),
        revision: revision(row.try_get("revision")?),
        keys: keys.into_iter().map(Into::into).collect(),
    })
}

impl Cursor {
    fn written(&self) -> FeedCursor {
        let Self { timeline, seen, rest } = self;
        FeedCursor::new(&match rest {
            Some((until, last)) => format!("{timeline}/{seen}/{until}/{last}"),
            None => format!("{timeline}/{seen}"),
        })
    }

    fn read(cursor: &FeedCursor) -> Result<Self, Error> {
        let parts: Vec<&str> = cursor.as_str().split('/').collect();
        let own = |text: &&str| is_snapshot(text).then(|| (*text).to_owned());
        let read = match parts.as_slice() {
            [timeline, seen] => own(seen).map(|seen| (timeline, seen, None)),
            [timeline, seen, until, last] => match (own(seen), own(until), last.parse().ok()) {
                (Some(seen), Some(until), Some(last)) => Some((timeline, seen, Some((until, last)))),
                _ => None,
            },
            _ => None,
        };
        let (timeline, seen, rest) =
            read.ok_or_else(|| Error::corrupt("feed cursor", "it is not of this feed"))?;
        Ok(Self { timeline: (*timeline).to_owned(), seen, rest })
    }
}

/// Tells whether a text is one of `xmin:xmax:xip,xip`.
fn is_snapshot(text: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().is_ok();
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [least, most, open] => {
            number(least) && number(most) && (open.is_empty() || open.split(',').all(number))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_another_feed_s_does_not() {
        for text in ["00000001/10:12:10,11", "00000001/10:10:", "00000001/10:12:11/13:13:/7"] {
            assert_eq!(Cursor::read(&FeedCursor::new(text)).unwrap().written().as_str(), text);
        }
        for text in ["", "7", "x/y", "00000001/10:12", "1/10:12:a", "1/1:1:/1:1:/x", "1/1:1:'; --"] {
            assert!(Cursor::read(&FeedCursor::new(text)).is_err(), "{text}");
        }
    }
}
