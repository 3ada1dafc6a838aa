use std::fmt::Write as _;

use serde_json::Value;

use crate::json::{at, text};
use crate::reference::config_schema;

const HEAD: &str = "\
# Configuration

Written by `stanchion config reference`; do not edit. The same as a JSON Schema: [config.schema.json](config.schema.json).

One TOML file says everything; what is left out has the default given here. `stanchion check --config FILE` finds every problem of a
file, with its line. An unknown key is an error.

* **Overrides.** A variable overrides the setting it names: `STANCHION__GATEWAY__LISTEN` overrides `listen` of `[gateway]`,
  `STANCHION__ROUTES__0__TIMEOUT_MS` the `timeout_ms` of the first of the `[[routes]]`. Its value is read as TOML, and as text when
  it is none.
* **Secrets** never stand in the file. They are named: `env:NAME` is a variable of the environment, `file:PATH` a file; a relative path
  begins at the directory of the configuration.
* **Reload.** On SIGHUP the file is read again. Routes, upstreams, limits, Envoy's domains, meters, prices and the level of the log come
  into force at once; what else has changed is named in the log and waits for a restart. A file that is not valid changes nothing, and
  the log says why.
";

/// Describes every setting on one page, in Markdown.
#[must_use]
pub fn config_page() -> String {
    let schema = config_schema();
    let mut page = Page { definitions: at(&schema, "/$defs"), text: HEAD.to_owned() };
    for (name, section) in properties(&schema) {
        page.section(&[name], section);
    }
    page.text
}

struct Page<'a> {
    definitions: &'a Value,
    text: String,
}

/// How a setting that has settings below it is written in TOML.
enum Form<'a> {
    Table(&'a Value),
    List(&'a Value),
    Named(&'a Value),
}

impl<'a> Page<'a> {
    fn section(&mut self, path: &[&str], declared: &'a Value) {
        let Some(form) = self.form(declared) else { return };
        let name = path.join(".");
        let (heading, schema) = match form {
            Form::Table(schema) => (format!("[{name}]"), schema),
            Form::List(schema) => (format!("[[{name}]]"), schema),
            Form::Named(schema) => (format!("[{name}.NAME]"), schema),
        };
        let level = if path.len() == 1 { "##" } else { "###" };
        // Writing to a string cannot fail.
        let _ = write!(self.text, "\n{level} `{heading}`\n\n{}\n", description(declared));
        let variants = at(schema, "/oneOf").as_array();
        match variants {
            Some(variants) => variants.iter().for_each(|variant| self.variant(variant)),
            None => self.table(path, schema),
        }
        for (key, setting) in properties(schema) {
            self.section(&[path, &[key]].concat(), setting);
        }
        // Each form is explained once, under the first that has it.
        for (key, setting) in variants.into_iter().flatten().flat_map(properties) {
            let heading = format!("`[[{name}.{key}]]`");
            if !self.text.contains(&heading) {
                self.section(&[path, &[key]].concat(), setting);
            }
        }
    }

    fn variant(&mut self, variant: &'a Value) {
        let constant =
            properties(variant).find_map(|(key, setting)| Some((key, at(setting, "/const").as_str()?)));
        if let Some((key, value)) = constant {
            let _ = write!(self.text, "\nWith `{key} = \"{value}\"`:\n");
        }
        self.table(&[], variant);
    }

    fn table(&mut self, path: &[&str], schema: &'a Value) {
        let required = at(schema, "/required").as_array();
        let is_required = |key: &str| required.is_some_and(|names| names.iter().any(|name| name == key));
        let mut rows = String::new();
        for (key, setting) in properties(schema).filter(|(_, setting)| at(setting, "/const").is_null()) {
            if !path.is_empty() && self.form(setting).is_some() {
                continue;
            }
            let default = match at(setting, "/default") {
                _ if is_required(key) => "required".to_owned(),
                Value::Null => String::new(),
                value => format!("`{}`", literal(value)),
            };
            let (kind, values) = self.kind(setting);
            let meaning = format!("{}{values}", description(setting).replace('\n', " "));
            let _ = writeln!(rows, "| `{key}` | {kind} | {default} | {} |", meaning.replace('|', "\\|"));
        }
        if !rows.is_empty() {
            let _ = write!(self.text, "\n| key | kind | default | meaning |\n|---|---|---|---|\n{rows}");
        }
    }

    /// Tells what kind of value a setting takes, and which values there are if they have names.
    fn kind(&self, setting: &'a Value) -> (String, String) {
        let schema = self.resolved(setting);
        if let Some(choices) = at(schema, "/oneOf").as_array().or_else(|| at(schema, "/anyOf").as_array()) {
            let choice = |choice: &Value| {
                let value = at(choice, "/const").as_str()?;
                let meaning =
                    at(choice, "/description").as_str().map(|text| format!(": {}", in_a_sentence(text)));
                Some(format!("`\"{value}\"`{}", meaning.unwrap_or_default()))
            };
            let choices: Vec<String> = choices.iter().filter_map(choice).collect();
            return ("one of".to_owned(), format!(" {}.", choices.join("; ")));
        }
        if let Some(choices) = at(schema, "/enum").as_array() {
            let choices: Vec<String> = choices.iter().map(|value| format!("`{value}`")).collect();
            return ("one of".to_owned(), format!(" {}.", choices.join(", ")));
        }
        let kind = match at(schema, "/type").as_str() {
            Some("integer") => "whole number",
            Some("boolean") => "true or false",
            Some("array") => {
                let (kind, values) = self.kind(at(schema, "/items"));
                let of = if kind == "one of" { "some of".to_owned() } else { format!("list of {kind}") };
                return (of, values);
            }
            Some("object") => "table",
            _ => "text",
        };
        (kind.to_owned(), String::new())
    }

    fn form(&self, declared: &'a Value) -> Option<Form<'a>> {
        let schema = self.resolved(declared);
        let is_table = |schema: &Value| {
            let is_object = at(schema, "/properties").is_object();
            let of_objects = at(schema, "/oneOf")
                .as_array()
                .is_some_and(|variants| variants.iter().any(|one| at(one, "/properties").is_object()));
            is_object || of_objects
        };
        let items = self.resolved(at(schema, "/items"));
        let named = self.resolved(at(schema, "/additionalProperties"));
        if is_table(schema) {
            Some(Form::Table(schema))
        } else if is_table(items) {
            Some(Form::List(items))
        } else if is_table(named) {
            Some(Form::Named(named))
        } else {
            None
        }
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let name = at(schema, "/$ref").as_str().and_then(|reference| reference.rsplit('/').next());
        let definition = name.and_then(|name| self.definitions.get(name));
        definition.unwrap_or(schema)
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    at(schema, "/properties").as_object().into_iter().flatten().map(|(key, setting)| (key.as_str(), setting))
}

fn description(schema: &Value) -> &str {
    text(schema, "/description")
}

fn in_a_sentence(text: &str) -> String {
    text.trim_end_matches('.').replace('\n', " ")
}

/// Writes a value as TOML has it.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key} = {}", literal(value))).collect();
            if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
        }
        other => other.to_string(),
    }
}
