use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Slot;
use stanchion_core::{KeyVersion, Timestamp};

use crate::hash::{ChainLinks, ChainMacs};
use crate::{ChainId, Content, Fence, Head, Row, Signer};

/// Entries linked and signed, ready to be written as one unit. Made by a [`Sealer`] only, so numbers, links and heads agree.
#[derive(Clone, Debug)]
pub struct AppendBatch {
    fence: Fence,
    moves: Vec<HeadMove>,
    rows: Vec<Row>,
}

/// How far a batch takes a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadMove {
    /// Which chain.
    pub chain: ChainId,
    /// Where it must stand, by number and link.
    pub from: Head,
    /// Where it stands afterwards.
    pub to: Head,
}

impl AppendBatch {
    /// Returns the writer's fence.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// Returns the chains it adds to, each once.
    #[must_use]
    pub fn moves(&self) -> &[HeadMove] {
        &self.moves
    }

    /// Returns the rows in the order they were given; those of one chain are dense.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// Links entries to the heads of their chains and signs them. It remembers heads, so a batch costs a store no reading.
#[derive(Debug)]
pub struct Sealer {
    signer: Arc<Signer>,
    chains: HashMap<ChainId, Tip>,
}

/// The end of a chain as the sealer knows it.
struct Tip {
    head: Head,
    /// False once the head may have moved without us.
    is_sure: bool,
    links: ChainLinks,
    /// The place of the chain in the moves of the batch that is being made.
    place: Option<usize>,
}

impl Sealer {
    /// The most chains whose heads are remembered between batches.
    const REMEMBERED: usize = 16_384;

    /// Starts without knowing any head.
    #[must_use]
    pub fn new(signer: Arc<Signer>) -> Self {
        Self { signer, chains: HashMap::new() }
    }

    /// Tells the sealer where a chain stands. Returns the head it knew, if the chain cannot have grown from there: its end was taken
    /// away or replaced.
    pub fn set_head(&mut self, chain: ChainId, head: Head) -> Option<Head> {
        match self.chains.entry(chain) {
            Slot::Occupied(mut tip) => {
                let tip = tip.get_mut();
                let before = std::mem::replace(&mut tip.head, head);
                tip.is_sure = true;
                before.is_lost_in(&head).then_some(before)
            }
            Slot::Vacant(free) => {
                free.insert(Tip { head, is_sure: true, links: ChainLinks::new(&chain), place: None });
                None
            }
        }
    }

    /// Tells the sealer that chains may have moved.
    pub fn doubt(&mut self, batch: &AppendBatch) {
        for moved in &batch.moves {
            if let Some(tip) = self.chains.get_mut(&moved.chain) {
                tip.is_sure = false;
            }
        }
    }

    /// Tells whether the head of a chain is known.
    #[must_use]
    pub fn knows(&self, chain: &ChainId) -> bool {
        self.chains.get(chain).is_some_and(|tip| tip.is_sure)
    }

    /// Tells the sealer that a batch was committed, or is on its way: then another one may be sealed onto it, to be written after it.
    pub fn advance(&mut self, batch: &AppendBatch) {
        for moved in &batch.moves {
            if let Some(tip) = self.chains.get_mut(&moved.chain) {
                tip.head = moved.to;
            }
        }
        if self.chains.len() > Self::REMEMBERED {
            self.chains.clear();
        }
    }

    /// Takes back an [`advance`](Self::advance): the batch was not committed, or nobody knows. What was sealed onto it is worthless.
    pub fn retreat(&mut self, batch: &AppendBatch) {
        for moved in &batch.moves {
            if let Some(tip) = self.chains.get_mut(&moved.chain) {
                tip.head = moved.from;
            }
        }
    }

    /// Links and signs contents, in their order, to the heads of their chains; the sealer's heads stay until
    /// [`advance`](Self::advance). Contents of a chain whose head is not [known](Self::knows) are left out. The ids of one scope
    /// must be different.
    pub fn seal<'a>(
        &mut self,
        fence: Fence,
        now: Timestamp,
        contents: impl IntoIterator<Item = (ChainId, &'a Arc<Content>)>,
    ) -> AppendBatch {
        let contents = contents.into_iter();
        // Nothing of the keys outlives the batch: they may be exchanged, and those before have to be wiped then.
        let keys = self.signer.keys();
        let key_epoch: KeyVersion = keys.current();
        let mut moves: Vec<HeadMove> = Vec::new();
        let mut macs: Vec<ChainMacs> = Vec::new();
        let mut rows = Vec::with_capacity(contents.size_hint().0);
        for (chain, content) in contents {
            let Some(tip) = self.chains.get_mut(&chain).filter(|tip| tip.is_sure) else { continue };
            if tip.place.is_none() {
                let Some(of_chain) = keys.chain(key_epoch, &chain) else { continue };
                tip.place = Some(moves.len());
                moves.push(HeadMove { chain, from: tip.head, to: tip.head });
                macs.push(of_chain);
            }
            let of_chain = tip.place.and_then(|place| Some((moves.get_mut(place)?, macs.get(place)?)));
            let Some((moved, macs)) = of_chain else { continue };
            let seq = moved.to.seq + 1;
            // A clock that steps back must not put an entry before its predecessor: queries rely on the order.
            let recorded_at = now.max(moved.to.recorded_at);
            let link = tip.links.link(seq, recorded_at, &moved.to.link, &content.leaf);
            let mac = macs.mac(seq, &link);
            moved.to = Head { seq, link, recorded_at };
            rows.push(Row { chain, seq, recorded_at, link, mac, key_epoch, content: Arc::clone(content) });
        }
        for moved in &moves {
            if let Some(tip) = self.chains.get_mut(&moved.chain) {
                tip.place = None;
            }
        }
        AppendBatch { fence, moves, rows }
    }
}

impl std::fmt::Debug for Tip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tip")
            .field("head", &self.head)
            .field("is_sure", &self.is_sure)
            .finish_non_exhaustive()
    }
}
