use std::path::Path;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let environment = variables.iter().copied().collect();
    let parsed = Config::parse(Path::new("stanchion.toml"), text, &environment, Secrets::Required);
    parsed.map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
}

fn problems(text: &str) -> String {
    parse(text, &[]).unwrap_err()
}

#[test]
fn nothing_said_is_all_defaults() {
    assert_eq!(parse("", &[]).unwrap(), Config::default());
}

#[test]
fn what_is_no_toml_is_told_line_by_line() {
    insta::assert_snapshot!(problems("[gateway\nlisten = \n[admin]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n"), @r"
    stanchion.toml:1: this is not TOML: unclosed table, expected `]`
    stanchion.toml:5: this is not TOML: duplicate key
    ");
}

#[test]
fn every_unknown_key_is_told_with_what_was_meant() {
    let text = r#"
[gatway]
listen = "127.0.0.1:1"
[gateway]
max_header = 3
timout = 7
[[routes]]
id = "a"
path = "/a"
upstream = "u"
permision = "a:b"
[[upstreams]]
id = "u"
endpoints = ["http://h"]
[[routes]]
id = "b"
path = "/b"
upstream = "u"
meters = [{ meter = "m", cuont = "requests" }]
[[metering.meters]]
id = "m"
name = "M"
unit = "m"
aggregation = "count"
"#;
    insta::assert_snapshot!(problems(text), @r"
    stanchion.toml:2: unknown key `gatway`; did you mean `gateway`?
    stanchion.toml:5: unknown key `max_header` of `gateway`; did you mean `max_headers`?
    stanchion.toml:6: unknown key `timout` of `gateway`; there is `listen`, `trusted_proxies`, `max_connections`, `head_timeout_ms`, `body_stall_timeout_ms`, `max_head_bytes`, `max_headers`, `rate_limit_headers`, `rate_limit_partition_keys`, `drain_timeout_ms`
    stanchion.toml:11: unknown key `permision` of `routes`; did you mean `permission`?
    stanchion.toml:19: unknown key `cuont` of `routes.meters`; did you mean `count`?
    ");
}

#[test]
fn every_wrong_value_is_told_in_plain_words() {
    let text = r#"
[gateway]
listen = "localhost"
max_headers = "many"
trusted_proxies = "10.0.0.0/8"
[log]
format = "jsno"
[storage]
backend = "sqlite"
[[limits]]
id = "per-user"
key = ["user", "user"]
limit = -1
window = "1 minute"
[[limits]]
key = ["ip"]
limit = 1
window = "1m"
[metering.rate_card]
currency = "EURO"
rates = { }
[ratelimit]
replicas = 0
load = { latency_ms = 0 }
"#;
    insta::assert_snapshot!(problems(text), @r#"
    stanchion.toml:3: `gateway.listen`: an address and a port are expected, such as 127.0.0.1:8080
    stanchion.toml:4: `gateway.max_headers`: a whole number from 0 is expected, not the text "many"
    stanchion.toml:5: `gateway.trusted_proxies`: a list is expected, not the text "10.0.0.0/8"
    stanchion.toml:7: `log.format` is not `jsno`; did you mean `json`?
    stanchion.toml:9: `storage.backend` is not `sqlite`; there is `memory`, `postgres`, `postgres+redis`
    stanchion.toml:12: `limits.key`: a key has each dimension once: leave out the second
    stanchion.toml:13: `limits.limit`: a whole number from 0 is expected, not -1
    stanchion.toml:14: `limits.window`: `1 minute` is not a window: use a number and a unit, such as 30s, 1m, 1h, 1d or 1mo
    stanchion.toml:15: the key `id` of `limits` is missing
    stanchion.toml:20: `metering.rate_card.currency`: `EURO` is not a currency known here: use a code of ISO 4217 such as USD
    stanchion.toml:23: `ratelimit.replicas`: a whole number from 1 is expected, not 0
    stanchion.toml:24: `ratelimit.load.latency_ms`: a whole number from 1 is expected, not 0
    "#);
}

#[test]
fn every_value_out_of_its_range_is_told() {
    let text = r#"
[gateway]
max_headers = 0
max_head_bytes = 1
[log]
level = "loud=very"
[shutdown]
delay_ms = 600001
[storage.memory]
audit_entries = 0
[tenancy]
cached_tenants = 1
unknown_seconds = 0
[identity.api_keys]
cached_keys = 1
[rbac]
cached_scopes = 1
limits = { depth = 0 }
[ratelimit]
cached_tenants = 1
max_stale_seconds = 0
load = { latency_ms = 250, smoothing = 17 }
[audit.ledger]
batch = 0
retry_min_ms = 0
[metering.recording]
late_window_days = 0
batch = 0
"#;
    insta::assert_snapshot!(problems(text), @r"
    stanchion.toml:3: `gateway`: max_headers is 0; it must be 1 to 1000
    stanchion.toml:4: `gateway`: max_head_bytes is 1; it must be 8192 to 1048576
    stanchion.toml:6: `log`: `level` is `loud=very`; use error, warn, info, debug, trace or directives such as `info,stanchion_gateway=debug`
    stanchion.toml:8: `shutdown`: `delay_ms` must be 0 to 600000
    stanchion.toml:10: `storage.memory`: `audit_entries` must be at least 1
    stanchion.toml:12: `tenancy`: `cached_tenants` must be 16 to 10000000
    stanchion.toml:13: `tenancy`: `unknown_seconds` must be 1 to 3600
    stanchion.toml:15: `identity.api_keys`: `cached_keys` must be 16 to 10000000
    stanchion.toml:17: `rbac`: `cached_scopes` must be 16 to 1000000
    stanchion.toml:18: `rbac`: `limits.depth` must be 1 to 256
    stanchion.toml:20: `ratelimit`: cached_tenants: use at least 16
    stanchion.toml:21: `ratelimit`: max_stale_seconds: use at least 1
    stanchion.toml:22: `ratelimit`: load.smoothing: use 0 to 16
    stanchion.toml:24: `audit.ledger`: batch: use at least 1
    stanchion.toml:25: `audit.ledger`: retry_min_ms: use at least 1
    stanchion.toml:27: `metering.recording`: `late_window_days` must be 1 to 400
    stanchion.toml:28: `metering.recording`: `batch` must be 1 to 10000
    ");
}

#[test]
fn times_below_a_floor_and_archives_in_two_places_are_told() {
    let text = r#"
[audit.retention]
standards = ["hipaa", "pci_dss"]
standard_days = 90
online_days = 30
[audit.retention.tenants.0192f0c1-2345-7abc-8def-0123456789ab]
security_days = 100
[audit.archive]
directory = "archive"
[audit.archive.bucket]
bucket = "acme-audit"
"#;
    let told = problems(text);
    let id = "0192f0c1-2345-7abc-8def-0123456789ab";
    for line in [
        "`data_access_days` is 1096 days, but HIPAA asks for at least 2192 of data_access entries".to_owned(),
        "stanchion.toml:4: `audit.retention`: `standard_days` is 90 days, but PCI DSS asks for at least 366"
            .to_owned(),
        "stanchion.toml:5: `audit.retention`: `online_days` is 30 days, but PCI DSS asks for at least 92"
            .to_owned(),
        format!("stanchion.toml:7: `audit.retention`: `tenants.{id}.security_days` is 100 days, but HIPAA"),
        "`bucket` and `directory` cannot both be set: an archive is in one place".to_owned(),
    ] {
        assert!(told.contains(&line), "{line}: {told}");
    }
    assert_eq!(told.lines().count(), 5, "{told}");
    let text = r#"
[audit.archive.bucket]
bucket = "acme-audit"
timeout_ms = 0
"#;
    let told = problems(text);
    assert!(told.contains("`bucket.timeout_ms`: use 1 to 600000"), "{told}");
}

#[test]
fn what_the_parts_say_of_each_other_must_fit() {
    let text = r#"
[gateway]
listen = "127.0.0.1:8081"
[[upstreams]]
id = "reports"
endpoints = ["https://h", "http://h"]
[[upstreams]]
id = "reports"
endpoints = ["http://h"]
[[routes]]
id = "a"
path = "/a/../b"
upstream = "report"
[[routes]]
id = "a"
path = "/c"
upstream = "reports"
access = "public"
permission = "a:b"
meters = [{ meter = "api.call" }]
[[routes]]
id = "d"
path = "/d"
upstream = "reports"
timeout_ms = 0
[[routes]]
id = "e"
path = "/d"
upstream = "reports"
[[limits]]
id = "x"
key = ["ip"]
limit = 0
window = "1mo"
routes = ["aa", "nowhere"]
labels = ["expensive"]
[[limits]]
id = "x"
key = ["ip"]
limit = 1
window = "1m"
[[metering.meters]]
id = "api.calls"
name = "API calls"
unit = "call"
aggregation = "count"
[[metering.meters]]
id = "api.calls"
name = "API calls"
unit = "call"
aggregation = "sum"
[metering.rate_card]
currency = "EUR"
[metering.rate_card.rates]
"api.cals" = { model = "per_unit", unit_price = "0.1" }
"#;
    insta::assert_snapshot!(problems(text), @r"
    stanchion.toml:3: the gateway and the admin API cannot both listen on 127.0.0.1:8081
    stanchion.toml:6: upstream `reports`: endpoint `https://h` uses https; only http is spoken to upstreams
    stanchion.toml:8: upstream `reports`: the id is used twice
    stanchion.toml:12: route `a`: path `/a/../b` must be written `/b`
    stanchion.toml:13: route `a`: there is no upstream `report`; did you mean `reports`?
    stanchion.toml:15: route `a`: the id is used twice
    stanchion.toml:19: route `a`: a public route has no principal that could hold a permission
    stanchion.toml:20: route `a`: there is no meter `api.call`; did you mean `api.calls`?
    stanchion.toml:25: route `d`: timeout_ms must be at least 1
    stanchion.toml:27: route `e`: takes the same requests as `d`
    stanchion.toml:33: limit `x`: `limit`: use at least 1; to shut callers out, take away their key or their permission
    stanchion.toml:34: limit `x`: `window`: months are not equally long, and `token_bucket` needs a length: use days, or algorithm `fixed_window`
    stanchion.toml:35: limit `x`: there is no route `aa`; did you mean `a`?
    stanchion.toml:35: limit `x`: there is no route `nowhere`
    stanchion.toml:36: limit `x`: there is no label of a route `expensive`
    stanchion.toml:38: limit `x`: the id is used twice
    stanchion.toml:48: the meter `api.calls` stands twice
    stanchion.toml:55: a price: there is no meter `api.cals`; did you mean `api.calls`?
    ");
}

#[test]
fn what_is_wrong_with_envoys_domains_is_told_where_it_stands() {
    let text = r#"
[envoy]
enabled = true
listen = "127.0.0.1:8081"
heders = true
[envoy.domains.edge]
tenant = "Acme Inc"
entries = { client_id = "usr", "" = "ip" }
labels = ["login"]
[envoy.domains.shop]
tenent = "acme"
routes = ["Not A Route"]
[[limits]]
id = "logins"
key = ["ip"]
limit = 1
window = "1m"
labels = ["login", "logn"]
"#;
    insta::assert_snapshot!(problems(text), @r"
    stanchion.toml:4: the admin API and the service for Envoy cannot both listen on 127.0.0.1:8081
    stanchion.toml:5: unknown key `heders` of `envoy`; did you mean `headers`?
    stanchion.toml:7: `envoy.domains.edge.tenant`: `Acme Inc` is not a tenant: use 1 to 64 of a-z, 0-9, `_`, `-`, `.`, beginning with a letter or digit
    stanchion.toml:8: `envoy.domains.edge.entries.client_id` is not `usr`; did you mean `user`?
    stanchion.toml:8: `envoy`: domains.edge.entries: the key of an entry is not empty
    stanchion.toml:11: unknown key `tenent` of `envoy.domains.shop`; did you mean `tenant`?
    stanchion.toml:12: `envoy.domains.shop.routes`: `Not A Route` is not a name: use 1 to 64 of a-z, 0-9, `_`, `-`, `.`, beginning with a letter or digit
    stanchion.toml:18: limit `logins`: there is no label of a route `logn`; did you mean `login`?
    ");
    let none = "[envoy]\nenabled = true\n";
    insta::assert_snapshot!(problems(none), @"stanchion.toml:2: `envoy`: enabled: there is no domain, so every request would be refused: add `[envoy.domains.NAME]` with the name that Envoy's filter has as its `domain`");
    assert!(parse("[envoy]\nlisten = \"127.0.0.1:8081\"\n", &[]).is_ok(), "nobody listens there");
}

#[test]
fn a_limit_may_name_what_envoys_descriptors_bring() {
    let text = r#"
[envoy]
enabled = true
[envoy.domains.edge]
routes = ["checkout"]
labels = ["login"]
[[limits]]
id = "logins"
key = ["ip"]
limit = 1
window = "1m"
routes = ["checkout"]
labels = ["login"]
"#;
    let config = parse(text, &[]).unwrap();
    assert_eq!((config.envoy.listen.port(), config.envoy.headers), (8082, false));
    assert!(config.envoy.listen.ip().is_loopback(), "what is not said is the loopback");
}

#[test]
fn secrets_are_named_found_and_long_enough() {
    let text = r#"
[identity]
peppers = { 1 = "hunter2", 2 = 1234567890, 3 = "env:MISSING", 4 = "env:SHORT", x = "env:GOOD" }
[audit.signing_keys]
1 = "file:nowhere/key"
2 = "env:GOOD"
"#;
    let refused = parse(text, &[("SHORT", "hunter2"), ("GOOD", SECRET)]).unwrap_err();
    assert!(!refused.contains("hunter2") && !refused.contains("1234567890"), "{refused}");
    insta::assert_snapshot!(refused, @r"
    stanchion.toml:3: `identity.peppers.1`: a secret does not stand here: put it into a variable and write `env:NAME`, or into a file and write `file:PATH`
    stanchion.toml:3: `identity.peppers.2`: a secret does not stand here: put it into a variable and write `env:NAME`, or into a file and write `file:PATH`
    stanchion.toml:3: `identity.peppers.3`: the variable `MISSING` is not set
    stanchion.toml:3: `identity.peppers.4`: `env:SHORT` has 7 bytes; use at least 32
    stanchion.toml:3: `identity.peppers.x`: a whole number is expected
    stanchion.toml:5: `audit.signing_keys.1`: cannot read `nowhere/key`: No such file or directory (os error 2)
    ");
    let good = "[identity]\npeppers = { 1 = \"env:GOOD\" }\n";
    assert!(parse(good, &[("GOOD", SECRET)]).is_ok());
    let elsewhere = Config::parse(Path::new("x"), good, &Environment::default(), Secrets::Elsewhere);
    assert!(elsewhere.is_ok(), "a check elsewhere does not look for them");
}

#[test]
fn a_price_that_cannot_be_is_told_where_it_stands() {
    let text = r#"
[[metering.meters]]
id = "m"
name = "M"
unit = "m"
aggregation = "sum"
[metering.rate_card]
currency = "EUR"
[metering.rate_card.rates.m]
model = "graduated"
tiers = [{ up_to = "10", unit_price = "0.1" }]
"#;
    insta::assert_snapshot!(problems(text), @"stanchion.toml:9: `metering.rate_card.rates.m`: tier 1: the last tier must leave out `up_to`, so that every quantity has a price");
}

#[test]
fn variables_override_the_file() {
    let text = "[gateway]\nlisten = \"127.0.0.1:1\"\n[[upstreams]]\nid = \"u\"\nendpoints = [\"http://h\"]\n";
    let variables = [
        ("STANCHION__GATEWAY__LISTEN", "127.0.0.1:9"),
        ("STANCHION__GATEWAY__MAX_HEADERS", "7"),
        ("STANCHION__UPSTREAMS__0__ENDPOINTS", "[\"http://other\"]"),
        ("STANCHION__UPSTREAMS__0__ENDPOINTS__0", "http://third"),
        ("STANCHION__LOG__LEVEL", "debug"),
        ("STANCHION__RBAC__LIMITS", "{ depth = 8 }"),
        ("STANCHION_KEY", "not a setting"),
    ];
    let config = parse(text, &variables).unwrap();
    assert_eq!(config.gateway.listen.port(), 9);
    assert_eq!(config.gateway.max_headers, 7);
    assert_eq!(config.upstreams[0].endpoints, ["http://third"]);
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.rbac.limits.depth, 8);
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let text = "[[upstreams]]\nid = \"u\"\nendpoints = [\"http://h\"]\n";
    let variables = [
        ("STANCHION__GATEWAY__LISTEN", "here"),
        ("STANCHION__GATEWAY__MAX_HEADER", "7"),
        ("STANCHION__GATWAY__LISTEN", "127.0.0.1:1"),
        ("STANCHION__TENANCY", "{ cached_tenants = 1 }"),
        ("STANCHION__UPSTREAMS__1__ID", "v"),
        ("STANCHION__UPSTREAMS__0__ID__X", "v"),
        ("STANCHION____X", "v"),
    ];
    insta::assert_snapshot!(parse(text, &variables[..4]).unwrap_err(), @r"
    STANCHION__GATEWAY__LISTEN: `gateway.listen`: an address and a port are expected, such as 127.0.0.1:8080
    STANCHION__GATEWAY__MAX_HEADER: unknown key `max_header` of `gateway`; did you mean `max_headers`?
    STANCHION__GATWAY__LISTEN: unknown key `gatway`; did you mean `gateway`?
    STANCHION__TENANCY: `tenancy`: `cached_tenants` must be 16 to 10000000
    ");
    insta::assert_snapshot!(parse(text, &variables[4..]).unwrap_err(), @r"
    STANCHION__UPSTREAMS__0__ID__X: `id` is one value: there are no settings below it
    STANCHION__UPSTREAMS__1__ID: `upstreams` is a list of 1: name an item by its number, from 0
    STANCHION____X: the name of a setting is empty
    ");
}

#[test]
fn what_only_a_restart_puts_in_force_is_named() {
    let before = parse("[[upstreams]]\nid = \"u\"\nendpoints = [\"http://h\"]\n", &[]).unwrap();
    let after =
        parse("[gateway]\nmax_headers = 7\n[log]\nformat = \"json\"\nlevel = \"debug\"\n", &[]).unwrap();
    assert_eq!(after.needs_restart(&before), ["gateway", "log.format"]);
    assert_eq!(before.needs_restart(&before), [""; 0]);
    let envoy = |enabled, domain| {
        parse(&format!("[envoy]\nenabled = {enabled}\n[envoy.domains.{domain}]\n"), &[]).unwrap()
    };
    assert_eq!(envoy(true, "a").needs_restart(&envoy(false, "a")), ["envoy"]);
    assert_eq!(
        envoy(true, "a").needs_restart(&envoy(true, "b")),
        [""; 0],
        "domains are put in force at once"
    );
}

#[test]
fn what_outlives_the_process_needs_secrets_that_do() {
    let text = r#"
[storage]
backend = "postgres"
[storage.postgres.pool]
max_connections = 1
[identity]
peppers = { 1 = "env:PEPPER" }
"#;
    insta::assert_snapshot!(problems(text), @r#"
    stanchion.toml: `audit.signing_keys`: a ledger that outlives the process needs a signing key that does: name one, such as `1 = "env:LEDGER_1"`
    stanchion.toml:4: `storage.postgres.url`: say where the database is, as `env:DATABASE_URL` or `file:PATH`
    stanchion.toml:5: `storage.postgres.pool`: max_connections: 1 is not within 2 to 1000
    stanchion.toml:7: `identity.peppers.1`: the variable `PEPPER` is not set
    "#);
}

#[test]
fn limits_come_from_presets_and_files_and_the_configuration_has_the_last_word() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("more.toml", "[[rules]]\nid = \"more\"\nkey = [\"ip\"]\nlimit = 5\nwindow = \"1m\"\n");
    write("more.json", r#"{"rules":[{"id":"json","key":["ip"],"limit":6,"window":"1m"}]}"#);
    write("bad.toml", "[[rules]]\nid = \"bad\"\nkey = [\"ip\"]\nlimit = 5\nwindow = \"0s\"\n");
    let parse = |text: &str| {
        let path = directory.path().join("stanchion.toml");
        Config::parse(&path, text, &Environment::default(), Secrets::Required)
    };
    let text = "limit_presets = [\"default\"]\nlimit_files = [\"more.toml\", \"more.json\"]\n\
                [[limits]]\nid = \"ip_per_minute\"\nkey = [\"ip\"]\nlimit = 9\nwindow = \"1m\"\n";
    let config = parse(text).unwrap();
    let ids: Vec<&str> = config.limits.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids.len(), 10, "{ids:?}");
    assert_eq!(ids[..3], ["ip_per_minute", "more", "json"]);
    assert_eq!(config.limits[0].limit, 9);

    let wrong = "limit_presets = [\"strict\"]\nlimit_files = [\"bad.toml\", \"none.toml\", \"more.toml\", \"more.toml\"]\n";
    let problems: Vec<String> =
        parse(wrong).unwrap_err().iter().map(|problem| problem.message.clone()).collect();
    for expected in [
        "`limit_presets`: there is no preset `strict`: use one of default",
        "`limit_files`: bad.toml: `rules[0].window`: `0s` is not a window",
        "`limit_files`: none.toml: cannot be read",
        "`limit_files`: more.toml: limit `more` stands elsewhere too",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}: {problems:?}");
    }
}

/// The rest of a configuration that keeps everything in Postgres.
const DURABLE: &str = r#"
[storage.postgres]
url = "env:DATABASE"
[storage.redis]
urls = "env:REDIS"
[identity]
peppers = { 1 = "env:SECRET" }
[audit]
signing_keys = { 1 = "env:SECRET" }
"#;

fn durable(storage: &str) -> Result<Config, String> {
    let variables = [
        ("SECRET", SECRET),
        ("DATABASE", "postgres://stanchion@localhost/stanchion"),
        ("REDIS", "redis://localhost"),
    ];
    parse(&format!("[storage]\n{storage}\n{DURABLE}"), &variables)
}

#[test]
fn rate_limits_are_counted_where_the_configuration_says() {
    for (storage, counters) in [
        ("", Counters::Memory),
        ("counters = \"memory\"", Counters::Memory),
        ("backend = \"postgres\"", Counters::Memory),
        ("backend = \"postgres\"\ncounters = \"memory\"", Counters::Memory),
        ("backend = \"postgres\"\ncounters = \"postgres\"", Counters::Postgres),
        ("backend = \"postgres\"\ncounters = \"redis\"", Counters::Redis),
        ("backend = \"postgres+redis\"", Counters::Redis),
        ("backend = \"postgres+redis\"\ncounters = \"redis\"", Counters::Redis),
    ] {
        assert_eq!(durable(storage).unwrap().storage.counting(), counters, "{storage}");
    }
}

#[test]
fn counters_that_do_not_fit_the_rest_are_told() {
    insta::assert_snapshot!(problems("[storage]\ncounters = \"postgres\"\n"), @r#"
    stanchion.toml:2: `storage.counters`: replicas that keep everything else in memory have nothing to count together for: use `backend = "postgres"`
    "#);
    insta::assert_snapshot!(durable("backend = \"postgres+redis\"\ncounters = \"postgres\"").unwrap_err(), @r#"
    stanchion.toml:3: `storage.counters`: nothing but counters is kept in Redis: use `backend = "postgres"`
    "#);
    insta::assert_snapshot!(durable("backend = \"postgres\"\ncounters = \"mysql\"").unwrap_err(), @"stanchion.toml:3: `storage.counters` is not `mysql`; there is `memory`, `postgres`, `redis`");
    let text = r#"
[storage]
backend = "postgres"
counters = "redis"
[storage.postgres]
url = "env:GOOD"
[storage.postgres.counters]
max_connections = 1
[identity]
peppers = { 1 = "env:SECRET" }
[audit]
signing_keys = { 1 = "env:SECRET" }
"#;
    let variables = [("SECRET", SECRET), ("GOOD", "postgres://stanchion@localhost/stanchion")];
    insta::assert_snapshot!(parse(text, &variables).unwrap_err(), @r"
    stanchion.toml:2: `storage.redis.urls`: say where Redis is, as `env:REDIS_URL` or `file:PATH`
    stanchion.toml:8: `storage.postgres.counters`: max_connections: 1 is not within 2 to 1000
    ");
}
