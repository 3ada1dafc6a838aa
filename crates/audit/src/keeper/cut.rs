use stanchion_core::Detail;

use super::{Keeper, Memory, SYSTEM, Tended};
use crate::archive::event;
use crate::engine::{Shared, count};
use crate::tree::{Path, Peaks, TILE_WIDTH};
use crate::{
    Chain, ChainId, Checkpoint, CutOutcome, Digest, Draft, Error, Head, Query, RetentionClass, Term,
};

const ACTION: &str = "audit.retention_applied";
const BEGUN: &str = "begun";
const DONE: &str = "done";

/// What a cut takes away.
#[derive(Clone, Copy, Debug)]
struct Cut {
    chain: ChainId,
    from: u64,
    to: u64,
    /// The tree over all entries up to the last that goes.
    root: Digest,
    term: Term,
}

impl Keeper {
    /// Cuts off what has served its time.
    pub(super) async fn cut(
        &self,
        chain: &Chain,
        checkpoint: &Checkpoint,
        archived: u64,
    ) -> Result<Tended, Error> {
        let Shared { store, clock, .. } = &**self.prover.ledger.shared();
        let term = self.config.term(chain.id, self.objects.is_some());
        let over = self.last_before(chain, term.online_since(clock.now())).await?;
        let to = over.min(archived).min(checkpoint.size) / TILE_WIDTH as u64 * TILE_WIDTH as u64;
        if to <= chain.base.seq {
            return Ok(Tended::Kept);
        }
        let seals = store.seals(chain.id, to, 1).await?;
        let Some(seal) = seals.first().filter(|seal| seal.seq == to) else { return Ok(Tended::Kept) };
        let base = Head { seq: to, link: seal.link, recorded_at: seal.recorded_at };
        let peaks = self.prover.hashes(chain.id, checkpoint.size, &Path::peaks(to)).await?;
        let peaks = Peaks::new(to, peaks).ok_or(Error::NoProof { chain: chain.id })?;
        let cut = Cut { chain: chain.id, from: chain.base.seq + 1, to, root: peaks.root(), term };
        if self.is_held(chain.id).await? {
            return Ok(Tended::Held);
        }
        self.record(&cut, BEGUN).await?;
        // Again: that took as long as a commit does.
        if self.is_held(chain.id).await? {
            return Ok(Tended::Held);
        }
        match store.cut(SYSTEM, chain.id, &chain.base, base).await? {
            // Another keeper was first, and records it.
            CutOutcome::Moved(_) => Ok(Tended::Kept),
            CutOutcome::Cut => {
                count(&self.counters.cuts, 1);
                count(&self.counters.cut, to - chain.base.seq);
                self.record(&cut, DONE).await?;
                Ok(Tended::Cut)
            }
        }
    }

    async fn is_held(&self, chain: ChainId) -> Result<bool, Error> {
        let now = self.prover.ledger.shared().clock.now();
        let holds = self.holds.list(chain.scope).await?;
        Ok(holds.iter().any(|hold| hold.covers(chain) && hold.stands(now)))
    }

    /// Finds the last entry that was recorded before an instant, by halves; the base when there is none.
    async fn last_before(&self, chain: &Chain, instant: stanchion_core::Timestamp) -> Result<u64, Error> {
        let store = &self.prover.ledger.shared().store;
        let (mut low, mut high) = (chain.base.seq, chain.head.seq);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let seals = store.seals(chain.id, middle, 1).await?;
            let is_before =
                seals.first().is_some_and(|seal| seal.seq == middle && seal.recorded_at < instant);
            (low, high) = if is_before { (middle, high) } else { (low, middle - 1) };
        }
        Ok(low)
    }

    async fn record(&self, cut: &Cut, phase: &'static str) -> Result<(), Error> {
        let Shared { clock, ids, .. } = &**self.prover.ledger.shared();
        let now = clock.now();
        let event = event(ids.event_id(now), now, cut.chain, ACTION)
            .with_detail("phase", phase)
            .with_detail("first", cut.from)
            .with_detail("last", cut.to)
            .with_detail("root", cut.root.to_string())
            .with_detail("kept_days", u64::from(cut.term.kept_days))
            .with_detail("online_days", u64::from(cut.term.online_days));
        self.prover.ledger.append(event.scope, Draft::Event(event)).await.map(drop)
    }

    /// Records the end of a cut after which a process ended before it could: once for each chain that this keeper comes to.
    pub(super) async fn settle(&self, chain: &Chain, memory: &mut Memory) -> Result<(), Error> {
        if chain.base.seq == 0 || memory.settled.contains(&chain.id) {
            memory.settled.insert(chain.id);
            return Ok(());
        }
        if let Some(cut) = self.unfinished(chain).await? {
            self.record(&cut, DONE).await?;
        }
        memory.settled.insert(chain.id);
        Ok(())
    }

    /// Finds the cut to a chain's base, if its beginning is recorded and its end is not.
    async fn unfinished(&self, chain: &Chain) -> Result<Option<Cut>, Error> {
        /// How many records of a scope are looked through: three chains are cut once a round, and a cut leaves two.
        const LOOKED_AT: usize = 100;
        let query =
            Query { action: Some(ACTION.into()), class: Some(RetentionClass::Security), ..Query::default() };
        let rows = self.prover.ledger.shared().store.query(chain.id.scope, &query, None, LOOKED_AT).await?;
        let mut begun = None;
        for row in rows {
            let Ok(event) = crate::parse(&row.content.canonical) else { continue };
            let text = |name: &str| match event.details.get(name) {
                Some(Detail::Text(text)) => Some(text.as_str()),
                _ => None,
            };
            let number = |name: &str| match event.details.get(name) {
                Some(Detail::Integer(number)) => u64::try_from(*number).ok(),
                _ => None,
            };
            let is_this =
                text("class") == Some(chain.id.class.as_str()) && number("last") == Some(chain.base.seq);
            if !is_this {
                continue;
            }
            if text("phase") == Some(DONE) {
                return Ok(None);
            }
            let days =
                |name: &str| number(name).and_then(|days| u32::try_from(days).ok()).unwrap_or_default();
            let root = text("root").and_then(|root| root.parse().ok());
            begun = begun.or(root.map(|root| Cut {
                chain: chain.id,
                from: number("first").unwrap_or_default(),
                to: chain.base.seq,
                root,
                term: Term { kept_days: days("kept_days"), online_days: days("online_days") },
            }));
        }
        Ok(begun)
    }
}
