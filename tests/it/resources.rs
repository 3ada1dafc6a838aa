//! Routes that say what their requests are about: roles that are held on some resources count on those, and on no others.

use serde_json::{Value, json};

use crate::harness::{World, ask, eventually};

const ROUTES: &str = r#"
[[routes]]
id = "document"
path = "/folders/{folder}/documents/{id}"
upstream = "service"
permission = "document:read"
resource = "folder/{folder}/document/{id}"

[[routes]]
id = "documents"
path = "/folders/{folder}/documents"
upstream = "service"
permission = "document:read"
resource = "folder/{folder}/document"
"#;

/// The program with two people: one who may read what is in a folder, and one who may read all but one document.
fn world() -> (World, String, String) {
    let world = World::with("", ROUTES);
    let admin = |method: &str, path: &str, body: &Value| {
        let answer = world.admin(method, &format!("{path}?tenant={}", world.acme), body);
        assert_eq!(answer.status(), 201, "{path}: {}", answer.json());
    };
    admin("PUT", "/v1/roles/reader", &json!({"name": "Reader", "permissions": ["document:read"]}));
    admin(
        "POST",
        "/v1/assignments",
        &json!({"subject": "user:bob", "role": "reader", "resource": "folder/7"}),
    );
    admin("POST", "/v1/assignments", &json!({"subject": "user:carol", "role": "reader"}));
    let denial = json!({"subject": "user:carol", "permission": "document:read", "resource": "document/a:42"});
    admin("POST", "/v1/denials", &denial);
    let (bob, carol) =
        (world.key(&world.acme, "user:bob").secret, world.key(&world.acme, "user:carol").secret);
    (world, bob, carol)
}

fn status(world: &World, key: &str, path: &str) -> u16 {
    ask(world.gateway(), "GET", path, &[("x-api-key", key)], b"").status()
}

#[test]
fn a_role_on_a_folder_opens_what_is_in_it_and_nothing_else() {
    let (world, bob, carol) = world();
    for (path, of_bob, of_carol) in [
        ("/folders/7/documents/1", 200, 200),
        ("/folders/7/documents/1/pages/2", 200, 200),
        ("/folders/8/documents/1", 403, 200),
        ("/folders/8/../7/documents/1", 200, 200),
        ("/folders/77/documents/1", 403, 200),
        // Of all documents in a folder the one may be that is denied to carol.
        ("/folders/7/documents", 200, 403),
        ("/folders/8/documents", 403, 403),
    ] {
        let statuses = (status(&world, &bob, path), status(&world, &carol, path));
        assert_eq!(statuses, (of_bob, of_carol), "{path}");
    }
    // What is taken away is gone at once.
    let gone =
        format!("/v1/assignments?tenant={}&subject=user:bob&role=reader&resource=folder/7", world.acme);
    assert_eq!(world.admin("DELETE", &gone, &Value::Null).status(), 204);
    assert_eq!(status(&world, &bob, "/folders/7/documents/1"), 403);
}

#[test]
fn a_denial_of_one_resource_is_not_got_round_by_another_spelling_of_its_id() {
    let (world, _, carol) = world();
    for spelling in ["a:42", "a%3A42", "a%3a42", "%61%3a42", "./a:42", "x/../a:42"] {
        assert_eq!(status(&world, &carol, &format!("/folders/7/documents/{spelling}")), 403, "{spelling}");
    }
    assert_eq!(status(&world, &carol, "/folders/7/documents/a:43"), 200);
}

#[test]
fn the_record_says_what_the_permission_was_looked_for_on() {
    let (world, bob, _) = world();
    let refused = ask(world.gateway(), "GET", "/folders/8/documents/1", &[("x-api-key", &bob)], b"");
    let detail = "`user:bob` lacks the permission `document:read` on `document/1`";
    assert_eq!((refused.status(), &refused.json()["detail"]), (403, &json!(detail)));
    let target = format!("/v1/audit/events?tenant={}&target=route/document", world.acme);
    let authorization = eventually("the refusal is on record", || {
        let found = world.get(&target);
        let event = found["items"].as_array()?.first()?["event"].clone();
        Some(event["authorization"][0].clone())
    });
    assert_eq!(authorization["permission"], "document:read");
    assert_eq!(authorization["granted"], false);
    assert!(authorization["resource"].to_string().contains("document"), "{authorization}");
}
