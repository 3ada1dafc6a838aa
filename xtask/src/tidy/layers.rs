//! Which crate of the workspace may depend on which.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, Package};

use super::Finding;

type Group = &'static [&'static str];

const CORE: Group = &["core"];
const VOCABULARY: Group = &["core", "attributes", "calendar", "replica"];
#[rustfmt::skip]
const DOMAINS: Group = &[
    "ratelimit", "rbac", "policy", "audit", "tenancy", "identity", "billing-metering", "privacy", "guard", "threat",
];
const ADAPTERS: Group = &["postgres", "redis", "outbound", "tower"];
const TOWER: Group = &["tower"];
const PIPELINE: Group = &["pipeline"];
const GATEWAY: Group = &["gateway"];
const API: Group = &["api"];
const SERVER: Group = &["server"];
const SIDE: Group = &["xtask", "tests"];

/// Everything but the side crates, on which nothing depends.
const ANYTHING: &[Group] = &[VOCABULARY, DOMAINS, ADAPTERS, PIPELINE, GATEWAY, API, SERVER];

/// What the crates of a layer may depend on. A crate may always be its own dev-dependency.
struct Layer {
    name: &'static str,
    crates: Group,
    /// By normal and build dependencies.
    on: &'static [Group],
    /// The same, but only as an optional dependency that no other feature than the one named after
    /// it switches on, and not by default.
    on_by_feature: &'static [Group],
    /// By dev-dependencies. Up to L2 tests stay in the layers of the crate, so that each is tested
    /// alone; from L3 on they may use anything.
    dev: &'static [Group],
}

#[rustfmt::skip]
const LAYERS: [Layer; 9] = [
    Layer { name: "L0", crates: CORE, on: &[], on_by_feature: &[], dev: &[VOCABULARY] },
    Layer { name: "L0", crates: VOCABULARY, on: &[CORE], on_by_feature: &[], dev: &[VOCABULARY] },
    Layer { name: "L1", crates: DOMAINS, on: &[VOCABULARY], on_by_feature: &[], dev: &[VOCABULARY] },
    Layer { name: "L2", crates: ADAPTERS, on: &[VOCABULARY], on_by_feature: &[DOMAINS], dev: &[VOCABULARY, DOMAINS] },
    Layer { name: "L3", crates: PIPELINE, on: &[VOCABULARY, DOMAINS, TOWER], on_by_feature: &[], dev: ANYTHING },
    Layer { name: "L3", crates: GATEWAY, on: &[VOCABULARY, DOMAINS, TOWER, PIPELINE], on_by_feature: &[], dev: ANYTHING },
    Layer { name: "L4", crates: API, on: &[VOCABULARY, DOMAINS, ADAPTERS, PIPELINE, GATEWAY], on_by_feature: &[], dev: ANYTHING },
    Layer { name: "L4", crates: SERVER, on: &[VOCABULARY, DOMAINS, ADAPTERS, PIPELINE, GATEWAY, API], on_by_feature: &[], dev: ANYTHING },
    Layer { name: "side", crates: SIDE, on: ANYTHING, on_by_feature: &[], dev: ANYTHING },
];

const PAGE: &str = "see the layers in docs/architecture.md";

/// A package of the workspace, with what the rules ask of it.
#[derive(Debug)]
pub(super) struct Crate {
    pub(super) package: String,
    pub(super) features: BTreeMap<String, Vec<String>>,
    pub(super) edges: Vec<Edge>,
}

#[derive(Debug)]
pub(super) struct Edge {
    /// The package depended on, whatever name it has in the code.
    pub(super) to: String,
    /// The name that features know it by.
    pub(super) alias: String,
    pub(super) dev: bool,
    pub(super) optional: bool,
    pub(super) features: Vec<String>,
}

impl From<&Package> for Crate {
    fn from(package: &Package) -> Self {
        let edges = package.dependencies.iter().map(|dependency| Edge {
            to: dependency.name.clone(),
            alias: dependency.rename.clone().unwrap_or_else(|| dependency.name.clone()),
            dev: dependency.kind == DependencyKind::Development,
            optional: dependency.optional,
            features: dependency.features.clone(),
        });
        Self { package: package.name.to_string(), features: package.features.clone(), edges: edges.collect() }
    }
}

