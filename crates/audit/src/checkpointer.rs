mod asked;
mod config;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use stanchion_core::{
    Actor, Category, Detail, Details, Event, Outcome, Scope, Severity, StoreError, SystemScope, Timestamp,
};

use self::asked::{Waiting, Wake};
pub use self::config::CheckpointConfig;
use crate::anchored::ACTION;
use crate::engine::{Shared, count};
use crate::rotation::OWN;
use crate::sequencer::Observer;
use crate::tree::{Edge, TILE_WIDTH, Tile, TileId};
use crate::verify::ChainVerifier;
use crate::{
    Break, BreakReason, ChainId, Checkpoint, CheckpointSigner, Digest, Draft, GrowOutcome, Growth, Head,
    Ledger, Seal, TreeStore,
};

const SYSTEM: SystemScope = SystemScope::new("sign for the trees over many tenants' audit chains");
/// How many seals are read at once.
const PAGE: usize = 4_096;
/// The most entries that one checkpoint adds, so that what is written at once stays bounded: 2 MiB of tiles.
const STEP: u64 = 65_536;
/// The most chains whose edges are remembered: some 20 KiB each at worst.
const REMEMBERED: usize = 1_024;
/// The most checkpoints that one event records.
const RECORDED: usize = 256;

/// Grows the trees over the chains and signs for them: after each commit of its [`Ledger`], and now and then for chains that other
/// processes left behind. Several may work on one store.
///
/// An entry is signed for only when it is linked to the one before it and signed by a key of the ring, and a tree only when its root
/// is still that of the checkpoint before. What does not hold is never signed over: `audit.chain_broken` is recorded in the scope's
/// ledger, and the chain gets no more checkpoints from this process.
///
/// The checkpoints of all chains but the platform's security chain are recorded in that one, `audit.checkpointed`, so that a log that is
/// taken away or set back is missed.
#[must_use = "entries are covered only while the checkpointer runs"]
pub struct Checkpointer {
    ledger: Ledger,
    trees: Arc<dyn TreeStore>,
    signer: Arc<CheckpointSigner>,
    config: CheckpointConfig,
    known: HashMap<ChainId, Known>,
    /// Chains that are to be looked at.
    due: BTreeSet<ChainId>,
    broken: BTreeSet<ChainId>,
    /// Checkpoints that the platform's security chain does not tell of yet.
    unrecorded: BTreeMap<ChainId, (u64, Digest)>,
    recorded_at: Timestamp,
    swept_at: Timestamp,
    /// Who waits for an entry to be covered.
    waiting: Vec<Waiting>,
    observer: Option<Observer>,
}

/// Why chains are gone through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// It is time.
    Due,
    /// The process is about to end, and its ledger still takes records.
    Settling,
    /// The sequencer has ended.
    Last,
}

/// A tree as far as its checkpoint goes.
struct Known {
    /// The last entry that is covered.
    head: Head,
    edge: Edge,
    checkpoint: Option<(u64, Digest)>,
}

