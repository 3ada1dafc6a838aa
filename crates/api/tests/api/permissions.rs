use serde_json::{Value, json};

use crate::world::{Ask, World};

#[tokio::test]
async fn known_permissions_are_listed_by_resource_and_in_pages() {
    let world = World::new().await;
    let get = |target: &str| Ask::get(target.to_owned()).by(&world.acme.admin);
    let found = world.send(&get("/v1/permissions?resource=role")).await.expect(200);
    let names = |found: &Value| {
        let items = found["items"].as_array().unwrap().iter();
        items.map(|one| one["permission"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&found), ["role:grant", "role:read", "role:write"]);
    assert_eq!(found["items"][2]["administrative"], true);
    let (mut seen, mut query) = (Vec::new(), "limit=4".to_owned());
    loop {
        let found = world.send(&get(&format!("/v1/permissions?{query}"))).await.expect(200);
        seen.extend(names(&found));
        match found["next_page"].as_str() {
            Some(token) => query = format!("limit=4&page={token}"),
            None => break,
        }
    }
    let whole = names(&world.send(&get("/v1/permissions?limit=1000")).await.expect(200));
    assert_eq!(seen, whole);
    assert!(whole.is_sorted() && whole.contains(&"access:check".to_owned()), "{whole:?}");
    let none = world.send(&get("/v1/permissions?resource=zebra")).await.expect(200);
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn a_type_of_resource_tells_what_may_be_done_to_it() {
    let world = World::new().await;
    let get = |target: &str| Ask::get(target.to_owned()).by(&world.acme.admin);
    let found = world.send(&get("/v1/permissions/assignment")).await.expect(200);
    assert_eq!(
        (&found["resource"], &found["name"]),
        (&json!("assignment"), &json!("Assignments and denials"))
    );
    let administrative: Vec<&Value> =
        found["permissions"].as_array().unwrap().iter().map(|one| &one["administrative"]).collect();
    assert_eq!(administrative, [false, true]);
    let detail = world.send(&get("/v1/permissions/zebra")).await.problem(404, "not_found");
    assert_eq!(detail, "there is no resource type `zebra`");
    world.send(&get("/v1/permissions/Role")).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn permissions_are_read_and_what_may_have_been_meant_is_said() {
    let world = World::new().await;
    let validate = |permissions: Value| {
        Ask::post("/v1/permissions/validate", json!({ "permissions": permissions })).by(&world.acme.admin)
    };
    let texts = json!(["role:read:organization", "role:*", "role:raed:own", "rol:read", "Role", "*"]);
    let found = world.send(&validate(texts)).await.expect(200);
    let part = |index: usize, name: &str| found["items"][index][name].clone();
    let row = |index| json!([part(index, "valid"), part(index, "known"), part(index, "did_you_mean")]);
    assert_eq!(row(0), json!([true, true, null]));
    assert_eq!((part(0, "permission"), part(0, "scope")), (json!("role:read"), json!("tenant")));
    assert_eq!(part(0, "exact"), true);
    assert_eq!((row(1), part(1, "covered")), (json!([true, true, null]), json!(3)));
    assert_eq!(part(1, "covers"), json!(["role:read", "role:write", "role:grant"]));
    assert_eq!(row(2), json!([true, false, "role:read:own"]));
    assert_eq!(row(3), json!([true, false, "role:read"]));
    assert_eq!((row(4), part(4, "covered")), (json!([false, false, null]), json!(0)));
    assert!(part(4, "problem").as_str().unwrap().contains("is not a permission"), "{}", part(4, "problem"));
    assert!(part(5, "covered").as_u64().unwrap() > 20);
    world.send(&validate(json!([]))).await.problem(400, "invalid_request");
    world.send(&validate(json!(vec!["a:b"; 1_001]))).await.problem(400, "invalid_request");
}
