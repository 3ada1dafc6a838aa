use serde_json::{Value, json};
use stanchion_audit::bundle::{BEGINNING, BundleVerdict, verify_bundle};
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
async fn an_export_is_verified_offline_and_is_itself_recorded() {
    let mut world = World::new().await;
    world.cover().await;
    let scope = world.acme.scope();
    let chain = format!("{}/security", world.acme.id).parse().unwrap();
    let keys = world.prover.verifiers(&chain);
    let get = |query: &str| Ask::get(format!("/v1/audit/export{query}")).by(&world.acme.admin);
    let (whole, some) = (get(""), get("?action=key.*&class=security"));
    let exported = world.record(&whole).await;
    assert_eq!((exported.status.as_u16(), exported.header("content-type")), (200, "application/jsonl"));
    assert!(exported.text.starts_with(BEGINNING), "{}", exported.text);
    assert!(!exported.text.contains(&world.globex.id.to_string()));
    let proof = |text: &str| match verify_bundle(text.as_bytes(), &keys, None).unwrap() {
        BundleVerdict::Intact(proof) => proof,
        other => panic!("{other:?}"),
    };
    let proven = proof(&exported.text);
    assert_eq!((proven.scope, proven.is_whole, proven.entries()), (scope, true, 2));
    let proven = proof(&world.record(&some).await.text);
    assert_eq!((proven.is_whole, proven.entries()), (false, 1));

    let begun = world.events(scope, "audit.export_begun").await;
    assert_eq!(begun.len(), 2);
    assert_eq!(begun[0].actor.to_string(), "user:admin");
    let ended = world.events(scope, "audit.exported").await;
    let said = serde_json::to_value(&ended[1]).unwrap();
    assert_eq!(said["outcome"], "success");
    assert_eq!(said["details"]["query"], json!({"action": "key.*", "class": "security"}));
    assert_eq!(said["details"]["chains"][0], json!({"chain": chain.to_string(), "entries": 1, "newer": 0}));
}

#[tokio::test]
async fn an_export_whose_reader_has_gone_is_recorded_as_broken_off() {
    let mut world = World::new().await;
    world.cover().await;
    let (acme, platform) = (world.acme.id, Ask::new(http::Method::HEAD, "/v1/audit/export"));
    let ask = Ask::new(http::Method::HEAD, format!("/v1/audit/export?tenant={acme}")).by(&world.root);
    assert_eq!(world.record(&ask).await.status, 200);
    let scope = world.acme.scope();
    let ended = world.events(scope, "audit.exported").await;
    assert_eq!(ended.len(), 1, "whose entries were read sees by whom");
    assert_eq!(ended[0].reason.as_ref().map(ToString::to_string).as_deref(), Some("broken_off"));
    assert_eq!(ended[0].actor.to_string(), "user:root");
    assert_eq!(world.record(&platform).await.status, 401);
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

const REPORT: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

/// An event that a program reports, with some fields as given instead.
fn report(fields: &Value) -> Ask {
    let mut body = json!({
        "id": REPORT, "occurred_at": "2026-11-22T11:59:58Z", "action": "invoice.approved", "category": "billing",
        "outcome": "success", "on_behalf_of": "user:alice", "targets": ["invoice/2026-0042"],
        "changes": [{"field": "status", "before": {"value": "open"}, "after": {"value": "approved"}}],
        "source": {"ip": "198.51.100.9"}, "details": {"amount": "12.50", "lines": 3},
    });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    Ask::post("/v1/audit/events", body)
}

#[tokio::test]
async fn a_program_reports_an_event_and_is_itself_on_record_for_it() {
    let mut world = World::new().await;
    let acme = world.acme.scope();
    world.role(acme, "reporter", &["audit:write"]).await;
    let key = world.principal(acme, "service:billing", Some("reporter")).await;
    let first = world.record(&report(&json!({})).by(&key)).await.expect(201);
    assert_eq!((&first["id"], &first["sequence"]), (&json!(REPORT), &json!("1")));
    assert_eq!(first["chain"], format!("{}/standard", world.acme.id));
    let again = world.record(&report(&json!({})).header("x-api-key", key.clone())).await.expect(201);
    assert_eq!(again, first);

    let list = Ask::get("/v1/audit/events?action=invoice.approved").by(&world.acme.admin);
    let found = world.send(&list).await.expect(200);
    let [entry] = found["items"].as_array().unwrap().as_slice() else { panic!("{found}") };
    let event = &entry["event"];
    assert_eq!(entry["hash"], first["hash"]);
    assert_eq!(event["actor"]["subject"]["subject"], "service:billing");
    assert!(event["actor"]["subject"]["key"].is_string());
    assert_eq!((&event["acted_as"], &event["reported"]), (&json!("user:alice"), &json!(true)));
    assert_eq!((&event["category"], &event["severity"]), (&json!("billing"), &json!("info")));
    assert_eq!(event["changes"][0]["after"], json!({"value": "approved"}));
    assert_eq!(event["source"]["ip"], "198.51.100.9");
    assert_eq!(event["details"], json!({"amount": "12.50", "lines": 3}));
    // Nobody finds it among what alice did herself.
    let alice = Ask::get("/v1/audit/events?actor=user:alice").by(&world.acme.admin);
    assert_eq!(world.send(&alice).await.expect(200)["items"], json!([]));
    let verified = Ask::get("/v1/audit/verification").by(&world.acme.admin);
    assert_eq!(world.send(&verified).await.expect(200)["intact"], true);

    let other = report(&json!({"details": {"amount": "1250.00"}})).by(&key);
    let detail = world.record(&other).await.problem(409, "conflict");
    assert_eq!(detail, format!("event id {REPORT} was used before for something else"));
    // Another key is another actor, so the event is another one.
    world.record(&report(&json!({})).by(&world.acme.admin.clone())).await.problem(409, "conflict");
    assert_eq!(world.events(acme, "audit.id_reused").await.len(), 2);
}

#[tokio::test]
async fn whoever_waits_for_a_checkpoint_has_the_proof_with_the_receipt() {
    let mut world = World::new().await;
    let admin = world.acme.admin.clone();
    let ask = |ack: &str| {
        let target = format!("/v1/audit/events?ack={ack}");
        Ask::post(target, json!({"action": "user.login", "outcome": "success"})).by(&admin)
    };
    let covered = world.record_and_cover(&ask("checkpointed")).await.expect(201);
    let chain = covered["chain"].as_str().unwrap().parse().unwrap();
    let keys = world.prover.verifiers(&chain);
    let proven = stanchion_audit::verify_proof(covered["proof"].as_str().unwrap(), &keys).unwrap();
    assert_eq!(proven.seq.to_string(), covered["sequence"].as_str().unwrap());
    let durable = world.record(&ask("durable")).await.expect(201);
    assert!(durable.get("proof").is_none());
    world.record(&ask("accepted")).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn an_event_without_an_id_is_given_one_and_a_known_action_has_its_category() {
    let mut world = World::new().await;
    let admin = world.acme.admin.clone();
    let ask =
        || Ask::post("/v1/audit/events", json!({"action": "user.login", "outcome": "success"})).by(&admin);
    let first = world.record(&ask()).await.expect(201);
    assert_eq!(first["chain"], format!("{}/security", world.acme.id));
    let second = world.record(&ask()).await.expect(201);
    assert_ne!(first["id"], second["id"]);
    let events = world.events(world.acme.scope(), "user.login").await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].occurred_at.to_string(), "2026-11-22T12:00:00.000000Z");
    // A platform's administrator names the tenant.
    let target = format!("/v1/audit/events?tenant={}", world.globex.id);
    let ask =
        Ask::post(target, json!({"action": "user.login", "outcome": "failure"})).by(&world.root.clone());
    let chain = world.record(&ask).await.expect(201)["chain"].clone();
    assert_eq!(chain, format!("{}/security", world.globex.id));
}

