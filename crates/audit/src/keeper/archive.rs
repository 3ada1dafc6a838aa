use stanchion_core::{StoreError, StoreErrorKind, Timestamp};

use super::{Keeper, Memory, broken};
use crate::archive::{self, ArchiveManifest, Archived, ENTRIES, Range, archived_event};
use crate::engine::count;
use crate::tree::TILE_WIDTH;
use crate::{Chain, Checkpoint, Draft, Error, Head, ObjectStore};

const TILE: u64 = TILE_WIDTH as u64;

impl Keeper {
    /// Archives what can be of a chain; returns where its archive ends.
    pub(super) async fn archive(
        &self,
        objects: &dyn ObjectStore,
        chain: &Chain,
        checkpoint: &Checkpoint,
        memory: &mut Memory,
    ) -> Result<Head, Error> {
        let mut at = match memory.archived.get(&chain.id) {
            Some(at) => *at,
            None => self.resume(objects, chain).await?,
        };
        while let Some(last) = self.next(chain, at.seq, checkpoint.size).await? {
            let term = self.config.term(chain.id, true);
            let range = Range { chain: chain.id, start: at, last };
            let until = |recorded_at| term.kept_until(recorded_at);
            let manifest = match archive::write(&self.prover, objects, range, checkpoint, until).await? {
                Archived::Written(manifest) => manifest,
                Archived::Broken(found) => return Err(broken(found)),
            };
            self.tell(&manifest).await?;
            count(&self.counters.objects, 1);
            count(&self.counters.archived, (manifest.last + 1).saturating_sub(manifest.first));
            at = manifest.end();
            memory.archived.insert(chain.id, at);
        }
        memory.archived.insert(chain.id, at);
        Ok(at)
    }

    /// Finds where the archive of a chain ends, and sees that it is this chain's.
    async fn resume(&self, objects: &dyn ObjectStore, chain: &Chain) -> Result<Head, Error> {
        let Some(manifest) = archive::latest(objects, chain.id, &chain.base).await? else {
            return Ok(chain.base);
        };
        let end = manifest.end();
        if end.seq < chain.base.seq {
            // What lies between was dropped while there was no archive.
            return Ok(chain.base);
        }
        let is_same = if end.seq == chain.base.seq {
            end.link == chain.base.link
        } else {
            let seals = self.prover.ledger.shared().store.seals(chain.id, end.seq, 1).await?;
            seals.first().is_some_and(|seal| (seal.seq, seal.link) == (end.seq, end.link))
        };
        if !is_same {
            let why = format!("the archive of {} and the ledger differ at entry {}", chain.id, end.seq);
            return Err(StoreError::new(StoreErrorKind::Corrupt, "archive", "resume")
                .with_source(why)
                .into());
        }
        // A crash may have come between the manifest and its record.
        self.tell(&manifest).await?;
        Ok(end)
    }

    /// Records that entries were archived, once.
    async fn tell(&self, manifest: &ArchiveManifest) -> Result<(), Error> {
        let event = archived_event(manifest);
        self.prover.ledger.append(event.scope, Draft::Event(event)).await.map(drop)
    }

    /// Returns the last entry of the next object: a full one's, or what the months before this one have left over.
    async fn next(&self, chain: &Chain, at: u64, covered: u64) -> Result<Option<u64>, Error> {
        // Tiles are counted from the chain's beginning, wherever that is gone.
        let end = |entries: u64| (at + entries) / TILE * TILE;
        let covered = covered / TILE * TILE;
        let full = end(ENTRIES);
        if full <= covered {
            return Ok(Some(full));
        }
        let shared = self.prover.ledger.shared();
        let month = month(shared.clock.now());
        let mut last = None;
        let mut tile = end(TILE);
        while tile > at && tile <= covered {
            let seals = shared.store.seals(chain.id, tile, 1).await?;
            let is_past =
                seals.first().is_some_and(|seal| seal.seq == tile && self::month(seal.recorded_at) < month);
            if !is_past {
                break;
            }
            last = Some(tile);
            tile += TILE;
        }
        Ok(last)
    }
}

/// The months since the beginning of the calendar, in UTC.
fn month(at: Timestamp) -> String {
    at.to_utc().format("%Y-%m").to_string()
}
