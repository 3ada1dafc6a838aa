//! The conformance matrix: port × adapter × cases, as a test run showed it.
//!
//! A suite is a module named `<adapter>_<port>`, a case is a test in it:
//! `memory_role_store::lost_update`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::ports::Ports;

/// The adapters a suite may name. `outside` is an adapter written in a crate that is not ours.
const ADAPTERS: [&str; 5] = ["memory", "postgres", "redis", "redis_cluster", "outside"];

#[derive(Debug)]
pub(crate) struct Matrix {
    ports: Ports,
    /// By port and adapter: each case and whether it passed.
    rows: BTreeMap<(String, &'static str), BTreeMap<String, bool>>,
}

impl Matrix {
    pub(crate) fn new(ports: Ports) -> Self {
        Self { ports, rows: BTreeMap::new() }
    }

    /// Takes the result of a test; most tests are no case of a suite.
    pub(crate) fn record(&mut self, test: &str, passed: bool) {
        let Some((path, case)) = test.split(' ').next().and_then(|path| path.rsplit_once("::")) else {
            return;
        };
        let module = path.rsplit("::").next().unwrap_or(path);
        let Some(row) = self.row(module) else { return };
        // The same suite may run in two binaries: the case passed if it passed in both.
        *self.rows.entry(row).or_default().entry(case.to_owned()).or_insert(true) &= passed;
    }

    fn row(&self, module: &str) -> Option<(String, &'static str)> {
        ADAPTERS.iter().find_map(|adapter| {
            let port = module.strip_prefix(adapter)?.strip_prefix('_')?;
            self.ports.declared.contains_key(port).then(|| (port.to_owned(), *adapter))
        })
    }

    /// Every case that some adapter of the port ran.
    fn cases(&self, port: &str) -> BTreeSet<&str> {
        let rows = self.rows.iter().filter(|((of, _), _)| of == port);
        rows.flat_map(|(_, cases)| cases.keys().map(String::as_str)).collect()
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for ((port, adapter), ran) in &self.rows {
            for case in self.cases(port) {
                match ran.get(case) {
                    Some(true) => {}
                    Some(false) => {
                        problems.push(format!("conformance: {adapter}_{port}::{case} did not pass"))
                    }
                    None => problems.push(format!("conformance: {adapter}_{port}::{case} is missing")),
                }
            }
        }
        let rows = self.ports.shipped.iter().flat_map(|adapter| {
            // What works on one server need not work on a cluster, so both are run.
            let also = (adapter.adapter == "redis").then_some("redis_cluster");
            [Some(adapter.adapter), also].into_iter().flatten().map(move |name| (adapter, name))
        });
        for (adapter, name) in rows {
            let port = &adapter.port;
            if !self.rows.contains_key(&(port.clone(), name)) {
                problems.push(format!("conformance: {name}_{port} ran no case ({})", adapter.at));
            }
        }
        for (port, at) in &self.ports.declared {
            let tested = self.rows.keys().any(|(of, _)| of == port);
            if !tested && !self.ports.shipped.iter().any(|adapter| adapter.port == *port) {
                problems.push(format!("conformance: port {port} has no adapter ({at})"));
            }
        }
        problems
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.ports.declared.keys().map(String::len).max().unwrap_or(0).max(4);
        writeln!(f, "{:<width$}  {:<13}  cases", "port", "adapter")?;
        for ((port, adapter), ran) in &self.rows {
            let passed = ran.values().filter(|passed| **passed).count();
            writeln!(f, "{port:<width$}  {adapter:<13}  {passed}/{}", self.cases(port).len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    const STORE: &str = "pub trait RoleStore {} impl RoleStore for MemoryRoleStore {}";

    fn matrix(store: &str, results: &[(&str, bool)]) -> Matrix {
        let mut matrix = Matrix::new(Ports::find(&[Source::new("crates/rbac/src/store.rs", store)]));
        results.iter().for_each(|(test, passed)| matrix.record(test, *passed));
        matrix
    }

    #[test]
    fn full_rows_are_fine_and_counted() {
        let matrix = matrix(
            STORE,
            &[
                ("it::memory_role_store::reads_own_write", true),
                ("it::memory_role_store::lost_update", true),
                ("redis_cluster_role_store::reads_own_write", true),
                ("redis_cluster_role_store::lost_update - should panic", true),
                ("memory_other_store::something", false),
                ("engine::tests::lost_update", false),
            ],
        );
        assert_eq!(matrix.problems(), [""; 0]);
        let table = "port        adapter        cases\n\
                     role_store  memory         2/2\n\
                     role_store  redis_cluster  2/2\n";
        assert_eq!(matrix.to_string(), table);
    }

    #[test]
    fn a_case_one_adapter_lacks_is_missing() {
        let matrix = matrix(
            STORE,
            &[
                ("memory_role_store::reads_own_write", true),
                ("memory_role_store::lost_update", true),
                ("outside_role_store::reads_own_write", true),
            ],
        );
        assert_eq!(matrix.problems(), ["conformance: outside_role_store::lost_update is missing"]);
    }

    #[test]
    fn a_case_that_failed_once_did_not_pass() {
        let results =
            [("memory_role_store::lost_update", false), ("a::memory_role_store::lost_update", true)];
        let matrix = matrix(STORE, &results);
        assert_eq!(matrix.problems(), ["conformance: memory_role_store::lost_update did not pass"]);
        assert!(matrix.to_string().ends_with("0/1\n"), "{matrix}");
    }

    #[test]
    fn a_shipped_adapter_without_a_row_is_missing() {
        assert_eq!(
            matrix(STORE, &[("outside_role_store::lost_update", true)]).problems(),
            ["conformance: memory_role_store ran no case (crates/rbac/src/store.rs:1)"]
        );
    }

    #[test]
    fn an_adapter_on_redis_runs_on_a_cluster_too() {
        let store = "pub trait RoleStore {} impl RoleStore for RedisRoleStore {}";
        assert_eq!(
            matrix(store, &[("redis_role_store::lost_update", true)]).problems(),
            ["conformance: redis_cluster_role_store ran no case (crates/rbac/src/store.rs:1)"]
        );
    }

    #[test]
    fn a_port_without_adapter_is_a_problem() {
        assert_eq!(
            matrix("pub trait RoleStore {}", &[]).problems(),
            ["conformance: port role_store has no adapter (crates/rbac/src/store.rs:1)"]
        );
    }
}
