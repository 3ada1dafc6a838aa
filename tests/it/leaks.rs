//! What one tenant has is out of every other tenant's reach: on each operation of the admin API and on each route of the gateway.

use serde_json::{Value, json};

use crate::harness::{Message, World, ask, eventually};

/// A word that is in everything the other tenant has, and in nothing that is asked.
const THEIRS: &str = "hush";
/// What roles and limits of the other tenant are asked for by.
const NAME: &str = "vault";

/// Another tenant, with one of everything, and an administrator of acme who may do everything there.
struct Neighbours {
    world: World,
    /// The other tenant, its user and the user's key.
    other: String,
    key: String,
    secret: String,
    boss: String,
}

impl Neighbours {
    fn new() -> Self {
        let world = World::on_postgres("");
        let tenant = json!({"slug": "globex", "name": THEIRS, "tier": "basic"});
        let made = |method: &str, target: &str, body: &Value| {
            let answer = world.admin(method, target, body);
            assert_eq!(answer.status(), 201, "{target}: {}", answer.json());
            answer.json()
        };
        let other = made("POST", "/v1/tenants", &tenant)["id"].as_str().expect("an id").to_owned();
        let role = json!({"name": THEIRS, "permissions": ["hush:read", "report:read"]});
        made("PUT", &format!("/v1/roles/{NAME}?tenant={other}"), &role);
        let subject = "user:hush";
        let assignment = json!({"subject": subject, "role": NAME});
        made("POST", &format!("/v1/assignments?tenant={other}"), &assignment);
        let denial = json!({"subject": subject, "permission": "hush:write"});
        made("POST", &format!("/v1/denials?tenant={other}"), &denial);
        let grant = json!({"subject": subject, "permission": "hush:grant", "reason": THEIRS});
        made("POST", &format!("/v1/grants?tenant={other}"), &grant);
        let member = json!({"group": format!("group:{NAME}"), "member": subject});
        made("POST", &format!("/v1/memberships?tenant={other}"), &member);
        let limit = json!({"name": THEIRS, "key": ["tenant"], "limit": 1000, "window": "1h"});
        made("PUT", &format!("/v1/limits/{NAME}?tenant={other}"), &limit);
        let claim = json!({
            "id": NAME, "subject": subject, "basis": "legal_claims", "until": "2099-01-01T00:00:00Z", "reason": THEIRS,
        });
        made("POST", &format!("/v1/audit/exceptions?tenant={other}"), &claim);
        let key = world.key(&other, subject);
        let (key, secret) = (key.id, key.secret);

        let everything = json!({"name": "Everything", "permissions": ["*:*"]});
        made("PUT", &format!("/v1/roles/everything?tenant={}", world.acme), &everything);
        let boss = json!({"subject": "user:boss", "role": "everything"});
        made("POST", &format!("/v1/assignments?tenant={}", world.acme), &boss);
        let boss = world.key(&world.acme, "user:boss").secret;
        let neighbours = Self { world, other, key, secret, boss };
        // So that there is usage, and a record of it.
        let asked = ask(
            neighbours.world.gateway(),
            "GET",
            "/reports/hush",
            &[("x-api-key", &neighbours.secret)],
            b"",
        );
        assert_eq!(asked.status(), 200);
        eventually("it is counted and recorded", || {
            let seen = neighbours.belongings();
            (seen.contains("\"quantity\":\"1\"") && seen.contains("/reports/hush")).then_some(())
        });
        neighbours
    }

    /// Everything that the other tenant has, as the platform sees it.
    fn belongings(&self) -> String {
        let of_theirs = |what: &str| self.world.get(&format!("/v1/{what}tenant={}", self.other)).to_string();
        let lists = [
            "keys",
            "roles",
            "assignments",
            "denials",
            "grants",
            "memberships",
            "separations",
            "limits",
            "audit/exceptions",
        ]
        .map(|what| format!("{what}?"));
        let rest = [format!("usage?{PERIOD}&"), "audit/events?action=request.decided&".to_owned()];
        let mut seen: Vec<String> = lists.iter().chain(&rest).map(|what| of_theirs(what)).collect();
        seen.push(self.world.get(&format!("/v1/tenants/{}", self.other)).to_string());
        seen.join("\n")
    }

    /// The id of an event in the other tenant's ledger.
    fn event(&self) -> String {
        let found = self.world.get(&format!("/v1/audit/events?limit=1&tenant={}", self.other));
        found["items"][0]["event"]["id"].as_str().expect("an id").to_owned()
    }

