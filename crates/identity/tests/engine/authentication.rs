use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{Actor, SeededRandom};
use stanchion_identity::{Config, Environment, Error, NewKey, PlainKey, RejectionReason};
use stanchion_replica::Follow;
use tokio::task::JoinSet;

use crate::world::{EXPIRED, REVOKED, UNKNOWN, World, ask, recall, word};

fn stray(seed: u64) -> PlainKey {
    PlainKey::generate(&Environment::default(), &SeededRandom::new(seed))
}

#[tokio::test]
async fn a_key_names_its_principal_and_is_read_once() {
    let world = World::new();
    let engine = world.engine(1);
    let (key, plain) = world.issue(&engine).await;
    assert_eq!(recall(&engine, &plain), "ask");
    let outcome = engine.authenticate(plain.expose(), None).await.unwrap();
    let principal = outcome.principal().unwrap();
    assert_eq!((principal.scope, principal.subject.to_string().as_str()), (world.tenant, "service:etl"));
    let Actor::Subject { key: used, .. } = Actor::from(&**principal) else { panic!("{principal:?}") };
    assert_eq!(used, Some(key.id));
    assert_eq!(engine.try_authenticate(plain.expose(), None), Some(outcome));
    assert_eq!(world.store.finds(), 1);
}

#[tokio::test]
async fn what_is_no_key_never_reaches_the_store() {
    let world = World::new();
    let engine = world.engine(1);
    let (_, plain) = world.issue(&engine).await;
    let mut wrong = plain.expose().to_owned();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    for text in ["", "stn_live_", "Bearer x", &wrong, &format!("{} ", plain.expose())] {
        let outcome = engine.try_authenticate(text, None).unwrap();
        let rejection = outcome.rejection().unwrap();
        assert_eq!(
            (rejection.reason, rejection.key, rejection.scope),
            (RejectionReason::Malformed, None, None)
        );
        assert_eq!(engine.authenticate(text, None).await.unwrap(), outcome);
    }
    assert_eq!(world.store.finds(), 0);
}

