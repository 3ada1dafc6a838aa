//! Pages with proofs, followers, forms of exports, and the actions that are known.

use serde_json::{Value, json};
use stanchion_audit::bundle::{BundleVerdict, verify_bundle};
use stanchion_audit::verify_proof;

use crate::world::{Ask, World};

#[tokio::test]
async fn a_page_comes_with_proofs_and_says_what_is_too_new_for_them() {
    let mut world = World::new().await;
    world.settle().await;
    let get = |query: &str| Ask::get(format!("/v1/audit/events?{query}")).by(&world.acme.admin);
    let (with, first, without) = (get("proofs=true"), get("proofs=true&limit=1"), get(""));
    let wrong = get("proofs=yes");
    let early = world.send(&with).await.expect(200);
    assert_eq!(early["items"][0]["proof"], Value::Null, "nothing covers it yet");
    assert_eq!(early["checkpoints"], json!([]));
    let plain = world.send(&without).await.expect(200);
    assert!(plain.get("checkpoints").is_none() && plain["items"][0].get("proof").is_none());
    world.cover().await;
    let page = world.send(&with).await.expect(200);
    let chain = format!("{}/security", world.acme.id).parse().unwrap();
    let keys = world.prover.verifiers(&chain);
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    for item in items {
        let proven = verify_proof(item["proof"].as_str().unwrap(), &keys).unwrap();
        assert_eq!(proven.seq.to_string(), item["sequence"].as_str().unwrap());
        let event = stanchion_audit::parse(&proven.canonical).unwrap();
        assert_eq!(serde_json::to_value(event).unwrap(), item["event"]);
    }
    assert_eq!(page["checkpoints"][0]["size"], "2");
    // The token of a page is good for the page that follows, with proofs and without.
    let page = world.send(&first).await.expect(200);
    let token = page["next_page"].as_str().unwrap();
    let next = Ask::get(format!("/v1/audit/events?proofs=true&page={token}")).by(&world.acme.admin);
    let next = world.send(&next).await.expect(200);
    assert_eq!(next["items"][0]["sequence"], "1");
    let detail = world.send(&wrong).await.problem(400, "invalid_request");
    assert_eq!(detail, "parameter `proofs`: use `true` or `false`");
}

#[tokio::test]
async fn a_follower_begins_with_the_newest_and_goes_on_after_them() {
    let mut world = World::new().await;
    world.settle().await;
    let get = |query: &str| Ask::get(format!("/v1/audit/tail?{query}")).by(&world.acme.admin);
    let newest = world.send(&get("limit=1")).await.expect(200);
    assert_eq!(newest["items"][0]["sequence"], "2");
    let cursor = newest["cursor"].as_str().unwrap();
    let nothing = world.send(&get(&format!("after={cursor}"))).await.expect(200);
    assert_eq!((&nothing["items"], &nothing["cursor"]), (&json!([]), &newest["cursor"]));
    let all = world.send(&get("after=")).await.expect(200);
    let numbers: Vec<&Value> =
        all["items"].as_array().unwrap().iter().map(|item| &item["sequence"]).collect();
    assert_eq!(numbers, [&json!("1"), &json!("2")]);
    assert_eq!(all["skipped"], "0");
    let some = world.send(&get("after=&action=key.*")).await.expect(200);
    assert_eq!(some["items"].as_array().unwrap().len(), 1);
    for bad in ["after=x", "wait=21", "wait=-1", "limit=0", "limit=1001", "x=1"] {
        world.send(&get(bad)).await.problem(400, "invalid_request");
    }
    let other = Ask::get(format!("/v1/audit/tail?tenant={}", world.globex.id)).by(&world.acme.admin);
    world.send(&other).await.problem(403, "forbidden");
}

#[tokio::test]
async fn who_would_wait_beyond_the_places_there_are_is_refused_and_may_look() {
    let world = World::new().await;
    let scope: stanchion_core::Scope = world.acme.id.to_string().parse().unwrap();
    let get = |query: &str| Ask::get(format!("/v1/audit/tail?{query}")).by(&world.acme.admin);
    let (wait, look) = (get("after=&wait=1"), get("after="));
    let places: Vec<_> = (0..32).map(|_| world.followers.enter(scope).unwrap()).collect();
    world.send(&wait).await.problem(429, "rate_limited");
    world.send(&look).await.expect(200);
    drop(places);
    let all: Vec<_> = (0..1_024)
        .map(|number| {
            let scope = format!("0192f0c1-2345-7abc-8def-00000000{number:04}").parse().unwrap();
            world.followers.enter(scope).unwrap()
        })
        .collect();
    world.send(&wait).await.problem(503, "overloaded");
    drop(all);
    assert!(world.followers.enter(scope).is_ok());
}

#[tokio::test]
async fn an_export_as_events_of_ocsf_proves_what_the_other_one_does() {
    let mut world = World::new().await;
    world.cover().await;
    let chain = format!("{}/security", world.acme.id).parse().unwrap();
    let keys = world.prover.verifiers(&chain);
    let ask = Ask::get("/v1/audit/export?format=ocsf").by(&world.acme.admin);
    let bad = Ask::get("/v1/audit/export?format=xml").by(&world.acme.admin);
    let exported = world.record(&ask).await;
    assert_eq!((exported.status.as_u16(), exported.header("content-type")), (200, "application/jsonl"));
    let BundleVerdict::Intact(proof) = verify_bundle(exported.text.as_bytes(), &keys, None).unwrap() else {
        panic!("{}", exported.text)
    };
    assert_eq!(proof.entries(), 2);
    let lines: Vec<Value> = exported.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["metadata"]["version"] == "1.8.0"));
    assert!(!exported.text.contains(&world.globex.id.to_string()));
    world.send(&bad).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn an_export_into_a_file_needs_a_directory() {
    let mut world = World::new().await;
    world.settle().await;
    let ask = Ask::post("/v1/audit/exports", Value::Null).by(&world.acme.admin);
    let detail = world.send(&ask).await.problem(409, "conflict");
    assert!(detail.contains("audit.exports.directory"), "{detail}");
    let list = world.send(&Ask::get("/v1/audit/exports").by(&world.acme.admin)).await.expect(200);
    assert_eq!(list["items"], json!([]));
    assert!(world.events(world.acme.scope(), "audit.export_begun").await.is_empty());
}

#[tokio::test]
async fn the_actions_that_are_known_are_listed_with_their_class() {
    let world = World::new().await;
    let found = world.send(&Ask::get("/v1/audit/actions").by(&world.acme.admin)).await.expect(200);
    let items = found["items"].as_array().unwrap();
    let of = |action: &str| items.iter().find(|item| item["action"] == action).unwrap();
    assert_eq!(
        (&of("data.read")["class"], &of("data.read")["origin"]),
        (&json!("data_access"), &json!("reported"))
    );
    assert_eq!(
        (&of("role.put")["event_type"], &of("role.put")["origin"]),
        (&json!("permission_granted"), &json!("own"))
    );
    assert_eq!(of("role.put")["schemas"], json!([]));
}
