//! Every manifest takes version, lints and dependencies from the workspace.

use std::fs;

use toml::{Table, Value};

use super::{Finding, layers};
use crate::cargo::Workspace;

const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];
const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check_all(workspace: &Workspace) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for package in workspace.metadata.workspace_packages() {
        let path = &package.manifest_path;
        let relative = path.strip_prefix(workspace.root()).unwrap_or(path).as_str();
        let text = fs::read_to_string(path).map_err(|error| format!("{relative}: {error}"))?;
        findings.extend(check(relative, &text)?);
    }
    Ok(findings)
}

fn check(path: &str, text: &str) -> Result<Vec<Finding>, String> {
    let manifest: Table = text.parse().map_err(|error| format!("{path}: {error}"))?;
    let package = manifest.get("package");
    let mut findings = Vec::new();

    let name = package.and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or_default();
    let directory = path.trim_end_matches("/Cargo.toml");
    if directory.rsplit('/').next() != Some(layers::short(name)) {
        let mend = format!("name one after the other: `{}`", layers::short(name));
        findings.push(Finding::new(path, format!("package `{name}` lives in `{directory}`"), mend));
    }
    for key in INHERITED {
        if !from_workspace(package.and_then(|package| package.get(key))) {
            findings.push(Finding::new(
                path,
                format!("states its own `{key}`"),
                format!("write `{key}.workspace = true`"),
            ));
        }
    }
    if !from_workspace(manifest.get("lints")) {
        findings.push(Finding::new(
            path,
            "does not take the workspace's lints",
            "add `[lints] workspace = true`",
        ));
    }

    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    for table in targets.filter_map(Value::as_table).chain([&manifest]) {
        for dependencies in
            DEPENDENCIES.iter().filter_map(|kind| table.get(*kind)).filter_map(Value::as_table)
        {
            for (name, _) in dependencies.iter().filter(|(_, dependency)| !from_workspace(Some(dependency))) {
                let mend = format!("declare it in the root manifest and write `{name}.workspace = true`");
                findings.push(Finding::new(path, format!("dependency `{name}` is its own"), mend));
            }
        }
    }
    Ok(findings)
}

fn from_workspace(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [package]
        name = "stanchion-rbac"
        version.workspace = true
        edition.workspace = true
        rust-version.workspace = true
        license.workspace = true
        [dependencies]
        serde.workspace = true
        tokio = { workspace = true, features = ["sync"] }
        [lints]
        workspace = true
    "#;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(path, text).unwrap().iter().map(ToString::to_string).collect()
    }

    fn refuses(text: &str, what: &str) {
        let findings = findings("crates/rbac/Cargo.toml", text);
        assert!(matches!(findings.as_slice(), [one] if one.contains(what)), "{findings:?}");
    }

    #[test]
    fn a_manifest_that_inherits_is_fine() {
        assert_eq!(findings("crates/rbac/Cargo.toml", GOOD), [""; 0]);
    }

    #[test]
    fn own_values_are_refused() {
        refuses(&GOOD.replace("edition.workspace = true", "edition = \"2021\""), "states its own `edition`");
        refuses(&GOOD.replace("license.workspace = true", ""), "states its own `license`");
        refuses(&GOOD.replace("[lints]", "[lints.rust]"), "does not take the workspace's lints");
    }

    #[test]
    fn own_dependencies_are_refused_in_every_table() {
        refuses(&GOOD.replace("serde.workspace = true", "serde = \"1\""), "dependency `serde` is its own");
        refuses(
            &format!("{GOOD}[dev-dependencies.insta]\nversion = \"1\"\n"),
            "dependency `insta` is its own",
        );
        let target = "[target.'cfg(unix)'.build-dependencies]\ncc = { path = \"../cc\" }\n";
        refuses(&format!("{GOOD}{target}"), "dependency `cc` is its own");
    }

    #[test]
    fn the_directory_is_named_after_the_package() {
        let findings = findings("crates/roles/Cargo.toml", GOOD);
        assert_eq!(
            findings,
            [
                "crates/roles/Cargo.toml: package `stanchion-rbac` lives in `crates/roles`; name one after the other: `rbac`"
            ]
        );
    }
}
