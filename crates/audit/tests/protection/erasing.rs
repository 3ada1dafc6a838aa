use std::sync::Arc;

use async_trait::async_trait;
use stanchion_audit::{
    Basis, DataSubject, Draft, Entry, Erased, ErasureHolds, ErasureOutcome, Exception, Hold, HoldStore as _,
    Ledger, LegalHolds, Mark, Marked, MemoryHoldStore, Opened, Protection, ProtectionError, Query,
    RetentionClass, Words,
};
use stanchion_core::{
    Author, Category, Clock as _, Event, FeedEntry, PageRequest, Revision, Scope, StoreError, StoreErrorKind,
    Timestamp,
};
use stanchion_replica::Follow as _;
use tokio::task::JoinSet;

use crate::support::{EMAIL, NOON, Setup, beside, email, path, tenant};

fn alice() -> DataSubject {
    "user:alice".parse().unwrap()
}

fn exception(id: &str) -> Exception {
    Exception {
        id: id.parse().unwrap(),
        subject: Some(alice()),
        class: None,
        field: None,
        basis: Basis::LegalClaims,
        until: Timestamp::from_micros(NOON.micros() + 60_000_000),
        reason: "a claim".into(),
    }
}

fn author() -> Author {
    Author::system("test")
}

async fn erase(protection: &Protection, ledger: &Ledger, scope: Scope) -> Erased {
    protection.erase(ledger, &author(), scope, &alice(), &"a request".into()).await.unwrap()
}

async fn record(protection: &Protection, ledger: &Ledger, marked: Marked) -> Event {
    let event = protection.seal(marked).await.unwrap();
    ledger.append(event.scope, Draft::Event(event.clone())).await.unwrap();
    event
}

async fn open(protection: &Protection, event: &Event) -> Opened {
    protection.open(event.scope, &mut [event.clone()]).await.unwrap()
}

async fn recorded(ledger: &Ledger, scope: Scope, action: &'static str) -> Vec<Entry> {
    let query = Query { action: Some(action.into()), ..Query::default() };
    ledger.query(scope, &query, &PageRequest::default()).await.unwrap().items
}

#[tokio::test]
async fn what_is_erased_is_closed_for_ever_and_the_chain_stays_green() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    let protection = setup.protection();
    beside(sequencer, async {
        let scope = tenant(1);
        let before = record(&protection, &ledger, email(setup.event(scope))).await;
        let bob = stanchion_core::SubjectRef::user("bob").unwrap();
        let of_bob = Marked::new(setup.event(scope), [Mark::new(path("details.email")).about(&bob)]);
        let of_bob = record(&protection, &ledger, of_bob).await;
        let elsewhere = record(&protection, &ledger, email(setup.event(tenant(2)))).await;
        let leaf = ledger.get(scope, before.id).await.unwrap().unwrap().leaf;
        let erased = erase(&protection, &ledger, scope).await;
        assert_eq!(
            (erased.outcome, erased.destroyed.len(), erased.kept.len()),
            (ErasureOutcome::Complete, 1, 0)
        );
        assert_eq!(erased.periods, ["2026-03".into()]);
        let [entry] = recorded(&ledger, scope, "audit.subject_erased").await.try_into().unwrap();
        assert_eq!(
            (entry.seq, entry.leaf, entry.event.id),
            (erased.receipt.seq, erased.receipt.leaf, erased.event)
        );
        assert_eq!(entry.event.details.get("keys"), Some(&1_u32.into()));
        assert_eq!(entry.event.targets[0].to_string(), "subject/user:alice");
        assert!(!format!("{entry:?}").contains(EMAIL));
        assert_eq!(open(&protection, &before).await, Opened { erased: 1, ..Opened::default() });
        assert_eq!(open(&protection, &of_bob).await.opened, 1);
        assert_eq!(open(&protection, &elsewhere).await.opened, 1, "another tenant's alice is another one");
        assert!(ledger.verify(scope).await.unwrap().is_intact());
        assert_eq!(ledger.get(scope, before.id).await.unwrap().unwrap().leaf, leaf);
        // A new key after the destruction is a new one.
        let after = record(&protection, &ledger, email(setup.event(scope))).await;
        assert_eq!(open(&protection, &after).await.opened, 1);
        assert_eq!(open(&protection, &before).await.erased, 1);
        let again = erase(&protection, &ledger, scope).await;
        assert_eq!(again.destroyed.len(), 1);
        assert_ne!(again.destroyed, erased.destroyed);
        assert_eq!(erase(&protection, &ledger, scope).await.destroyed, [], "there is nothing left");
    })
    .await;
}

