//! The permissions that a configuration adds to those that are known.

use std::path::Path;

use stanchion_rbac::{Preset, Registry};

use crate::config::document::{Document, Step};
use crate::config::{Config, Problem, directory};

/// What is wrong with an entry of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    list: &'static str,
    index: usize,
    pub(crate) why: String,
}

impl Config {
    /// Returns what there is to permit: Stanchion's own, and what the configuration adds.
    ///
    /// # Errors
    /// One sentence for each preset and file that cannot be taken, with its place.
    pub(crate) fn registry(&self, path: &Path) -> Result<Registry, Vec<Wrong>> {
        let mut registry = Registry::stanchion();
        let mut wrong = Vec::new();
        for (index, name) in self.permission_presets.iter().enumerate() {
            match Preset::named(name) {
                Ok(preset) => registry = registry.merge(preset.registry().clone()),
                Err(error) => wrong.push(Wrong { list: "permission_presets", index, why: error.to_string() }),
            }
        }
        for (index, file) in self.permission_files.iter().enumerate() {
            match read(&directory(path).join(file)) {
                Ok(more) => registry = registry.merge(more),
                Err(why) => {
                    let why = format!("{}: {why}", file.display());
                    wrong.push(Wrong { list: "permission_files", index, why });
                }
            }
        }
        if wrong.is_empty() { Ok(registry) } else { Err(wrong) }
    }
}

/// Checks the known permissions of a configuration.
pub(crate) fn check(config: &Config, path: &Path, document: &Document<'_>, problems: &mut Vec<Problem>) {
    for Wrong { list, index, why } in config.registry(path).err().unwrap_or_default() {
        let at = [Step::Key(list.to_owned()), Step::Item(index)];
        problems.push(document.problem_at(&at, format!("`{list}`: {why}")));
    }
}

fn read(file: &Path) -> Result<Registry, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))?;
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| error.message().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_and_files_add_to_what_is_known_and_what_is_wrong_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write(
            "app.toml",
            "[[resources]]\nid = \"report\"\nname = \"Reports\"\nactions = [{ id = \"read\" }]\n",
        );
        write("bad.json", r#"{"resources": [{"id": "a", "name": "A", "actions": []}]}"#);
        let path = directory.path().join("stanchion.toml");
        let config = Config {
            permission_presets: vec!["back-office".to_owned()],
            permission_files: vec!["app.toml".into()],
            ..Config::default()
        };
        let registry = config.registry(&path).unwrap();
        for known in ["report:read", "invoices:approve", "role:write"] {
            assert!(registry.contains(&known.parse().unwrap()), "{known}");
        }
        let config = Config {
            permission_presets: vec!["back-ofice".to_owned()],
            permission_files: vec!["none.toml".into(), "bad.json".into()],
            ..Config::default()
        };
        let wrong: Vec<String> = config.registry(&path).unwrap_err().into_iter().map(|one| one.why).collect();
        assert!(wrong[0].contains("did you mean `back-office`"), "{wrong:?}");
        assert!(wrong[1].starts_with("none.toml: cannot be read"), "{wrong:?}");
        assert!(wrong[2].starts_with("bad.json: resource `a` has no action"), "{wrong:?}");
    }
}
