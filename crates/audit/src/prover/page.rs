use std::collections::BTreeSet;

use stanchion_core::{Page, PageRequest, Scope};

use super::{Prover, proof_text};
use crate::tree::{Path, TileId, verify_inclusion};
use crate::{Checkpoint, Digest, Entry, Error, Query, Row};

/// A page of entries with what proves them.
#[derive(Clone, Debug)]
pub struct ProvenPage {
    /// The entries, newest first.
    pub page: Page<PageEntry>,
    /// The checkpoints that they are proven against: the latest of each chain of the scope.
    pub checkpoints: Vec<Checkpoint>,
}

/// An entry of a page.
#[derive(Clone, Debug)]
pub struct PageEntry {
    /// The entry.
    pub entry: Entry,
    /// Its proof as C2SP's tlog-proof; not set when it is newer than its chain's checkpoint.
    pub proof: Option<String>,
}

impl Prover {
    /// Returns the entries that a query asks for, as [`Ledger::query`](crate::Ledger::query) does, each with its proof.
    ///
    /// # Errors
    /// As [`Ledger::query`](crate::Ledger::query); [`Error::NoProof`] when the tree has no proof of an entry that it covers.
    pub async fn query(
        &self,
        scope: Scope,
        query: &Query,
        request: &PageRequest,
    ) -> Result<ProvenPage, Error> {
        let rows = self.ledger.rows(scope, query, request).await?;
        // Afterwards: they cover what was read as far as that is possible.
        let checkpoints = self.checkpoints(scope).await?;
        let proofs = self.proofs(&checkpoints, &rows.items).await?;
        let proven = |(row, hashes): (&Row, Option<Vec<Digest>>)| {
            let proof = hashes.map(|hashes| {
                let mut covering = checkpoints.iter();
                let no_proof = || Error::NoProof { chain: row.chain };
                let checkpoint =
                    covering.find(|covering| covering.chain == row.chain).ok_or_else(no_proof)?;
                let Checkpoint { size, root, .. } = checkpoint;
                let index = row.seq.saturating_sub(1);
                // A tree that proves nothing is not handed to somebody who would find that out.
                verify_inclusion(&row.content.leaf, index, *size, root, &hashes).map_err(|_| no_proof())?;
                Ok::<_, Error>(proof_text(&row.content.canonical, row.seq, &hashes, checkpoint))
            });
            Ok(PageEntry { entry: Entry::try_from(row)?, proof: proof.transpose()? })
        };
        let items = rows.items.iter().zip(proofs).map(proven).collect::<Result<_, Error>>()?;
        Ok(ProvenPage { page: Page { items, next: rows.next }, checkpoints })
    }

    /// Proves entries from tiles that are read once for all of them; `None` for those that no checkpoint covers.
    pub(crate) async fn proofs(
        &self,
        checkpoints: &[Checkpoint],
        rows: &[Row],
    ) -> Result<Vec<Option<Vec<Digest>>>, Error> {
        let mut tiles = Vec::new();
        let path = |row: &Row, checkpoint: &Checkpoint| {
            let index = row.seq.checked_sub(1).filter(|_| row.chain == checkpoint.chain)?;
            Path::inclusion(index, checkpoint.size)
        };
        for checkpoint in checkpoints {
            let paths = rows.iter().filter_map(|row| path(row, checkpoint));
            let ids: BTreeSet<TileId> = paths.flat_map(|path| path.tiles()).collect();
            let ids: Vec<TileId> = ids.into_iter().collect();
            tiles.push(self.tiles(checkpoint.chain, checkpoint.size, &ids).await?);
        }
        let proof = |row: &Row| {
            let mut covering = checkpoints.iter().zip(&tiles);
            let found = covering.find_map(|(checkpoint, tiles)| Some((path(row, checkpoint)?, tiles)));
            let Some((path, tiles)) = found else { return Ok(None) };
            let hashes = path.hashes(|id| tiles.iter().find(|tile| tile.id == id));
            hashes.map(Some).ok_or(Error::NoProof { chain: row.chain })
        };
        rows.iter().map(proof).collect()
    }
}
