use serde_json::{Value, json};
use stanchion_core::Scope;

use crate::world::{Ask, World};

const EMAIL: &str = "alice.liddell@example.org";

fn report(id: u8) -> Value {
    json!({
        "id": format!("0192f0c1-2345-7abc-8def-0123456789{id:02}"), "occurred_at": "2026-11-22T11:00:00Z",
        "action": "data.read", "outcome": "success", "details": {"email": EMAIL, "rows": 7},
        "protect": [{"field": "details.email", "subject": "user:alice", "searchable": true}],
    })
}

/// A world in which acme has reported an event with a protected address.
async fn world() -> (World, Value) {
    let mut world = World::new().await;
    let ask = Ask::post("/v1/audit/events", report(1)).by(&world.acme.admin);
    let receipt = world.record(&ask).await.expect(201);
    (world, receipt)
}

async fn read(world: &mut World, query: &str, key: &str) -> Value {
    let found = world
        .record(&Ask::get(format!("/v1/audit/events?action=data.read&{query}")).by(key))
        .await
        .expect(200);
    found["items"][0].clone()
}

#[tokio::test]
async fn a_protected_value_is_closed_unless_somebody_who_may_opens_it() {
    let (mut world, receipt) = world().await;
    let admin = world.acme.admin.clone();
    let closed = read(&mut world, "", &admin).await;
    assert_eq!(closed["hash"], receipt["hash"]);
    assert_eq!(closed["event"]["details"]["email"]["sealed"], "stanchion.sealed/v1");
    assert!(!closed.to_string().contains("liddell"), "{closed}");
    let closed = read(&mut world, "unseal=false", &admin).await;
    assert!(!closed.to_string().contains("liddell"), "{closed}");
    let open = read(&mut world, "unseal=true", &admin).await;
    assert_eq!((&open["event"]["details"]["email"], &open["hash"]), (&json!(EMAIL), &receipt["hash"]));
    let [told] = world.events(world.acme.scope(), "audit.unsealed").await.try_into().unwrap();
    let told = serde_json::to_value(&told).unwrap();
    assert_eq!((&told["details"]["opened"], &told["details"]["entries"]), (&json!(1), &json!(1)));
    assert_eq!(told["details"]["query"], json!({"action": "data.read"}));
    world.role(world.acme.scope(), "reader", &["audit:read"]).await;
    let reader = world.principal(world.acme.scope(), "user:reader", Some("reader")).await;
    let refused = world.send(&Ask::get("/v1/audit/events?unseal=true").by(&reader)).await;
    let detail = refused.problem(403, "forbidden");
    assert_eq!(detail, "`user:reader` lacks the permission `audit:unseal`");
    world.send(&Ask::get("/v1/audit/events").by(&reader)).await.expect(200);
    assert_eq!(world.events(world.acme.scope(), "operation.denied").await.len(), 1);
    let detail = world
        .send(&Ask::get("/v1/audit/export?unseal=true").by(&admin))
        .await
        .problem(400, "invalid_request");
    assert!(detail.starts_with("parameter `unseal`"), "{detail}");
}

#[tokio::test]
async fn the_same_report_has_the_same_receipt_and_what_cannot_be_protected_is_refused() {
    let (mut world, receipt) = world().await;
    let admin = world.acme.admin.clone();
    let again = world.record(&Ask::post("/v1/audit/events", report(1)).by(&admin)).await.expect(201);
    assert_eq!(again, receipt);
    let mut other = report(2);
    for (protect, word) in [
        (json!([{"field": "details.nothing"}]), "there is no value"),
        (json!([{"field": "actor"}]), "is no field"),
        (json!([{"field": "details.email", "subject": "alice"}]), "expected user:ID"),
    ] {
        other["protect"] = protect;
        let answer = world.send(&Ask::post("/v1/audit/events", other.clone()).by(&admin)).await;
        let detail = answer.problem(400, "invalid_request");
        assert!(detail.contains(word) && !answer.text.contains("liddell"), "{detail}");
    }
    let mut forged = report(3);
    forged["details"]["x"] = json!({"sealed": "stanchion.sealed/v1"});
    let detail =
        world.send(&Ask::post("/v1/audit/events", forged).by(&admin)).await.problem(400, "invalid_request");
    assert!(detail.contains("`details.x` must not have the form"), "{detail}");
}

