//! Events go in, entries come out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use stanchion_audit::{
    Break, BreakReason, Content, Draft, Error, Fence, Ledger, MemoryLedgerStore, Query, Refused,
    RetentionClass, Sealer, Signer, Verdict, canonical, leaf_hash,
};
use stanchion_core::{
    Actor, Category, Detail, Event, EventSink as _, KeyRing, Outcome, PageRequest, Scope, Secret, Severity,
    SystemScope,
};
use stanchion_replica::Deliver as _;

use crate::support::{CONFIG, Faults, NOON, Setup, beside, committed, keys, late, tenant};

#[tokio::test]
async fn an_appended_event_is_found_again_with_its_receipt() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        let event = setup.event(tenant(1)).with_detail("status", 200_i64);
        let receipt = ledger.append(tenant(1), Draft::Event(event.clone())).await.unwrap();
        assert_eq!(receipt.leaf, leaf_hash(&canonical(&event).unwrap()));
        assert_eq!((receipt.chain.to_string(), receipt.seq), (format!("{}/standard", tenant(1)), 1));
        let entry = ledger.get(tenant(1), event.id).await.unwrap().unwrap();
        assert_eq!((entry.chain, entry.seq, entry.leaf), (receipt.chain, receipt.seq, receipt.leaf));
        assert_eq!((entry.event, entry.recorded_at, entry.key_epoch), (event.clone(), NOON, 1));
        assert!(ledger.get(tenant(2), event.id).await.unwrap().is_none());
        assert!(ledger.verify(tenant(1)).await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn a_late_event_is_made_when_the_sequencer_takes_it() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let is_done = Arc::new(AtomicBool::new(false));
    let (event, done) = (setup.event(tenant(1)), is_done.clone());
    let id = event.id;
    let draft = Draft::Late(Box::new(move || {
        let outcome = if done.load(Ordering::SeqCst) { Outcome::Success } else { Outcome::Unknown };
        Event { outcome, ..event }
    }));
    ledger.submit(tenant(1), draft).unwrap();
    is_done.store(true, Ordering::SeqCst);
    beside(sequencer, committed(&ledger, 1)).await;
    assert_eq!(ledger.get(tenant(1), id).await.unwrap().unwrap().event.outcome, Outcome::Success);
}

#[tokio::test]
async fn categories_go_to_the_chains_of_their_classes() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    for category in Category::ALL {
        let event = Event { category: *category, ..setup.event(tenant(1)) };
        ledger.submit(tenant(1), Draft::Event(event)).unwrap();
    }
    beside(sequencer, committed(&ledger, 7)).await;
    let verified = ledger.verify(tenant(1)).await.unwrap();
    let lengths = verified.chains.iter().map(|(chain, verdict)| match verdict {
        Verdict::Intact { entries, .. } => (chain.class, *entries),
        Verdict::Broken(found) => panic!("{found}"),
    });
    let expected =
        [(RetentionClass::Security, 3), (RetentionClass::DataAccess, 1), (RetentionClass::Standard, 3)];
    assert_eq!(lengths.collect::<Vec<_>>(), expected);
    assert_eq!(verified.entries(), 7);
    assert!(ledger.verify(tenant(2)).await.unwrap().chains.is_empty());
}

#[tokio::test]
async fn the_same_event_again_has_the_first_receipt_and_no_second_entry() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        let event = setup.event(tenant(1));
        let append = || ledger.append(tenant(1), Draft::Event(event.clone()));
        // In one batch, then in a later one.
        let together = join_all((0..3).map(|_| append())).await;
        setup.clock.advance(Duration::from_secs(5));
        let receipts: Vec<_> = together.into_iter().chain([append().await]).map(Result::unwrap).collect();
        assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
        let stats = ledger.stats();
        assert_eq!((stats.accepted, stats.committed, stats.duplicates), (4, 1, 3));
        assert_eq!(ledger.verify(tenant(1)).await.unwrap().entries(), 1);
    })
    .await;
}

