//! What is committed together, and when those who wait are told.

use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use stanchion_audit::{Config, Draft, Error, Ledger, Receipt};

use crate::support::{CONFIG, Fault, Faults, NOON, Setup, beside, tenant};

async fn append(setup: &Setup, ledger: &Ledger, count: usize) -> Vec<Result<Receipt, Error>> {
    let one = |_| ledger.append(tenant(1), Draft::Event(setup.event(tenant(1))));
    join_all((0..count).map(one)).await
}

fn are_durable(receipts: &[Result<Receipt, Error>]) -> bool {
    receipts.iter().all(Result::is_ok)
}

#[tokio::test]
async fn a_commit_lingers_for_no_more_than_can_come_back() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(Config { linger_ms: 5, ..CONFIG });
    beside(sequencer, async {
        let first = append(&setup, &ledger, 20);
        let Either::Right((_, first)) = select(Box::pin(first), Box::pin(lingering(&setup))).await else {
            panic!("nobody knows yet how many come")
        };
        setup.clock.advance(Duration::from_millis(5));
        assert!(are_durable(&first.await));
        for _ in 0..10 {
            assert!(are_durable(&append(&setup, &ledger, 20).await));
        }
        assert_eq!(ledger.stats().committed, 220);
    })
    .await;
    assert_eq!(stanchion_core::Clock::now(&*setup.clock), NOON.plus(Duration::from_millis(5)));
}

/// What comes after a lone append may be anybody's: it is lingered for, so that a request and its end are one record.
#[tokio::test]
async fn a_few_who_wait_are_no_crowd() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(Config { linger_ms: 5, ..CONFIG });
    beside(sequencer, async {
        for _ in 0..3 {
            let one = append(&setup, &ledger, 1);
            let Either::Right((_, one)) = select(Box::pin(one), Box::pin(lingering(&setup))).await else {
                panic!("it was not lingered for")
            };
            setup.clock.advance(Duration::from_millis(5));
            assert!(are_durable(&one.await));
        }
    })
    .await;
}

async fn lingering(setup: &Setup) {
    while setup.clock.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_waited_for_a_commit_is_told_while_the_next_one_is_under_way() {
    let setup = Setup::over(Faults::new([Fault::None, Fault::Endless]));
    let (ledger, sequencer) = setup.ledger(Config { batch: 300, share: 1_000, ..CONFIG });
    beside(sequencer, async {
        let (first, second) = (append(&setup, &ledger, 300), append(&setup, &ledger, 300));
        let Either::Left((first, _)) = select(Box::pin(first), Box::pin(second)).await else {
            panic!("the second never ends")
        };
        assert!(are_durable(&first));
    })
    .await;
}

#[tokio::test]
async fn a_crowd_that_comes_back_again_and_again_is_recorded_whole() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(Config { batch: 1_000, share: 1_000, ..CONFIG });
    beside(sequencer, async {
        let one = |_| async {
            for _ in 0..5 {
                ledger.append(tenant(1), Draft::Event(setup.event(tenant(1)))).await.unwrap();
            }
        };
        join_all((0..900).map(one)).await;
        assert_eq!(ledger.verify(tenant(1)).await.unwrap().entries(), 4_500);
    })
    .await;
}
