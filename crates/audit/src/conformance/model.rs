//! Random operations on a store and on the reference in memory, side by side.

use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Actor, Category, Event, Outcome, Scope, SeededRandom, Severity};

use super::fixture::{Fixture, NOON, Prepared, SYSTEM, keys, prepared};
use crate::{
    AppendOutcome, ChainId, Content, Fence, MemoryLedgerStore, Place, Query, RetentionClass, Sealer, Shard,
    Signer, Writers,
};

/// Runs 200 operations drawn from a seed. Fences differ between stores, so each writer has one of each.
pub(super) async fn run(fixture: &Fixture, seed: u64) {
    let random = SeededRandom::new(seed);
    let below = |bound: u64| random.next_u64() % bound;
    let reference = Fixture::new(Arc::new(MemoryLedgerStore::new(4_096)));
    let scopes = [fixture.scope(), fixture.scope()];
    let mut writers: Vec<(Fence, Fence)> = vec![open(fixture, &reference, Writers::Shared).await];
    let mut known: Vec<Event> = Vec::new();
    for step in 0..200_u64 {
        let context = || format!("seed {seed}, step {step}");
        match below(10) {
            0 => {
                let kind = if below(4) == 0 { Writers::Exclusive } else { Writers::Shared };
                writers.push(open(fixture, &reference, kind).await);
            }
            1..=6 => {
                let contents = contents(fixture, &random, scopes, &mut known);
                let stale = below(5) == 0;
                let writer = *pick(&writers, below(u64::try_from(writers.len()).unwrap_or(1)));
                let now = NOON.plus(Duration::from_secs(step / 2));
                let outcomes = append_to_both(fixture, &reference, writer, now, &contents, stale).await;
                assert_eq!(outcomes.0, outcomes.1, "{}", context());
            }
            7 => {
                if below(3) == 0 {
                    let chains = RetentionClass::ALL.map(|class| ChainId { scope: scopes[0], class });
                    fixture.store.project(SYSTEM, &chains, 20).await.expect("projects");
                }
                let query = query(&random);
                let scope = *pick(&scopes, below(2));
                let limit = usize::try_from(below(20)).unwrap_or_default();
                let all = reference.store.query(scope, &Query::default(), None, 1_000).await.expect("reads");
                let before = (below(2) == 0 && !all.is_empty())
                    .then(|| Place::from(pick(&all, below(u64::try_from(all.len()).unwrap_or(1)))));
                let ours = fixture.store.query(scope, &query, before, limit).await.expect("reads");
                let expected = reference.store.query(scope, &query, before, limit).await.expect("reads");
                assert_eq!(ours, expected, "{}: {query:?} before {before:?}", context());
            }
            8 => {
                let chain =
                    ChainId { scope: *pick(&scopes, below(2)), class: *pick(&RetentionClass::ALL, below(3)) };
                let (from, limit) = (below(30), usize::try_from(below(20)).unwrap_or_default());
                let ours = fixture.store.read(chain, from, limit).await.expect("reads");
                let expected = reference.store.read(chain, from, limit).await.expect("reads");
                assert_eq!(ours, expected, "{}: {chain} from {from}", context());
            }
            _ => {
                let Some(event) =
                    known.get(usize::try_from(below(1_000)).unwrap_or_default() % known.len().max(1))
                else {
                    continue;
                };
                for scope in scopes {
                    let ours = fixture.get(scope, event.id).await;
                    assert_eq!(ours, reference.get(scope, event.id).await, "{}", context());
                }
            }
        }
    }
    for scope in scopes {
        let chains = fixture.chains(scope).await;
        assert_eq!(chains, reference.chains(scope).await, "seed {seed}");
        for chain in chains {
            assert_eq!(fixture.all(chain.id).await, reference.all(chain.id).await, "seed {seed}");
        }
        assert_eq!(fixture.verified(scope).await, reference.verified(scope).await, "seed {seed}");
    }
}

async fn open(fixture: &Fixture, reference: &Fixture, writers: Writers) -> (Fence, Fence) {
    let open =
        async |fixture: &Fixture| fixture.store.open(SYSTEM, Shard::ONLY, writers).await.expect("opens");
    (open(fixture).await, open(reference).await)
}

