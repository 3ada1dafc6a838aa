use std::path::Path;

use stanchion_audit::CheckpointSigner;
use stanchion_billing_metering as metering;
use stanchion_core::Slug;
use stanchion_gateway::Upstreams;
use stanchion_pipeline::RouteTable;

use crate::config::document::{Document, Step};
use crate::config::read::{self, nearest};
use crate::config::{Backend, Config, Counters, KeyVersions, Problem, directory};
use crate::environment::Environment;

/// Lets each crate check its own settings. A crate names one problem at a time, so what it names is noted and taken out until it is
/// content. `None` when what is left cannot be read.
pub(crate) fn settings(
    mut config: Config,
    document: &mut Document<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    loop {
        let mut removed = false;
        for (section, found) in unsettled(&config) {
            for message in found {
                let path = setting(&section, &message, document);
                let problem = document.problem_at(&path, sentence(&section, &message));
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
                // What is wrong by default cannot be taken out.
                if path.len() > section.len() && document.contains(&path) {
                    document.remove(&path);
                    removed = true;
                }
            }
        }
        if !removed {
            return Some(config);
        }
        config = read::read(document, problems)?;
    }
}

fn unsettled(config: &Config) -> Vec<(Vec<Step>, Vec<String>)> {
    fn one<E: ToString>(checked: Result<(), E>) -> Vec<String> {
        checked.err().map(|error| error.to_string()).into_iter().collect()
    }
    fn all<E: ToString>(checked: Result<(), Vec<E>>) -> Vec<String> {
        checked.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }
    let gateway = config.gateway.validate().err().unwrap_or_default();
    let gateway = gateway.into_iter().map(|message| message.trim_start_matches("gateway.").to_owned());
    vec![
        (keys(&["gateway"]), gateway.collect()),
        (keys(&["envoy"]), config.envoy.validate().err().unwrap_or_default()),
        (keys(&["log"]), one(config.log.validate())),
        (keys(&["shutdown"]), one(config.shutdown.validate())),
        (keys(&["storage", "memory"]), one(config.storage.memory.validate())),
        (
            keys(&["storage", "postgres", "pool"]),
            config.storage.postgres.pool.validate().err().unwrap_or_default(),
        ),
        (
            keys(&["storage", "postgres", "counters"]),
            config.storage.postgres.counters.validate().err().unwrap_or_default(),
        ),
        (
            keys(&["storage", "redis", "servers"]),
            config.storage.redis.servers.validate().err().unwrap_or_default(),
        ),
        (keys(&["tenancy"]), one(config.tenancy.validate())),
        (keys(&["identity", "api_keys"]), one(config.identity.api_keys.validate())),
        (keys(&["rbac"]), one(config.rbac.validate())),
        (keys(&["ratelimit"]), one(config.ratelimit.validate())),
        (keys(&["challenge"]), one(config.challenge.validate())),
        (keys(&["audit", "ledger"]), one(config.audit.ledger.validate())),
        (keys(&["audit", "evolve"]), one(config.audit.evolve.validate())),
        (keys(&["audit", "followers"]), one(config.audit.followers.validate())),
        (keys(&["audit", "exports"]), one(config.audit.exports.validate())),
        (keys(&["audit", "protect"]), config.audit.protect.validate().err().into_iter().collect()),
        (keys(&["audit", "checkpoints"]), one(config.audit.checkpoints.validate())),
        (keys(&["audit", "retention"]), all(config.audit.retention.validate())),
        (keys(&["audit", "archive"]), one(config.audit.archive.validate())),
        (keys(&["audit", "anchors"]), one(config.audit.anchors.validate())),
        (keys(&["audit"]), one(CheckpointSigner::check_name(&config.audit.deployment))),
        (keys(&["metering", "recording"]), one(config.metering.recording.validate())),
    ]
}

/// Finds the setting that a message is about: the first word of it that names one.
fn setting(section: &[Step], message: &str, document: &Document<'_>) -> Vec<Step> {
    let words = message.split([' ', ':', '`', ',']).filter(|word| !word.is_empty());
    let paths = words.map(|word| {
        let mut path = section.to_vec();
        path.extend(word.split('.').map(|key| Step::Key(key.to_owned())));
        path
    });
    paths.into_iter().find(|path| document.contains(path)).unwrap_or_else(|| section.to_vec())
}

