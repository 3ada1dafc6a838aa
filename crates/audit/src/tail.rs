use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use stanchion_core::Scope;

use crate::{Entry, Error, Ledger, Place, Query, RetentionClass, Row};

/// How often a reader that waits looks for new entries.
const INTERVAL: Duration = Duration::from_millis(250);
/// The most entries of a chain that one look goes through.
const LOOK: usize = 256;

/// How far a reader has followed a scope's chains: the number of the last entry it has seen, by class.
///
/// Numbers are dense and within a chain they are committed in order, so nothing is missed and nothing comes twice, whichever process
/// answers and however often it was restarted. By time that could not be said: two replicas have two clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<RetentionClass, u64>);

/// Entries in the order they are followed in.
#[derive(Clone, Debug)]
pub struct Tailed {
    /// The entries; those of one chain in the order of their numbers.
    pub entries: Vec<Entry>,
    /// Where to go on.
    pub cursor: Cursor,
    /// How many entries were dropped, since their time was over, before they were seen.
    pub skipped: u64,
}

impl Ledger {
    /// Returns the newest entries of a scope that a query asks for, at most `count`, oldest first, and where their followers begin.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn latest(&self, scope: Scope, query: &Query, count: usize) -> Result<Tailed, Error> {
        let store = &self.shared().store;
        // First: what is recorded from now on is for followers.
        let chains = store.chains(scope).await?;
        let cursor = Cursor(chains.iter().map(|chain| (chain.id.class, chain.head.seq)).collect());
        let (mut rows, mut before): (Vec<Row>, Option<Place>) = (Vec::new(), None);
        while rows.len() < count {
            let asked = count - rows.len();
            let found = store.query(scope, query, before, asked).await?;
            let is_last = found.len() < asked;
            before = found.last().map(Place::from);
            rows.extend(found.into_iter().filter(|row| row.seq <= cursor.at(row.chain.class)));
            if is_last {
                break;
            }
        }
        let entries = rows.iter().rev().map(Entry::try_from).collect::<Result<_, _>>()?;
        Ok(Tailed { entries, cursor, skipped: 0 })
    }

    /// Returns entries of a scope that a query asks for and that come after a cursor: about `limit` at most. When there are none, it
    /// looks again until `wait` is over. The cursor moves on over entries that do not match, too.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn follow(
        &self,
        scope: Scope,
        query: &Query,
        cursor: &Cursor,
        limit: usize,
        wait: Duration,
    ) -> Result<Tailed, Error> {
        let shared = self.shared();
        let until = shared.clock.now().plus(wait);
        let mut tailed = Tailed { entries: Vec::new(), cursor: cursor.clone(), skipped: 0 };
        loop {
            let has_moved = self.look(scope, query, limit, &mut tailed).await?;
            let now = shared.clock.now();
            if !tailed.entries.is_empty() || now >= until {
                return Ok(tailed);
            }
            if !has_moved {
                shared.timer.sleep_until(now.plus(INTERVAL).min(until)).await;
            }
        }
    }

    /// Goes through what is new, and tells whether there was anything.
    async fn look(
        &self,
        scope: Scope,
        query: &Query,
        limit: usize,
        tailed: &mut Tailed,
    ) -> Result<bool, Error> {
        let store = &self.shared().store;
        let chains = store.chains(scope).await?;
        let chains = chains.iter().filter(|chain| query.may_match(chain.id.class));
        let news: Vec<_> = chains.filter(|chain| chain.head.seq > tailed.cursor.at(chain.id.class)).collect();
        // Each has its share, so that none waits for another.
        let share = limit.div_ceil(news.len().max(1)).clamp(1, LOOK);
        let mut found: Vec<Row> = Vec::new();
        for chain in &news {
            let class = chain.id.class;
            let mut matching = 0;
            for row in store.read(chain.id, tailed.cursor.at(class).saturating_add(1), LOOK).await? {
                let expected = tailed.cursor.at(class).saturating_add(1);
                tailed.skipped = tailed.skipped.saturating_add(row.seq.saturating_sub(expected));
                tailed.cursor.0.insert(class, row.seq);
                if query.matches(&row) {
                    found.push(row);
                    matching += 1;
                }
                if matching == share {
                    break;
                }
            }
        }
        found.sort_by_key(|row| Place::from(row));
        for row in &found {
            tailed.entries.push(Entry::try_from(row)?);
        }
        Ok(!news.is_empty())
    }
}

impl Cursor {
    /// Returns the number of the last entry that was seen of a class's chain; 0 when none was.
    #[must_use]
    pub fn at(&self, class: RetentionClass) -> u64 {
        self.0.get(&class).copied().unwrap_or(0)
    }
}

/// `security.12-standard.400`.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (class, seq)) in self.0.iter().enumerate() {
            let dash = if place == 0 { "" } else { "-" };
            write!(f, "{dash}{class}.{seq}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let part = |part: &str| {
            let (class, seq) = part.split_once('.')?;
            Some((RetentionClass::from_name(class)?, seq.parse().ok()?))
        };
        let parts = text.split('-').filter(|_| !text.is_empty());
        let cursor = Self(parts.map(part).collect::<Option<_>>().ok_or(Error::InvalidPageKey)?);
        // One cursor has one text.
        if cursor.to_string() == text { Ok(cursor) } else { Err(Error::InvalidPageKey) }
    }
}

#[cfg(test)]
mod tests;
