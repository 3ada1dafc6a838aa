use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::config::Config;

/// Describes the configuration as a JSON Schema (draft 2020-12), for editors and for checks elsewhere.
#[must_use]
pub fn config_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    without_null(&mut schema);
    without_links(&mut schema);
    if let Some(title) = schema.get_mut("title") {
        *title = json!("Stanchion configuration");
    }
    schema
}

/// Takes null out: TOML has none, and what may be left out is not required anyway.
fn without_null(schema: &mut Value) {
    let is_null = |schema: &Value| *schema == json!({ "type": "null" });
    match schema {
        Value::Object(fields) => {
            if fields.get("default") == Some(&Value::Null) {
                fields.remove("default");
            }
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| !is_null(choice));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            fields.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// Takes links to code out of descriptions: `[followed](crate::Follow)` becomes `followed`.
fn without_links(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(description)) = fields.get_mut("description") {
                *description = unlinked(description);
            }
            fields.values_mut().for_each(without_links);
        }
        Value::Array(items) => items.iter_mut().for_each(without_links),
        _ => {}
    }
}

fn unlinked(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        match link.split_once(']').and_then(|(name, after)| Some((name, after_target(name, after)?))) {
            Some((name, after)) => {
                plain.push_str(name);
                rest = after;
            }
            // A table's name, or a list of values.
            None => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain + rest
}

/// Returns what follows a link to code, if it is one: the target names a path, or the text is code itself.
fn after_target<'a>(name: &str, after: &'a str) -> Option<&'a str> {
    match after.strip_prefix('(').and_then(|after| after.split_once(')')) {
        Some((target, after)) => {
            (target.contains("::") || target.starts_with(char::is_uppercase)).then_some(after)
        }
        None => (name.starts_with('`') && name.ends_with('`')).then_some(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_code_become_text_and_all_else_stays() {
        let text = "was [followed](stanchion_replica::Follower) by [`Engine`], [x](Follow), in `[gateway]`, [[routes]] and [\"a\"]";
        let plain = "was followed by `Engine`, x, in `[gateway]`, [[routes]] and [\"a\"]";
        assert_eq!(unlinked(text), plain);
    }
}
