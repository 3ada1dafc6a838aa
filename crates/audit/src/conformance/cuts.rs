//! Retention: chains that lose their beginning.

use stanchion_core::{Category, Scope};

use super::fixture::{Fixture, NOON, SYSTEM, prepared, standard};
use super::races::spawn;
use crate::{Chain, ChainId, CutOutcome, Digest, Head, Place, Query, RetentionClass, Row};

fn head_of(row: &Row) -> Head {
    Head { seq: row.seq, link: row.link, recorded_at: row.recorded_at }
}

async fn cut(fixture: &Fixture, chain: ChainId, from: Head, base: Head) -> CutOutcome {
    fixture.store.cut(SYSTEM, chain, &from, base).await.expect("answers")
}

async fn reclaim(fixture: &Fixture) {
    fixture.store.reclaim(SYSTEM).await.expect("reclaims");
}

/// Of entries below the base there is no trace in any read; the head stays, other chains stay whole, and what remains verifies.
pub async fn what_is_cut_off_is_read_by_nobody_and_the_rest_verifies(fixture: Fixture) {
    let scope = fixture.scope();
    let other = fixture.write(&[prepared(fixture.event(scope, Category::Security))]).await;
    let mut rows = Vec::new();
    for minute in 0..5 {
        let now = NOON.plus(std::time::Duration::from_secs(60 * minute));
        rows.extend(fixture.write_at(now, &fixture.some(scope, 3)).await);
    }
    let chain = standard(scope);
    let base = head_of(&rows[6]);
    assert_eq!(cut(&fixture, chain, Head::EMPTY, base).await, CutOutcome::Cut);
    for _ in 0..2 {
        let kept = rows.get(7..).expect("fifteen entries");
        assert_eq!(fixture.all(chain).await, kept);
        let part = fixture.store.read(chain, 3, 2).await.expect("reads");
        assert_eq!(part, rows[7..9]);
        let seals = fixture.store.seals(chain, 1, 3).await.expect("reads");
        assert_eq!(seals.iter().map(|seal| seal.seq).collect::<Vec<_>>(), [8, 9, 10]);
        for (row, is_kept) in rows.iter().zip((1..).map(|seq| seq > 7)) {
            assert_eq!(fixture.get(scope, row.content.id).await.is_some(), is_kept, "entry {}", row.seq);
        }
        let class = Query { class: Some(RetentionClass::Standard), ..Query::default() };
        let found = fixture.store.query(scope, &class, None, 100).await.expect("reads");
        assert_eq!(found.len(), 8);
        let before = Some(Place::from(&rows[7]));
        assert_eq!(fixture.store.query(scope, &class, before, 100).await.expect("reads"), []);
        let until = Query { until: Some(rows[4].recorded_at), ..class };
        assert_eq!(fixture.store.query(scope, &until, None, 100).await.expect("reads"), []);
        let head = rows.last().map_or(Head::EMPTY, head_of);
        assert_eq!(fixture.chains(scope).await.last(), Some(&Chain { id: chain, base, head }));
        assert_eq!(fixture.all(other[0].chain).await, other);
        assert_eq!(fixture.verified(scope).await, 1 + 8);
        // Whether the room was reclaimed makes no difference.
        reclaim(&fixture).await;
    }
    fixture.write_at(NOON.plus(std::time::Duration::from_secs(600)), &fixture.some(scope, 2)).await;
    assert_eq!(fixture.verified(scope).await, 1 + 10);
}

/// A cut from another base, or to one outside of the chain, is refused with the base as it is and changes nothing.
pub async fn a_chain_is_cut_only_from_the_base_that_was_expected(fixture: Fixture) {
    let scope = fixture.scope();
    let chain = standard(scope);
    let none = cut(&fixture, chain, Head::EMPTY, Head { seq: 1, ..Head::EMPTY }).await;
    assert_eq!(none, CutOutcome::Moved(Head::EMPTY));
    assert_eq!(fixture.chains(scope).await, []);
    let rows = fixture.write(&fixture.some(scope, 6)).await;
    let at = |seq: usize| head_of(&rows[seq - 1]);
    assert_eq!(cut(&fixture, chain, Head::EMPTY, at(2)).await, CutOutcome::Cut);
    let refused = [
        (Head::EMPTY, at(3)),
        (at(1), at(3)),
        (Head { link: Digest::ZERO, ..at(2) }, at(3)),
        (at(2), at(1)),
        (at(2), Head { seq: 7, ..at(6) }),
    ];
    for (from, base) in refused {
        assert_eq!(cut(&fixture, chain, from, base).await, CutOutcome::Moved(at(2)), "{from:?} {base:?}");
        assert_eq!(fixture.all(chain).await, rows[2..]);
    }
    assert_eq!(cut(&fixture, chain, at(2), at(2)).await, CutOutcome::Cut, "to where it stands");
    assert_eq!(cut(&fixture, chain, at(2), at(4)).await, CutOutcome::Cut);
    assert_eq!(fixture.verified(scope).await, 2);
    assert_eq!(fixture.chains(Scope::Platform).await, []);
}

/// A chain without a single entry left is still the chain that it was.
pub async fn a_chain_that_was_cut_to_its_head_goes_on(fixture: Fixture) {
    let scope = fixture.scope();
    let chain = standard(scope);
    let rows = fixture.write(&fixture.some(scope, 3)).await;
    let head = head_of(&rows[2]);
    assert_eq!(cut(&fixture, chain, Head::EMPTY, head).await, CutOutcome::Cut);
    reclaim(&fixture).await;
    assert_eq!(fixture.all(chain).await, []);
    assert_eq!(fixture.heads(&[chain]).await, [head]);
    assert_eq!(fixture.chains(scope).await, [Chain { id: chain, base: head, head }]);
    let next = fixture.write(&fixture.some(scope, 1)).await;
    assert_eq!(next[0].seq, 4);
    assert_eq!(fixture.verified(scope).await, 1);
}

/// Of four who cut from one base exactly one succeeds, while a writer goes on.
pub async fn racing_cuts_have_one_winner(fixture: Fixture) {
    let scope = fixture.scope();
    let chain = standard(scope);
    let mut from = Head::EMPTY;
    for round in 1..=20 {
        let rows = fixture.write(&fixture.some(scope, 4)).await;
        let cuts: Vec<_> = rows
            .iter()
            .map(|row| {
                let (fixture, base) = (fixture.clone(), head_of(row));
                spawn(async move { (base, cut(&fixture, chain, from, base).await) })
            })
            .collect();
        let writer = fixture.clone();
        let writer = spawn(async move { writer.write(&writer.some(scope, 1)).await });
        let mut won = Vec::new();
        for cut in cuts {
            match cut.await.expect("ends") {
                (base, CutOutcome::Cut) => won.push(base),
                (_, CutOutcome::Moved(_)) => {}
            }
        }
        writer.await.expect("ends");
        assert_eq!(won.len(), 1, "round {round}");
        from = won[0];
        assert_eq!(fixture.chains(scope).await[0].base, from);
    }
    fixture.verified(scope).await;
}
