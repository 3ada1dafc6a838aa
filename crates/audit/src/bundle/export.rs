use std::collections::VecDeque;
use std::fmt;

use stanchion_core::Scope;

use super::{BundleWriter, ChainBase, ChainCount, Form, Log, Manifest};
use crate::tree::Path;
use crate::{ChainId, Checkpoint, Error, Head, Place, Prover, Query};

/// How many entries are read at a time: with events of the greatest size, 8 MiB.
const PAGE: usize = 128;

/// An export of a scope's entries as a bundle, in parts. Of the chains a page of entries is held at a time.
pub struct Export {
    prover: Prover,
    scope: Scope,
    query: Query,
    writer: BundleWriter,
    /// The chains, as far as a checkpoint covers them.
    parts: Vec<Part>,
    next: Next,
    is_complete: bool,
}

struct Part {
    checkpoint: Checkpoint,
    base: Head,
}

/// What is written next.
enum Next {
    /// The log of the chain in front.
    Logs(VecDeque<usize>),
    /// Entries of a whole chain, from this number.
    Entries(VecDeque<usize>, u64),
    /// Entries of a query, before this place.
    Matches(Option<Place>),
    /// The end line.
    End,
    /// Nothing: the end was written, or something failed.
    Done,
}

impl Prover {
    /// Begins to export what a query asks for; a query that asks for nothing, or only for a class, for whole chains. What is not
    /// covered by the latest checkpoints of this moment is left out, and counted.
    ///
    /// A chain is exported as it is stored: whether it holds, the file itself tells.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn export(&self, scope: Scope, query: Query, form: Form) -> Result<Export, Error> {
        let shared = self.ledger.shared();
        // First: what is recorded meanwhile is newer.
        let checkpoints = self.checkpoints(scope).await?;
        let chains = shared.store.chains(scope).await?;
        let is_whole = query.is_whole_chains();
        let mut writer = BundleWriter::new(
            Manifest {
                format: form.name().to_owned(),
                scope,
                exported_at: shared.clock.now(),
                class: query.class,
                query: (!is_whole).then(|| query.filters()),
            },
            form,
        );
        if is_whole {
            for chain in chains.iter().filter(|chain| query.may_match(chain.id.class)) {
                let covered = checkpoints.iter().find(|checkpoint| checkpoint.chain == chain.id);
                let size = covered.map_or(0, |checkpoint| checkpoint.size);
                writer.newer(chain.id, chain.head.seq.saturating_sub(size));
            }
        }
        let base = |id: ChainId| {
            let kept = chains.iter().find(|chain| chain.id == id).filter(|_| is_whole);
            kept.map_or(Head::EMPTY, |chain| chain.base)
        };
        let asked = checkpoints.into_iter().filter(|checkpoint| query.may_match(checkpoint.chain.class));
        let mut parts: Vec<Part> =
            asked.map(|checkpoint| Part { base: base(checkpoint.chain), checkpoint }).collect();
        parts.sort_unstable_by_key(|part| part.checkpoint.chain);
        let next = Next::Logs((0..parts.len()).collect());
        Ok(Export { prover: self.clone(), scope, query, writer, parts, next, is_complete: false })
    }
}

impl Export {
    /// Returns how many entries were written, and left out, of each chain.
    #[must_use]
    pub fn counts(&self) -> &[ChainCount] {
        self.writer.counts()
    }

    /// Returns how many entries there will be; `None` for a query, of which that is known at its end.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        let entries = |part: &Part| part.checkpoint.size.saturating_sub(part.base.seq);
        self.query.is_whole_chains().then(|| self.parts.iter().map(entries).sum())
    }

    /// Tells whether all of it was returned.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the next part of the file; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read, [`Error::NoProof`] when the tree has no proof of an entry. The file cannot be
    /// gone on with: it has no end line, which tells so.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            self.next = match std::mem::replace(&mut self.next, Next::Done) {
                Next::Done => return Ok(None),
                Next::Logs(waiting) => self.log(waiting).await?,
                Next::Entries(waiting, from) => self.entries(waiting, from).await?,
                Next::Matches(before) => self.matches(before).await?,
                Next::End => {
                    self.writer.end();
                    self.is_complete = true;
                    Next::Done
                }
            };
            let written = self.writer.take();
            if !written.is_empty() {
                return Ok(Some(written));
            }
        }
    }

    async fn log(&mut self, mut waiting: VecDeque<usize>) -> Result<Next, Error> {
        let is_whole = self.query.is_whole_chains();
        let Some(part) = waiting.front().and_then(|place| self.parts.get(*place)) else {
            return Ok(if is_whole { Next::End } else { Next::Matches(None) });
        };
        let Part { checkpoint, base } = part;
        let chain = checkpoint.chain;
        let from = base.seq.saturating_add(1);
        let base = match base.seq {
            0 => None,
            seq => {
                let tree = self.prover.hashes(chain, checkpoint.size, &Path::peaks(seq)).await?;
                Some(ChainBase { seq, link: base.link, recorded_at: base.recorded_at, tree })
            }
        };
        let verifier_keys = self.prover.verifiers(&chain).iter().map(ToString::to_string).collect();
        let checkpoint = checkpoint.note.as_str().to_owned();
        self.writer.log(Log { chain, checkpoint, verifier_keys, base });
        if is_whole {
            return Ok(Next::Entries(waiting, from));
        }
        waiting.pop_front();
        Ok(Next::Logs(waiting))
    }

    async fn entries(&mut self, mut waiting: VecDeque<usize>, from: u64) -> Result<Next, Error> {
        let part = waiting.front().and_then(|place| self.parts.get(*place));
        let Some(Part { checkpoint, .. }) = part else { return Ok(Next::End) };
        let store = &self.prover.ledger.shared().store;
        let rows = store.read(checkpoint.chain, from, PAGE).await?;
        for row in rows.iter().take_while(|row| row.seq <= checkpoint.size) {
            self.writer.entry(row, None);
        }
        match rows.last() {
            Some(row) if row.seq < checkpoint.size => Ok(Next::Entries(waiting, row.seq.saturating_add(1))),
            _ => {
                waiting.pop_front();
                Ok(Next::Logs(waiting))
            }
        }
    }

    async fn matches(&mut self, before: Option<Place>) -> Result<Next, Error> {
        let store = &self.prover.ledger.shared().store;
        let rows = store.query(self.scope, &self.query, before, PAGE).await?;
        let checkpoints: Vec<Checkpoint> = self.parts.iter().map(|part| part.checkpoint.clone()).collect();
        let proofs = self.prover.proofs(&checkpoints, &rows).await?;
        for (row, proof) in rows.iter().zip(proofs) {
            match proof {
                Some(proof) => self.writer.entry(row, Some(proof)),
                None => self.writer.newer(row.chain, 1),
            }
        }
        let last = rows.last().filter(|_| rows.len() == PAGE);
        Ok(last.map_or(Next::End, |row| Next::Matches(Some(row.into()))))
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("scope", &self.scope)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}