fn sentence(section: &[Step], message: &str) -> String {
    format!("`{}`: {message}", read::name(section))
}

/// Checks what the parts of a configuration say of each other.
pub(crate) fn together(config: &Config, document: &Document<'_>, problems: &mut Vec<Problem>) {
    let mut find = |path: Vec<Step>, message: String| problems.push(document.problem_at(&path, message));
    listeners(config, document, &mut find);
    storage(config, &mut find);
    evolving(config, &mut find);
    upstreams(config, &mut find);
    routes(config, &mut find);
    limits(config, &mut find);
    meters(config, &mut find);
}

fn listeners(config: &Config, document: &Document<'_>, find: &mut impl FnMut(Vec<Step>, String)) {
    let all = [
        ("gateway", "the gateway", Some(config.gateway.listen)),
        ("admin", "the admin API", Some(config.admin.listen)),
        ("envoy", "the service for Envoy", config.envoy.enabled.then_some(config.envoy.listen)),
    ];
    for (index, (section, name, address)) in all.into_iter().enumerate() {
        let Some(address) = address.filter(|address| address.port() != 0) else { continue };
        let before = all.iter().take(index).find(|(.., other)| *other == Some(address));
        let Some((other_section, other, _)) = before else { continue };
        let paths = [keys(&[section, "listen"]), keys(&[other_section, "listen"])];
        let written = paths.into_iter().find(|path| document.contains(path));
        let message = format!("{other} and {name} cannot both listen on {address}");
        find(written.unwrap_or_default(), message);
    }
}

/// What outlives the process needs secrets that do, too.
fn storage(config: &Config, find: &mut impl FnMut(Vec<Step>, String)) {
    let misfit = match (config.storage.backend, config.storage.counters) {
        (Backend::Memory, Some(Counters::Postgres | Counters::Redis)) => Some(
            "replicas that keep everything else in memory have nothing to count together for: use `backend = \"postgres\"`",
        ),
        (Backend::PostgresAndRedis, Some(Counters::Memory | Counters::Postgres)) => {
            Some("nothing but counters is kept in Redis: use `backend = \"postgres\"`")
        }
        _ => None,
    };
    if let Some(message) = misfit {
        find(keys(&["storage", "counters"]), format!("`storage.counters`: {message}"));
    }
    if !config.storage.backend.is_durable() {
        return;
    }
    let needed: [(&[&str], bool, &str); 4] = [
        (
            &["storage", "postgres", "url"],
            config.storage.postgres.url.is_some(),
            "say where the database is, as `env:DATABASE_URL` or `file:PATH`",
        ),
        (
            &["storage", "redis", "urls"],
            config.storage.redis.urls.is_some()
                || (config.storage.counting() != Counters::Redis && !config.storage.wakes_by_redis()),
            "say where Redis is, as `env:REDIS_URL` or `file:PATH`",
        ),
        (
            &["identity", "peppers"],
            !config.identity.peppers.is_empty(),
            "API keys that outlive the process need a pepper that does: name one, such as `1 = \"env:PEPPER_1\"`",
        ),
        (
            &["audit", "signing_keys"],
            !config.audit.signing_keys.is_empty() || config.audit.evolve.is_on(),
            "a ledger that outlives the process needs a signing key that does: name one, such as `1 = \"env:LEDGER_1\"`",
        ),
    ];
    for (path, given, message) in needed {
        if !given {
            find(keys(path), format!("`{}`: {message}", path.join(".")));
        }
    }
}

/// What is made from a signing key must not need one that is destroyed.
fn evolving(config: &Config, find: &mut impl FnMut(Vec<Step>, String)) {
    let audit = &config.audit;
    for (name, keyring) in
        [("checkpoint_keys", &audit.checkpoint_keys), ("protection_keys", &audit.protection_keys)]
    {
        if audit.evolve.is_on() && keyring.is_empty() {
            let message =
                "signing keys that evolve are destroyed, so nothing can be made from them: name one";
            find(keys(&["audit", name]), format!("`audit.{name}`: {message}"));
        }
    }
}

