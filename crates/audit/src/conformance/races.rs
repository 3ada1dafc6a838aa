//! Writers at the same time, on tasks of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stanchion_core::{Category, Event, Scope};

use super::fixture::{Fixture, Prepared, prepared};
use crate::AppendOutcome;

const ROUNDS: u64 = 100;
/// Events of a racing batch: the more, the longer the moment between looking and writing in which a racy store is caught.
const EVENTS: u64 = 8;

/// Writers that try again until they succeed lose nothing, double nothing and fork nothing.
pub async fn racing_writers_win_one_at_a_time(fixture: Fixture) {
    let scopes = [fixture.scope(), fixture.scope()];
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let fixture = fixture.clone();
            spawn(async move {
                let fence = fixture.open().await;
                for _ in 0..ROUNDS {
                    let contents = [fixture.some(scopes[0], 2), fixture.some(scopes[1], 1)].concat();
                    loop {
                        let batch = fixture.seal(fence, &contents).await;
                        match fixture.append(&batch).await {
                            AppendOutcome::Committed => break,
                            AppendOutcome::HeadsMoved(_) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("ends");
    }
    assert_eq!(fixture.verified(scopes[0]).await, 8 * ROUNDS);
    assert_eq!(fixture.verified(scopes[1]).await, 4 * ROUNDS);
}

/// Of four batches for one head exactly one is committed.
pub async fn racing_batches_of_one_head_have_one_winner(fixture: Fixture) {
    let scope = fixture.scope();
    for round in 1..=ROUNDS {
        let outcomes = race(&fixture, |fixture| batch(fixture, scope)).await;
        let won = outcomes.iter().filter(|outcome| **outcome == AppendOutcome::Committed).count();
        let moved = outcomes.iter().filter(|outcome| matches!(outcome, AppendOutcome::HeadsMoved(_))).count();
        assert_eq!((won, moved), (1, 3), "round {round}: {outcomes:?}");
    }
    assert_eq!(fixture.verified(scope).await, ROUNDS * EVENTS);
}

/// Of four batches with one id, even for different chains, exactly one is committed.
pub async fn racing_batches_of_one_id_have_one_winner(fixture: Fixture) {
    let scope = fixture.scope();
    let categories = [Category::Access, Category::Security, Category::DataAccess, Category::Security];
    for round in 1..=ROUNDS {
        let event = fixture.event(scope, Category::Access);
        let turn = AtomicUsize::new(0);
        let outcomes = race(&fixture, |fixture| {
            let category = categories[turn.fetch_add(1, Ordering::Relaxed)];
            let other = |_| prepared(fixture.event(scope, category));
            let others = (1..EVENTS).map(other);
            others.chain([prepared(Event { category, ..event.clone() })]).collect()
        })
        .await;
        let won = outcomes.iter().filter(|outcome| **outcome == AppendOutcome::Committed).count();
        assert_eq!(won, 1, "round {round}: {outcomes:?}");
    }
    assert_eq!(fixture.verified(scope).await, ROUNDS * EVENTS);
}

fn batch(fixture: &Fixture, scope: Scope) -> Vec<Prepared> {
    (0..EVENTS).map(|_| prepared(fixture.event(scope, Category::Access))).collect()
}

/// Four tasks seal what they are given onto the same heads, then append at once.
async fn race(fixture: &Fixture, contents: impl Fn(&Fixture) -> Vec<Prepared>) -> Vec<AppendOutcome> {
    let arrived = Arc::new(AtomicUsize::new(0));
    let mut racers = Vec::new();
    for _ in 0..4 {
        let fence = fixture.open().await;
        let batch = fixture.seal(fence, &contents(fixture)).await;
        let (fixture, arrived) = (fixture.clone(), Arc::clone(&arrived));
        racers.push(spawn(async move {
            // Not a barrier: whoever is woken by one comes too late for a store that answers within a microsecond.
            arrived.fetch_add(1, Ordering::SeqCst);
            let mut turns = 0_u32;
            while arrived.load(Ordering::SeqCst) < 4 {
                turns += 1;
                if turns.is_multiple_of(4_096) {
                    tokio::task::yield_now().await;
                }
                std::hint::spin_loop();
            }
            fixture.append(&batch).await
        }));
    }
    let mut outcomes = Vec::new();
    for racer in racers {
        outcomes.push(racer.await.expect("ends"));
    }
    outcomes
}

#[expect(clippy::disallowed_methods, reason = "a race needs tasks of its own, which the case waits for")]
pub(super) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}
