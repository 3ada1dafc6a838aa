use std::io::{self, Write};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use rust_decimal::Decimal;
use serde_json::Value;
use stanchion_billing_metering::Catalog;
use stanchion_identity::PlainKey;

use crate::http_client::{Answer, Ask, HttpClient};
use crate::json::{at, list, text};
use crate::quickstart::scene::Scene;
use crate::quickstart::seed::People;
use crate::quickstart::story::{Places, promise};
use crate::terminal::{Paint, WIDTH, cut};

/// How often, and for how long in all, something that is written a moment later is looked for.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 250;
const METER: &str = "api.calls";
/// Under what a scene's number stands.
const INDENT: &str = "     ";

/// Asks for everything the quickstart promises, and checks it.
pub(crate) struct Proof<'a> {
    pub(crate) places: Places,
    pub(crate) people: &'a People,
    pub(crate) catalog: &'a Catalog,
    pub(crate) month: &'a str,
    pub(crate) paint: Paint,
    pub(crate) out: &'a mut dyn Write,
    client: HttpClient,
    /// The request whose record is looked for.
    request: Option<String>,
    /// How many requests were answered by the service, each of which is metered.
    metered: u32,
    kept: usize,
    shown: usize,
}

/// Who asks.
#[derive(Clone, Copy)]
struct Caller<'a>(&'static str, Option<&'a PlainKey>);

impl<'a> Proof<'a> {
    pub(crate) fn new(
        places: Places,
        people: &'a People,
        catalog: &'a Catalog,
        month: &'a str,
        paint: Paint,
        out: &'a mut dyn Write,
    ) -> Self {
        let client = HttpClient::default();
        Self {
            places,
            people,
            catalog,
            month,
            paint,
            out,
            client,
            request: None,
            metered: 0,
            kept: 0,
            shown: 0,
        }
    }

    /// Plays every scene. Tells whether every promise was kept.
    pub(crate) async fn run(mut self) -> io::Result<bool> {
        writeln!(
            self.out,
            "{}",
            self.paint.strong("Stanchion quickstart: each promise is asked for over HTTP and checked")
        )?;
        let scene = self.permitted().await;
        self.show(promise::PERMITTED, scene)?;
        let scene = self.unauthenticated().await;
        self.show(promise::UNAUTHENTICATED, scene)?;
        let scene = self.forbidden().await;
        self.show(promise::FORBIDDEN, scene)?;
        let scene = self.isolated().await;
        self.show(promise::ISOLATED, scene)?;
        let scene = self.limited().await;
        self.show(promise::LIMITED, scene)?;
        let scene = self.recorded().await;
        self.show(promise::RECORDED, scene)?;
        let scene = self.metered().await;
        self.show(promise::METERED, scene)?;
        let all = self.kept == self.shown;
        let sum = format!("{} of {} promises kept", self.kept, self.shown);
        writeln!(self.out, "\n{}", if all { self.paint.good(&sum) } else { self.paint.bad(&sum) })?;
        Ok(all)
    }

    fn show(&mut self, promise: &str, scene: Scene) -> io::Result<()> {
        self.shown += 1;
        let mark = if scene.is_kept() {
            self.kept += 1;
            self.paint.good("✓")
        } else {
            self.paint.bad("✗")
        };
        writeln!(self.out, "\n{mark} {}", self.paint.strong(&format!("{}. {promise}", self.shown)))?;
        for line in scene.lines() {
            writeln!(self.out, "{INDENT}{}", cut(line, WIDTH - INDENT.len()))?;
        }
        for claim in scene.broken() {
            writeln!(
                self.out,
                "{INDENT}{}",
                self.paint.bad(&cut(&format!("not so: {claim}"), WIDTH - INDENT.len()))
            )?;
        }
        Ok(())
    }

    async fn permitted(&mut self) -> Scene {
        let mut scene = Scene::default();
        let alice = Caller("alice", Some(&self.people.alice));
        let Some(answer) = self.gateway(&mut scene, Method::GET, "/reports/7", alice, None).await else {
            return scene;
        };
        scene.status(&answer, StatusCode::OK);
        let fields = [
            "ratelimit",
            "ratelimit-policy",
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ];
        for field in fields {
            scene.check(answer.header(field).is_some(), format!("the field `{field}` is there"));
        }
        let request = answer.header("x-request-id").map(str::to_owned);
        scene.check(request.is_some(), "the field `x-request-id` is there");
        let seen = answer.json();
        scene.check(text(&seen, "/subject") == "user:alice", "the service is told who calls");
        scene.check(text(&seen, "/tenant") == self.people.acme.to_string(), "the service is told the tenant");
        scene.check(
            at(&seen, "/request_id").as_str() == request.as_deref(),
            "the service is told the request id",
        );
        self.request = request;
        scene.tell_field(&answer, "x-request-id");
        scene.tell_field(&answer, "ratelimit");
        scene.say(format!("the service is told: {} of {}", text(&seen, "/subject"), text(&seen, "/tenant")));
        scene
    }