#[tokio::test]
async fn protected_values_are_found_by_those_who_may_open_them() {
    let (mut world, receipt) = world().await;
    let (acme, globex, root) = (world.acme.admin.clone(), world.globex.admin.clone(), world.root.clone());
    let search = |key: &str, tenant: &str, unseal: bool| {
        let body = json!({"field": "details.email", "value": "ALICE.Liddell@example.org", "unseal": unseal});
        Ask::post(format!("/v1/audit/search?limit=10{tenant}"), body).by(key)
    };
    let found = world.record(&search(&acme, "", false)).await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(found["items"][0]["hash"], receipt["hash"]);
    assert!(!found.to_string().contains("liddell"));
    let named = format!("&tenant={}", world.acme.id);
    let found = world.record(&search(&root, &named, true)).await.expect(200);
    assert_eq!(found["items"][0]["event"]["details"]["email"], EMAIL);
    let nothing = world.record(&search(&globex, "", true)).await.expect(200);
    assert_eq!(nothing["items"], json!([]));
    for (scope, count) in [(world.acme.scope(), 2), (world.globex.scope(), 1)] {
        let told = world.events(scope, "audit.searched").await;
        assert_eq!(told.len(), count);
        assert!(!format!("{told:?}").to_lowercase().contains("liddell"));
    }
}

#[tokio::test]
async fn an_erasure_closes_what_it_may_and_says_what_it_kept() {
    let (mut world, _) = world().await;
    let admin = world.acme.admin.clone();
    let exception = json!({
        "id": "claim", "class": "data_access", "basis": "legal_claims", "until": "2026-11-23T00:00:00Z", "reason": "claim 7",
    });
    let put = Ask::post("/v1/audit/exceptions", exception.clone()).by(&admin);
    world.send(&put).await.expect(201);
    world.clock.advance(std::time::Duration::from_secs(1));
    world.send(&put).await.expect(200);
    let listed = world.send(&Ask::get("/v1/audit/exceptions").by(&admin)).await.expect(200);
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["revision"]), (&json!("claim"), &json!("2")));
    let other = world.send(&Ask::get("/v1/audit/exceptions").by(&world.globex.admin)).await.expect(200);
    assert_eq!(other["items"], json!([]));
    let erase = Ask::post("/v1/audit/erasures", json!({"subject": "user:alice", "reason": "request 1"}));
    let theirs = world.record(&erase.clone().by(&world.globex.admin.clone())).await.expect(201);
    assert_eq!((&theirs["outcome"], &theirs["destroyed"]), (&json!("complete"), &json!([])));
    let kept = world.record(&erase.clone().by(&admin)).await.expect(201);
    assert_eq!(kept["outcome"], "partial");
    assert_eq!(
        (&kept["kept"][0]["exception"], &kept["kept"][0]["basis"]),
        (&json!("claim"), &json!("legal_claims"))
    );
    assert_eq!(read(&mut world, "unseal=true", &admin).await["event"]["details"]["email"], EMAIL);
    let lift = Ask::delete("/v1/audit/exceptions?id=claim").by(&admin);
    assert_eq!(world.send(&lift).await.status, 204);
    world.send(&lift).await.problem(404, "not_found");
    let erased = world.record(&erase.by(&admin)).await.expect(201);
    assert_eq!((&erased["outcome"], &erased["periods"]), (&json!("complete"), &json!(["2026-11"])));
    assert_eq!(erased["destroyed"].as_array().unwrap().len(), 1);
    assert_eq!((&erased["words"], &erased["words_pending"]), (&json!("gone"), &json!("0")));
    assert!(erased["words_at"].is_string(), "{erased}");
    let path = format!("/v1/audit/erasures/{}", erased["id"].as_str().unwrap());
    let later = world.send(&Ask::get(path.clone()).by(&admin)).await.expect(200);
    for field in
        ["id", "chain", "sequence", "hash", "subject", "outcome", "periods", "words", "words_pending"]
    {
        assert_eq!(later[field], erased[field], "{field}");
    }
    assert_eq!(later["keys"], json!("1"));
    world.send(&Ask::get(path).by(&world.globex.admin)).await.problem(404, "not_found");
    let other = Ask::get("/v1/audit/erasures/0192f0c1-2345-7abc-8def-012345678901").by(&admin);
    world.send(&other).await.problem(404, "not_found");
    world.send(&Ask::get("/v1/audit/erasures/x").by(&admin)).await.problem(400, "invalid_request");
    let open = read(&mut world, "unseal=true", &admin).await;
    assert_eq!(open["event"]["details"]["email"]["absent"], "erased");
    world.settle().await;
    let recorded = world.events(world.acme.scope(), "audit.subject_erased").await;
    assert_eq!(recorded.len(), 2, "once each, by the answer and by the outbox");
    let verified = world.send(&Ask::get("/v1/audit/verification").by(&admin)).await.expect(200);
    assert_eq!(verified["intact"], true);
    let proof = {
        world.cover().await;
        let id = erased["id"].as_str().unwrap();
        world.send(&Ask::get(format!("/v1/audit/proofs/inclusion?event={id}")).by(&admin)).await.expect(200)
    };
    assert!(proof["proof"].is_string(), "{proof}");
    assert!(world.events(Scope::Platform, "audit.subject_erased").await.is_empty());
    let bad = json!({"subject": "user:alice", "reason": ""});
    world.send(&Ask::post("/v1/audit/erasures", bad).by(&admin)).await.problem(400, "invalid_request");
}
