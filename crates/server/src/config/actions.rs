//! The actions that a configuration adds to those that are known, and their schemas.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanchion_audit::{ActionSchema, ActionType, Actions, SchemaCheck, Violation};
use stanchion_core::{Category, Text};

use crate::config::document::{Document, Step};
use crate::config::{Config, Problem, directory};
use crate::terminal::cut;

/// An action that programs may report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionConfig {
    /// Its name: 2 to 8 names of `a-z 0-9 _ -` with dots between, object first, such as `invoice.approved`.
    pub action: Text,
    /// The family it belongs to, which decides how long its records are kept.
    #[schemars(with = "String")]
    pub category: Category,
    /// What people read.
    pub title: Text,
    /// What it counts as in reports, such as `data_export`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Text>,
    /// What its events have to look like. Empty: they may look as they like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<SchemaConfig>,
}

/// A version of what the events of an action have to look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaConfig {
    /// The version, from 1. Events are checked by the newest, unless they name one.
    pub version: u32,
    /// The file with the JSON Schema (draft 2020-12), relative to the configuration.
    pub file: PathBuf,
}

impl Config {
    /// Returns the actions that are known with those that the configuration adds.
    ///
    /// # Errors
    /// One sentence for each that cannot be made known, with its place in the list.
    pub(crate) fn actions(&self, path: &Path) -> Result<Actions, Vec<(usize, String)>> {
        let mut actions = Actions::default().with_unknown(self.audit.unknown_actions);
        let mut problems = Vec::new();
        for (index, added) in self.audit.actions.iter().enumerate() {
            let mut action = ActionType::reported(added.action.clone(), added.category, added.title.clone());
            action.event_type.clone_from(&added.event_type);
            for SchemaConfig { version, file } in &added.schemas {
                if *version == 0 || action.schemas.contains_key(version) {
                    let why = "number the versions from 1, each once";
                    problems.push((index, format!("version {version} of `{}`: {why}", added.action)));
                    continue;
                }
                match schema(&directory(path).join(file)) {
                    Ok(schema) => action = action.with_schema(*version, schema),
                    Err(why) => problems.push((index, format!("`{}`: {why}", file.display()))),
                }
            }
            match actions.clone().with([action]) {
                Ok(more) => actions = more,
                Err(error) => problems.push((index, error.to_string())),
            }
        }
        if problems.is_empty() { Ok(actions) } else { Err(problems) }
    }
}

/// Checks the actions of a configuration.
pub(crate) fn check(config: &Config, path: &Path, document: &Document<'_>, problems: &mut Vec<Problem>) {
    for (index, why) in config.actions(path).err().unwrap_or_default() {
        let at = [Step::Key("audit".to_owned()), Step::Key("actions".to_owned()), Step::Item(index)];
        problems.push(document.problem_at(&at, format!("`audit.actions`: {why}")));
    }
}

fn schema(file: &Path) -> Result<ActionSchema, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))?;
    let document: Value = serde_json::from_str(&text).map_err(|error| format!("is no JSON: {error}"))?;
    // What it refers to stands in it: nothing is fetched.
    let validator = jsonschema::draft202012::new(&document)
        .map_err(|error| format!("is no JSON Schema: {}", cut(&error.to_string(), 200)))?;
    Ok(ActionSchema::new(document, Arc::new(Compiled(validator))))
}

/// A schema that was compiled once.
#[derive(Debug)]
struct Compiled(jsonschema::Validator);

impl SchemaCheck for Compiled {
    fn check(&self, event: &Value) -> Result<(), Violation> {
        self.0.validate(event).map_err(|error| {
            let pointer = error.instance_path().to_string();
            let names = pointer.split('/').skip(1);
            let names: Vec<String> = names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
            Violation { path: names.join("."), message: cut(&error.to_string(), 200) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_violation_is_told_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("schema.json");
        let text = r#"{"properties": {"details": {"required": ["rows"], "properties": {"rows": {"type": "integer"}}}}}"#;
        std::fs::write(&file, text).unwrap();
        let schema = schema(&file).unwrap();
        let check = |details: Value| schema.check(&serde_json::json!({ "details": details }));
        assert_eq!(check(serde_json::json!({"rows": 3})), Ok(()));
        let wrong = check(serde_json::json!({"rows": "3"})).unwrap_err();
        assert_eq!(
            (wrong.path.as_str(), wrong.message.as_str()),
            ("details.rows", "\"3\" is not of type \"integer\"")
        );
        assert_eq!(check(serde_json::json!({})).unwrap_err().path, "details");
        std::fs::write(&file, r#"{"type": "nothing"}"#).unwrap();
        assert!(super::schema(&file).unwrap_err().starts_with("is no JSON Schema"));
    }

    #[test]
    fn a_schema_fetches_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("schema.json");
        std::fs::write(&file, r#"{"$ref": "http://127.0.0.1:1/schema.json"}"#).unwrap();
        assert!(schema(&file).is_err());
    }
}
