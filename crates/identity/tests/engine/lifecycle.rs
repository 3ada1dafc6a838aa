use std::time::Duration;

use stanchion_core::{Clock, PageRequest, Scope, Severity, SubjectRef, SystemScope};
use stanchion_identity::{ApiKey, Config, Error, KeyStatus, NewKey, PlainKey};
use stanchion_replica::OutboxStore;
use tokio::task::JoinSet;

use crate::world::{EXPIRED, REVOKED, UNKNOWN, World, ask, recall};

const MINUTE: Duration = Duration::from_secs(60);

async fn events(world: &World) -> Vec<stanchion_core::Event> {
    let pending = world.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
    pending.into_iter().map(|record| record.event).collect()
}

fn actions(events: &[stanchion_core::Event]) -> Vec<&str> {
    events.iter().map(|event| event.action.as_str()).collect()
}

#[tokio::test]
async fn a_revoked_key_is_rejected_from_the_next_request_on() {
    let world = World::new();
    let engine = world.engine(1);
    let (key, plain) = world.issue(&engine).await;
    assert_eq!(ask(&engine, &plain).await, "authenticated");
    let revoked = engine.revoke(&world.author, key.scope, key.id).await.unwrap();
    assert_eq!(revoked.value.status, KeyStatus::Revoked { at: world.clock.now() });
    assert_eq!(recall(&engine, &plain), "ask");
    assert_eq!((ask(&engine, &plain).await, recall(&engine, &plain)), (REVOKED, REVOKED));

    world.clock.advance(MINUTE);
    assert_eq!(engine.revoke(&world.author, key.scope, key.id).await.unwrap(), revoked, "once is enough");
    assert_eq!(actions(&events(&world).await), ["key.issue", "key.revoke"]);
}

#[tokio::test]
async fn a_rotated_key_keeps_its_id_and_works_with_both_secrets_for_a_while() {
    let world = World::new();
    let engine = world.engine(1);
    let (key, first) = world.issue(&engine).await;
    assert_eq!(ask(&engine, &first).await, "authenticated");
    let (rotated, second) = engine.rotate(&world.author, key.scope, key.id, MINUTE).await.unwrap();
    assert_eq!((rotated.value.id, rotated.value.current.number), (key.id, 2));
    assert_eq!((ask(&engine, &first).await, ask(&engine, &second).await), ("authenticated", "authenticated"));
    let refused = engine.rotate(&world.author, key.scope, key.id, MINUTE).await;
    assert!(matches!(refused, Err(Error::InGrace { key: id, .. }) if id == key.id));
    world.clock.advance(MINUTE);
    assert_eq!(ask(&engine, &first).await, EXPIRED);
    let (_, third) = engine.rotate(&world.author, key.scope, key.id, Duration::ZERO).await.unwrap();
    assert_eq!(ask(&engine, &first).await, UNKNOWN);
    assert_eq!((ask(&engine, &second).await, ask(&engine, &third).await), (EXPIRED, "authenticated"));
}

