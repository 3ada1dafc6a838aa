use std::time::Duration;

use stanchion_core::{StoreError, SystemScope};

use crate::{Database, Error, SystemTx};

/// How long the change feed is kept. A follower that was away for longer starts anew.
pub const FEED_KEPT: Duration = Duration::from_secs(3600);

/// Only what every open transaction has behind it is cut off: whoever looks at the feed now still goes on where it stood.
const CUT: &str = "
UPDATE stanchion.feed_start SET after = greatest(after, coalesce((
    SELECT written_by FROM stanchion.change
    WHERE written_at < now() - make_interval(secs => $1)
      AND written_by < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY written_at DESC, written_by DESC LIMIT 1), '0'))
RETURNING after::text";

const DELETE: &str = "
DELETE FROM stanchion.change
WHERE written_at < now() - make_interval(secs => $1) AND written_by <= $2::text::xid8";

impl Database {
    /// Drops the changes that the feed need not keep any more, and returns how many they were. While nobody does this, the feed
    /// grows; nothing else comes of it.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the database cannot be written.
    pub async fn sweep_feed(&self, system: SystemScope, kept: Duration) -> Result<u64, StoreError> {
        let sweep = async {
            let mut tx = SystemTx::begin(self, system).await?;
            let seconds = kept.as_secs_f64();
            let after: String = sqlx::query_scalar(CUT).bind(seconds).fetch_one(tx.connection()?).await?;
            let gone = sqlx::query(DELETE).bind(seconds).bind(after).execute(tx.connection()?).await?;
            tx.commit().await?;
            Ok::<_, Error>(gone.rows_affected())
        };
        self.run("sweep_feed", sweep).await
    }
}
