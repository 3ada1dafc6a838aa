mod archive;
mod cut;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{Either, select};
use hashbrown::{HashMap, HashSet};
use serde::Serialize;
use stanchion_core::{Scope, StoreError, StoreErrorKind, SystemScope, Timestamp};

use crate::engine::count;
use crate::{
    Break, Chain, ChainId, Error, Head, Hold, HoldStore, ObjectStore, Prover, RetentionConfig, Term,
};

const SYSTEM: SystemScope = SystemScope::new("archive and drop what many tenants' audit chains need no more");
/// How many chains are read at once.
const CHAINS: usize = 1_000;

/// Archives what checkpoints cover, and drops from the front of the chains what has served its time. Clones share it.
///
/// Each chain is gone through in this order, so that a crash between any two steps leaves nothing wrong and the next round goes on:
///
/// 1. whole tiles that a checkpoint covers are archived, and `audit.archived` is recorded in the scope's ledger;
/// 2. what was recorded before the term is to be cut, as far as it is archived where there is an archive, and unless a legal hold stands;
/// 3. `audit.retention_applied` is recorded with `phase` `begun`, the chain is cut, and it is recorded with `phase` `done`;
/// 4. the room is reclaimed.
///
/// Several may work on one store: what the other has done is found done. Only whole tiles of 256 entries are cut, so the last tile of a
/// chain stays for longer. A hold that is placed while a chain is being cut comes too late for that cut.
#[derive(Clone)]
pub struct Keeper {
    prover: Prover,
    holds: Arc<dyn HoldStore>,
    objects: Option<Arc<dyn ObjectStore>>,
    config: Arc<RetentionConfig>,
    counters: Arc<Counters>,
    observer: Option<Arc<Observer>>,
}

type Observer = dyn Fn(Option<ChainId>, &Error) + Send + Sync;

#[derive(Debug, Default)]
struct Counters {
    objects: AtomicU64,
    archived: AtomicU64,
    cuts: AtomicU64,
    cut: AtomicU64,
    reclaimed: AtomicU64,
    rounds: AtomicU64,
    held: AtomicU64,
    failures: AtomicU64,
}

/// What the keepers that share a state have done since that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperStats {
    /// Objects archived, or found archived by another.
    pub objects: u64,
    /// Entries in them.
    pub archived: u64,
    /// Cuts made.
    pub cuts: u64,
    /// Entries that these cut off.
    pub cut: u64,
    /// Entries whose room was reclaimed, as far as the store tells.
    pub reclaimed: u64,
    /// Rounds that came to their end.
    pub rounds: u64,
    /// Chains that the last round left as they are because a hold stands, though the time of entries was over.
    pub held: u64,
    /// Failures: of a store, and chains that do not hold.
    pub failures: u64,
}

/// How the entries of a chain are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainRetention {
    /// The chain.
    pub chain: ChainId,
    /// For how long.
    pub term: Term,
    /// The number before the oldest entry in the database.
    pub base: u64,
    /// The number of the newest entry.
    pub head: u64,
    /// The number of the last entry that is archived; not set without an archive.
    pub archived: Option<u64>,
    /// When the oldest entry in the database was recorded; not set when there is none.
    pub oldest_at: Option<Timestamp>,
    /// Until when that one is kept at least; not set when there is none, or entries are never dropped.
    pub oldest_until: Option<Timestamp>,
    /// The legal holds that stand on the chain.
    pub holds: Vec<Hold>,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundEnd {
    /// Every chain was gone through.
    Complete,
    /// Some were not, as the observer was told. The next round tries again.
    Partial,
    /// The ledger takes no more records.
    Closed,
}

/// What is remembered of chains between rounds; what is forgotten is found again in the stores.
#[derive(Debug, Default)]
struct Memory {
    /// Where the archive of a chain ends.
    archived: HashMap<ChainId, Head>,
    /// Chains whose last cut is known to be recorded.
    settled: HashSet<ChainId>,
}

impl Keeper {
    /// Sets up a keeper. Without `objects` nothing is archived, and what has served its time is gone.
    #[must_use]
    pub fn new(
        prover: Prover,
        holds: Arc<dyn HoldStore>,
        objects: Option<Arc<dyn ObjectStore>>,
        config: RetentionConfig,
    ) -> Self {
        let (config, counters) = (Arc::new(config), Arc::default());
        Self { prover, holds, objects, config, counters, observer: None }
    }

