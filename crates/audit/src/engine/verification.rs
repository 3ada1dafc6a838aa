use std::future::poll_fn;
use std::task::Poll;

use stanchion_core::{Scope, StoreError};

use crate::engine::Shared;
use crate::prover::Covered;
use crate::verify::ChainVerifier;
use crate::{
    Break, BreakReason, Chain, Error, Ledger, Row, SearchRow, SubjectKeyId, Verdict, Verification, Withdrawn,
};

impl Ledger {
    /// Verifies every chain of a scope from its stored bytes: hashes, links, signatures, numbers and columns. Entries committed after
    /// the call are not looked at. What is proven and what is not says [`verify_chain`](crate::verify_chain).
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read. A broken chain is a [`Verdict`], not an error.
    pub async fn verify(&self, scope: Scope) -> Result<Verification, Error> {
        let mut chains = Vec::new();
        for chain in self.shared.store.chains(scope).await? {
            chains.push((chain.id, self.verify_chain(chain, None).await?));
        }
        Ok(Verification { scope, chains })
    }

    pub(crate) async fn verify_chain(
        &self,
        mut chain: Chain,
        mut covered: Option<Covered>,
    ) -> Result<Verdict, Error> {
        const PAGE: usize = 1_000;
        let Shared { store, signer, .. } = &*self.shared;
        let mut verifier = ChainVerifier::new(chain.id, chain.base, signer);
        let mut tiles = Vec::new();
        while verifier.at().seq < chain.head.seq {
            let next = verifier.at().seq + 1;
            let rows = store.read(chain.id, next, PAGE).await?;
            if rows.first().is_none_or(|row| row.seq != next) {
                let now = store.chains(chain.id.scope).await?.into_iter().find(|now| now.id == chain.id);
                let Some(now) = now.filter(|now| now.base.seq >= next) else {
                    return Ok(Verdict::Broken(Break {
                        chain: chain.id,
                        seq: next,
                        reason: BreakReason::Gap,
                    }));
                };
                // The store has dropped its oldest entries meanwhile: what it now keeps is verified.
                chain = now;
                covered = None;
                verifier = ChainVerifier::new(chain.id, chain.base, signer);
                continue;
            }
            let page = store.projected(chain.id, next, rows.len()).await?;
            let mut beside = page.rows.iter().peekable();
            let mut withdrawn = None;
            for row in rows.iter().filter(|row| row.seq <= chain.head.seq) {
                if let Err(found) = verifier.check(row) {
                    return Ok(Verdict::Broken(found));
                }
                let stored = beside.next_if(|stored| stored.seq == row.seq);
                let is_right = is_found_as_it_is(row, stored, page.until, &Withdrawn::default());
                // Read after the page, so that what the page lacks is in it.
                if !is_right && withdrawn.is_none() {
                    withdrawn = Some(self.shared.withdrawn(chain.id.scope, &rows).await?);
                }
                let withdrawn = withdrawn.as_ref().filter(|_| !is_right);
                if !is_right
                    && !withdrawn.is_some_and(|gone| is_found_as_it_is(row, stored, page.until, gone))
                {
                    let (seq, reason) = (row.seq, BreakReason::ProjectionAltered);
                    return Ok(Verdict::Broken(Break { chain: chain.id, seq, reason }));
                }
                if let Some(Covered { checkpoint, edge }) = &mut covered
                    && row.seq <= checkpoint.size
                {
                    edge.push(row.content.leaf, &mut tiles);
                    tiles.clear();
                }
            }
            yield_once().await;
        }
        let broken = |seq, reason| Ok(Verdict::Broken(Break { chain: chain.id, seq, reason }));
        match covered {
            Some(Covered { checkpoint, .. }) if checkpoint.size > chain.head.seq => {
                broken(chain.head.seq + 1, BreakReason::Gap)
            }
            Some(Covered { checkpoint, edge }) if edge.root() != checkpoint.root => {
                broken(checkpoint.size, BreakReason::TreeWrong)
            }
            _ => Ok(verifier.finish(&chain.head)),
        }
    }
}

impl Shared {
    /// Returns what is withdrawn of the keys of entries. A store's word is not enough where it can be checked: a key that is still there
    /// was not destroyed, so what it protects has to be found.
    async fn withdrawn(&self, scope: Scope, rows: &[Row]) -> Result<Withdrawn, StoreError> {
        let mut keys: Vec<SubjectKeyId> =
            rows.iter().flat_map(|row| Withdrawn::keys_of(&row.content)).collect();
        keys.sort_unstable();
        keys.dedup();
        let told = self.store.withdrawn(scope, &keys).await?;
        let Some(protection) = self.protection.get().filter(|_| !told.is_empty()) else { return Ok(told) };
        let there = protection.kept_of(scope, &keys).await?;
        let mut withdrawn = Withdrawn::default();
        for (key, keeps) in told.iter() {
            let there = there.iter().filter(|(id, _)| *id == key).map(|(_, node)| node);
            withdrawn.insert(key, keeps.iter().chain(there).cloned());
        }
        Ok(withdrawn)
    }
}

/// Tells whether queries find an entry as what it is: what is kept for them of an entry up to `until` follows from its bytes. Words that are
/// withdrawn may be there as long as that is not finished.
fn is_found_as_it_is(row: &Row, stored: Option<&SearchRow>, until: u64, withdrawn: &Withdrawn) -> bool {
    let Some(stored) = stored else { return row.seq > until };
    let made = |withdrawn| SearchRow::of(row.chain.scope, row.seq, &row.content, withdrawn);
    let Ok(least) = made(withdrawn) else { return false };
    if least == *stored || withdrawn.is_empty() {
        return least == *stored;
    }
    let Ok(most) = made(&Withdrawn::default()) else { return false };
    let has = |terms: &[i64], all: &[i64]| all.iter().all(|term| terms.binary_search(term).is_ok());
    let is_between = has(&stored.terms, &least.terms) && has(&most.terms, &stored.terms);
    is_between && SearchRow { terms: stored.terms.clone(), ..least } == *stored
}

/// Lets other tasks run: a long verification of a store in memory would not.
pub(crate) async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
