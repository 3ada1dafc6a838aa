use std::sync::atomic::Ordering;

use stanchion_audit::{DataSubject, Draft, Entry, Opened, Query, is_reserved};
use stanchion_core::{Author, Detail, EventSink as _, PageRequest, Scope};

use crate::support::{EMAIL, Setup, beside, email, passing_time, path, tenant};

async fn entries(ledger: &stanchion_audit::Ledger, scope: Scope) -> Vec<Entry> {
    ledger.query(scope, &Query::default(), &PageRequest::default()).await.unwrap().items
}

fn configured() -> Setup {
    let mut setup = Setup::new();
    setup.config.fields = vec![path("details.email"), path("source.ip")];
    setup.config.searchable = vec![path("details.email")];
    assert_eq!(setup.config.validate(), Ok(()));
    setup
}

#[tokio::test]
async fn configured_fields_are_protected_whichever_way_an_event_comes() {
    let setup = configured();
    let (ledger, sequencer) = setup.ledger();
    ledger.protect(setup.protection());
    beside(sequencer, async {
        let scope = tenant(1);
        let with_ip = || {
            let mut event = setup.event(scope);
            event.source.ip = Some("192.0.2.77".parse().unwrap());
            event
        };
        let (offered, late, relayed) = (with_ip(), with_ip(), with_ip());
        let first = ledger.append(scope, Draft::Event(offered.clone())).await.unwrap();
        assert_eq!(
            ledger.append(scope, Draft::Event(offered.clone())).await.unwrap(),
            first,
            "offered again"
        );
        ledger.submit(scope, Draft::Late(Box::new(move || late))).unwrap();
        ledger.emit(relayed);
        ledger.reserve(scope).unwrap().append(Draft::Event(with_ip())).await.unwrap();
        let all = entries(&ledger, scope).await;
        assert_eq!(all.len(), 4);
        for entry in &all {
            let shown = format!("{entry:?}");
            assert!(!shown.contains("alice.liddell") && !shown.contains("192.0.2.77"), "{shown}");
            let mut events = [entry.event.clone()];
            let opened = setup.protection().open(scope, &mut events).await.unwrap();
            assert_eq!(opened, Opened { opened: 2, ..Opened::default() });
            assert_eq!(events[0].details.get("email"), Some(&EMAIL.into()));
        }
        assert!(ledger.verify(scope).await.unwrap().is_intact());
        let list = setup.event(scope).with_detail("email", vec![Detail::from(EMAIL)]);
        ledger.append(scope, Draft::Event(list.clone())).await.unwrap();
        let mut events = [ledger.get(scope, list.id).await.unwrap().unwrap().event];
        assert!(!format!("{events:?}").contains("alice.liddell"));
        assert_eq!(
            setup.protection().open(scope, &mut events).await.unwrap().opened,
            1,
            "no word finds a list"
        );
    })
    .await;
}

#[tokio::test]
async fn while_keys_are_away_events_are_recorded_without_what_is_protected() {
    let setup = configured();
    let (ledger, sequencer) = setup.ledger();
    let protection = setup.protection();
    ledger.protect(protection.clone());
    setup.store.hangs.store(true, Ordering::SeqCst);
    beside(sequencer, async {
        let scope = tenant(1);
        let append = ledger.append(scope, Draft::Event(setup.event(scope)));
        passing_time(&setup.clock, append).await.unwrap();
        setup.store.hangs.store(false, Ordering::SeqCst);
        let [entry] = entries(&ledger, scope).await.try_into().unwrap();
        let withheld = entry.event.details.get("email").unwrap();
        assert!(is_reserved(withheld) && !format!("{entry:?}").contains("alice.liddell"), "{entry:?}");
        assert_eq!(entry.event.details.get("rows"), Some(&7_i64.into()));
        assert_eq!(protection.stats().withheld, 1);
        let mut events = [entry.event.clone()];
        assert_eq!(protection.open(scope, &mut events).await.unwrap(), Opened::default());
        assert_eq!(events[0], entry.event, "there is nothing to open");
        assert!(ledger.verify(scope).await.unwrap().is_intact());
    })
    .await;
}

#[tokio::test]
async fn entries_are_found_by_their_protected_value_until_it_is_erased() {
    let setup = Setup::new();
    let (ledger, sequencer) = setup.ledger();
    let protection = setup.protection();
    beside(sequencer, async {
        let (scope, field) = (tenant(1), path("details.email"));
        for number in 0..7_i64 {
            let event = setup.event(scope).with_detail("number", number);
            let event = if number % 2 == 0 { event } else { event.with_detail("email", "bob@example.org") };
            let event = protection.seal(email(event)).await.unwrap();
            ledger.append(scope, Draft::Event(event)).await.unwrap();
        }
        let find = async |scope: Scope, value: &'static str, page: PageRequest| {
            let found = protection
                .find(&ledger, scope, &Query::default(), (&field, &value.into()), &page)
                .await
                .unwrap();
            let numbers = found.items.iter().map(|entry| match entry.event.details.get("number") {
                Some(Detail::Integer(number)) => *number,
                other => panic!("{other:?}"),
            });
            (numbers.collect::<Vec<_>>(), found.next)
        };
        let (first, next) = find(scope, "ALICE.liddell@example.org", PageRequest::first(3)).await;
        assert_eq!(first, [6, 4, 2]);
        let (rest, end) = find(scope, EMAIL, PageRequest::first(3).after(next.unwrap())).await;
        assert_eq!((rest, end), (vec![0], None));
        assert_eq!(find(tenant(2), EMAIL, PageRequest::default()).await.0, [0; 0]);
        assert_eq!(find(scope, "alice", PageRequest::default()).await.0, [0; 0]);
        let alice: DataSubject = "user:alice".parse().unwrap();
        protection.erase(&ledger, &Author::system("test"), scope, &alice, &"x".into()).await.unwrap();
        assert_eq!(find(scope, EMAIL, PageRequest::default()).await.0, [0; 0]);
    })
    .await;
}
