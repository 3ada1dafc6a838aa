use serde_json::{Value, json};
use stanchion_audit::{Actions, Origin};
use stanchion_core::Event;

use crate::world::{Ask, World};

#[tokio::test]
async fn every_change_is_found_in_the_ledger_with_its_author_and_its_place() {
    let mut world = World::new().await;
    let body = json!({"name": "Viewer", "permissions": ["document:read"]});
    let put = world.send(&Ask::put("/v1/roles/viewer", body).by(&world.acme.admin)).await;
    put.expect(201);
    world.settle().await;
    let request = put.header("x-request-id");
    let get = |query: &str| Ask::get(format!("/v1/audit/events?{query}")).by(&world.acme.admin);
    let found = world.send(&get(&format!("request={request}"))).await.expect(200);
    let items = found["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    let entry = &items[0];
    assert_eq!(entry["chain"], format!("{}/security", world.acme.id));
    assert_eq!(entry["event"]["action"], "role.put");
    assert_eq!(entry["event"]["actor"]["subject"]["subject"], "user:admin");
    assert_eq!(entry["event"]["targets"], json!(["role/viewer"]));
    assert_eq!(entry["event"]["source"]["ip"], "192.0.2.7");
    let recorded = world.send(&get("limit=1000")).await.expect(200);
    let actions = Actions::default();
    for item in recorded["items"].as_array().unwrap() {
        let event: Event = serde_json::from_value(item["event"].clone()).unwrap();
        let known = actions.get(event.action.as_str()).unwrap_or_else(|| panic!("{event:?}"));
        assert_eq!((known.category, known.origin), (event.category, Origin::Own), "{event:?}");
    }
    let authorization = json!([{"permission": "role:write", "granted": true, "by": "role/admin"}]);
    assert_eq!(entry["event"]["authorization"], authorization);
    assert_eq!(entry["event"].get("acted_as"), None);
    assert!(entry["sequence"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    for hash in ["hash", "link", "signature"] {
        let text = entry[hash].as_str().unwrap();
        assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}: {text}");
    }
    let count = async |query: &str| -> usize {
        let found = world.send(&get(query)).await.expect(200);
        found["items"].as_array().unwrap().len()
    };
    assert_eq!(count("action=role.*&actor=user:admin&target=role/viewer&outcome=success").await, 1);
    assert_eq!(count("action=role.put&actor=user:bob").await, 0);
    assert_eq!(
        count("category=administration&severity=info&since=2026-11-22T12:00:00Z&action=role.put").await,
        1
    );
    assert_eq!(count("until=2026-11-22T12:00:00Z").await, 0);
    let detail = world.send(&get("severity=loud")).await.problem(400, "invalid_request");
    assert!(detail.starts_with("parameter `severity`: unknown variant `loud`"), "{detail}");
}

#[tokio::test]
async fn a_tenant_sees_its_own_chain_and_the_platform_any_it_names() {
    let mut world = World::new().await;
    world.settle().await;
    let chains = |target: String, key: String| {
        let world = &world;
        async move {
            let found = world.send(&Ask::get(target).by(&key)).await.expect(200);
            let items = found["items"].as_array().unwrap().clone();
            let mut chains: Vec<Value> = items.iter().map(|item| item["chain"].clone()).collect();
            chains.dedup();
            chains
        }
    };
    let (acme, root) = (world.acme.id, world.root.clone());
    let own = chains("/v1/audit/events".into(), world.acme.admin.clone()).await;
    assert_eq!(own, [json!(format!("{acme}/security"))]);
    assert_eq!(chains(format!("/v1/audit/events?tenant={acme}"), root.clone()).await, own);
    assert_eq!(chains("/v1/audit/events?tenant=platform".into(), root).await, [json!("platform/security")]);
}

#[tokio::test]
async fn the_chains_of_a_scope_are_verified() {
    let mut world = World::new().await;
    world.settle().await;
    let found = world.send(&Ask::get("/v1/audit/verification").by(&world.acme.admin)).await.expect(200);
    // The role was assigned and the key was issued.
    assert_eq!(
        (&found["intact"], &found["entries"], &found["first_break"]),
        (&json!(true), &json!("2"), &json!(null))
    );
    assert_eq!(found["scope"], world.acme.id.to_string());
    let chain = &found["chains"][0];
    assert_eq!(chain["chain"], format!("{}/security", world.acme.id));
    assert_eq!((&chain["head"]["sequence"], &chain["break"]), (&json!("2"), &json!(null)));
}

#[tokio::test]
async fn an_event_is_proven_with_a_verifier_key_alone() {
    let mut world = World::new().await;
    world.cover().await;
    let get = |target: String| Ask::get(target).by(&world.acme.admin);
    let checkpoints = world.send(&get("/v1/audit/checkpoints".into())).await.expect(200);
    let checkpoint = &checkpoints["items"][0];
    assert_eq!(checkpoint["chain"], format!("{}/security", world.acme.id));
    let origin = format!("audit.example.com/{}/security", world.acme.id);
    assert!(checkpoint["note"].as_str().unwrap().starts_with(&format!("{origin}\n")));
    let key = checkpoint["verifier_keys"][0].as_str().unwrap().parse().unwrap();

    let events = world.send(&get("/v1/audit/events?limit=1".into())).await.expect(200);
    let event = events["items"][0]["event"]["id"].as_str().unwrap().to_owned();
    let proof = world.send(&get(format!("/v1/audit/proofs/inclusion?event={event}"))).await.expect(200);
    let proven = stanchion_audit::verify_proof(proof["proof"].as_str().unwrap(), &[key]).unwrap();
    assert_eq!(stanchion_audit::parse(&proven.canonical).unwrap().id.to_string(), event);
    assert_eq!(proven.tree.origin, origin);
    assert_eq!(proof["sequence"], events["items"][0]["sequence"]);

    let other = Ask::get(format!("/v1/audit/proofs/inclusion?event={event}")).by(&world.globex.admin);
    world.send(&other).await.problem(404, "not_found");
    let unknown = get("/v1/audit/proofs/inclusion?event=0192f0c1-2345-7abc-8def-0123456789ab".into());
    world.send(&unknown).await.problem(404, "not_found");
    let none = get("/v1/audit/proofs/inclusion".into());
    let detail = world.send(&none).await.problem(400, "invalid_request");
    assert!(detail.contains("event"), "{detail}");
}

#[tokio::test]
async fn what_is_not_covered_yet_is_a_conflict_and_growth_is_proven_from_a_kept_size() {
    let mut world = World::new().await;
    world.settle().await;
    let get = |target: String| Ask::get(target).by(&world.acme.admin);
    let events = world.send(&get("/v1/audit/events?limit=1".into())).await.expect(200);
    let event = events["items"][0]["event"]["id"].as_str().unwrap().to_owned();
    let early = get(format!("/v1/audit/proofs/inclusion?event={event}"));
    let detail = world.send(&early).await.problem(409, "conflict");
    assert!(detail.ends_with("ask again in a second"), "{detail}");
    world.cover().await;
    let get = |target: String| Ask::get(target).by(&world.acme.admin);
    world.send(&get(format!("/v1/audit/proofs/inclusion?event={event}"))).await.expect(200);

    let grown = world.send(&get("/v1/audit/proofs/consistency?class=security&from=1".into())).await;
    let grown = grown.expect(200);
    assert_eq!(grown["from"], "1");
    for bad in ["from=0", "from=1000", "from=x", "from=-1"] {
        let ask = get(format!("/v1/audit/proofs/consistency?class=security&{bad}"));
        let detail = world.send(&ask).await.problem(400, "invalid_request");
        assert!(detail.starts_with("parameter `from`: "), "{detail}");
    }
    let ask = get("/v1/audit/proofs/consistency?class=public&from=1".into());
    world.send(&ask).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_log_is_read_as_tlog_tiles_serves_it() {
    let mut world = World::new().await;
    world.cover().await;
    let read = |file: &str| {
        let ask = Ask::get(format!("/v1/audit/log/{file}")).by(&world.acme.admin);
        let world = &world;
        async move { world.send(&ask).await }
    };
    let checkpoint = read("security/checkpoint").await;
    assert_eq!(checkpoint.status, 200);
    assert_eq!(checkpoint.header("content-type"), "text/plain; charset=utf-8");
    let size: usize = checkpoint.text.lines().nth(1).unwrap().parse().unwrap();
    assert!(size >= 1);
    let entries = read(&format!("security/tile/entries/000.p/{size}")).await;
    assert_eq!(entries.status, 200);
    assert!(entries.text.contains("\"action\":"), "{}", entries.text);
    assert_eq!(entries.header("cache-control"), "private, max-age=31536000, immutable");
    for file in
        ["security/tile/0/000", "security/tile/1/000", "standard/checkpoint", "security/tile/0/001.p/1"]
    {
        read(file).await.problem(404, "not_found");
    }
    for file in [
        "public/checkpoint",
        "security",
        "security/tile/0/0",
        "security/tile/0/000.p/0",
        "security/tile/9/000",
    ] {
        let detail = read(file).await.problem(400, "invalid_request");
        assert!(detail.starts_with("a log has CLASS/checkpoint"), "{file}: {detail}");
    }
}
