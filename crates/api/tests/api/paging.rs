use serde_json::{Value, json};

use crate::world::{Ask, World};

async fn with_roles(count: usize) -> World {
    let world = World::new().await;
    for number in 0..count {
        world.role(world.acme.scope(), &format!("role-{number:02}"), &["document:read"]).await;
    }
    world
}

async fn page(world: &World, query: &str) -> Value {
    world.send(&Ask::get(format!("/v1/roles?{query}")).by(&world.acme.admin)).await.expect(200)
}

#[tokio::test]
async fn pages_cover_a_list_once_and_end() {
    let world = with_roles(7).await;
    let mut seen: Vec<String> = Vec::new();
    let (mut query, mut pages) = ("limit=3".to_owned(), 0);
    loop {
        let found = page(&world, &query).await;
        let items = found["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        pages += 1;
        match found["next_page"].as_str() {
            Some(token) => query = format!("limit=3&page={token}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..7).map(|number| format!("role-{number:02}")).collect();
    assert_eq!((seen, pages), (expected, 3));
}

#[tokio::test]
async fn every_list_is_walked_in_pages_of_one() {
    let mut world = with_roles(2).await;
    for subject in ["user:a", "user:b"] {
        let denial = json!({"subject": subject, "permission": "key:read"});
        world.send(&Ask::post("/v1/denials", denial).by(&world.acme.admin)).await.expect(201);
        let assignment = json!({"subject": subject, "role": "role-01"});
        world.send(&Ask::post("/v1/assignments", assignment).by(&world.acme.admin)).await.expect(201);
        let limit = json!({"key": ["tenant"], "limit": 5, "window": "1m"});
        let target = format!("/v1/limits/{}", subject.replace(':', "-"));
        world.send(&Ask::put(target, limit).by(&world.acme.admin)).await.expect(201);
        world.principal(world.acme.scope(), subject, None).await;
        let other = json!({"limit_id": "per-user", "identifiers": subject, "limit": "9"});
        if subject == "user:a" {
            let limit = json!({"key": ["user"], "limit": 5, "window": "1m"});
            world.send(&Ask::put("/v1/limits/per-user", limit).by(&world.acme.admin)).await.expect(201);
        }
        world.send(&Ask::post("/v1/limits/overrides", other).by(&world.acme.admin)).await.expect(201);
        let out = json!({"identifiers": subject, "seconds": 600});
        world.send(&Ask::post("/v1/limits/quarantines", out).by(&world.acme.admin)).await.expect(201);
    }
    world.settle().await;
    for list in [
        "tenants?x",
        "keys?x",
        "roles?x",
        "assignments?x",
        "assignments?role=role-01",
        "denials?x",
        "limits?x",
        "limits/overrides?x",
        "limits/quarantines?x",
        "audit/events?x",
        "audit/events?action=role.put",
    ] {
        let (list, key) = match list.strip_suffix("?x") {
            Some("tenants") => ("tenants?".to_owned(), &world.root),
            Some(list) => (format!("{list}?"), &world.acme.admin),
            None => (format!("{list}&"), &world.acme.admin),
        };
        let whole = world.send(&Ask::get(format!("/v1/{list}")).by(key)).await.expect(200)["items"].clone();
        assert!(whole.as_array().unwrap().len() >= 2, "{list}");
        let mut walked = Vec::new();
        let mut query = "limit=1".to_owned();
        loop {
            let found = world.send(&Ask::get(format!("/v1/{list}{query}")).by(key)).await.expect(200);
            walked.extend(found["items"].as_array().unwrap().clone());
            let Some(token) = found["next_page"].as_str() else { break };
            query = format!("limit=1&page={token}");
        }
        assert_eq!(json!(walked), whole, "{list}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_only() {
    let world = with_roles(3).await;
    world.role(world.globex.scope(), "role-00", &["document:read"]).await;
    let token = page(&world, "limit=1").await["next_page"].as_str().unwrap().to_owned();
    let refused = async |ask: Ask| {
        let detail = world.send(&ask).await.problem(400, "invalid_request");
        assert_eq!(detail, "parameter `page`: this is no token of this list; begin without one");
    };
    let admin = &world.acme.admin;
    refused(Ask::get(format!("/v1/roles?page={token}")).by(&world.globex.admin)).await;
    refused(Ask::get(format!("/v1/limits?page={token}")).by(admin)).await;
    refused(Ask::get(format!("/v1/assignments?page={token}")).by(admin)).await;
    refused(Ask::get(format!("/v1/roles?tenant={}&page={token}", world.globex.id)).by(&world.root)).await;
    refused(Ask::get(format!("/v1/roles?page={token}x")).by(admin)).await;
    refused(Ask::get("/v1/roles?page=").by(admin)).await;
    refused(Ask::get("/v1/roles?page=cm9sZS0wMA").by(admin)).await;
    let filtered = world.send(&Ask::get("/v1/audit/events?limit=1").by(admin)).await.expect(200);
    assert_eq!(filtered["next_page"], json!(null));
    // Whoever may see the list of the tenant may go on with it, also the platform.
    world
        .send(&Ask::get(format!("/v1/roles?tenant={}&page={token}", world.acme.id)).by(&world.root))
        .await
        .expect(200);
}

#[tokio::test]
async fn the_size_of_a_page_is_bounded() {
    let world = with_roles(1).await;
    for (limit, status) in
        [("1", 200), ("1000", 200), ("0", 400), ("1001", 400), ("-1", 400), ("many", 400), ("", 400)]
    {
        let answer = world.send(&Ask::get(format!("/v1/roles?limit={limit}")).by(&world.acme.admin)).await;
        assert_eq!(answer.status, status, "{limit}");
    }
}
