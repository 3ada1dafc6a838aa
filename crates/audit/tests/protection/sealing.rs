use std::sync::atomic::Ordering;

use proptest::prelude::*;
use stanchion_audit::{Mark, Marked, Opened, ProtectionError, SEALED, Sealed, canonical};
use stanchion_core::{Category, Detail, Details, Event, FieldChange, Recorded, Scope, SubjectRef};

use crate::support::{EMAIL, Setup, email, passing_time, path, ring, tenant};

fn sealed(event: &Event, name: &str) -> Sealed {
    Sealed::from_detail(event.details.get(name).unwrap()).unwrap()
}

async fn opened(setup: &Setup, event: &Event) -> (Event, Opened) {
    let mut events = [event.clone()];
    let count = setup.protection().open(event.scope, &mut events).await.unwrap();
    let [event] = events;
    (event, count)
}

fn absent(why: &'static str) -> Detail {
    Detail::Map([("absent", Detail::from(why)), ("sealed", SEALED.into())].into_iter().collect())
}

#[tokio::test]
async fn a_marked_value_is_closed_in_the_bytes_and_opens_again() {
    let setup = Setup::new();
    let event = setup.event(tenant(1));
    let closed = setup.protection().seal(email(event.clone())).await.unwrap();
    let bytes = String::from_utf8(canonical(&closed).unwrap()).unwrap();
    assert!(!bytes.contains("alice.liddell") && bytes.contains(r#""rows":7"#), "{bytes}");
    assert!(!format!("{closed:?}").contains(EMAIL));
    let (open, count) = opened(&setup, &closed).await;
    assert_eq!((open, count), (event, Opened { opened: 1, ..Opened::default() }));
}

#[tokio::test]
async fn the_same_event_has_the_same_bytes_on_every_replica_and_another_has_others() {
    let setup = Setup::new();
    let event = setup.event(tenant(1));
    let (one, other) = (setup.protection(), setup.protection());
    let (a, b) = tokio::join!(one.seal(email(event.clone())), other.seal(email(event.clone())));
    let (a, b) = (canonical(&a.unwrap()).unwrap(), canonical(&b.unwrap()).unwrap());
    assert_eq!(a, b);
    let next = one.seal(email(setup.event(tenant(1)))).await.unwrap();
    let (first, next) =
        (sealed(&one.seal(email(event.clone())).await.unwrap(), "email"), sealed(&next, "email"));
    assert_eq!((first.key, &first.index), (next.key, &next.index), "one subject, one month, one value");
    assert_ne!(first.nonce, next.nonce, "a nonce is for one event");
    assert_ne!(first.ciphertext, next.ciphertext);
    let other = event.clone().with_detail("email", "bob@example.org");
    let other = sealed(&one.seal(email(other)).await.unwrap(), "email");
    assert_ne!(first.nonce, other.nonce, "and for one value");
}

#[tokio::test]
async fn changes_nested_details_and_the_source_are_protected_too() {
    let setup = Setup::new();
    let inner: Details = [("email", EMAIL)].into_iter().collect();
    let mut event = setup.event(tenant(1)).with_detail("customer", inner);
    let value = |text: &'static str| Some(Recorded::Value(text.into()));
    event.changes =
        vec![FieldChange { field: "phone".into(), before: value("+44 1"), after: value("+44 2") }];
    event.source.ip = Some("192.0.2.77".parse().unwrap());
    event.source.user_agent = Some("Agent of Alice".into());
    let marks =
        ["details.customer.email", "details.email", "changes.phone", "source.ip", "source.user_agent"];
    let closed = setup
        .protection()
        .seal(Marked::new(event.clone(), marks.map(|mark| Mark::new(path(mark)))))
        .await
        .unwrap();
    let bytes = String::from_utf8(canonical(&closed).unwrap()).unwrap();
    for clear in [EMAIL, "+44", "192.0.2.77", "Agent"] {
        assert!(!bytes.contains(clear), "{clear} in {bytes}");
    }
    let (open, count) = opened(&setup, &closed).await;
    assert_eq!(count, Opened { opened: 6, ..Opened::default() });
    assert_eq!(
        (&open.changes, open.details.get("customer")),
        (&event.changes, event.details.get("customer"))
    );
    assert_eq!(
        open.details.get("source_ip"),
        Some(&"192.0.2.77".into()),
        "an address stands in the details instead"
    );
    assert_eq!(open.source.ip, None);
}

#[tokio::test]
async fn a_ciphertext_opens_nowhere_but_where_it_was_recorded() {
    let setup = Setup::new();
    let protection = setup.protection();
    let mark =
        |event| Marked::new(event, [Mark::new(path("details.email")), Mark::new(path("details.name"))]);
    let one = protection.seal(mark(setup.event(tenant(1)).with_detail("name", "Alice"))).await.unwrap();
    let other = protection.seal(mark(setup.event(tenant(1)).with_detail("name", "Alice"))).await.unwrap();
    let theirs = protection.seal(mark(setup.event(tenant(2)).with_detail("name", "Alice"))).await.unwrap();
    let with =
        |base: &Event, name: &'static str, value: &Detail| base.clone().with_detail(name, value.clone());
    let email = one.details.get("email").unwrap();
    let moved = [
        with(&one, "name", email),
        with(&one, "elsewhere", email),
        with(&other, "email", email),
        Event { category: Category::Security, ..one.clone() },
    ];
    for moved in moved {
        let (open, count) = opened(&setup, &moved).await;
        assert!(count.unreadable >= 1, "{moved:?}");
        assert!(open.details.iter().any(|(_, value)| *value == absent("unreadable")));
    }
    // Of another tenant's key there is nothing to be found, which is all that is told.
    let (open, count) = opened(&setup, &with(&theirs, "email", email)).await;
    assert_eq!((open.details.get("email"), count.erased), (Some(&absent("erased")), 1));
    let mut altered = sealed(&one, "email");
    altered.ciphertext[3] ^= 1;
    let (open, _) = opened(&setup, &with(&one, "email", &altered.to_detail())).await;
    assert_eq!(open.details.get("email"), Some(&absent("unreadable")));
    // A scope's keys do not open what claims to be of it.
    let mut stolen = [Event { scope: tenant(2), ..one.clone() }];
    let count = setup.protection().open(tenant(2), &mut stolen).await.unwrap();
    assert_eq!((count.opened, count.erased), (0, 2));
}

#[tokio::test]
async fn a_value_is_about_the_actor_or_whoever_is_named() {
    let setup = Setup::new();
    let protection = setup.protection();
    let event = setup.event(tenant(1)).with_detail("patient", "Bob");
    let bob = SubjectRef::user("bob").unwrap();
    let marks = [Mark::new(path("details.email")), Mark::new(path("details.patient")).about(&bob)];
    let closed = protection.seal(Marked::new(event, marks)).await.unwrap();
    assert_ne!(sealed(&closed, "email").key, sealed(&closed, "patient").key);
    let nobody = Event { actor: stanchion_core::Actor::Anonymous, ..setup.event(tenant(1)) };
    let closed = protection.seal(email(nobody)).await.unwrap();
    assert_eq!(sealed(&closed, "email").ciphertext.len() % 32, 16, "whole blocks and a tag");
}

#[tokio::test]
async fn what_cannot_be_protected_is_refused_and_never_shown() {
    let setup = Setup::new();
    let protection = setup.protection();
    let seal =
        async |event: Event, mark: Mark| protection.seal(Marked::new(event, [mark])).await.unwrap_err();
    let base = || setup.event(tenant(1));
    let no_value = seal(base(), Mark::new(path("details.nothing"))).await;
    assert!(matches!(no_value, ProtectionError::NoValue { .. }), "{no_value:?}");
    let secret = 8_765_432_109_876_543_210_i64;
    let large = seal(base().with_detail("number", secret), Mark::new(path("details.number"))).await;
    assert!(!format!("{large} {large:?}").contains("8765432109876543210"), "{large:?}");
    let list = base().with_detail("list", vec![Detail::from("Alice")]);
    let list = seal(list, Mark::new(path("details.list")).searchable()).await;
    assert!(matches!(list, ProtectionError::Value { .. }) && !format!("{list:?}").contains("Alice"));
    let forged =
        base().with_detail("x", Detail::Map([("sealed", "stanchion.sealed/v9")].into_iter().collect()));
    let forged = seal(forged, Mark::new(path("details.email"))).await;
    assert!(matches!(forged, ProtectionError::Reserved { .. }), "{forged:?}");
    let marked = email(base());
    assert!(!format!("{marked:?}").contains(EMAIL));
}

#[tokio::test]
async fn without_its_keys_nothing_is_recorded_in_clear() {
    let setup = Setup::new();
    let protection = setup.protection();
    setup.store.is_away.store(true, Ordering::SeqCst);
    let refused = protection.seal(email(setup.event(tenant(1)))).await.unwrap_err();
    assert!(matches!(refused, ProtectionError::Store(_)), "{refused:?}");
    setup.store.is_away.store(false, Ordering::SeqCst);
    setup.store.hangs.store(true, Ordering::SeqCst);
    let late = passing_time(&setup.clock, protection.seal(email(setup.event(tenant(1))))).await.unwrap_err();
    assert!(matches!(late, ProtectionError::Late { patience } if patience.as_millis() == 1_000), "{late:?}");
    setup.store.hangs.store(false, Ordering::SeqCst);
    protection.seal(email(setup.event(tenant(1)))).await.unwrap();
    setup.store.is_away.store(true, Ordering::SeqCst);
    protection.seal(email(setup.event(tenant(1)))).await.expect("keys in memory are enough");
    setup.clock.advance(std::time::Duration::from_secs(30));
    protection.seal(email(setup.event(tenant(1)))).await.expect_err("they are not kept for ever");
}

#[tokio::test]
async fn keys_are_wrapped_anew_and_old_versions_open_until_then() {
    let setup = Setup::new();
    let scope = tenant(1);
    let old = setup.protection().seal(email(setup.event(scope))).await.unwrap();
    let both = setup.protection_with(ring(&[1, 2]));
    let mut events = [old.clone()];
    assert_eq!(both.open(scope, &mut events).await.unwrap().opened, 1);
    assert_eq!(both.rewrap().await.unwrap(), 2, "alice's key, and the one for blind indexes");
    assert_eq!(both.rewrap().await.unwrap(), 0);
    let only_new = setup.protection_with(ring(&[2]));
    let mut events = [old.clone()];
    assert_eq!(only_new.open(scope, &mut events).await.unwrap().opened, 1);
    let index = only_new.index(scope, &path("details.email"), &EMAIL.into()).await.unwrap();
    assert_eq!(Some(index), sealed(&old, "email").index, "words stay what they were");
    let error = setup.protection().open(scope, &mut [old]).await.unwrap_err();
    assert!(matches!(error, ProtectionError::NoVersion { version: 2 }), "{error:?}");
}

#[tokio::test]
async fn a_word_says_nothing_across_tenants_or_fields() {
    let setup = Setup::new();
    let protection = setup.protection();
    let index = async |scope: Scope, field: &str, value: &'static str| {
        protection.index(scope, &path(field), &value.into()).await.unwrap().to_string()
    };
    let word = index(tenant(1), "details.email", EMAIL).await;
    assert!(
        word.len() == 34 && word.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit()),
        "{word}"
    );
    assert_eq!(
        word,
        index(tenant(1), "details.email", " Alice.LIDDELL@example.org ").await,
        "written differently"
    );
    assert_ne!(word, index(tenant(2), "details.email", EMAIL).await);
    assert_ne!(word, index(tenant(1), "details.mail", EMAIL).await);
}

fn any_value() -> impl Strategy<Value = Detail> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Detail::Bool),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Detail::Integer),
        ".{0,80}".prop_map(Detail::from),
        Just(Detail::Null),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Detail::List),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|map| Detail::Map(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is protected opens to what it was, and no part of it that is long enough to tell stands in the canonical bytes.
    #[test]
    fn nothing_of_a_protected_value_is_in_the_bytes(value in any_value(), marker in "[A-Z][a-zA-Z]{11,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let setup = Setup::new();
            let protected = Detail::List(vec![marker.clone().into(), value]);
            let event = setup.event(tenant(1)).with_detail("secret", protected);
            let marks = [Mark::new(path("details.secret")), Mark::new(path("details.email"))];
            let closed = setup.protection().seal(Marked::new(event.clone(), marks)).await.unwrap();
            let bytes = canonical(&closed).unwrap();
            for clear in marker.as_bytes().windows(12) {
                prop_assert!(!bytes.windows(12).any(|window| window == clear));
            }
            let (open, _) = opened(&setup, &closed).await;
            prop_assert_eq!(canonical(&open).unwrap(), canonical(&event).unwrap());
            Ok(())
        })?;
    }
}