/// A batch of up to five events: mostly new ones, some known, some known with another content.
fn contents(
    fixture: &Fixture,
    random: &SeededRandom,
    scopes: [Scope; 2],
    known: &mut Vec<Event>,
) -> Vec<Prepared> {
    let below = |bound: u64| random.next_u64() % bound;
    let mut events: Vec<Event> = Vec::new();
    for _ in 0..=below(5) {
        let mut event = fixture.event(*pick(&scopes, below(2)), *pick(Category::ALL, below(7)));
        if below(8) == 0 && !known.is_empty() {
            event = pick(known, below(u64::try_from(known.len()).unwrap_or(1))).clone();
        }
        if below(2) == 0 {
            event.outcome = *pick(Outcome::ALL, below(5));
            event.severity = *pick(Severity::ALL, below(5));
            event.actor = Actor::System(["a", "b"][usize::try_from(below(2)).unwrap_or_default()].into());
        }
        if events.iter().all(|other| (other.scope, other.id) != (event.scope, event.id)) {
            events.push(event);
        }
    }
    known.extend(events.iter().cloned());
    events.into_iter().map(prepared).collect()
}

/// Seals one batch with either store's fence and gives it to both. A stale one is linked to heads as they were before the events of
/// another batch came in between.
async fn append_to_both(
    fixture: &Fixture,
    reference: &Fixture,
    (ours, theirs): (Fence, Fence),
    now: stanchion_core::Timestamp,
    contents: &[Prepared],
    stale: bool,
) -> (AppendOutcome, AppendOutcome) {
    let chains: Vec<ChainId> = contents.iter().map(|(chain, _)| *chain).collect();
    let mut heads = reference.heads(&chains).await;
    assert_eq!(fixture.heads(&chains).await, heads);
    if stale {
        heads.iter_mut().for_each(|head| head.link = crate::Digest::from_bytes([9; 32]));
    }
    let mut sealer = Sealer::new(Arc::new(Signer::new(&keys())));
    for (chain, head) in chains.iter().zip(heads) {
        sealer.set_head(*chain, head);
    }
    let mut seal = |fence| {
        let contents = contents.iter().map(|(chain, content): &(ChainId, Arc<Content>)| (*chain, content));
        sealer.seal(fence, now, contents)
    };
    let (for_ours, for_theirs) = (seal(ours), seal(theirs));
    (sorted(fixture.append(&for_ours).await), sorted(reference.append(&for_theirs).await))
}

/// The order in which moved heads are told is the adapter's own.
fn sorted(outcome: AppendOutcome) -> AppendOutcome {
    match outcome {
        AppendOutcome::HeadsMoved(mut heads) => {
            heads.sort_by_key(|(chain, _)| *chain);
            AppendOutcome::HeadsMoved(heads)
        }
        AppendOutcome::Known(mut known) => {
            known.sort_by_key(|known| known.index);
            AppendOutcome::Known(known)
        }
        other => other,
    }
}

fn query(random: &SeededRandom) -> Query {
    let below = |bound: u64| random.next_u64() % bound;
    let mut query = Query::default();
    if below(3) == 0 {
        query.outcome = Some(*pick(Outcome::ALL, below(5)));
    }
    if below(3) == 0 {
        query.category = Some(*pick(Category::ALL, below(7)));
    }
    if below(3) == 0 {
        query.severity = Some(*pick(Severity::ALL, below(5)));
    }
    if below(3) == 0 {
        query.actor =
            Some(["system:a", "system:b", "anonymous"][usize::try_from(below(3)).unwrap_or_default()].into());
    }
    if below(3) == 0 {
        query.since = Some(NOON.plus(Duration::from_secs(below(100))));
    }
    if below(3) == 0 {
        query.until = Some(NOON.plus(Duration::from_secs(below(100))));
    }
    query
}

fn pick<T>(all: &[T], index: u64) -> &T {
    all.get(usize::try_from(index).unwrap_or_default()).expect("an index below the length")
}