fn upstreams(config: &Config, find: &mut impl FnMut(Vec<Step>, String)) {
    let all = &config.upstreams;
    let alone = |index: usize| Upstreams::new(all.get(index..=index).unwrap_or_default()).err();
    let found = placed(all.len(), alone, Upstreams::new(all).err(), |index, id| {
        all.get(index).is_some_and(|upstream| upstream.id.as_str() == id)
    });
    for (index, message) in found {
        let key = if message.contains("endpoint") { "endpoints" } else { "id" };
        find(item("upstreams", index, key), message);
    }
}

fn routes(config: &Config, find: &mut impl FnMut(Vec<Step>, String)) {
    let all = &config.routes;
    let alone = |index: usize| RouteTable::new(all.get(index).into_iter().cloned().collect(), None).err();
    let found = placed(all.len(), alone, RouteTable::new(all.clone(), None).err(), |index, id| {
        all.get(index).is_some_and(|route| route.id.as_str() == id)
    });
    for (index, message) in found {
        let key = ["timeout_ms", "permission", "path"].into_iter().find(|key| message.contains(key));
        find(item("routes", index, key.unwrap_or("id")), message);
    }
    let upstreams: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.id.as_str()).collect();
    let meters: Vec<&str> = config.metering.meters.iter().map(|meter| meter.id.as_str()).collect();
    for (index, route) in config.routes.iter().enumerate() {
        let at = |key: &str| item("routes", index, key);
        if !upstreams.contains(&route.upstream.as_str()) {
            let message = unknown("upstream", route.upstream.as_str(), &upstreams);
            find(at("upstream"), format!("route `{}`: {message}", route.id));
        }
        for (number, metered) in route.meters.iter().enumerate() {
            if !meters.contains(&metered.meter.as_str()) {
                let mut path = at("meters");
                path.extend([Step::Item(number), Step::Key("meter".into())]);
                let message = unknown("meter", metered.meter.as_str(), &meters);
                find(path, format!("route `{}`: {message}", route.id));
            }
        }
    }
}

fn limits(config: &Config, find: &mut impl FnMut(Vec<Step>, String)) {
    // What Envoy's descriptors name is as good as what the routes here are called.
    let domains = || config.envoy.domains.values();
    let envoys_routes = domains().flat_map(|domain| &domain.routes).map(Slug::as_str);
    let envoys_labels = domains().flat_map(|domain| &domain.labels);
    let routes: Vec<&str> =
        config.routes.iter().map(|route| route.id.as_str()).chain(envoys_routes).collect();
    let labels: Vec<&str> =
        config.routes.iter().flat_map(|route| &route.labels).chain(envoys_labels).map(Slug::as_str).collect();
    for (index, rule) in config.limits.iter().enumerate() {
        let at = |key: &str| item("limits", index, key);
        if let Err(invalid) = rule.validate() {
            for (field, problem) in invalid.problems() {
                find(at(field), format!("limit `{}`: `{field}`: {problem}", rule.id));
            }
        }
        if config.limits.iter().take(index).any(|before| before.id == rule.id) {
            find(at("id"), format!("limit `{}`: the id is used twice", rule.id));
        }
        for (field, kind, named, known) in [
            ("routes", "route", &rule.routes, &routes),
            ("labels", "label of a route", &rule.labels, &labels),
        ] {
            for name in named.iter().filter(|name| !known.contains(&name.as_str())) {
                find(at(field), format!("limit `{}`: {}", rule.id, unknown(kind, name.as_str(), known)));
            }
        }
    }
}

fn meters(config: &Config, find: &mut impl FnMut(Vec<Step>, String)) {
    let mut known: Vec<&str> = Vec::new();
    for (index, meter) in config.metering.meters.iter().enumerate() {
        if known.contains(&meter.id.as_str()) {
            let mut path = keys(&["metering", "meters"]);
            path.extend([Step::Item(index), Step::Key("id".into())]);
            find(path, metering::InvalidCatalog::DuplicateMeter(meter.id.clone()).to_string());
        }
        known.push(meter.id.as_str());
    }
    let rates = config.metering.rate_card.iter().flat_map(|rate_card| rate_card.rates.keys());
    for meter in rates.filter(|meter| !known.contains(&meter.as_str())) {
        let path = keys(&["metering", "rate_card", "rates", meter.as_str()]);
        find(path, format!("a price: {}", unknown("meter", meter.as_str(), &known)));
    }
}