    /// Lets `observer` hear of every failure, with the chain that it is about. It must be quick and must not block.
    #[must_use]
    pub fn on_failure(mut self, observer: impl Fn(Option<ChainId>, &Error) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Archives and drops every [`interval_seconds`](RetentionConfig::interval_seconds), until the ledger's sequencer has ended. It can
    /// be dropped at any time; who runs next goes on.
    pub async fn run(self) {
        let mut memory = Memory::default();
        let shared = Arc::clone(self.prover.ledger.shared());
        loop {
            if self.round(&mut memory).await == RoundEnd::Closed {
                return;
            }
            let next = shared.timer.sleep_until(shared.clock.now().plus(self.config.interval()));
            if matches!(select(std::pin::pin!(shared.moved.ended()), next).await, Either::Left(_)) {
                return;
            }
        }
    }

    /// Goes through all chains once, now.
    pub async fn once(&self) -> RoundEnd {
        self.round(&mut Memory::default()).await
    }

    async fn round(&self, memory: &mut Memory) -> RoundEnd {
        let (mut after, mut held) = (None, 0);
        let mut end = RoundEnd::Complete;
        loop {
            let chains = match self.prover.ledger.shared().store.list(SYSTEM, after, CHAINS).await {
                Ok(chains) => chains,
                Err(error) => return self.failed(None, &error.into()),
            };
            let is_all = chains.len() < CHAINS;
            after = chains.last().map(|chain| chain.id);
            for chain in chains {
                match self.tend(&chain, memory).await {
                    Ok(Tended::Kept | Tended::Cut) => {}
                    Ok(Tended::Held) => held += 1,
                    Err(Error::Closed | Error::Fenced) => return RoundEnd::Closed,
                    Err(error) => end = self.failed(Some(chain.id), &error),
                }
            }
            if is_all {
                break;
            }
        }
        // Also what a round before did not come to.
        if self.config.enabled {
            match self.prover.ledger.shared().store.reclaim(SYSTEM).await {
                Ok(entries) => count(&self.counters.reclaimed, entries),
                Err(error) => end = self.failed(None, &error.into()),
            }
        }
        self.counters.held.store(held, Ordering::Relaxed);
        if end == RoundEnd::Complete {
            count(&self.counters.rounds, 1);
        }
        end
    }

    /// Archives a chain as far as it can be, and cuts it as far as it is to be.
    async fn tend(&self, chain: &Chain, memory: &mut Memory) -> Result<Tended, Error> {
        self.settle(chain, memory).await?;
        let mut latest = self.prover.trees.latest(SYSTEM, &[chain.id]).await?;
        let Some(checkpoint) = latest.pop().flatten() else { return Ok(Tended::Kept) };
        if self.prover.signer.verify(&checkpoint).is_err() {
            return Err(broken(Break {
                chain: chain.id,
                seq: checkpoint.size,
                reason: crate::BreakReason::CheckpointWrong,
            }));
        }
        let archived = match &self.objects {
            Some(objects) => self.archive(&**objects, chain, &checkpoint, memory).await?.seq,
            None => u64::MAX,
        };
        if !self.config.enabled {
            return Ok(Tended::Kept);
        }
        self.cut(chain, &checkpoint, archived).await
    }

    /// Tells how the entries of a scope's chains are kept.
    ///
    /// # Errors
    /// [`Error::Store`] when a store cannot be read.
    pub async fn kept(&self, scope: Scope) -> Result<Vec<ChainRetention>, Error> {
        let shared = self.prover.ledger.shared();
        let (now, holds) = (shared.clock.now(), self.holds.list(scope).await?);
        let mut kept = Vec::new();
        for chain in shared.store.chains(scope).await? {
            let term = self.config.term(chain.id, self.objects.is_some());
            let oldest = shared.store.seals(chain.id, 1, 1).await?;
            let oldest_at = oldest.first().map(|seal| seal.recorded_at);
            let until = |at| term.kept_until(at);
            let archived = match &self.objects {
                Some(objects) => {
                    let latest = crate::archive::latest(&**objects, chain.id, &chain.base).await?;
                    Some(latest.map_or(0, |manifest| manifest.last))
                }
                None => None,
            };
            let stands = |hold: &&Hold| hold.covers(chain.id) && hold.stands(now);
            kept.push(ChainRetention {
                chain: chain.id,
                term,
                base: chain.base.seq,
                head: chain.head.seq,
                archived,
                oldest_at,
                oldest_until: oldest_at.map(until).filter(|_| self.config.enabled),
                holds: holds.iter().filter(stands).cloned().collect(),
            });
        }
        Ok(kept)
    }

    /// Returns where legal holds are kept.
    #[must_use]
    pub fn holds(&self) -> &Arc<dyn HoldStore> {
        &self.holds
    }

    /// Returns what was done.
    #[must_use]
    pub fn stats(&self) -> KeeperStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KeeperStats {
            objects: read(&self.counters.objects),
            archived: read(&self.counters.archived),
            cuts: read(&self.counters.cuts),
            cut: read(&self.counters.cut),
            reclaimed: read(&self.counters.reclaimed),
            rounds: read(&self.counters.rounds),
            held: read(&self.counters.held),
            failures: read(&self.counters.failures),
        }
    }

    fn failed(&self, chain: Option<ChainId>, error: &Error) -> RoundEnd {
        count(&self.counters.failures, 1);
        if let Some(observer) = &self.observer {
            observer(chain, error);
        }
        RoundEnd::Partial
    }
}

/// What became of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tended {
    Kept,
    Held,
    Cut,
}

/// A chain that does not hold is neither archived nor cut; verifying it tells the same.
fn broken(found: Break) -> Error {
    StoreError::new(StoreErrorKind::Corrupt, "ledger", "keep").with_source(found).into()
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("objects", &self.objects)
            .field("holds", &self.holds)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
