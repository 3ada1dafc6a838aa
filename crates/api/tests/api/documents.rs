use http::Method;
use serde_json::{Value, json};

use crate::world::{Ask, World};

#[tokio::test]
async fn the_document_is_as_reviewed() {
    let world = World::new().await;
    let answer = world.send(&Ask::get("/openapi.json")).await;
    let document = answer.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    insta::assert_snapshot!("openapi", answer.text);
}

#[tokio::test]
async fn every_route_is_in_the_document_and_everything_in_the_document_is_a_route() {
    let world = World::new().await;
    let document = world.send(&Ask::get("/openapi.json")).await.expect(200);
    for (path, item) in document["paths"].as_object().unwrap() {
        let target = path.replace("{id}", "x");
        let documented: Vec<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = world.send(&Ask::new(method.parse().unwrap(), &target)).await;
            if documented.iter().any(|known| known == method) {
                let expected = if path.starts_with("/v1/") { &[401][..] } else { &[200, 503] };
                assert!(expected.contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
                continue;
            }
            answer.problem(405, "method_not_allowed");
            let mut allowed: Vec<&str> =
                answer.header("allow").split(',').filter(|name| *name != "HEAD").collect();
            let mut expected: Vec<&str> = documented.iter().map(String::as_str).collect();
            allowed.sort_unstable();
            expected.sort_unstable();
            assert_eq!(allowed, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn every_reference_and_tag_of_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let world = World::new().await;
    let document = world.send(&Ask::get("/openapi.json")).await.expect(200);
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = Vec::new();
    for operation in
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values())
    {
        assert!(tags.contains(&&operation["tags"][0]), "{operation}");
        assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{operation}");
        ids.push(operation["operationId"].as_str().unwrap());
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[tokio::test]
async fn whatever_goes_wrong_is_told_in_a_problem_document() {
    let world = World::new().await;
    let admin = &world.acme.admin;
    for target in ["/", "/v1", "/v1/nothing", "/v1/keys/", "/V1/keys", "/v1/keys/a/b/c"] {
        world.send(&Ask::get(target).by(admin)).await.problem(404, "not_found");
    }
    let answer = world.send(&Ask::delete("/v1/tenants").by(admin)).await;
    answer.problem(405, "method_not_allowed");
    let post = |body: &str| {
        Ask::new(Method::POST, "/v1/assignments")
            .by(admin)
            .header("content-type", "application/json")
            .body(body)
    };
    let detail = world.send(&post("{\"subject\":")).await.problem(400, "invalid_request");
    assert_eq!(detail, "the body is not valid JSON: EOF while parsing a value at line 1 column 11");
    let detail = world.send(&post("{}{}")).await.problem(400, "invalid_request");
    assert_eq!(detail, "missing field `subject`");
    let detail = world.send(&post("")).await.problem(400, "invalid_request");
    assert!(detail.starts_with("the body is not valid JSON"), "{detail}");
    let detail = world
        .send(&post("{\"subject\":\"user:a\",\"subject\":\"user:b\",\"role\":\"admin\"}"))
        .await
        .problem(400, "invalid_request");
    assert_eq!(detail, "duplicate field `subject`");
    let detail =
        world.send(&post("{\"subjet\":\"user:a\",\"role\":\"admin\"}")).await.problem(400, "invalid_request");
    assert!(detail.ends_with("did you mean `subject`?"), "{detail}");
    let deep = "[".repeat(100_000);
    world.send(&post(&deep)).await.problem(400, "invalid_request");
    let none = Ask::new(Method::POST, "/v1/assignments").by(admin).body("{}");
    world.send(&none).await.problem(415, "unsupported_media_type");
    let other =
        Ask::new(Method::POST, "/v1/assignments").by(admin).header("content-type", "text/plain").body("{}");
    world.send(&other).await.problem(415, "unsupported_media_type");
    let charset = Ask::new(Method::POST, "/v1/access/check")
        .by(admin)
        .header("content-type", "application/json; charset=utf-8");
    let question = json!({"subject": "user:a", "permission": "a:b"}).to_string();
    world.send(&charset.body(question)).await.expect(200);
    world.send(&Ask::get("/v1/keys/%ff").by(admin)).await.problem(400, "invalid_request");
    world.send(&Ask::get("/v1/keys?colour=red").by(admin)).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_body_is_bounded_and_read_only_of_those_who_may_send_it() {
    let world = World::new().await;
    let limit = 1024 * 1024;
    let body = |size: usize| format!("\"{}\"", "x".repeat(size - 2));
    let post = |size| {
        Ask::new(Method::POST, "/v1/assignments").header("content-type", "application/json").body(body(size))
    };
    world.send(&post(limit).by(&world.acme.admin)).await.problem(400, "invalid_request");
    world.send(&post(limit + 1).by(&world.acme.admin)).await.problem(413, "payload_too_large");
    let stated =
        Ask::new(Method::POST, "/v1/assignments").header("content-length", "1048577").by(&world.acme.admin);
    world.send(&stated).await.problem(413, "payload_too_large");
    world.send(&post(limit + 1)).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn an_answer_carries_our_request_id_and_never_the_callers() {
    let world = World::new().await;
    for ask in [
        Ask::get("/healthz"),
        Ask::get("/v1/keys"),
        Ask::get("/nothing"),
        Ask::get("/v1/keys").by(&world.acme.admin),
    ] {
        let answer = world.send(&ask.header("x-request-id", "0192f0c1-2345-7abc-8def-0123456789ab")).await;
        let id = answer.header("x-request-id");
        assert!(id.parse::<stanchion_core::RequestId>().is_ok());
        assert_ne!(id, "0192f0c1-2345-7abc-8def-0123456789ab");
    }
}