impl Crate {
    /// The directory name, which is the crate's name in the table.
    pub(super) fn short(&self) -> &str {
        short(&self.package)
    }

    /// Whether the crate must stay free of drivers and runtimes.
    pub(super) fn is_pure(&self) -> bool {
        VOCABULARY.contains(&self.short()) || DOMAINS.contains(&self.short())
    }

    /// The features that switch an optional dependency on.
    pub(super) fn switches<'a>(&'a self, alias: &'a str) -> impl Iterator<Item = &'a str> {
        let switches = move |item: &String| {
            let item = item.strip_prefix("dep:").unwrap_or(item);
            item.strip_prefix(alias).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.features
            .iter()
            .filter(move |(_, items)| items.iter().any(switches))
            .map(|(name, _)| name.as_str())
    }
}

pub(super) fn short(package: &str) -> &str {
    package.strip_prefix("stanchion-").unwrap_or(package)
}

fn layer_of(name: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.crates.contains(&name))
}

fn allows(groups: &[Group], name: &str) -> bool {
    groups.iter().any(|group| group.contains(&name))
}

pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for krate in crates {
        let Some(layer) = layer_of(krate.short()) else {
            let mend = "give it a layer in xtask/src/tidy/layers.rs and docs/architecture.md";
            findings.push(Finding::new(&krate.package, "is in no layer", mend));
            continue;
        };
        for edge in &krate.edges {
            let to = short(&edge.to);
            let ours = crates.iter().any(|other| other.package == edge.to);
            if ours && layer_of(to).is_some() && edge.to != krate.package {
                findings.extend(check_edge(krate, layer, edge, to));
            }
        }
    }
    findings
}

