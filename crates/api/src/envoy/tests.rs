use stanchion_calendar::Window;
use stanchion_core::{Author, ManualClock, Scope, SeededRandom, Timestamp};
use stanchion_ratelimit::{
    Action, Algorithm, Dimension, KeySpec, MemoryCounterStore, MemoryRuleStore, OnMissingIdentifier, Rule,
    RuleId,
};
use stanchion_tenancy::{MemoryTenantStore, NewTenant};
use tonic::Code as Status;

use super::messages::{Code, Entry, RateLimitDescriptor, RateLimitOverride, Unit};
use super::*;

/// Domains `edge` of the platform and `shop` of the tenant `acme`, at noon of 1 March 2026.
struct World {
    service: EnvoyRateLimits,
    limits: Arc<ratelimit::Engine>,
    tenants: Arc<tenancy::Engine>,
    clock: Arc<ManualClock>,
}

fn config(headers: bool, domains: &[(&str, Option<&str>)]) -> EnvoyConfig {
    let domain = |(name, tenant): &(&str, Option<&str>)| {
        let tenant = tenant.map(|tenant| tenant.parse().unwrap());
        ((*name).to_owned(), DomainConfig { tenant, ..DomainConfig::default() })
    };
    let domains = domains.iter().map(domain).collect();
    EnvoyConfig { enabled: true, headers, domains, ..EnvoyConfig::default() }
}

impl World {
    fn new() -> Self {
        Self::counting(10_000)
    }

