use serde_json::{Value, json};

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