#[tokio::test]
async fn an_unknown_key_is_remembered_for_a_short_time() {
    let world = World::new();
    let engine = world.engine(1);
    let plain = stray(7);
    for _ in 0..3 {
        assert_eq!(ask(&engine, &plain).await, UNKNOWN);
        assert_eq!(recall(&engine, &plain), UNKNOWN);
    }
    assert_eq!(world.store.finds(), 1);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(recall(&engine, &plain), "ask");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_drives_out_no_real_one() {
    let world = World::new();
    let config = Config { cached_keys: 16, cached_unknown: 16, ..Config::default() };
    let engine = world.engine_with(1, &[1], config);
    let (_, plain) = world.issue(&engine).await;
    assert_eq!(ask(&engine, &plain).await, "authenticated");
    for seed in 0..2_000 {
        assert_eq!(ask(&engine, &stray(1_000 + seed)).await, UNKNOWN);
    }
    assert_eq!(recall(&engine, &plain), "authenticated");
}

#[tokio::test]
async fn a_key_that_was_unknown_works_once_it_is_issued() {
    let world = World::new();
    // The same seed makes the same key.
    let (_, plain) = World::new().issue(&World::new().engine(1)).await;
    let engine = world.engine(1);
    assert_eq!(ask(&engine, &plain).await, UNKNOWN);
    let (_, issued) = world.issue(&engine).await;
    assert_eq!(issued.expose(), plain.expose());
    assert_eq!(ask(&engine, &plain).await, "authenticated");
}

#[tokio::test]
async fn expiry_is_looked_at_with_every_request() {
    let world = World::new();
    let engine = world.engine(1);
    let expires_at = Some(stanchion_core::Clock::now(&*world.clock).plus(Duration::from_secs(5)));
    let new = NewKey { expires_at, ..world.new_key() };
    let (_, plain) = engine.issue(&world.author, new).await.unwrap();
    assert_eq!(ask(&engine, &plain).await, "authenticated");
    world.clock.advance(Duration::from_micros(4_999_999));
    assert_eq!(recall(&engine, &plain), "authenticated");
    world.clock.advance(Duration::from_micros(1));
    assert_eq!(recall(&engine, &plain), EXPIRED);
    assert_eq!(world.store.finds(), 1);
}

#[tokio::test]
async fn the_address_is_looked_at_with_every_request() {
    let world = World::new();
    let engine = world.engine(1);
    let cidrs = vec!["192.0.2.0/24".parse().unwrap()];
    let (_, plain) = engine.issue(&world.author, NewKey { cidrs, ..world.new_key() }).await.unwrap();
    let from = |ip: &str| -> Option<IpAddr> { ip.parse().ok() };
    let outcome = engine.authenticate(plain.expose(), from("192.0.2.9")).await.unwrap();
    assert_eq!(word(&outcome), "authenticated");
    for ip in [None, from("198.51.100.1"), from("::1")] {
        let rejection = *engine.try_authenticate(plain.expose(), ip).unwrap().rejection().unwrap();
        assert_eq!(rejection.reason, RejectionReason::IpNotAllowed);
    }
    let mapped = engine.try_authenticate(plain.expose(), from("::ffff:192.0.2.9")).unwrap();
    assert_eq!(word(&mapped), "authenticated");
}

#[tokio::test]
async fn another_engine_rejects_a_revoked_key_once_it_has_followed() {
    let world = World::new();
    let (here, there) = (world.engine(1), world.engine(2));
    let mut follower = world.follower(&there);
    follower.catch_up().await.unwrap();
    let (key, plain) = world.issue(&here).await;
    assert_eq!(ask(&there, &plain).await, "authenticated");
    world.revoke(&here, &key).await;
    assert_eq!(recall(&there, &plain), "authenticated", "it cannot know yet");
    follower.catch_up().await.unwrap();
    assert_eq!(recall(&there, &plain), "ask");
    let rejection = *there.authenticate(plain.expose(), None).await.unwrap().rejection().unwrap();
    assert_eq!((rejection.reason, rejection.key), (RejectionReason::Revoked, Some(key.id)));
    assert_eq!(rejection.scope, Some(world.tenant));
}

#[tokio::test]
async fn a_followed_key_stays_known_and_an_unfollowed_one_for_a_stated_time() {
    let world = World::new();
    let engine = world.engine(1);
    let mut follower = world.follower(&engine);
    let (_, plain) = world.issue(&engine).await;
    follower.catch_up().await.unwrap();
    assert_eq!(ask(&engine, &plain).await, "authenticated");
    world.clock.advance(Duration::from_secs(50));
    follower.catch_up().await.unwrap();

    world.store.set_down(true);
    assert!(follower.catch_up().await.is_err());
    world.clock.advance(Duration::from_micros(59_999_999));
    assert_eq!(
        recall(&engine, &plain),
        "authenticated",
        "110 s after it was read, 60 s after it was followed"
    );
    world.clock.advance(Duration::from_micros(1));
    assert_eq!(recall(&engine, &plain), "ask");
    assert!(matches!(engine.authenticate(plain.expose(), None).await, Err(Error::Store(_))));
    world.store.set_down(false);
    assert_eq!(ask(&engine, &plain).await, "authenticated");
}

#[tokio::test]
async fn a_failed_look_up_is_not_remembered() {
    let world = World::new();
    let engine = world.engine(1);
    let (_, plain) = world.issue(&engine).await;
    world.store.set_down(true);
    for _ in 0..2 {
        assert!(matches!(engine.authenticate(plain.expose(), None).await, Err(Error::Store(_))));
        assert_eq!(recall(&engine, &plain), "ask");
    }
    world.store.set_down(false);
    assert_eq!(ask(&engine, &plain).await, "authenticated");
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let world = World::new();
    let (here, there) = (world.engine(1), world.engine(2));
    let (key, plain) = world.issue(&here).await;
    assert_eq!((ask(&there, &plain).await, ask(&there, &stray(7)).await), ("authenticated", UNKNOWN));
    world.revoke(&here, &key).await;
    there.reset().await.unwrap();
    assert_eq!((recall(&there, &plain), recall(&there, &stray(7))), ("ask", "ask"));
    assert_eq!(ask(&there, &plain).await, REVOKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_with_one_key_reads_it_once() {
    let world = World::new();
    let engine = world.engine(1);
    let (_, plain) = world.issue(&engine).await;
    let plain = Arc::new(plain);
    world.store.hold_finds(true);
    let mut crowd = JoinSet::new();
    for _ in 0..64 {
        let (engine, plain) = (Arc::clone(&engine), Arc::clone(&plain));
        crowd.spawn(async move { ask(&engine, &plain).await });
    }
    while world.store.finds() == 0 {
        tokio::task::yield_now().await;
    }
    world.store.pass(64);
    assert!(crowd.join_all().await.into_iter().all(|word| word == "authenticated"));
    assert_eq!(world.store.finds(), 1);
}

/// Begins to ask for a key, up to where the store has read it and the answer is on its way.
async fn begin(
    world: &World,
    engine: &Arc<stanchion_identity::Engine>,
    plain: &Arc<PlainKey>,
) -> JoinSet<&'static str> {
    let before = world.store.finds();
    let mut asking = JoinSet::new();
    let (engine, plain) = (Arc::clone(engine), Arc::clone(plain));
    asking.spawn(async move { ask(&engine, &plain).await });
    while world.store.finds() == before {
        tokio::task::yield_now().await;
    }
    asking
}

#[tokio::test]
async fn a_key_revoked_while_it_was_read_is_not_kept_alive() {
    let world = World::new();
    let engine = world.engine(1);
    let (key, plain) = world.issue(&engine).await;
    let plain = Arc::new(plain);
    world.store.hold_finds(true);
    let mut asking = begin(&world, &engine, &plain).await;
    world.revoke(&engine, &key).await;
    world.store.hold_finds(false);
    world.store.pass(1);
    assert_eq!(asking.join_next().await.unwrap().unwrap(), "authenticated", "it asked before");
    assert_eq!(recall(&engine, &plain), "ask");
    assert_eq!(ask(&engine, &plain).await, REVOKED);
}

#[tokio::test]
async fn who_asks_after_a_revocation_gets_no_answer_from_before() {
    let world = World::new();
    let (here, there) = (world.engine(1), world.engine(2));
    let mut follower = world.follower(&there);
    follower.catch_up().await.unwrap();
    let (key, plain) = world.issue(&here).await;
    let plain = Arc::new(plain);
    world.store.hold_finds(true);
    let mut before = begin(&world, &there, &plain).await;
    world.revoke(&here, &key).await;
    follower.catch_up().await.unwrap();
    let mut after = Box::pin(ask(&there, &plain));
    tokio::select! {
        biased;
        word = &mut after => panic!("{word}"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(world.store.finds(), 1, "it waits for the reading that is under way");
    world.store.pass(2);
    assert_eq!(after.await, REVOKED);
    assert_eq!(before.join_next().await.unwrap().unwrap(), "authenticated");
    assert_eq!(world.store.finds(), 2);
}

#[tokio::test]
async fn a_change_followed_while_a_key_was_read_is_not_missed() {
    let world = World::new();
    let (here, there) = (world.engine(1), world.engine(2));
    let mut follower = world.follower(&there);
    follower.catch_up().await.unwrap();
    let (key, plain) = world.issue(&here).await;
    let plain = Arc::new(plain);
    world.store.hold_finds(true);
    let mut asking = begin(&world, &there, &plain).await;
    world.revoke(&here, &key).await;
    follower.catch_up().await.unwrap();
    world.store.hold_finds(false);
    world.store.pass(1);
    asking.join_next().await.unwrap().unwrap();
    assert_eq!(ask(&there, &plain).await, REVOKED);
}

#[tokio::test]
async fn a_reset_while_a_key_was_read_is_not_missed() {
    let world = World::new();
    let (here, there) = (world.engine(1), world.engine(2));
    let (key, plain) = world.issue(&here).await;
    let plain = Arc::new(plain);
    world.store.hold_finds(true);
    let mut asking = begin(&world, &there, &plain).await;
    world.revoke(&here, &key).await;
    there.reset().await.unwrap();
    world.store.hold_finds(false);
    world.store.pass(1);
    asking.join_next().await.unwrap().unwrap();
    assert_eq!(ask(&there, &plain).await, REVOKED);
}

#[tokio::test]
async fn keys_are_found_under_every_pepper_and_stored_under_the_newest() {
    let world = World::new();
    let (old_key, old) = world.issue(&world.engine_with(1, &[1], Config::default())).await;
    let both = world.engine_with(2, &[1, 2], Config::default());
    let (new_key, new) = world.issue(&both).await;
    assert_eq!((old_key.current.hash.pepper(), new_key.current.hash.pepper()), (1, 2));
    assert_eq!((ask(&both, &old).await, ask(&both, &new).await), ("authenticated", "authenticated"));
    assert_eq!((recall(&both, &old), recall(&both, &new)), ("authenticated", "authenticated"));
    let newest = world.engine_with(3, &[2], Config::default());
    assert_eq!((ask(&newest, &old).await, ask(&newest, &new).await), (UNKNOWN, "authenticated"));
    assert_eq!(world.store.finds(), 4, "one look-up, however many peppers");
    world.revoke(&both, &old_key).await;
    assert_eq!(ask(&both, &old).await, REVOKED);
}