#[tokio::test]
async fn the_grace_of_a_cached_secret_ends_in_time() {
    let world = World::new();
    let engine = world.engine(1);
    let (key, first) = world.issue(&engine).await;
    engine.rotate(&world.author, key.scope, key.id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(ask(&engine, &first).await, "authenticated");
    world.clock.advance(Duration::from_micros(4_999_999));
    assert_eq!(recall(&engine, &first), "authenticated");
    world.clock.advance(Duration::from_micros(1));
    assert_eq!(recall(&engine, &first), EXPIRED);
}

#[tokio::test]
async fn a_key_that_is_over_is_not_rotated_and_none_is_made_that_is() {
    let world = World::new();
    let engine = world.engine(1);
    let (key, _) = world.issue(&engine).await;
    world.revoke(&engine, &key).await;
    let revoked = engine.rotate(&world.author, key.scope, key.id, MINUTE).await;
    assert!(matches!(revoked, Err(Error::Revoked(id)) if id == key.id));

    let expiring = NewKey { expires_at: Some(world.clock.now().plus(MINUTE)), ..world.new_key() };
    let (key, plain) = engine.issue(&world.author, expiring.clone()).await.unwrap();
    let (rotated, _) =
        engine.rotate(&world.author, key.value.scope, key.value.id, Duration::MAX).await.unwrap();
    assert_eq!(rotated.value.expires_at, key.value.expires_at);
    world.clock.advance(MINUTE);
    assert_eq!(ask(&engine, &plain).await, EXPIRED);
    let expired = engine.rotate(&world.author, key.value.scope, key.value.id, MINUTE).await;
    assert!(matches!(expired, Err(Error::Expired(_))));
    assert!(matches!(engine.issue(&world.author, expiring).await, Err(Error::ExpiryPassed)));
    let many = NewKey { cidrs: vec!["192.0.2.0/24".parse().unwrap(); 65], ..world.new_key() };
    assert!(matches!(engine.issue(&world.author, many).await, Err(Error::TooManyCidrs)));
}

#[tokio::test]
async fn scopes_do_not_reach_into_each_other() {
    let world = World::new();
    let engine = world.engine(1);
    let (key, plain) = world.issue(&engine).await;
    let platform = NewKey { scope: Scope::Platform, ..world.new_key() };
    let (admin, _) = engine.issue(&world.author, platform).await.unwrap();
    let revoked = engine.revoke(&world.author, Scope::Platform, key.id).await;
    assert!(matches!(revoked, Err(Error::UnknownKey(id)) if id == key.id));
    let rotated = engine.rotate(&world.author, world.tenant, admin.value.id, MINUTE).await;
    assert!(matches!(rotated, Err(Error::UnknownKey(_))));
    assert_eq!(engine.get(Scope::Platform, key.id).await.unwrap(), None);
    let listed = engine.list(world.tenant, &PageRequest::default()).await.unwrap();
    assert_eq!(listed.items.iter().map(|key| key.value.id).collect::<Vec<_>>(), [key.id]);
    assert_eq!(ask(&engine, &plain).await, "authenticated");
}

#[tokio::test]
async fn keys_bear_their_environment_and_networks_in_short_form() {
    let world = World::new();
    let config = Config { environment: "test".parse().unwrap(), ..Config::default() };
    let engine = world.engine_with(1, &[1], config);
    let (key, plain) = world.issue(&engine).await;
    assert!(plain.expose().starts_with("stn_test_"));
    assert_eq!((key.environment.as_str(), key.current.prefix.as_str()), ("test", &plain.expose()[..13]));
    let nets = ["192.0.2.77/24", "192.0.2.0/24", "::ffff:10.0.0.0/104"].map(|net| net.parse().unwrap());
    let staging =
        NewKey { environment: Some("staging".parse().unwrap()), cidrs: nets.into(), ..world.new_key() };
    let (key, plain) = engine.issue(&world.author, staging).await.unwrap();
    assert!(plain.expose().starts_with("stn_staging_"));
    let nets: Vec<String> = key.value.cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/8", "192.0.2.0/24"]);
    let (_, rotated) = engine.rotate(&world.author, world.tenant, key.value.id, MINUTE).await.unwrap();
    assert!(rotated.expose().starts_with("stn_staging_"));
}

#[tokio::test]
async fn events_say_what_was_done_and_hold_no_secret() {
    let world = World::new();
    let engine = world.engine(1);
    let new = NewKey { subject: SubjectRef::user("alice").unwrap(), ..world.new_key() };
    let (key, first) = engine.issue(&world.author, new).await.unwrap();
    let (rotated, second) = engine.rotate(&world.author, world.tenant, key.value.id, MINUTE).await.unwrap();
    world.revoke(&engine, &key.value).await;
    let events = events(&world).await;
    assert_eq!(actions(&events), ["key.issue", "key.rotate", "key.revoke"]);
    let details: Vec<String> =
        events.iter().map(|event| serde_json::to_string(&event.details).unwrap()).collect();
    let changes: Vec<String> =
        events.iter().map(|event| serde_json::to_string(&event.changes).unwrap()).collect();
    assert_eq!(
        changes,
        [
            "[]",
            r#"[{"field":"generation","before":{"value":1},"after":{"value":2}},{"field":"secret","before":"redacted","after":"redacted"}]"#,
            r#"[{"field":"status","before":{"value":"active"},"after":{"value":"revoked"}}]"#,
        ]
    );
    let (prefix, prefix_2) = (&first.expose()[..13], &second.expose()[..13]);
    assert_eq!(
        details[0],
        format!(
            r#"{{"prefix":"{prefix}","subject":"user:alice","name":"nightly","environment":"live","expires_at":null,"cidrs":[]}}"#
        )
    );
    assert_eq!(
        details[1],
        format!(
            r#"{{"prefix":"{prefix_2}","generation":2,"former_not_after":"2026-03-01T00:01:00.000000Z"}}"#
        )
    );
    assert_eq!(details[2], format!(r#"{{"prefix":"{prefix_2}"}}"#));
    for event in &events {
        assert_eq!((event.scope, &event.actor), (world.tenant, &world.author.actor));
        assert_eq!(event.targets[0].to_string(), format!("key/{}", key.value.id));
    }
    assert_eq!(events[2].severity, Severity::Notice);

    let written = format!("{} {rotated:?}", serde_json::to_string(&events).unwrap());
    for secret in [&first, &second] {
        assert!(!written.contains(&secret.expose()[9..19]), "ten characters of a secret are in {written}");
    }
}

#[tokio::test]
async fn a_revocation_whose_caller_left_is_not_missed() {
    let world = World::new();
    let engine = world.engine(1);
    let (key, plain) = world.issue(&engine).await;
    assert_eq!(ask(&engine, &plain).await, "authenticated");
    world.store.hold_applies(true);
    {
        let mut revoking = Box::pin(engine.revoke(&world.author, key.scope, key.id));
        tokio::select! {
            biased;
            revoked = &mut revoking => panic!("{revoked:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(recall(&engine, &plain), "ask");
    assert_eq!(ask(&engine, &plain).await, REVOKED);
}

#[tokio::test]
async fn a_write_that_met_another_is_decided_anew() {
    let world = World::new();
    let engine = world.engine(1);
    let (mut strangers, elsewhere) = (Vec::new(), World::new());
    for seed in 2..5 {
        strangers.push(elsewhere.issue(&elsewhere.engine(seed)).await.0);
    }
    world.store.have_written(strangers);
    let (key, plain) = engine.issue(&world.author, world.new_key()).await.unwrap();
    assert_eq!(key.revision.number(), 4);
    assert_eq!(ask(&engine, &plain).await, "authenticated");

    let revoked = ApiKey { status: KeyStatus::Revoked { at: world.clock.now() }, ..key.value.clone() };
    world.store.have_written(vec![revoked]);
    let rotated = engine.rotate(&world.author, world.tenant, key.value.id, MINUTE).await;
    assert!(matches!(rotated, Err(Error::Revoked(_))), "the other revoked it first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_rotations_at_once_one_is_made() {
    let world = World::new();
    let first = world.engine(1);
    let (key, _) = world.issue(&first).await;
    let mut rotations = JoinSet::new();
    for seed in 2..10 {
        let (engine, author, key) = (world.engine(seed), world.author.clone(), key.clone());
        rotations.spawn(async move { engine.rotate(&author, key.scope, key.id, MINUTE).await });
    }
    let results = rotations.join_all().await;
    let made: Vec<PlainKey> = results
        .into_iter()
        .filter_map(|result| match result {
            Ok((_, plain)) => Some(plain),
            Err(Error::InGrace { .. }) => None,
            Err(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(made.len(), 1);
    assert_eq!(ask(&first, &made[0]).await, "authenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_one_scope_all_succeed() {
    let world = World::new();
    let mut issues = JoinSet::new();
    for seed in 1..17 {
        let (engine, author, new) = (world.engine(seed), world.author.clone(), world.new_key());
        issues.spawn(async move {
            let (key, plain) = engine.issue(&author, new).await.unwrap();
            engine.revoke(&author, key.value.scope, key.value.id).await.unwrap();
            ask(&engine, &plain).await
        });
    }
    assert_eq!(issues.join_all().await, [REVOKED; 16]);
    assert_eq!(events(&world).await.len(), 32);
}