/// Looks whether every secret is where the configuration says.
pub(crate) fn secrets(
    config: &Config,
    document: &Document<'_>,
    environment: &Environment,
    path: &Path,
    problems: &mut Vec<Problem>,
) {
    addresses(config, document, environment, path, problems);
    let rings: [(&[&str], &KeyVersions); 6] = [
        (&["challenge", "keys"], &config.challenge.keys),
        (&["admin", "page_keys"], &config.admin.page_keys),
        (&["identity", "peppers"], &config.identity.peppers),
        (&["audit", "signing_keys"], &config.audit.signing_keys),
        (&["audit", "checkpoint_keys"], &config.audit.checkpoint_keys),
        (&["audit", "protection_keys"], &config.audit.protection_keys),
    ];
    for (section, versions) in rings {
        for (version, problem) in versions.resolve(environment, directory(path)).err().unwrap_or_default() {
            let mut at = keys(section);
            at.push(Step::Key(version.to_string()));
            problems.push(document.problem_at(&at, format!("`{}`: {problem}", read::name(&at))));
        }
    }
    for (index, bucket) in config.audit.anchors.buckets.iter().enumerate() {
        for (key, problem) in bucket.credentials(environment, directory(path)).err().unwrap_or_default() {
            let mut at = keys(&["audit", "anchors", "buckets"]);
            at.extend([Step::Item(index), Step::Key(key.to_owned())]);
            let message = format!("`audit.anchors.buckets.{key}`: {problem}");
            problems.push(document.problem_at(&at, message));
        }
    }
    let archive = &config.audit.archive;
    for (key, reference) in [
        ("access_key", &archive.access_key),
        ("secret_key", &archive.secret_key),
        ("session_token", &archive.session_token),
    ] {
        let found = reference.as_ref().map(|reference| reference.resolve(environment, directory(path)));
        if let Some(Err(problem)) = found {
            let at = keys(&["audit", "archive", key]);
            problems.push(document.problem_at(&at, format!("`{}`: {problem}", read::name(&at))));
        }
    }
}

/// The addresses of stores are secrets, too: they may hold a password.
fn addresses(
    config: &Config,
    document: &Document<'_>,
    environment: &Environment,
    path: &Path,
    problems: &mut Vec<Problem>,
) {
    let redis = &config.storage.redis;
    let checked = redis.urls.as_ref().map(|urls| urls.redis(&redis.servers, environment, directory(path)));
    if let Some(Err(problem)) = checked {
        let at = keys(&["storage", "redis", "urls"]);
        problems.push(document.problem_at(&at, format!("`{}`: {problem}", read::name(&at))));
    }
    let postgres = &config.storage.postgres;
    for (key, reference) in [("url", &postgres.url), ("migrate_url", &postgres.migrate_url)] {
        if let Some(Err(problem)) =
            reference.as_ref().map(|reference| reference.postgres(environment, directory(path)))
        {
            let at = keys(&["storage", "postgres", key]);
            problems.push(document.problem_at(&at, format!("`{}`: {problem}", read::name(&at))));
        }
    }
}

fn keys(keys: &[&str]) -> Vec<Step> {
    keys.iter().map(|key| Step::Key((*key).to_owned())).collect()
}

fn item(list: &str, index: usize, key: &str) -> Vec<Step> {
    vec![Step::Key(list.to_owned()), Step::Item(index), Step::Key(key.to_owned())]
}

/// Finds the item that each message about a list is about. What is said of an item alone is about that item; what is only said of all
/// of them together is about the last item of the name that the message begins with, since that is the one too many.
fn placed(
    count: usize,
    alone: impl Fn(usize) -> Option<Vec<String>>,
    together: Option<Vec<String>>,
    has_id: impl Fn(usize, &str) -> bool,
) -> Vec<(usize, String)> {
    let of_one = |index| alone(index).unwrap_or_default().into_iter().map(move |message| (index, message));
    let mut found: Vec<(usize, String)> = (0..count).flat_map(of_one).collect();
    for message in together.unwrap_or_default() {
        let id = message.split('`').nth(1).unwrap_or_default();
        let last = (0..count).rev().find(|index| has_id(*index, id)).unwrap_or(0);
        if found.iter().all(|(_, known)| *known != message) {
            found.push((last, message));
        }
    }
    found
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let hint = nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("there is no {kind} `{name}`{hint}")
}