    async fn unauthenticated(&mut self) -> Scene {
        let mut scene = Scene::default();
        let nobody = Caller("nobody", None);
        let Some(answer) = self.gateway(&mut scene, Method::GET, "/reports/7", nobody, None).await else {
            return scene;
        };
        scene.problem(&answer, StatusCode::UNAUTHORIZED, "unauthenticated");
        scene.check(answer.header("www-authenticate").is_some(), "`www-authenticate` says what is missing");
        scene.tell_field(&answer, "www-authenticate");
        scene.tell_problem(&answer);
        scene
    }

    async fn forbidden(&mut self) -> Scene {
        let mut scene = Scene::default();
        let bob = Caller("bob", Some(&self.people.bob));
        let Some(answer) = self.gateway(&mut scene, Method::DELETE, "/reports/7", bob, None).await else {
            return scene;
        };
        scene.problem(&answer, StatusCode::FORBIDDEN, "forbidden");
        let names_it = text(&answer.json(), "/detail").contains("report:write");
        scene.check(names_it, "the detail names the permission that is missing");
        scene.tell_problem(&answer);
        scene
    }

    async fn isolated(&mut self) -> Scene {
        let mut scene = Scene::default();
        let carol = Caller("carol", Some(&self.people.carol));
        let acme = HeaderValue::try_from(self.people.acme.to_string()).ok();
        let field = acme.map(|acme| (HeaderName::from_static("x-tenant-id"), acme));
        let Some(answer) = self.gateway(&mut scene, Method::GET, "/reports/7", carol, field).await else {
            return scene;
        };
        scene.problem(&answer, StatusCode::FORBIDDEN, "forbidden");
        scene.tell_problem(&answer);
        scene
    }

    async fn limited(&mut self) -> Scene {
        let mut scene = Scene::default();
        let alice = Caller("alice", Some(&self.people.alice));
        for _ in 0..3 {
            let Some(answer) = self.gateway(&mut scene, Method::GET, "/burst", alice, None).await else {
                return scene;
            };
            scene.status(&answer, StatusCode::OK);
        }
        let Some(answer) = self.gateway(&mut scene, Method::GET, "/burst", alice, None).await else {
            return scene;
        };
        scene.problem(&answer, StatusCode::TOO_MANY_REQUESTS, "rate_limited");
        let seconds = answer.header("retry-after").and_then(|value| value.parse::<u64>().ok());
        scene.check(
            seconds.is_some_and(|seconds| (1..=60).contains(&seconds)),
            "`retry-after` is 1 to 60 seconds",
        );
        scene.check(answer.header("x-ratelimit-remaining") == Some("0"), "`x-ratelimit-remaining` is 0");
        scene.tell_field(&answer, "retry-after");
        scene.tell_field(&answer, "ratelimit");
        scene.tell_problem(&answer);
        scene
    }

    async fn recorded(&mut self) -> Scene {
        let mut scene = Scene::default();
        let request = self.request.clone().unwrap_or_default();
        let target = format!("/v1/audit/events?request={request}");
        let is_there = |answer: &Answer| decided(&answer.json()).is_some();
        let Some(answer) = self.admin(&mut scene, &target, is_there).await else { return scene };
        scene.status(&answer, StatusCode::OK);
        let found = answer.json();
        let entry = decided(&found).cloned().unwrap_or_default();
        let event = at(&entry, "/event");
        scene.check(
            text(event, "/action") == "request.decided",
            "the decision on the first request is on record",
        );
        scene.check(text(event, "/actor/subject/subject") == "user:alice", "it names who called");
        scene.check(text(event, "/details/decision") == "permit", "it says what was decided");
        let (_, chain) = text(&entry, "/chain").split_once('/').unwrap_or_default();
        let (action, decision) = (text(event, "/action"), text(event, "/details/decision"));
        scene.say(format!("entry {} of the {chain} chain: {action}, {decision}", text(&entry, "/sequence")));
        scene.say(format!("signed {}", text(&entry, "/signature")));
        let Some(answer) = self.admin(&mut scene, "/v1/audit/verification", |_| true).await else {
            return scene;
        };
        scene.status(&answer, StatusCode::OK);
        let verified = answer.json();
        scene.check(at(&verified, "/intact") == true, "every chain of acme is intact");
        let entries = at(&verified, "/entries").as_str().and_then(|entries| entries.parse::<u64>().ok());
        scene.check(entries.is_some_and(|entries| entries > 0), "entries were verified");
        scene.say(format!(
            "intact: {}, entries verified: {}",
            at(&verified, "/intact"),
            entries.unwrap_or(0)
        ));
        scene
    }