    fn operations(&self) -> Vec<Operation> {
        let document = self.world.get("/openapi.json");
        let event = self.event();
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                if operation.get("x-permission").is_none() {
                    continue;
                }
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let takes = |name: &str| parameters.clone().any(|parameter| parameter["name"] == name);
                let id = match path.split('/').nth(2) {
                    Some("tenants") => self.other.as_str(),
                    Some("keys") => self.key.as_str(),
                    Some("separations") => NAME,
                    Some("sessions") => "0192f0c1-2345-7abc-8def-0123456789ab",
                    Some("audit") if path.contains("/exports/") => "0192f0c1-2345-7abc-8def-0123456789ab",
                    Some("audit") if path.contains("/erasures/") => &event,
                    Some("audit") => "data_access/checkpoint",
                    _ => NAME,
                };
                found.push(Operation {
                    name: operation["operationId"].as_str().expect("a name").to_owned(),
                    method: method.to_uppercase(),
                    path: path.replace("{id}", id),
                    is_of_one: path.contains("{id}"),
                    is_scoped: takes("tenant"),
                });
            }
        }
        assert!(found.len() > 25, "{}", found.len());
        found
    }

    /// Sends an operation, and sees that nothing of theirs comes back.
    fn send(&self, operation: &Operation, key: &str, query: &str) -> Message {
        let Operation { name, method, path, .. } = operation;
        let target = format!("{path}?{query}");
        let body = match name.as_str() {
            "rotate_key" => json!({"grace_seconds": 0}),
            "activate_role" => json!({"role": NAME}),
            _ => json!({}),
        };
        let body = if matches!(method.as_str(), "GET" | "DELETE") { String::new() } else { body.to_string() };
        let mut fields = vec![("x-api-key", key)];
        if !body.is_empty() {
            fields.push(("content-type", "application/json"));
        }
        if method == "PATCH" {
            fields.push(("if-match", "\"1\""));
        }
        let answer = ask(self.world.program.admin, method, &target, &fields, body.as_bytes());
        let said = format!("{:?} {}", answer.fields, String::from_utf8_lossy(&answer.body));
        for theirs in [THEIRS, &self.key, &self.other, &self.secret] {
            assert!(target.contains(theirs) || !said.contains(theirs), "{name} {target}: {said}");
        }
        answer
    }
}

/// An operation of the admin API.
struct Operation {
    name: String,
    method: String,
    /// Its path, with something of the other tenant's where it takes an id.
    path: String,
    is_of_one: bool,
    /// Whether it works on the tenant that `tenant` names.
    is_scoped: bool,
}

const PERIOD: &str = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";

#[test]
fn no_operation_of_the_admin_api_gives_one_tenant_anything_of_another() {
    let neighbours = Neighbours::new();
    let before = neighbours.belongings();
    assert!(before.contains(THEIRS) && before.contains(&neighbours.key));
    let (mut refused, mut missing, mut own) = (0, 0, 0);
    for operation in neighbours.operations() {
        let name = &operation.name;
        // By the other tenant's id: no credential of acme's gets past the door.
        for key in [&neighbours.boss, &neighbours.world.alice.secret] {
            let tenant =
                if operation.is_scoped { format!("tenant={}", neighbours.other) } else { String::new() };
            let answer = neighbours.send(&operation, key, &tenant);
            assert_eq!((answer.status(), &answer.json()["code"]), (403, &json!("forbidden")), "{name}");
            refused += 1;
        }
        if !operation.is_scoped {
            continue;
        }
        // In acme's own scope by the ids of their things, which are not there.
        if operation.is_of_one && operation.method != "PUT" {
            let query = if name == "drop_role" { "role=viewer" } else { "" };
            let answer = neighbours.send(&operation, &neighbours.boss, query);
            // The log of reads is acme's own, once something of acme was read that leaves a record.
            if !(operation.path.ends_with("data_access/checkpoint") && answer.status() == 200) {
                assert_eq!((answer.status(), &answer.json()["code"]), (404, &json!("not_found")), "{name}");
            }
            missing += 1;
        }
        // And what acme is told of itself has nothing of them in it.
        if operation.method == "GET" && !operation.is_of_one {
            let theirs = format!("event={}", neighbours.event());
            let (query, status) = match name.as_str() {
                "get_usage" => (PERIOD, 200),
                "list_sessions" => ("subject=user:hush", 200),
                "prove_audit_event" => (theirs.as_str(), 404),
                "prove_audit_growth" => ("class=data_access&from=1000000", 400),
                _ => ("", 200),
            };
            assert_eq!(neighbours.send(&operation, &neighbours.boss, query).status(), status, "{name}");
            own += 1;
        }
    }
    assert!(refused > 50 && missing >= 7 && own >= 8, "{refused} {missing} {own}");
    assert_eq!(neighbours.belongings(), before);
}