fn check_edge(krate: &Crate, layer: &Layer, edge: &Edge, to: &str) -> Option<Finding> {
    let name = layer.name;
    let finding = |what: String, mend: &str| Some(Finding::new(&krate.package, what, mend));
    if edge.dev {
        let what = || format!("{name} may not have {} as a dev-dependency", edge.to);
        return if allows(layer.dev, to) { None } else { finding(what(), PAGE) };
    }
    if allows(layer.on, to) {
        return None;
    }
    if !allows(layer.on_by_feature, to) {
        return finding(format!("{name} may not depend on {}", edge.to), PAGE);
    }
    if !edge.optional {
        let mend = format!("make it optional behind the feature `{to}`");
        return finding(format!("depends on {} unconditionally", edge.to), &mend);
    }
    if let Some(other) = krate.switches(&edge.alias).find(|feature| *feature != to) {
        let mend = format!("only the feature `{to}` may; let `{other}` name that");
        return finding(format!("feature `{other}` switches {} on", edge.to), &mend);
    }
    if krate.features.get("default").is_some_and(|on| on.iter().any(|feature| feature == to)) {
        return finding(format!("feature `{to}` is on by default"), "take it out of `default`");
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A crate from lines such as `stanchion-core`, `dev stanchion-core`, `optional stanchion-tower`,
    /// `tokio sync,rt` and `[tower] dep:stanchion-tower`.
    pub(in crate::tidy) fn krate(package: &str, lines: &[&str]) -> Crate {
        let mut krate = Crate { package: package.to_owned(), features: BTreeMap::new(), edges: Vec::new() };
        for line in lines {
            if let Some((feature, items)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
                krate.features.insert(feature.to_owned(), items.split(' ').map(str::to_owned).collect());
                continue;
            }
            let (dev, line) = line.strip_prefix("dev ").map_or((false, *line), |rest| (true, rest));
            let (optional, line) = line.strip_prefix("optional ").map_or((false, line), |rest| (true, rest));
            let (to, features) = line.split_once(' ').unwrap_or((line, ""));
            let features = features.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            krate.edges.push(Edge { to: to.to_owned(), alias: to.to_owned(), dev, optional, features });
        }
        krate
    }

    fn check_one(package: &str, lines: &[&str]) -> Vec<String> {
        let all = ANYTHING.iter().chain([&SIDE]).flat_map(|group| group.iter());
        let others = all.filter(|name| **name != short(package)).map(|name| {
            krate(&if *name == "xtask" { "xtask".to_owned() } else { format!("stanchion-{name}") }, &[])
        });
        let crates: Vec<_> = others.chain([krate(package, lines)]).collect();
        check(&crates).iter().map(ToString::to_string).collect()
    }

    fn permits(package: &str, lines: &[&str]) {
        assert_eq!(check_one(package, lines), [""; 0], "{package} {lines:?}");
    }

    fn refuses(package: &str, lines: &[&str], what: &str) {
        let findings = check_one(package, lines);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with(&format!("{package}: {what}")), "{findings:?}");
    }

    #[test]
    fn edges_of_the_table_are_permitted() {
        permits("stanchion-core", &["serde", "dev stanchion-replica"]);
        permits("stanchion-replica", &["stanchion-core"]);
        permits("stanchion-rbac", &["stanchion-core", "stanchion-replica", "dev stanchion-rbac"]);
        permits("stanchion-gateway", &["stanchion-pipeline", "stanchion-tower", "stanchion-audit"]);
        permits("stanchion-api", &["stanchion-gateway", "stanchion-postgres", "dev stanchion-server"]);
        permits("stanchion-server", &["stanchion-api", "stanchion-redis"]);
        permits("stanchion-tests", &["stanchion-server", "dev stanchion-rbac"]);
    }

    #[test]
    fn vocabulary_knows_only_core() {
        refuses("stanchion-core", &["stanchion-replica"], "L0 may not depend on stanchion-replica");
        refuses("stanchion-replica", &["stanchion-calendar"], "L0 may not depend on stanchion-calendar");
    }

    #[test]
    fn domains_never_know_each_other() {
        refuses("stanchion-rbac", &["stanchion-audit"], "L1 may not depend on stanchion-audit");
        refuses("stanchion-rbac", &["optional stanchion-audit"], "L1 may not depend on stanchion-audit");
        refuses("stanchion-rbac", &["dev stanchion-audit"], "L1 may not have stanchion-audit as a dev-dep");
        refuses("stanchion-rbac", &["dev stanchion-postgres"], "L1 may not have stanchion-postgres as a");
    }

    #[test]
    fn adapters_know_domains_behind_features_and_never_each_other() {
        let by_feature = ["optional stanchion-rbac", "[rbac] dep:stanchion-rbac", "[all] rbac"];
        permits("stanchion-postgres", &by_feature);
        refuses("stanchion-postgres", &["stanchion-rbac"], "depends on stanchion-rbac unconditionally");
        refuses("stanchion-postgres", &["optional stanchion-redis"], "L2 may not depend on stanchion-redis");
        let by_default = [by_feature.as_slice(), &["[default] rbac"]].concat();
        refuses("stanchion-postgres", &by_default, "feature `rbac` is on by default");
    }

    #[test]
    fn pipeline_knows_domains_and_tower_but_no_other_adapter() {
        permits("stanchion-pipeline", &["stanchion-rbac", "stanchion-tower"]);
        refuses("stanchion-pipeline", &["stanchion-postgres"], "L3 may not depend on stanchion-postgres");
        refuses("stanchion-pipeline", &["stanchion-gateway"], "L3 may not depend on stanchion-gateway");
    }

    #[test]
    fn nothing_depends_on_side_crates_or_upwards() {
        refuses("stanchion-server", &["xtask"], "L4 may not depend on xtask");
        refuses("stanchion-server", &["dev stanchion-tests"], "L4 may not have stanchion-tests as a dev-dep");
        refuses("stanchion-api", &["stanchion-server"], "L4 may not depend on stanchion-server");
        refuses("stanchion-gateway", &["stanchion-postgres"], "L3 may not depend on stanchion-postgres");
    }

    #[test]
    fn a_crate_outside_the_table_is_refused() {
        refuses("stanchion-frobnicate", &[], "is in no layer");
    }

    #[test]
    fn a_crate_has_one_layer() {
        let all: Vec<_> = ANYTHING.iter().chain([&SIDE]).flat_map(|group| group.iter()).collect();
        assert!(all.iter().all(|name| layer_of(name).is_some()));
        assert_eq!(layer_of("core").map(|layer| layer.on.len()), Some(0));
    }
}
