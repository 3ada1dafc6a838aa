//! Every shipped adapter runs the suite of its port.

use super::Finding;
use crate::ports::Ports;

pub(super) fn check(ports: &Ports) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (port, at) in &ports.duplicates {
        let what = format!("port {port} is declared twice");
        findings.push(Finding::new(at, what, "a port's name is its suite's name: give one another name"));
    }
    for shipped in &ports.shipped {
        let name = format!("{}_conformance", shipped.port);
        let module = format!("{}_{}", shipped.adapter, shipped.port);
        let mend = format!("add `{name}!(mod {module}, …)`");
        if !ports.suites.contains(&(name, module)) {
            findings.push(Finding::new(&shipped.at, "an adapter without its conformance suite", mend));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn findings(tests: &str, store: &str) -> Vec<String> {
        let adapter = "\nimpl<C> RoleStore for MemoryRoleStore<C> {}";
        let sources = [
            Source::new("crates/rbac/src/store.rs", store),
            Source::new("crates/rbac/src/memory.rs", adapter),
            Source::new("crates/rbac/tests/conformance.rs", tests),
        ];
        check(&Ports::find(&sources)).iter().map(ToString::to_string).collect()
    }

    const PORT: &str = "#[async_trait]\npub trait RoleStore: Send + Sync {}";

    #[test]
    fn an_adapter_with_its_suite_is_fine() {
        let tests =
            "stanchion_rbac::role_store_conformance!(mod memory_role_store, MemoryRoleStore::default());";
        assert_eq!(findings(tests, PORT), [""; 0]);
    }

    #[test]
    fn an_adapter_without_its_suite_is_refused() {
        let expected = "crates/rbac/src/memory.rs:2: an adapter without its conformance suite; \
                        add `role_store_conformance!(mod memory_role_store, …)`";
        for tests in [
            "",
            "// role_store_conformance!(mod memory_role_store, f());",
            "stanchion_rbac::role_store_conformance!(mod outside_role_store, f());",
            "stanchion_rbac::grant_store_conformance!(mod memory_role_store, f());",
        ] {
            assert_eq!(findings(tests, PORT), [expected], "{tests}");
        }
    }

    #[test]
    fn a_port_declared_twice_is_refused() {
        let tests = "role_store_conformance!(mod memory_role_store, f());";
        let findings = findings(tests, &format!("{PORT}\npub trait RoleStore {{}}"));
        assert!(
            matches!(findings.as_slice(), [one] if one.contains("store.rs:3: port role_store is declared twice"))
        );
    }
}
