use serde_json::{Value, json};

use crate::world::{Ask, World};

fn event(id: &str, changes: &Value) -> Value {
    let mut event = json!({
        "specversion": "1.0", "id": id, "source": "test", "type": "api.calls", "time": "2026-11-22T11:00:00Z",
    });
    for (name, value) in changes.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn single(world: &World, event: &Value) -> Ask {
    let ask = Ask::new(http::Method::POST, "/v1/usage/events").by(&world.acme.admin);
    ask.header("content-type", "application/cloudevents+json; charset=utf-8").body(event.to_string())
}

fn batch(world: &World, events: &Value) -> Ask {
    let ask = Ask::new(http::Method::POST, "/v1/usage/events").by(&world.acme.admin);
    ask.header("content-type", "application/cloudevents-batch+json").body(events.to_string())
}

#[tokio::test]
async fn an_event_is_counted_once_however_often_it_is_sent() {
    let world = World::new().await;
    let item = |answer: Value| answer["items"][0]["outcome"].as_str().unwrap().to_owned();
    assert_eq!(item(world.send(&single(&world, &event("1", &json!({})))).await.expect(200)), "accepted");
    assert_eq!(item(world.send(&single(&world, &event("1", &json!({})))).await.expect(200)), "duplicate");
    let other = event("1", &json!({"subject": "user:bob"}));
    world.send(&single(&world, &other)).await.problem(409, "conflict");
    let unknown = event("2", &json!({"type": "nothing"}));
    let detail = world.send(&single(&world, &unknown)).await.problem(400, "invalid_request");
    assert_eq!(detail, "unknown_meter: the catalog has no such meter");
    let mut untimed = event("3", &json!({}));
    untimed.as_object_mut().unwrap().remove("time");
    let detail = world.send(&single(&world, &untimed)).await.problem(400, "invalid_request");
    assert_eq!(detail, "missing field `time`");
}

#[tokio::test]
async fn each_event_of_a_batch_has_its_own_outcome() {
    let world = World::new().await;
    let events = json!([
        event("1", &json!({})),
        event("1", &json!({})),
        event("1", &json!({"subject": "user:bob"})),
        event("2", &json!({"type": "nothing"})),
        event("3", &json!({"time": "2020-01-01T00:00:00Z"})),
        event("4", &json!({"specversion": "0.3"})),
        {"id": 7},
        "nonsense",
        event("5", &json!({"type": "storage.gb", "data": {"value": "0.25", "dimensions": {"region": "eu"}}})),
    ]);
    let answer = world.send(&batch(&world, &events)).await.expect(200);
    let outcomes: Vec<String> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| format!("{} {} {}", item["id"], item["outcome"], item["reason"]).replace('"', ""))
        .collect();
    assert_eq!(
        outcomes,
        [
            "1 accepted null",
            "1 duplicate null",
            "1 conflict null",
            "2 rejected unknown_meter",
            "3 rejected too_late",
            "4 rejected malformed",
            "null rejected malformed",
            "null rejected malformed",
            "5 accepted null",
        ]
    );
    assert_eq!(answer["items"][5]["detail"], "attribute `specversion`: use 1.0");
    assert_eq!(answer["items"][7]["detail"], "invalid type: string \"nonsense\", expected a CloudEvent");
}

#[tokio::test]
async fn usage_and_its_cost_are_told_for_a_month_and_for_any_period() {
    let world = World::new().await;
    let events: Vec<Value> = (0..150).map(|id| event(&id.to_string(), &json!({}))).collect();
    world.send(&batch(&world, &json!(events))).await.expect(200);
    let stored =
        event("s", &json!({"type": "storage.gb", "data": {"value": "12.5"}, "time": "2026-11-01T00:00:00Z"}));
    world.send(&single(&world, &stored)).await.expect(200);
    let get = |query: &str| Ask::get(format!("/v1/usage?{query}")).by(&world.acme.admin);
    let report = world.send(&get("period=2026-11")).await.expect(200);
    // 150 calls at 0.0001 USD are 0.0150 USD, rounded half away from zero to 0.02.
    let line = json!({
        "meter": "api.calls", "name": "api.calls", "unit": "call", "quantity": "150",
        "price": "0.0001 USD per call", "precise": "0.0150", "amount": "0.02",
    });
    let expected = json!({
        "from": "2026-11-01T00:00:00.000000Z", "to": "2026-12-01T00:00:00.000000Z",
        "usage": [
            {"meter": "api.calls", "quantity": "150", "events": "150"},
            {"meter": "storage.gb", "quantity": "12.5", "events": "1"},
        ],
        "cost": {"currency": "USD", "lines": [line], "unpriced": ["storage.gb"], "total": "0.02"},
    });
    assert_eq!(report, expected);
    let report = world
        .send(&get("meter=storage.gb&from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z"))
        .await
        .expect(200);
    assert_eq!(report["usage"], json!([{"meter": "storage.gb", "quantity": "12.5", "events": "1"}]));
    assert_eq!(
        report["cost"],
        json!({"currency": "USD", "lines": [], "unpriced": ["storage.gb"], "total": "0.00"})
    );
    let report = world.send(&get("meter=api.calls&period=2026-11")).await.expect(200);
    assert_eq!((&report["cost"]["total"], &report["cost"]["unpriced"]), (&json!("0.02"), &json!([])));
    let report = world.send(&get("period=2026-11&zone=Europe/Berlin")).await.expect(200);
    assert_eq!(report["from"], "2026-10-31T23:00:00.000000Z");
    // Another tenant has used nothing.
    let report = world.send(&Ask::get("/v1/usage?period=2026-11").by(&world.globex.admin)).await.expect(200);
    assert_eq!(report["usage"], json!([]));
}

#[tokio::test]
async fn a_question_about_usage_that_cannot_be_answered_says_why() {
    let world = World::new().await;
    for (query, expected) in [
        ("", "name the period"),
        ("period=2026-11&from=2026-11-01T00:00:00Z", "name the period"),
        ("from=2026-11-01T00:00:00Z", "name the period"),
        ("from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "parameter `to`:"),
        ("period=November", "parameter `period`:"),
        ("period=2026-11&meter=nothing", "parameter `meter`: the catalog has no meter `nothing`"),
        ("period=2026-11&metre=x", "parameter `metre`: unknown field `metre`"),
        ("period=2026-11&period=2026-10", "the parameter `period` is given twice"),
    ] {
        let answer = world.send(&Ask::get(format!("/v1/usage?{query}")).by(&world.acme.admin)).await;
        let detail = answer.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{query}: {detail}");
    }
    let platform = Ask::get("/v1/usage?period=2026-11&tenant=platform").by(&world.root);
    world.send(&platform).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn events_come_as_cloud_events_only() {
    let world = World::new().await;
    let json = Ask::post("/v1/usage/events", event("1", &json!({}))).by(&world.acme.admin);
    world.send(&json).await.problem(415, "unsupported_media_type");
    world.send(&batch(&world, &event("1", &json!({})))).await.problem(400, "invalid_request");
}