#[tokio::test]
async fn another_event_under_a_known_id_is_refused_and_recorded_with_its_content() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        let event = setup.event(tenant(1));
        let other = Event { outcome: Outcome::Denied, ..event.clone() };
        let append = |event: &Event| ledger.append(tenant(1), Draft::Event(event.clone()));
        // In one batch, then in a later one, then through the outbox.
        let (first, second) = join(append(&event), append(&other)).await;
        first.unwrap();
        assert!(matches!(second, Err(Error::IdReused { id }) if id == event.id));
        assert!(matches!(append(&other).await, Err(Error::IdReused { .. })));
        ledger.deliver(&other).await.unwrap();
        assert_eq!(ledger.get(tenant(1), event.id).await.unwrap().unwrap().event, event);
        let query = Query { action: Some("audit.id_reused".into()), ..Query::default() };
        let alerts = ledger.query(tenant(1), &query, &PageRequest::default()).await.unwrap().items;
        assert_eq!((alerts.len(), ledger.stats().conflicts), (3, 3));
        for alert in alerts {
            assert_eq!(alert.event.actor, Actor::System("audit".into()));
            assert_eq!((alert.event.severity, alert.chain.class), (Severity::High, RetentionClass::Security));
            assert_eq!(alert.event.correlation.parent, Some(event.id));
            let content = String::from_utf8(canonical(&other).unwrap()).unwrap();
            assert_eq!(alert.event.details.get("event"), Some(&Detail::Text(content.into())));
        }
        assert!(ledger.verify(tenant(1)).await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn pages_go_newest_first_through_everything_once() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        let mut expected = Vec::new();
        for index in 0..23_usize {
            let category = Category::ALL[index % Category::ALL.len()];
            let event = Event { category, ..setup.event(tenant(1)) };
            expected.insert(0, event.id);
            ledger.append(tenant(1), Draft::Event(event)).await.unwrap();
            setup.clock.advance(Duration::from_millis(1));
        }
        let (mut found, mut request) = (Vec::new(), PageRequest::first(5));
        loop {
            let page = ledger.query(tenant(1), &Query::default(), &request).await.unwrap();
            found.extend(page.items.iter().map(|entry| entry.event.id));
            let Some(next) = page.next else { break };
            request = request.after(next);
        }
        assert_eq!(found, expected);
        let whole = ledger.query(tenant(1), &Query::default(), &PageRequest::first(23)).await.unwrap();
        assert_eq!((whole.items.len(), whole.next), (23, None));
        let bad = PageRequest::first(5).after("yesterday");
        assert!(matches!(ledger.query(tenant(1), &Query::default(), &bad).await, Err(Error::InvalidPageKey)));
    })
    .await;
}

#[tokio::test]
async fn pages_across_scopes_go_through_everything_once() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        let scopes = [Scope::Platform, tenant(1), tenant(2), tenant(3)];
        let mut expected = Vec::new();
        for (count, scope) in [3_usize, 0, 4, 5].into_iter().zip(scopes) {
            let mut own = Vec::new();
            for index in 0..count {
                let category = Category::ALL[index % Category::ALL.len()];
                let event = Event { category, ..setup.event(scope) };
                own.insert(0, event.id);
                ledger.append(scope, Draft::Event(event)).await.unwrap();
                setup.clock.advance(Duration::from_millis(1));
            }
            expected.extend(own);
        }
        let system = SystemScope::new("test");
        for limit in [1, 2, 3, 4, 5, 12, 100] {
            let (mut found, mut request) = (Vec::new(), PageRequest::first(limit));
            loop {
                let page = ledger.query_across(system, &Query::default(), &request).await.unwrap();
                assert!(page.items.len() <= limit);
                found.extend(page.items.iter().map(|entry| entry.event.id));
                let Some(next) = page.next else { break };
                request = request.after(next);
            }
            assert_eq!(found, expected, "by {limit}");
        }
        for bad in ["yesterday", "platform", "platform/x", "/"] {
            let bad = ledger.query_across(system, &Query::default(), &PageRequest::first(5).after(bad)).await;
            assert!(matches!(bad, Err(Error::InvalidPageKey)));
        }
    })
    .await;
}

#[tokio::test]
async fn one_tenants_flood_does_not_refuse_another() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let submit = |scope| ledger.submit(scope, late(setup.event(scope)));
    for _ in 0..CONFIG.share {
        submit(tenant(1)).unwrap();
    }
    assert!(matches!(submit(tenant(1)), Err(Refused::TenantShare)));
    for number in 2..=10 {
        (0..CONFIG.share).for_each(|_| submit(tenant(number)).unwrap());
    }
    assert!(matches!(submit(tenant(11)), Err(Refused::QueueFull)));
    let stats = ledger.stats();
    assert_eq!((stats.accepted, stats.refused, stats.queued), (1_000, 2, 1_000));
    beside(sequencer, committed(&ledger, 1_000)).await;
    for number in 1..=10 {
        assert_eq!(ledger.verify(tenant(number)).await.unwrap().entries(), 100);
    }
    assert_eq!(ledger.stats().queued, 0);
}