    fn counting(counters: usize) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap()));
        let (now, ids) = (|| Arc::clone(&clock) as Arc<dyn Clock>, || Arc::new(SeededRandom::new(1)));
        let rules = Arc::new(MemoryRuleStore::new(None));
        let counters = Arc::new(MemoryCounterStore::new(counters, now()));
        let config_of_limits = ratelimit::Config::default();
        let limits = Arc::new(ratelimit::Engine::new(rules, counters, now(), ids(), config_of_limits));
        let store = Arc::new(MemoryTenantStore::new(None));
        let tenants = Arc::new(tenancy::Engine::new(store, now(), ids(), tenancy::Config::default()));
        let config = config(false, &[("edge", None), ("shop", Some("acme"))]);
        let service = EnvoyRateLimits::new(Arc::clone(&limits), Arc::clone(&tenants), now(), &config);
        Self { service, limits, tenants, clock }
    }

    async fn tenant(&self, slug: &str) -> TenantId {
        let tier = "basic".parse().unwrap();
        let new = NewTenant { slug: slug.parse().unwrap(), name: slug.parse().unwrap(), tier };
        self.tenants.create(&Author::system("test"), new).await.unwrap().value.id
    }

    async fn limit(&self, scope: Scope, rule: Rule) {
        self.limits.put_rule(&Author::system("test"), scope, rule, None).await.unwrap();
    }

    async fn ask(&self, domain: &str, descriptors: &[&[(&str, &str)]]) -> RateLimitResponse {
        self.service.should_rate_limit(request(domain, descriptors)).await.unwrap()
    }

    async fn refusal(&self, request: RateLimitRequest) -> (Status, String) {
        let status = self.service.should_rate_limit(request).await.unwrap_err();
        (status.code(), status.message().to_owned())
    }

    fn counted(&self, domain: &str) -> Vec<(&'static str, u64)> {
        let (_, domains) = self.service.stats();
        let (_, stats) = domains.into_iter().find(|(name, _)| name == domain).unwrap();
        stats.outcomes().into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

fn request(domain: &str, descriptors: &[&[(&str, &str)]]) -> RateLimitRequest {
    let entry = |(key, value): &(&str, &str)| Entry { key: (*key).to_owned(), value: (*value).into() };
    let descriptor = |entries: &&[(&str, &str)]| RateLimitDescriptor {
        entries: entries.iter().map(entry).collect(),
        ..RateLimitDescriptor::default()
    };
    let descriptors = descriptors.iter().map(descriptor).collect();
    RateLimitRequest { domain: domain.to_owned(), descriptors, hits_addend: 0 }
}

/// So many in each minute of the calendar.
fn rule(id: &str, key: impl Into<KeySpec>, limit: u64) -> Rule {
    let rule = Rule::new(RuleId::new(id).unwrap(), key, limit, Window::MINUTE);
    Rule { algorithm: Algorithm::FixedWindow, ..rule }
}

const OK: i32 = Code::Ok as i32;
const OVER: i32 = Code::OverLimit as i32;

/// The codes of the answer: of all, and of each descriptor.
fn codes(response: &RateLimitResponse) -> (i32, Vec<i32>) {
    (response.overall_code, response.statuses.iter().map(|status| status.code).collect())
}

/// Of each descriptor: the limit that is told, and what is left of it.
fn told(response: &RateLimitResponse) -> Vec<Option<(&str, u32)>> {
    let told = response.statuses.iter();
    told.map(|status| Some((status.current_limit.as_ref()?.name.as_str(), status.limit_remaining))).collect()
}

#[tokio::test]
async fn a_descriptor_is_ok_until_its_limit_and_over_it_from_then_on() {
    let world = World::new();
    world.limit(Scope::Platform, rule("per-ip", Dimension::Ip, 2)).await;
    let from = |ip| [("remote_address", ip)];
    let first = world.ask("edge", &[&from("203.0.113.7")]).await;
    assert_eq!(codes(&first), (OK, vec![OK]));
    let status = &first.statuses[0];
    let limit = status.current_limit.as_ref().unwrap();
    assert_eq!(
        (limit.name.as_str(), limit.requests_per_unit, limit.unit),
        ("per-ip", 2, Unit::Minute.into())
    );
    assert_eq!((status.limit_remaining, status.duration_until_reset.unwrap().seconds), (1, 60));
    world.ask("edge", &[&from("203.0.113.7")]).await;
    let third = world.ask("edge", &[&from("203.0.113.7")]).await;
    assert_eq!((codes(&third), third.statuses[0].limit_remaining), ((OVER, vec![OVER]), 0));
    assert_eq!(codes(&world.ask("edge", &[&from("203.0.113.8")]).await), (OK, vec![OK]));
    world.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(codes(&world.ask("edge", &[&from("203.0.113.7")]).await), (OK, vec![OK]));
    assert_eq!(world.counted("edge"), [("ok", 4), ("over_limit", 1)]);
}

#[tokio::test]
async fn of_several_limits_the_one_with_the_least_left_is_told() {
    let world = World::new();
    world.limit(Scope::Platform, rule("per-ip", Dimension::Ip, 3)).await;
    world.limit(Scope::Platform, rule("per-user", Dimension::User, 2)).await;
    let both = |user| [("ip", "203.0.113.7"), ("user", user)];
    assert_eq!(told(&world.ask("edge", &[&both("alice")]).await), [Some(("per-user", 1))]);
    world.ask("edge", &[&both("bob")]).await;
    assert_eq!(told(&world.ask("edge", &[&both("carol")]).await), [Some(("per-ip", 0))]);
}

#[tokio::test]
async fn who_waits_as_told_is_not_refused_again() {
    let world = World::new();
    world
        .limit(Scope::Platform, Rule::new(RuleId::new("bucket").unwrap(), Dimension::User, 7, Window::MINUTE))
        .await;
    let answer = world.ask("edge", &[&[("user", "alice")]]).await;
    // A seventh of a minute is 8.57 s, and Envoy tells whole seconds.
    assert_eq!(answer.statuses[0].duration_until_reset.unwrap().seconds, 9);
}

#[tokio::test]
async fn a_descriptor_that_no_limit_is_for_is_ok_and_names_none() {
    let world = World::new();
    world.limit(Scope::Platform, rule("per-ip", Dimension::Ip, 2)).await;
    let answer = world.ask("edge", &[&[("path", "/")]]).await;
    assert_eq!((codes(&answer), told(&answer)), ((OK, vec![OK]), vec![None]));
    assert_eq!(answer.statuses[0].duration_until_reset, None);
}

#[tokio::test]
async fn domains_are_counted_apart_where_their_tenants_are() {
    let world = World::new();
    let acme = world.tenant("acme").await;
    let globex = world.tenant("globex").await;
    world.limit(Scope::Platform, rule("per-user", Dimension::User, 1)).await;
    world.limit(Scope::Tenant(globex), rule("whole", Dimension::Tenant, 1)).await;
    let alice = ("user", "alice");
    assert_eq!(world.ask("edge", &[&[alice]]).await.overall_code, OK);
    assert_eq!(world.ask("edge", &[&[alice]]).await.overall_code, OVER);
    assert_eq!(world.ask("shop", &[&[alice]]).await.overall_code, OK);
    assert_eq!(world.ask("shop", &[&[alice]]).await.overall_code, OVER);
    // A tenant that a descriptor of the platform's domain names, by either name; another domain's tenant cannot be chosen.
    let acme = acme.to_string();
    assert_eq!(world.ask("edge", &[&[("tenant", &acme), alice]]).await.overall_code, OVER);
    let answer = world.ask("edge", &[&[("tenant", "globex"), ("user", "bob")]]).await;
    assert_eq!(codes(&answer), (OK, vec![OK]));
    let answer = world.ask("edge", &[&[("tenant", "globex"), ("user", "carol")]]).await;
    assert_eq!((answer.overall_code, told(&answer)), (OVER, vec![Some(("whole", 0))]));
    assert_eq!(world.ask("shop", &[&[("tenant", "globex"), ("user", "dora")]]).await.overall_code, OK);
}

#[tokio::test]
async fn a_tenant_that_there_is_not_leaves_the_rules_to_say_what_that_means() {
    let world = World::new();
    let strict =
        Rule { on_missing_identifier: OnMissingIdentifier::Deny, ..rule("whole", Dimension::Tenant, 9) };
    world.limit(Scope::Platform, strict).await;
    for name in ["nobody", "No Such Tenant", "0192f0c1-2345-7abc-8def-0123456789ab"] {
        let answer = world.ask("edge", &[&[("tenant", name)]]).await;
        assert_eq!((codes(&answer), told(&answer)), ((OVER, vec![OVER]), vec![None]), "{name}");
        let reason = answer.dynamic_metadata.unwrap().fields["reason"].string_value.clone();
        assert_eq!(reason.as_deref(), Some("missing_identifier"));
    }
    let (_, domains) = world.service.stats();
    assert_eq!(domains[0].1.unusable_entries(), 3);
}

#[tokio::test]
async fn hits_are_charged_as_many_as_there_are() {
    let world = World::new();
    world.limit(Scope::Platform, rule("per-user", Dimension::User, 10)).await;
    let ask = async |of_request, of_descriptor: Option<u64>| {
        let mut request = request("edge", &[&[("user", "alice")]]);
        request.hits_addend = of_request;
        request.descriptors[0].hits_addend = of_descriptor;
        let answer = world.service.should_rate_limit(request).await.unwrap();
        (answer.overall_code, answer.statuses[0].limit_remaining)
    };
    assert_eq!(ask(0, None).await, (OK, 9), "0 stands for nothing said");
    assert_eq!(ask(4, None).await, (OK, 5));
    assert_eq!(ask(4, Some(1)).await, (OK, 4), "a descriptor's own count stands above");
    assert_eq!(ask(4, Some(0)).await, (OK, 4), "and 0 of its own is 0");
    assert_eq!(ask(5, None).await, (OVER, 4), "what does not fit takes nothing");
    assert_eq!(ask(4, None).await, (OK, 0));
}

#[tokio::test]
async fn one_descriptor_over_its_limit_refuses_the_request_and_those_after_it_are_not_charged() {
    let world = World::new();
    world.limit(Scope::Platform, rule("per-ip", Dimension::Ip, 10)).await;
    world.limit(Scope::Platform, rule("per-user", Dimension::User, 1)).await;
    let (ip, user): (&[_], &[_]) = (&[("remote_address", "203.0.113.7")], &[("user", "alice")]);
    let answer = world.ask("edge", &[user, ip]).await;
    assert_eq!(
        (codes(&answer), told(&answer)),
        ((OK, vec![OK, OK]), vec![Some(("per-user", 0)), Some(("per-ip", 9))])
    );
    let answer = world.ask("edge", &[user, ip]).await;
    assert_eq!(codes(&answer), (OVER, vec![OVER, OK]));
    assert_eq!(world.ask("edge", &[ip]).await.statuses[0].limit_remaining, 8, "looked at, not charged");
}

#[tokio::test]
async fn what_a_client_is_told_is_told_once_for_each_limit_where_that_is_asked_for() {
    let world = World::new();
    world.limit(Scope::Platform, rule("per-ip", Dimension::Ip, 2)).await;
    let (one, other): (&[_], &[_]) = (&[("ip", "203.0.113.7")], &[("ip", "203.0.113.8")]);
    assert_eq!(world.ask("edge", &[one]).await.response_headers_to_add, []);
    world.service.configure(&config(true, &[("edge", None)]));
    let fields = |answer: RateLimitResponse| -> Vec<String> {
        let fields = answer.response_headers_to_add.into_iter();
        let mut fields: Vec<_> = fields.map(|field| format!("{}: {}", field.key, field.value)).collect();
        fields.sort();
        fields
    };
    let admitted = [
        r#"ratelimit-policy: "per-ip";q=2;w=60"#,
        r#"ratelimit: "per-ip";r=0;t=60"#,
        "x-ratelimit-limit: 2",
        "x-ratelimit-remaining: 0",
        // 2026-03-01T12:01:00Z
        "x-ratelimit-reset: 1772366460",
    ];
    assert_eq!(fields(world.ask("edge", &[other, one]).await), admitted);
    let refused = fields(world.ask("edge", &[one]).await);
    assert!(refused.contains(&"retry-after: 60".to_owned()), "{refused:?}");
    assert_eq!(world.counted("edge"), [("ok", 2), ("over_limit", 1)], "what was counted goes on");
}

#[tokio::test]
async fn the_rule_that_refused_is_told_to_the_access_log() {
    let world = World::new();
    world.limit(Scope::Platform, rule("per-user", Dimension::User, 1)).await;
    let answer = world.ask("edge", &[&[("user", "alice")]]).await;
    assert_eq!(answer.dynamic_metadata, None);
    let answer = world.ask("edge", &[&[("user", "alice")]]).await;
    let fields = answer.dynamic_metadata.unwrap().fields.into_iter();
    let fields: Vec<_> =
        fields.map(|(name, value)| format!("{name}={}", value.string_value.unwrap())).collect();
    assert_eq!(fields, ["action=block", "reason=exceeded", "rule=per-user", "scope=platform"]);
}

#[tokio::test]
async fn what_only_watches_refuses_nothing() {
    let world = World::new();
    world.limit(Scope::Platform, Rule { action: Action::Allow, ..rule("seen", Dimension::User, 1) }).await;
    world.limit(Scope::Platform, Rule { shadow: true, ..rule("shadow", Dimension::User, 1) }).await;
    for _ in 0..3 {
        let answer = world.ask("edge", &[&[("user", "alice")]]).await;
        assert_eq!((codes(&answer), told(&answer)), ((OK, vec![OK]), vec![None]));
    }
}

#[tokio::test]
async fn windows_have_envoys_word_where_it_has_one() {
    for (window, unit) in [
        ("1s", Unit::Second),
        ("1h", Unit::Hour),
        ("1d", Unit::Day),
        ("1mo", Unit::Month),
        ("12mo", Unit::Year),
        ("15m", Unit::Unknown),
    ] {
        let world = World::new();
        let window = window.parse().unwrap();
        world.limit(Scope::Platform, Rule { window, ..rule("per-user", Dimension::User, 7) }).await;
        let answer = world.ask("edge", &[&[("user", "alice")]]).await;
        let limit = answer.statuses[0].current_limit.clone().unwrap();
        assert_eq!((limit.requests_per_unit, limit.unit), (7, unit.into()), "{window}");
    }
}

#[tokio::test]
async fn what_the_operator_got_wrong_is_a_failure_that_says_so() {
    let world = World::new();
    let user: &[_] = &[("user", "alice")];
    let unknown = world.refusal(request("elsewhere", &[user])).await;
    assert_eq!(unknown, (Status::NotFound, "no domain `elsewhere` is configured here".to_owned()));
    let empty = world.refusal(request("edge", &[])).await;
    assert_eq!(empty, (Status::InvalidArgument, "0 descriptors: a request has 1 to 64".to_owned()));
    assert_eq!(world.refusal(request("edge", &[user; 65])).await.0, Status::InvalidArgument);
    let (code, detail) = world.refusal(request("shop", &[user])).await;
    assert_eq!(code, Status::FailedPrecondition, "{detail}");
    let mut negative = request("edge", &[user]);
    negative.descriptors[0].is_negative_hits = true;
    assert_eq!(world.refusal(negative).await.0, Status::Unimplemented);
    assert_eq!(world.service.stats().0.unknown_domains(), 1);
    assert_eq!(world.counted("edge"), [("invalid", 3)]);
    // Tenants come after the proxies that are configured for them, and are seen within seconds.
    world.tenant("acme").await;
    world.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(world.ask("shop", &[user]).await.overall_code, OK);
}

#[tokio::test]
async fn limits_that_cannot_be_counted_are_a_failure_unless_something_refuses_anyway() {
    let world = World::counting(64);
    world.limit(Scope::Platform, rule("per-user", Dimension::User, 1)).await;
    assert_eq!(world.ask("edge", &[&[("user", "alice")]]).await.overall_code, OK);
    // The counters are full of others; then whoever is new cannot be counted.
    let mut unavailable = None;
    for number in 0..10_000 {
        let name = format!("user-{number}");
        if let Err(status) = world.service.should_rate_limit(request("edge", &[&[("user", &name)]])).await {
            unavailable = Some((status, name));
            break;
        }
    }
    let (status, name) = unavailable.unwrap();
    assert_eq!((status.code(), status.message()), (Status::Unavailable, UNAVAILABLE));
    let answer = world.ask("edge", &[&[("user", &name)], &[("user", "alice")]]).await;
    assert_eq!(codes(&answer), (OVER, vec![Code::Unknown.into(), OVER]));
    let open = Rule {
        on_backend_failure: ratelimit::OnBackendFailure::Open,
        ..rule("per-user", Dimension::User, 1)
    };
    world.limit(Scope::Platform, open).await;
    assert_eq!(world.ask("edge", &[&[("user", &name)]]).await.overall_code, OK);
    assert_eq!(world.counted("edge").last(), Some(&("unavailable", 1)));
}

#[tokio::test]
async fn a_limit_that_a_descriptor_brings_is_not_looked_at_and_counted() {
    let world = World::new();
    world.limit(Scope::Platform, rule("per-user", Dimension::User, 1)).await;
    let mut asked = request("edge", &[&[("user", "alice")]]);
    asked.descriptors[0].limit = Some(RateLimitOverride {});
    let answer = world.service.should_rate_limit(asked).await.unwrap();
    assert_eq!(told(&answer), [Some(("per-user", 0))]);
    assert_eq!(world.service.stats().1[0].1.ignored_limits(), 1);
}
