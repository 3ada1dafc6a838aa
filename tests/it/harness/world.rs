use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Message, Program, Site, Upstream, ask, eventually};

/// The program with a service behind it, a tenant in it, and a user of the tenant who may read reports.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) program: Program,
    pub(crate) upstream: Upstream,
    pub(crate) acme: String,
    pub(crate) alice: Key,
}

/// An API key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// A port that nothing listens on.
pub(crate) fn refused_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl World {
    /// Starts everything on the routes that most tests use.
    pub(crate) fn start() -> Self {
        Self::with("", "")
    }

    /// Starts everything with more settings of `[gateway]` and more of the rest.
    pub(crate) fn with(gateway: &str, rest: &str) -> Self {
        Self::at(|routes| Site::in_memory(gateway, &format!("{routes}{rest}")))
    }

    /// Starts everything on a fresh database.
    pub(crate) fn on_postgres(rest: &str) -> Self {
        Self::at(|routes| Site::on_postgres("", &format!("{routes}{rest}")))
    }

    /// Starts everything where `site` says, which is given the usual routes.
    pub(crate) fn at(site: impl FnOnce(String) -> Arc<Site>) -> Self {
        let upstream = Upstream::start();
        let program = Program::run(&site(routes(upstream.address)));
        let mut world = Self {
            program,
            upstream,
            acme: String::new(),
            alice: Key { id: String::new(), secret: String::new() },
        };
        let viewer = json!({"name": "Viewer", "permissions": ["report:read"]});
        assert_eq!(world.admin("PUT", "/v1/roles/viewer?tenant=platform", &viewer).status(), 201);
        world.acme = world.tenant("acme");
        world.alice = world.user(&world.acme, "user:alice");
        world
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.program.gateway
    }

    /// Asks the gateway as alice.
    pub(crate) fn ask(&self, method: &str, target: &str) -> Message {
        self.ask_with(method, target, &[], b"")
    }

    pub(crate) fn ask_with(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Message {
        let fields = [&[("x-api-key", self.alice.secret.as_str())], fields].concat();
        ask(self.gateway(), method, target, &fields, body)
    }

    /// Asks the admin API as the first administrator.
    pub(crate) fn admin(&self, method: &str, target: &str, body: &Value) -> Message {
        let fields = [("x-api-key", self.program.key.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(self.program.admin, method, target, &fields, body.as_bytes())
    }

    /// Reads from the admin API.
    pub(crate) fn get(&self, target: &str) -> Value {
        let answer = self.admin("GET", target, &Value::Null);
        assert_eq!(answer.status(), 200, "{target}: {}", answer.json());
        answer.json()
    }

    /// Makes a tenant and returns its id.
    pub(crate) fn tenant(&self, slug: &str) -> String {
        let new = json!({"slug": slug, "name": slug, "tier": "basic"});
        let answer = self.admin("POST", "/v1/tenants", &new);
        assert_eq!(answer.status(), 201, "{}", answer.json());
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Gives a subject a key, and nothing more.
    pub(crate) fn key(&self, tenant: &str, subject: &str) -> Key {
        let new = json!({"subject": subject, "name": "test"});
        let answer = self.admin("POST", &format!("/v1/keys?tenant={tenant}"), &new);
        assert_eq!(answer.status(), 201, "{}", answer.json());
        let text = |name: &str| answer.json()[name].as_str().expect("text").to_owned();
        Key { id: text("id"), secret: text("secret") }
    }

    /// Gives a subject a key and lets it read reports.
    pub(crate) fn user(&self, tenant: &str, subject: &str) -> Key {
        let assignment = json!({"subject": subject, "role": "viewer"});
        let answer = self.admin("POST", &format!("/v1/assignments?tenant={tenant}"), &assignment);
        assert_eq!(answer.status(), 201, "{}", answer.json());
        self.key(tenant, subject)
    }

    /// Returns the events that acme's ledger has of a request, the last of which tells how it ended.
    pub(crate) fn ending(&self, request: &str) -> Value {
        let target = format!("/v1/audit/events?tenant={}&request={request}", self.acme);
        self.ended(&target)
    }

    /// Returns the event that tells how the one request for a route ended.
    pub(crate) fn ending_on(&self, route: &str) -> Value {
        self.ended(&format!("/v1/audit/events?tenant={}&target=route/{route}", self.acme))
    }

    fn ended(&self, target: &str) -> Value {
        let ended = |entry: &Value| entry["event"]["outcome"] != "unknown";
        eventually("the record tells the end", || {
            let found = self.get(target);
            let entries = found["items"].as_array().expect("a list").iter();
            entries
                .map(|entry| &entry["event"])
                .zip(found["items"].as_array()?)
                .find_map(|(event, entry)| ended(entry).then(|| event.clone()))
        })
    }

    /// Checks that acme's ledger is whole and returns how many entries it has.
    pub(crate) fn verified(&self) -> u64 {
        let found = self.get(&format!("/v1/audit/verification?tenant={}", self.acme));
        assert_eq!(found["intact"], true, "{found}");
        found["entries"].as_str().and_then(|entries| entries.parse().ok()).expect("a number")
    }
}

fn routes(upstream: SocketAddr) -> String {
    let dead = refused_port();
    format!(
        r#"
[[upstreams]]
id = "service"
endpoints = ["http://{upstream}"]

[[upstreams]]
id = "dead"
endpoints = ["http://127.0.0.1:{dead}"]

[[routes]]
id = "reports"
path = "/reports"
methods = ["GET", "HEAD", "POST"]
upstream = "service"
permission = "report:read"
meters = [{{ meter = "api.calls" }}]

[[routes]]
id = "writes"
path = "/writes"
upstream = "service"
permission = "report:write"

[[routes]]
id = "any"
path = "/any"
upstream = "service"
max_body_bytes = 100_000_000

[[routes]]
id = "small"
path = "/small"
upstream = "service"
max_body_bytes = 1000

[[routes]]
id = "hasty"
path = "/hasty"
upstream = "service"
timeout_ms = 200

[[routes]]
id = "dead"
path = "/dead"
upstream = "dead"

[[routes]]
id = "limited"
path = "/limited"
upstream = "service"

[[routes]]
id = "open"
path = "/open"
upstream = "service"
access = "public"

[[limits]]
id = "three"
key = ["user"]
routes = ["limited"]
limit = 3
window = "1h"

[[metering.meters]]
id = "api.calls"
name = "API calls"
unit = "call"
aggregation = "count"

[metering.rate_card]
currency = "USD"

[metering.rate_card.rates."api.calls"]
model = "per_unit"
unit_price = "0.25"
"#
    )
}