#[tokio::test]
async fn another_replica_forgets_the_key_with_the_change_or_with_time() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    let (here, there) = (setup.protection(), setup.protection());
    beside(sequencer, async {
        let scope = tenant(1);
        there.seal(email(setup.event(scope))).await.unwrap();
        erase(&here, &ledger, scope).await;
        let stale = there.seal(email(setup.event(scope))).await.unwrap();
        assert_eq!(open(&here, &stale).await.erased, 1, "it is erased from the beginning");
        let entry =
            FeedEntry { scope, revision: Revision::from_number(1), keys: vec!["subject/user:alice".into()] };
        there.changed(&[entry]).await.unwrap();
        let fresh = there.seal(email(setup.event(scope))).await.unwrap();
        assert_eq!(open(&here, &fresh).await.opened, 1);
        erase(&here, &ledger, scope).await;
        setup.clock.advance(std::time::Duration::from_secs(30));
        let fresh = there.seal(email(setup.event(scope))).await.unwrap();
        assert_eq!(open(&here, &fresh).await.opened, 1);
    })
    .await;
}

#[tokio::test]
async fn an_exception_keeps_what_it_covers_until_it_ends() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    let protection = setup.protection();
    beside(sequencer, async {
        let scope = tenant(1);
        let base = |category| Event { category, ..setup.event(scope).with_detail("name", "Alice") };
        let both =
            |event| Marked::new(event, [Mark::new(path("details.email")), Mark::new(path("details.name"))]);
        let read = record(&protection, &ledger, both(base(Category::DataAccess))).await;
        let login = record(&protection, &ledger, both(base(Category::Authentication))).await;
        let bill = record(&protection, &ledger, both(base(Category::Billing))).await;
        let puts = [
            Exception {
                class: Some(RetentionClass::Security),
                basis: Basis::LegalObligation,
                ..exception("logins")
            },
            Exception {
                class: Some(RetentionClass::Standard),
                field: Some(path("details.name")),
                subject: None,
                until: Timestamp::from_micros(NOON.micros() + 120_000_000),
                ..exception("bills")
            },
            Exception { subject: Some("user:bob".parse().unwrap()), ..exception("bob") },
        ];
        for put in puts.clone() {
            protection.put_exception(&author(), scope, put).await.unwrap();
        }
        let erased = erase(&protection, &ledger, scope).await;
        assert_eq!(erased.outcome, ErasureOutcome::Partial);
        let kept: Vec<String> =
            erased.kept.iter().map(|kept| format!("{} {}", kept.exception, kept.basis.as_str())).collect();
        assert_eq!(kept, ["bills legal_claims", "logins legal_obligation"]);
        let sums = async || {
            let mut sums = Vec::new();
            for event in [&read, &login, &bill] {
                let Opened { opened, erased, unreadable } = open(&protection, event).await;
                sums.push((opened, erased, unreadable));
            }
            sums
        };
        assert_eq!(sums().await, [(0, 2, 0), (2, 0, 0), (1, 1, 0)]);
        assert_eq!(
            erase(&protection, &ledger, scope).await.outcome,
            ErasureOutcome::Refused,
            "all that is left is kept"
        );
        assert_eq!(sums().await, [(0, 2, 0), (2, 0, 0), (1, 1, 0)]);
        setup.clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(
            erase(&protection, &ledger, scope).await.outcome,
            ErasureOutcome::Partial,
            "one has ended"
        );
        assert_eq!(sums().await, [(0, 2, 0), (0, 2, 0), (1, 1, 0)]);
        let lifted = protection.lift_exception(&author(), scope, &"bills".parse().unwrap()).await.unwrap();
        assert_eq!(lifted, puts[1]);
        assert_eq!(erase(&protection, &ledger, scope).await.outcome, ErasureOutcome::Complete);
        assert_eq!(sums().await, [(0, 2, 0), (0, 2, 0), (0, 2, 0)]);
        assert!(ledger.verify(scope).await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn nothing_is_found_any_longer_by_the_words_of_what_was_erased() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    let protection = setup.protection();
    beside(sequencer, async {
        let scope = tenant(1);
        let (of_alice, late) = (email(setup.event(scope)), protection.seal(email(setup.event(scope))).await);
        record(&protection, &ledger, of_alice).await;
        let bob = stanchion_core::SubjectRef::user("bob").unwrap();
        let of_bob = Mark::new(path("details.email")).about(&bob).searchable();
        let of_bob = record(&protection, &ledger, Marked::new(setup.event(scope), [of_bob])).await;
        let word = protection.index(scope, &path("details.email"), &EMAIL.into()).await.unwrap();
        let query = Query { text: Some(word.to_string().into()), ..Query::default() };
        let found = async || ledger.query(scope, &query, &PageRequest::default()).await.unwrap().items;
        assert_eq!(found().await.len(), 2);
        let erased = erase(&protection, &ledger, scope).await;
        assert_eq!((erased.words.state(), erased.words.at), (Words::Gone, setup.clock.now()));
        let recorded = protection.erasure(&ledger, scope, erased.event).await.unwrap().unwrap();
        assert_eq!((recorded.receipt, recorded.subject), (erased.receipt, alice()));
        assert_eq!((recorded.outcome, recorded.keys), (ErasureOutcome::Complete, 1));
        assert_eq!((recorded.periods, recorded.words), (erased.periods, erased.words));
        for (scope, event) in [(tenant(2), erased.event), (scope, of_bob.id)] {
            assert_eq!(protection.erasure(&ledger, scope, event).await.unwrap(), None);
        }
        // What another replica protected before it heard of it.
        ledger.append(scope, Draft::Event(late.unwrap())).await.unwrap();
        let left = found().await;
        assert_eq!(left.iter().map(|entry| entry.event.id).collect::<Vec<_>>(), [of_bob.id]);
        assert!(ledger.verify(scope).await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn a_subject_that_is_excepted_keeps_its_keys() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    let protection = setup.protection();
    beside(sequencer, async {
        let scope = tenant(1);
        let event = record(&protection, &ledger, email(setup.event(scope))).await;
        protection.put_exception(&author(), scope, exception("all")).await.unwrap();
        let refused = erase(&protection, &ledger, scope).await;
        assert_eq!((refused.outcome, refused.destroyed.len()), (ErasureOutcome::Refused, 0));
        assert_eq!(open(&protection, &event).await.opened, 1);
        let bad = [
            Exception { subject: None, ..exception("x") },
            Exception { until: NOON, ..exception("x") },
            Exception { reason: "".into(), ..exception("x") },
        ];
        for bad in bad {
            let error = protection.put_exception(&author(), scope, bad).await.unwrap_err();
            assert!(matches!(error, ProtectionError::Exception(_)), "{error:?}");
        }
        let error =
            protection.lift_exception(&author(), tenant(2), &"all".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, ProtectionError::NoException(_)), "{error:?}");
    })
    .await;
}

#[derive(Debug)]
struct Holds(Result<Vec<Exception>, StoreErrorKind>);

#[async_trait]
impl ErasureHolds for Holds {
    async fn holds(&self, _: Scope, _: &DataSubject) -> Result<Vec<Exception>, StoreError> {
        self.0.clone().map_err(|kind| StoreError::new(kind, "test", "holds"))
    }
}

#[tokio::test]
async fn what_holds_elsewhere_is_asked_and_nothing_is_erased_unasked() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    beside(sequencer, async {
        let scope = tenant(1);
        let unasked = setup.protection().with_holds(Arc::new(Holds(Err(StoreErrorKind::Unavailable))));
        let event = record(&unasked, &ledger, email(setup.event(scope))).await;
        let error = unasked.erase(&ledger, &author(), scope, &alice(), &"x".into()).await.unwrap_err();
        assert!(matches!(error, ProtectionError::Store(_)), "{error:?}");
        let held = setup.protection().with_holds(Arc::new(Holds(Ok(vec![exception("hold-7")]))));
        let refused = erase(&held, &ledger, scope).await;
        assert_eq!(
            (refused.outcome, refused.kept[0].exception.to_string()),
            (ErasureOutcome::Refused, "hold-7".into())
        );
        assert_eq!(open(&held, &event).await.opened, 1);
    })
    .await;
}

#[tokio::test]
async fn a_legal_hold_keeps_what_is_protected_in_its_chains_while_it_stands() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    beside(sequencer, async {
        let scope = tenant(1);
        let store = Arc::new(MemoryHoldStore::default());
        let holds = LegalHolds::new(store.clone(), setup.clock.clone());
        let protection = setup.protection().with_holds(Arc::new(holds));
        let event = record(&protection, &ledger, email(setup.event(scope))).await;
        let id = event.id.uuid();
        let hold = Hold {
            id,
            scope,
            class: None,
            reason: "Smith v. Acme".into(),
            placed_by: "user:counsel".into(),
            placed_at: setup.clock.now(),
            until: None,
            lifted_by: None,
            lifted_at: None,
        };
        store.put(&hold).await.unwrap();
        let refused = erase(&protection, &ledger, scope).await;
        assert_eq!((refused.outcome, refused.kept[0].basis), (ErasureOutcome::Refused, Basis::LegalClaims));
        assert_eq!(open(&protection, &event).await.opened, 1);
        store.lift(scope, id, &"user:counsel".into(), setup.clock.now()).await.unwrap();
        assert_eq!(erase(&protection, &ledger, scope).await.outcome, ErasureOutcome::Complete);
        assert_eq!(open(&protection, &event).await.erased, 1);
    })
    .await;
}

#[tokio::test]
async fn an_erasure_that_the_ledger_would_not_take_destroys_nothing() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    let protection = setup.protection();
    let event = protection.seal(email(setup.event(tenant(1)))).await.unwrap();
    ledger.close();
    drop(sequencer);
    let error = protection.erase(&ledger, &author(), tenant(1), &alice(), &"x".into()).await.unwrap_err();
    assert!(matches!(error, ProtectionError::Refused(_)), "{error:?}");
    assert_eq!(open(&protection, &event).await.opened, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_erasure_races_with_appends_and_leaves_all_or_nothing_of_each() {
    let setup = Arc::new(Setup::new());
    let (ledger, sequencer) = setup.ledger();
    let mut running = JoinSet::new();
    running.spawn(sequencer.run());
    let scope = tenant(1);
    let protection = setup.protection();
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let (setup, ledger) = (Arc::clone(&setup), ledger.clone());
        writers.spawn(async move {
            let protection = setup.protection();
            for _ in 0..50 {
                record(&protection, &ledger, email(setup.event(scope))).await;
            }
        });
    }
    for _ in 0..20 {
        erase(&protection, &ledger, scope).await;
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    erase(&protection, &ledger, scope).await;
    let all = recorded(&ledger, scope, "data.read").await;
    assert_eq!(all.len(), 100, "a page of them");
    for entry in all {
        assert_eq!(open(&protection, &entry.event).await, Opened { erased: 1, ..Opened::default() });
    }
    assert!(ledger.verify(scope).await.unwrap().is_intact());
    ledger.close();
    running.join_all().await.into_iter().for_each(Result::unwrap);
}