#[tokio::test]
async fn an_event_without_canonical_form_is_refused_and_a_late_one_is_recorded_all_the_same() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let event = || setup.event(tenant(1)).with_detail("n", i64::MAX);
    assert!(matches!(ledger.submit(tenant(1), Draft::Event(event())), Err(Refused::Invalid(_))));
    assert!(matches!(
        ledger.append(tenant(1), Draft::Event(event())).await,
        Err(Error::IntegerTooLarge { path, .. }) if path == "details.n"
    ));
    assert_eq!(ledger.stats().refused, 2);
    let (submitted, emitted, delivered) = (event(), event(), event());
    let ids = [submitted.id, emitted.id, delivered.id];
    beside(sequencer, async {
        ledger.submit(tenant(1), late(submitted)).unwrap();
        ledger.emit(emitted);
        ledger.deliver(&delivered).await.unwrap();
        for id in ids {
            let entry = ledger.get(tenant(1), id).await.unwrap().unwrap();
            assert_eq!(entry.event.details.get("n"), Some(&"9223372036854775807".into()));
        }
        assert_eq!(ledger.stats().reduced, 3);
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_steps_back_does_not_disturb_the_order() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    beside(sequencer, async {
        for step in [0, 10, -20, 5] {
            let micros = NOON.micros() + step * 1_000_000;
            setup.clock.set(stanchion_core::Timestamp::from_micros(micros));
            ledger.append(tenant(1), Draft::Event(setup.event(tenant(1)))).await.unwrap();
        }
        let page = ledger.query(tenant(1), &Query::default(), &PageRequest::default()).await.unwrap();
        let places: Vec<_> =
            page.items.iter().map(|entry| (entry.seq, entry.recorded_at.since(NOON).as_secs())).collect();
        assert_eq!(places, [(4, 10), (3, 10), (2, 10), (1, 0)]);
    })
    .await;
}

#[tokio::test]
async fn a_bounded_store_keeps_the_newest_and_they_verify_from_their_base() {
    let setup = Setup::over(Arc::new(MemoryLedgerStore::new(10)));
    let (ledger, sequencer) = setup.ledger(CONFIG);
    let events: Vec<Event> = (0..25).map(|_| setup.event(Scope::Platform)).collect();
    for event in &events {
        ledger.submit(Scope::Platform, Draft::Event(event.clone())).unwrap();
    }
    beside(sequencer, async {
        committed(&ledger, 25).await;
        let verified = ledger.verify(Scope::Platform).await.unwrap();
        assert!(matches!(
            verified.chains[..],
            [(_, Verdict::Intact { entries: 10, base, head, .. })] if (base.seq, head.seq) == (15, 25)
        ));
        assert!(ledger.get(Scope::Platform, events[14].id).await.unwrap().is_none());
        assert_eq!(ledger.get(Scope::Platform, events[15].id).await.unwrap().unwrap().seq, 16);
        let page = ledger.query(Scope::Platform, &Query::default(), &PageRequest::default()).await.unwrap();
        assert_eq!((page.items.len(), page.items[9].seq), (10, 16));
    })
    .await;
}

#[tokio::test]
async fn entries_dropped_while_they_are_verified_are_no_break() {
    let store = Faults::over(MemoryLedgerStore::new(10), []);
    let setup = Setup::over(store.clone());
    let (ledger, sequencer) = setup.ledger(CONFIG);
    (0..10).for_each(|_| ledger.submit(tenant(1), late(setup.event(tenant(1)))).unwrap());
    beside(sequencer, committed(&ledger, 10)).await;
    let chain = setup.store.chains(tenant(1)).await.unwrap()[0];
    let mut sealer = Sealer::new(Arc::new(Signer::new(&keys())));
    sealer.set_head(chain.id, chain.head);
    let contents: Vec<_> =
        (0..5).map(|_| Arc::new(Content::new(setup.event(tenant(1))).unwrap().1)).collect();
    let batch = sealer.seal(Fence::from_number(9), NOON, contents.iter().map(|content| (chain.id, content)));
    *store.by.before_read.lock().unwrap() = Some(batch);
    let verified = ledger.verify(tenant(1)).await.unwrap();
    assert!(
        matches!(
            verified.chains[..],
            [(_, Verdict::Intact { entries: 10, base, head, .. })] if (base.seq, head.seq) == (5, 15)
        ),
        "{verified:?}"
    );
}

#[tokio::test]
async fn verification_with_other_keys_names_the_first_entry() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger(CONFIG);
    ledger.submit(tenant(1), late(setup.event(tenant(1)))).unwrap();
    beside(sequencer, committed(&ledger, 1)).await;
    for (epoch, reason) in [(1, BreakReason::MacWrong), (2, BreakReason::UnknownKeyEpoch(1))] {
        let keys = KeyRing::new([(epoch, Secret::new([8; 32]))]).unwrap();
        let (clock, ids) = (setup.clock.clone(), setup.ids.clone());
        let (other, _sequencer) = Ledger::new(setup.store.clone(), keys, clock.clone(), clock, ids, CONFIG);
        let found = other.verify(tenant(1)).await.unwrap().first_break().unwrap();
        let Break { seq, reason: why, .. } = found;
        assert_eq!((seq, why), (1, reason));
    }
}