/// Why a chain was not covered.
enum Trouble {
    Store(StoreError),
    Broken(Break),
    /// Its first entries were dropped before any checkpoint covered them, as only the store in memory does.
    Incomplete,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Checkpointer {
    pub(crate) fn new(
        ledger: Ledger,
        trees: Arc<dyn TreeStore>,
        signer: Arc<CheckpointSigner>,
        config: CheckpointConfig,
    ) -> Self {
        let now = ledger.shared().clock.now();
        Self {
            ledger,
            trees,
            signer,
            config,
            known: HashMap::new(),
            due: BTreeSet::new(),
            broken: BTreeSet::new(),
            unrecorded: BTreeMap::new(),
            recorded_at: now,
            swept_at: Timestamp::MIN,
            waiting: Vec::new(),
            observer: None,
        }
    }

    /// Lets `observer` hear of every failure of the store. It must be quick and must not block.
    pub fn on_failure(mut self, observer: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Makes checkpoints until the ledger's sequencer has ended and what it committed is covered, or the store fails then. Dropped
    /// before that, entries are covered by the next process.
    pub async fn run(mut self) {
        let shared = Arc::clone(self.ledger.shared());
        let interval = Duration::from_millis(self.config.interval_ms.max(1));
        let mut next = shared.clock.now().plus(interval);
        loop {
            match asked::wake(&shared, next).await {
                Wake::Due => {
                    self.round(Round::Due).await;
                    next = shared.clock.now().plus(interval);
                }
                Wake::Asked => self.answer().await,
                Wake::Ended => return self.round(Round::Last).await,
            }
            self.tell();
        }
    }

    /// Covers what was committed since the last round.
    async fn round(&mut self, round: Round) {
        let shared = Arc::clone(self.ledger.shared());
        self.due.extend(shared.moved.take());
        let now = shared.clock.now();
        let due = |since: Timestamp, seconds: u32| now >= since.plus(Duration::from_secs(seconds.into()));
        let is_swept = self.swept_at != Timestamp::MIN && !due(self.swept_at, self.config.sweep_seconds);
        if round == Round::Due && !is_swept {
            match self.sweep().await {
                Ok(()) => self.swept_at = now,
                Err(error) => return self.failed(&error),
            }
        }
        for chain in std::mem::take(&mut self.due) {
            self.look_at(chain).await;
        }
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        let waits = if self.unrecorded.is_empty() {
            self.config.heartbeat_seconds
        } else {
            self.config.record_seconds
        };
        let is_told = match round {
            Round::Due => due(self.recorded_at, waits),
            Round::Settling => !self.unrecorded.is_empty(),
            // A ledger whose sequencer has ended takes no more records.
            Round::Last => false,
        };
        if is_told {
            self.record(now);
        }
    }

    /// Covers a chain, unless it is broken. What fails is tried again in the next round.
    async fn look_at(&mut self, chain: ChainId) {
        if self.broken.contains(&chain) {
            return;
        }
        match self.cover(chain).await {
            Ok(Some((size, root))) => {
                if chain != OWN {
                    self.unrecorded.insert(chain, (size, root));
                }
            }
            Ok(None) | Err(Trouble::Incomplete) => {}
            Err(Trouble::Store(error)) => {
                self.due.insert(chain);
                self.failed(&error);
            }
            Err(Trouble::Broken(found)) => self.condemn(found),
        }
    }

    /// Finds the chains whose last entries nobody covered.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        const CHAINS: usize = 1_000;
        let mut after = None;
        loop {
            let found = self.trees.uncovered(SYSTEM, after, CHAINS).await?;
            let is_all = found.len() < CHAINS;
            after = found.last().copied();
            self.due.extend(found);
            if is_all {
                return Ok(());
            }
        }
    }

    /// Grows a chain's tree to its last entry. Returns the checkpoint that this made, if any.
    async fn cover(&mut self, chain: ChainId) -> Result<Option<(u64, Digest)>, Trouble> {
        /// How often another process may be first before the chain is left to it.
        const ATTEMPTS: usize = 4;
        let mut made = None;
        for _ in 0..ATTEMPTS {
            let mut known = match self.known.remove(&chain) {
                Some(known) => known,
                None => self.load(chain).await?,
            };
            loop {
                let Some(growth) = self.grown(chain, &mut known).await? else {
                    self.known.insert(chain, known);
                    return Ok(made);
                };
                if self.trees.grow(SYSTEM, &growth).await? == GrowOutcome::Moved {
                    break;
                }
                let Checkpoint { size, root, .. } = growth.checkpoint;
                known.checkpoint = Some((size, root));
                made = known.checkpoint;
                count(&self.ledger.shared().counters.checkpoints, 1);
            }
        }
        Ok(made)
    }

    /// Adds the entries after a tree's last to it, at most [`STEP`]; `None` when there are none.
    async fn grown(&self, chain: ChainId, known: &mut Known) -> Result<Option<Growth>, Trouble> {
        let shared = self.ledger.shared();
        let mut verifier = ChainVerifier::new(chain, known.head, &shared.signer).strict();
        let mut tiles = Vec::new();
        let first = known.head.seq;
        while verifier.at().seq - first < STEP {
            let next = verifier.at().seq + 1;
            let seals = shared.store.seals(chain, next, PAGE).await?;
            if next == 1 && seals.first().is_some_and(|seal| seal.seq > 1) {
                return Err(Trouble::Incomplete);
            }
            for seal in &seals {
                verifier.check_seal(seal).map_err(Trouble::Broken)?;
                known.edge.push(seal.leaf, &mut tiles);
            }
            if seals.len() < PAGE {
                break;
            }
        }
        let head = *verifier.at();
        if head.seq == first {
            return Ok(None);
        }
        known.head = head;
        tiles.extend(known.edge.partial());
        let root = known.edge.root();
        let checkpoint = self.signer.sign(chain, head.seq, root, shared.clock.now());
        Ok(Some(Growth { from: known.checkpoint, tiles, checkpoint }))
    }

    /// Puts the tree of a chain's checkpoint together again, and sees that it is still the one that was signed for.
    async fn load(&self, chain: ChainId) -> Result<Known, Trouble> {
        let Some(checkpoint) = self.trees.latest(SYSTEM, &[chain]).await?.pop().flatten() else {
            return Ok(Known { head: Head::EMPTY, edge: Edge::default(), checkpoint: None });
        };
        let Checkpoint { size, root, .. } = checkpoint;
        let broken = |seq, reason| Trouble::Broken(Break { chain, seq, reason });
        self.signer.verify(&checkpoint).map_err(|_| broken(size, BreakReason::CheckpointWrong))?;
        let leaves = TileId { level: 0, index: size / TILE_WIDTH as u64 };
        let first = leaves.index * TILE_WIDTH as u64;
        let width = leaves.width_at(size);
        // With the entry before them, whose link the first of them goes on from.
        let seals =
            self.ledger.shared().store.seals(chain, first.max(1), width + usize::from(first > 0)).await?;
        // Where the entry before them was dropped, there is one more behind them.
        let within = |seal: &&Seal| seal.seq > first && seal.seq <= size;
        let hashes: Vec<Digest> = seals.iter().filter(within).map(|seal| seal.leaf).collect();
        let last = seals.iter().find(|seal| seal.seq == size);
        let head = match last {
            Some(seal) => Head { seq: size, link: seal.link, recorded_at: seal.recorded_at },
            None => {
                let chains = self.ledger.shared().store.chains(chain.scope).await?;
                let kept = chains.into_iter().find(|kept| kept.id == chain);
                let base = kept.map(|kept| kept.base).filter(|base| base.seq == size);
                let missing = seals.last().map_or(first, |seal| seal.seq).saturating_add(1);
                base.ok_or_else(|| broken(missing.min(size), BreakReason::Gap))?
            }
        };
        let above: Vec<TileId> = Edge::ends(size).filter(|id| id.level > 0).collect();
        let mut tiles: Vec<Tile> = if above.is_empty() {
            Vec::new()
        } else {
            self.trees.tiles(chain, &above).await?.into_iter().flatten().collect()
        };
        tiles.push(Tile { id: leaves, hashes });
        let edge = Edge::new(size, |id| tiles.iter().find(|tile| tile.id == id).cloned());
        let edge = edge.filter(|edge| edge.root() == root);
        let edge = edge.ok_or_else(|| broken(size, BreakReason::TreeWrong))?;
        Ok(Known { head, edge, checkpoint: Some((size, root)) })
    }

    fn failed(&self, error: &StoreError) {
        if let Some(observer) = &self.observer {
            observer(error);
        }
    }

    /// Records that a chain is broken, where its scope will see it.
    fn condemn(&mut self, found: Break) {
        self.broken.insert(found.chain);
        count(&self.ledger.shared().counters.broken_chains, 1);
        self.known.remove(&found.chain);
        let mut event = self
            .event(found.chain.scope, "audit.chain_broken")
            .with_detail("class", found.chain.class.as_str())
            .with_detail("reason", found.reason.to_string())
            .with_detail("seq", found.seq);
        event.severity = Severity::Critical;
        event.outcome = Outcome::Failure;
        // A full queue loses nothing: whoever verifies finds the break again.
        drop(self.ledger.submit(event.scope, Draft::Event(event)));
    }

    /// Records checkpoints in the platform's ledger, or that there were none.
    fn record(&mut self, now: Timestamp) {
        loop {
            let last = self.unrecorded.keys().nth(RECORDED).copied();
            let later = last.map_or_else(BTreeMap::new, |last| self.unrecorded.split_off(&last));
            let part = std::mem::replace(&mut self.unrecorded, later);
            let checkpoint = |(chain, (size, root)): (&ChainId, &(u64, Digest))| {
                let details: Details = [
                    ("chain", Detail::from(chain.to_string())),
                    ("root", root.to_string().into()),
                    ("size", (*size).into()),
                ]
                .into_iter()
                .collect();
                Detail::from(details)
            };
            let checkpoints: Vec<Detail> = part.iter().map(checkpoint).collect();
            let event = self.event(Scope::Platform, ACTION).with_detail("checkpoints", checkpoints);
            if self.ledger.submit(Scope::Platform, Draft::Event(event)).is_err() {
                self.unrecorded.extend(part);
                return;
            }
            self.recorded_at = now;
            if self.unrecorded.is_empty() {
                return;
            }
        }
    }

    fn event(&self, scope: Scope, action: &'static str) -> Event {
        let Shared { clock, ids, .. } = &**self.ledger.shared();
        let now = clock.now();
        let actor = Actor::System("audit".into());
        Event::new(ids.event_id(now), now, scope, actor, action, Category::Security)
    }
}

impl fmt::Debug for Checkpointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointer")
            .field("trees", &self.trees)
            .field("due", &self.due.len())
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