/// Questions about access are answered by what the tenant has itself, whatever others call their people and roles.
#[test]
fn no_question_about_access_is_answered_by_what_another_tenant_has() {
    let neighbours = Neighbours::new();
    let subject = "user:hush";
    let questions = [
        ("check", json!({"subject": subject, "permission": "report:read"}), "unknown_subject"),
        ("explain", json!({"subject": subject, "permission": "hush:read"}), "unknown_subject"),
        ("who-can", json!({"permission": "hush:read"}), "user:boss"),
        ("what-can", json!({"subject": subject}), "\"permitted\":[]"),
        ("plan", json!({"subject": subject, "permission": "hush:read"}), "never"),
        ("preview", json!({"changes": [{"delete_role": {"id": NAME}}]}), "\"lost\":[]"),
    ];
    for (what, question, expected) in questions {
        let fields = [("x-api-key", neighbours.boss.as_str()), ("content-type", "application/json")];
        let target = format!("/v1/access/{what}");
        let body = question.to_string();
        let answer = ask(neighbours.world.program.admin, "POST", &target, &fields, body.as_bytes());
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status(), 200, "{what}: {said}");
        assert!(said.contains(expected), "{what}: {said}");
        for theirs in [NAME, subject, &neighbours.other] {
            assert!(!said.contains(theirs), "{what}: {said}");
        }
    }
    let attempts = ask(
        neighbours.world.program.admin,
        "GET",
        "/v1/access/attempts",
        &[("x-api-key", neighbours.boss.as_str())],
        b"",
    );
    assert_eq!(attempts.json()["items"], json!([]));
}

#[test]
fn no_route_takes_one_tenant_s_credential_for_another() {
    let neighbours = Neighbours::new();
    let world = &neighbours.world;
    let before = world.upstream.seen().len();
    let routes = world.get("/v1/routes");
    let routes = routes["items"].as_array().expect("a list");
    let mut refused = 0;
    for route in routes {
        let path = route["path"].as_str().expect("a path");
        for (key, tenant) in [(&neighbours.boss, &neighbours.other), (&neighbours.secret, &world.acme)] {
            let fields = [("x-api-key", key.as_str()), ("x-tenant-id", tenant.as_str())];
            let answer = ask(world.gateway(), "GET", &format!("{path}/echo"), &fields, b"");
            let said = String::from_utf8_lossy(&answer.body);
            assert!(!said.contains(tenant.as_str()), "{path}: {said}");
            if route["access"] == "public" {
                assert_eq!(answer.status(), 200, "{path}: it asks nobody who he is");
                continue;
            }
            assert_eq!((answer.status(), &answer.json()["code"]), (403, &json!("forbidden")), "{path}");
            refused += 1;
        }
    }
    assert!(refused >= 2 * 6, "{refused}");
    let seen = world.upstream.seen().split_off(before);
    assert!(seen.iter().all(|request| request.target().starts_with("/open")), "{seen:?}");
}

/// Two people of one name in two tenants: neither has the other's roles, limits or bill.
#[test]
fn namesakes_of_two_tenants_share_nothing() {
    let world = World::on_postgres("");
    let globex = world.tenant("globex");
    let namesake = world.key(&globex, "user:alice").secret;
    let asks = |key: &str, path: &str| ask(world.gateway(), "GET", path, &[("x-api-key", key)], b"");
    assert_eq!(world.ask("GET", "/reports/echo").status(), 200);
    assert_eq!(asks(&namesake, "/reports/echo").status(), 403, "the role is acme's");
    for status in [200, 200, 200, 429] {
        assert_eq!(world.ask("GET", "/limited/echo").status(), status);
    }
    let answer = asks(&namesake, "/limited/echo");
    assert_eq!((answer.status(), answer.field("x-ratelimit-remaining")), (200, Some("2")));
    let seen = answer.json();
    let fields = seen["fields"].as_array().expect("fields");
    assert!(fields.contains(&json!(["x-tenant-id", globex])), "{seen}");
    let used = |tenant: &str| world.get(&format!("/v1/usage?tenant={tenant}&{PERIOD}"))["usage"].clone();
    eventually("acme's use is counted", || (used(&world.acme)[0]["quantity"] == "1").then_some(()));
    assert_eq!(used(&globex), json!([]));
}
