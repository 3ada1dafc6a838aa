//! Which crates of others the vocabulary and the domains do without.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata};

use super::Finding;
use super::layers::Crate;

/// Drivers, web frameworks and clients; `sqlx` stands for `sqlx-core` and its other parts too.
const DENIED: [&str; 7] = ["sqlx", "redis", "axum", "hyper", "hyper-util", "reqwest", "tonic"];
/// All that L0 and L1 may ask of tokio: they force no runtime on anyone.
const TOKIO: [&str; 1] = ["sync"];
/// The feature of a test suite, which may ask more.
const SUITE: &str = "conformance";

/// What each package is built from, by package name.
#[derive(Debug, Default)]
pub(super) struct Graph(BTreeMap<String, BTreeSet<String>>);

impl From<&Metadata> for Graph {
    fn from(metadata: &Metadata) -> Self {
        let names: BTreeMap<_, _> =
            metadata.packages.iter().map(|package| (&package.id, &package.name)).collect();
        let mut graph = Self::default();
        for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            let built = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|info| info.kind != DependencyKind::Development)
            });
            let built = built.filter_map(|dependency| names.get(&dependency.pkg)).map(ToString::to_string);
            if let Some(name) = names.get(&node.id) {
                graph.0.entry(name.to_string()).or_default().extend(built);
            }
        }
        graph
    }
}

impl Graph {
    /// A way from a package to a denied one, through packages not `seen` before.
    fn way_to_denied<'a>(&'a self, from: &'a str, seen: &mut BTreeSet<&'a str>) -> Option<String> {
        if is_denied(from) {
            return Some(from.to_owned());
        }
        let next = self.0.get(from).into_iter().flatten();
        let fresh =
            next.filter_map(|next| if seen.insert(next) { self.way_to_denied(next, seen) } else { None });
        fresh.map(|way| format!("{from} → {way}")).next()
    }
}

fn is_denied(name: &str) -> bool {
    DENIED
        .iter()
        .any(|denied| name.strip_prefix(denied).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

pub(super) fn check(crates: &[Crate], graph: &Graph) -> Vec<Finding> {
    crates.iter().filter(|krate| krate.is_pure()).flat_map(|krate| check_crate(krate, graph)).collect()
}

fn check_crate(krate: &Crate, graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |what: String, mend: &str| findings.push(Finding::new(&krate.package, what, mend));

    let built = || krate.edges.iter().filter(|edge| !edge.dev);
    // An optional dependency may be absent from the graph, a hidden one from the manifest.
    let direct =
        built().find(|edge| is_denied(&edge.to)).map(|edge| format!("{} → {}", krate.package, edge.to));
    if let Some(way) = direct.or_else(|| graph.way_to_denied(&krate.package, &mut BTreeSet::new())) {
        find(
            format!("depends on a driver or framework ({way})"),
            "put what needs it in an adapter crate (L2)",
        );
    }

    let is_more = |feature: &str| !TOKIO.contains(&feature);
    for edge in built().filter(|edge| edge.to == "tokio") {
        let for_suite = edge.optional && krate.switches(&edge.alias).all(|feature| feature == SUITE);
        if let Some(feature) = edge.features.iter().find(|feature| is_more(feature) && !for_suite) {
            find(
                format!("asks for tokio's `{feature}`"),
                "return a future that the owner runs; of tokio only `sync`",
            );
        }
    }
    for (feature, items) in krate.features.iter().filter(|(feature, _)| *feature != SUITE) {
        let asked =
            items.iter().filter_map(|item| item.strip_prefix("tokio/").or(item.strip_prefix("tokio?/")));
        for more in asked.filter(|more| is_more(more)) {
            find(format!("feature `{feature}` asks for tokio's `{more}`"), "of tokio only `sync`");
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::layers::tests::krate;

    fn check_one(package: &str, lines: &[&str], ways: &[(&str, &[&str])]) -> Vec<String> {
        let edges =
            ways.iter().map(|(from, to)| ((*from).to_owned(), to.iter().map(ToString::to_string).collect()));
        check(&[krate(package, lines)], &Graph(edges.collect())).iter().map(ToString::to_string).collect()
    }

    fn refuses(lines: &[&str], ways: &[(&str, &[&str])], what: &str) {
        let findings = check_one("stanchion-audit", lines, ways);
        assert!(matches!(findings.as_slice(), [one] if one.contains(what)), "{findings:?}");
    }

    #[test]
    fn drivers_are_refused_where_they_are_declared() {
        refuses(&["optional sqlx"], &[], "(stanchion-audit → sqlx)");
        refuses(&["hyper-util"], &[], "(stanchion-audit → hyper-util)");
        refuses(&["sqlx-core"], &[], "(stanchion-audit → sqlx-core)");
    }

    #[test]
    fn drivers_are_refused_behind_others() {
        let ways: [(&str, &[&str]); 3] = [
            ("stanchion-audit", &["serde", "mail"]),
            ("mail", &["smtp", "http"]),
            ("smtp", &["hyper", "mail"]),
        ];
        refuses(&["mail"], &ways, "(stanchion-audit → mail → smtp → hyper)");
    }

    #[test]
    fn of_tokio_only_sync() {
        refuses(&["tokio sync,rt"], &[], "asks for tokio's `rt`");
        refuses(
            &["optional tokio rt", "[conformance] dep:tokio", "[x] dep:tokio"],
            &[],
            "asks for tokio's `rt`",
        );
        refuses(&["tokio sync", "[work] tokio/rt"], &[], "feature `work` asks for tokio's `rt`");
    }

    #[test]
    fn tests_and_suites_may_have_more() {
        for lines in [
            ["tokio sync", "dev tokio rt-multi-thread,macros"].as_slice(),
            &["dev hyper", "redistribute"],
            &["tokio sync", "[conformance] tokio/rt-multi-thread"],
            &["optional tokio rt-multi-thread", "[conformance] dep:tokio"],
        ] {
            assert_eq!(check_one("stanchion-audit", lines, &[]), [""; 0], "{lines:?}");
        }
        assert_eq!(check_one("stanchion-tower", &["tokio rt", "axum"], &[]), [""; 0]);
    }
}