    async fn metered(&mut self) -> Scene {
        let mut scene = Scene::default();
        let expected = Decimal::from(self.metered);
        let target = format!("/v1/usage?period={}", self.month);
        let is_counted =
            |answer: &Answer| quantity(&answer.json()).is_some_and(|counted| counted >= expected);
        let Some(answer) = self.admin(&mut scene, &target, is_counted).await else { return scene };
        scene.status(&answer, StatusCode::OK);
        let report = answer.json();
        let counted = quantity(&report).unwrap_or_default();
        let line = list(&report, "/cost/lines").first().cloned().unwrap_or_default();
        let amount = decimal(at(&line, "/amount"));
        let price = self.catalog.rate_card().rates.get(METER);
        let unit_price =
            price.and_then(|price| price.tiers().first()).map(|tier| tier.unit_price).unwrap_or_default();
        let product = counted.checked_mul(unit_price);
        scene.check(
            counted == expected,
            format!("{expected} calls were answered by the service, and as many are counted"),
        );
        scene.check(amount.is_some() && amount == product, "the amount is the unit price times the quantity");
        scene.check(decimal(at(&report, "/cost/total")) == amount, "the total is the sum of its one line");
        scene.say(format!("{expected} calls were answered by the service, {counted} are counted"));
        scene.say(format!(
            "{counted} × {} = {} {}",
            text(&line, "/price"),
            text(&line, "/amount"),
            text(&report, "/cost/currency"),
        ));
        scene
    }

    /// Asks the gateway, and tells the scene what was asked and with which status it was answered.
    async fn gateway(
        &mut self,
        scene: &mut Scene,
        method: Method,
        target: &str,
        caller: Caller<'_>,
        field: Option<(HeaderName, HeaderValue)>,
    ) -> Option<Answer> {
        let said = field.as_ref().map(|(name, _)| format!(", with {name} of acme")).unwrap_or_default();
        let asked = format!("{method} {target} as {}{said}", caller.0);
        let mut ask = Ask::new(method, uri(scene, format!("http://{}{target}", self.places.gateway))?);
        ask.headers.extend(field.map(|(name, value)| (Some(name), value)));
        let answer = self.ask(scene, ask, caller).await?;
        scene.say(format!("{asked} → {}", answer.status));
        if answer.status.is_success() {
            self.metered += 1;
        }
        Some(answer)
    }

    /// Asks the admin API as alice, until what is looked for has been written.
    async fn admin(
        &self,
        scene: &mut Scene,
        target: &str,
        found: impl Fn(&Answer) -> bool,
    ) -> Option<Answer> {
        let alice = Caller("alice", Some(&self.people.alice));
        let uri = uri(scene, format!("http://{}{target}", self.places.admin))?;
        let mut looks = 1;
        let answer = loop {
            let answer = self.ask(scene, Ask::new(Method::GET, uri.clone()), alice).await?;
            if looks == LOOKS || found(&answer) {
                break answer;
            }
            looks += 1;
            tokio::time::sleep(LOOK).await;
        };
        // Whoever reads needs the path, not the id again.
        let path = target.split_once('=').map_or(target, |(path, _)| path);
        let rest = if path == target { "" } else { "=…" };
        scene.say(format!("GET {path}{rest} as alice → {}", answer.status));
        Some(answer)
    }

    async fn ask(&self, scene: &mut Scene, mut ask: Ask, caller: Caller<'_>) -> Option<Answer> {
        if let Some(key) = caller.1 {
            let value = HeaderValue::try_from(key.expose()).ok().map(|mut value| {
                value.set_sensitive(true);
                value
            });
            ask.headers.extend(value.map(|value| (Some(HeaderName::from_static("x-api-key")), value)));
        }
        match self.client.send(ask).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                scene.check(false, format!("an answer comes ({error}{cause})"));
                None
            }
        }
    }
}

fn uri(scene: &mut Scene, text: String) -> Option<Uri> {
    let uri = text.parse().ok();
    scene.check(uri.is_some(), format!("{text} is a URL"));
    uri
}

/// Finds the record of the decision; the record of the end may stand above it.
fn decided(found: &Value) -> Option<&Value> {
    list(found, "/items").iter().find(|entry| text(entry, "/event/action") == "request.decided")
}

fn quantity(report: &Value) -> Option<Decimal> {
    let used = list(report, "/usage").iter().find(|used| text(used, "/meter") == METER)?;
    decimal(at(used, "/quantity"))
}

fn decimal(value: &Value) -> Option<Decimal> {
    Decimal::from_str_exact(value.as_str()?).ok()
}
