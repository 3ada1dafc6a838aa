//! What the platform sees of all tenants.

use serde_json::json;

use crate::world::{Ask, World};

#[tokio::test]
async fn the_platform_looks_through_all_tenants_and_that_is_on_record() {
    let mut world = World::new().await;
    let report = json!({"action": "data.read", "outcome": "success"});
    for admin in [world.acme.admin.clone(), world.globex.admin.clone()] {
        world.record(&Ask::post("/v1/audit/events", report.clone()).by(&admin)).await.expect(201);
    }
    let target = "/v1/audit/events/all?action=data.read&limit=1";
    let (mut scopes, mut page) = (Vec::new(), String::new());
    loop {
        let found = world.record(&Ask::get(format!("{target}{page}")).by(&world.root)).await.expect(200);
        for entry in found["items"].as_array().unwrap() {
            scopes.push(entry["chain"].as_str().unwrap().split('/').next().unwrap().to_owned());
        }
        let Some(next) = found["next_page"].as_str() else { break };
        page = format!("&page={next}");
    }
    let mut expected = [world.acme.id.to_string(), world.globex.id.to_string()];
    expected.sort();
    assert_eq!(scopes, expected);
    let told = world.events(stanchion_core::Scope::Platform, "audit.queried_across").await;
    assert!(told.len() >= 2, "each look is recorded");
    let query = serde_json::to_string(&told[0].details).unwrap();
    assert_eq!(query, r#"{"query":{"action":"data.read"}}"#);
    world.send(&Ask::get(target).by(&world.acme.admin)).await.problem(403, "forbidden");
}