#[tokio::test]
async fn an_event_that_could_be_misread_or_mistaken_for_ours_is_refused_with_its_place() {
    let mut world = World::new().await;
    let admin = world.acme.admin.clone();
    world.role(world.acme.scope(), "auditor", &["audit:read"]).await;
    let auditor = world.principal(world.acme.scope(), "user:auditor", Some("auditor")).await;
    world.send(&report(&json!({})).by(&auditor)).await.problem(403, "forbidden");
    let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
    for (fields, expected) in [
        (json!({"actor": "user:alice"}), "field `actor`: unknown field `actor`"),
        (json!({"action": "role.put"}), "field `action`: only Stanchion itself records `role.put`"),
        (json!({"action": "login"}), "field `action`: `login` is not an action"),
        (json!({"action": "user.login"}), "field `category`: that of `user.login` is `authentication`"),
        (
            json!({"category": null}),
            "field `category`: say which, since `invoice.approved` is no known action",
        ),
        (json!({"occurred_at": null}), "field `occurred_at`: say when it happened"),
        (
            json!({"occurred_at": "2026-11-22T12:05:01Z"}),
            "field `occurred_at`: it is more than five minutes from now",
        ),
        (json!({"outcome": "fine"}), "field `outcome`: unknown variant `fine`"),
        (json!({"targets": ["invoice"]}), "field `targets[0]`: `invoice` is not a resource"),
        (
            json!({"details": {"a": [1, 1.5]}}),
            "field `details.a[1]`: a number here is whole and within ±(2^53 − 1)",
        ),
        (json!({"details": {"a": {"b": u64::MAX}}}), "field `details.a.b`: a number here is whole"),
        (
            json!({"details": {"a": [1_i64 << 53]}}),
            "field `details.a[0]` is 9007199254740992, beyond ±(2^53 − 1)",
        ),
        (json!({"details": {"deep": deep}}), "field `details.deep[0]"),
        (json!({"changes": [{"field": "a", "hash": "x"}]}), "field `changes[0].hash`: unknown field `hash`"),
        (json!({"source": {"host": "x"}}), "field `source.host`: unknown field `host`"),
    ] {
        let detail = world.send(&report(&fields).by(&admin)).await.problem(400, "invalid_request");
        assert!(detail.starts_with(expected), "{expected}: {detail}");
    }
    for (body, expected) in [
        (r#"{"action":"data.read","outcome":"success","outcome":"denied"}"#, "duplicate field `outcome`"),
        (
            r#"{"action":"data.read","outcome":"success","details":{"a":{"b":1,"b":2}}}"#,
            "field `details.a`: the name `b` stands twice",
        ),
    ] {
        let ask = Ask::post("/v1/audit/events", Value::Null).by(&admin).body(body);
        let detail = world.send(&ask).await.problem(400, "invalid_request");
        assert!(detail.contains(expected), "{expected}: {detail}");
    }
    let large = report(&json!({"details": {"body": "x".repeat(65_535)}})).by(&admin);
    let detail = world.send(&large).await.problem(413, "payload_too_large");
    assert!(detail.ends_with("bytes, more than 65535"), "{detail}");
    assert!(world.events(world.acme.scope(), "invoice.approved").await.is_empty());
}
