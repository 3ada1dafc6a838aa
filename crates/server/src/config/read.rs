use serde::de::DeserializeOwned;
use toml::de::{Deserializer, Error};

use crate::config::Problem;
use crate::config::document::{Document, Step};

/// Reads a document and finds all that is wrong with it, not the first thing only: what cannot be read is noted and taken out, and the
/// rest is read again. `None` when what is left is too little to be read at all.
///
/// Afterwards the document has only the parts that were read, so that paths into it are paths into the value.
pub(crate) fn read<T: DeserializeOwned>(
    document: &mut Document<'_>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let mut removed = Vec::new();
    loop {
        let error = match T::deserialize(Deserializer::from(document.root().clone())) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let span = error.span();
        let unknown = quoted_after(error.message(), "unknown field ");
        let path = span.as_ref().and_then(|span| document.covering(span, unknown));
        let missing = quoted_after(error.message(), "missing field ");
        let is_consequence = missing.is_some_and(|key| {
            removed.iter().any(|(table, gone): &(_, String)| *table == span && gone == key)
        });
        if !is_consequence {
            problems
                .push(document.problem(span.clone(), explain(&error, path.as_deref().unwrap_or_default())));
        }
        let path = path?;
        if let Some((Step::Key(key), table)) = path.split_last() {
            removed.push((document.header(table), key.clone()));
        }
        document.remove(&path);
    }
}

/// Puts a reader's error into the words of somebody who writes a configuration.
fn explain(error: &Error, path: &[Step]) -> String {
    let message = error.message();
    let of = |path: &[Step]| match name(path) {
        name if name.is_empty() => String::new(),
        name => format!(" of `{name}`"),
    };
    if let Some(key) = quoted_after(message, "unknown field ") {
        let parent = path.split_last().map_or(path, |(_, parent)| parent);
        return format!("unknown key `{key}`{}{}", of(parent), instead(key, &expected(message)));
    }
    if let Some(variant) = quoted_after(message, "unknown variant ") {
        return format!("`{}` is not `{variant}`{}", name(path), instead(variant, &expected(message)));
    }
    if let Some(key) = quoted_after(message, "missing field ") {
        return format!("the key `{key}`{} is missing", of(path));
    }
    let said = type_mismatch(message).unwrap_or_else(|| message.to_owned());
    match name(path) {
        name if name.is_empty() => said,
        name => format!("`{name}`: {said}"),
    }
}

/// Says in plain words what serde says of types: "invalid type: string "x", expected u32".
fn type_mismatch(message: &str) -> Option<String> {
    let known = match message {
        "invalid digit found in string" => Some("a whole number is expected"),
        "invalid socket address syntax" => Some("an address and a port are expected, such as 127.0.0.1:8080"),
        "invalid IP address syntax" => Some("a network is expected, such as 10.0.0.0/8"),
        _ => None,
    };
    if let Some(known) = known {
        return Some(known.to_owned());
    }
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (given, wanted) = rest.rsplit_once(", expected ")?;
    let given = match given.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "boolean", value)) => value.trim_matches('`').to_owned(),
        Some(("floating", value)) => value.trim_start_matches("point ").trim_matches('`').to_owned(),
        _ => given.replacen("sequence", "a list", 1).replacen("map", "a table", 1),
    };
    let wanted = match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("a nonzero ") => "a whole number from 1",
        other => other,
    };
    Some(format!("{wanted} is expected, not {given}"))
}

/// Proposes the one that was meant, or all there are.
fn instead(given: &str, known: &[&str]) -> String {
    match nearest(given, known) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => "; there are none".to_owned(),
        None => {
            let known: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            format!("; there is {}", known.join(", "))
        }
    }
}

/// Finds what somebody may have meant.
pub(crate) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|known| (strsim::jaro_winkler(given, known), *known));
    let best = near.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 >= 0.8).then_some(best.1)
}

/// Finds the name in backticks that follows some words.
fn quoted_after<'a>(message: &'a str, words: &str) -> Option<&'a str> {
    message.strip_prefix(words)?.strip_prefix('`')?.split_once('`').map(|(name, _)| name)
}

/// Finds the names that serde says it expected: "… expected one of `a`, `b`".
fn expected(message: &str) -> Vec<&str> {
    let rest = message.rsplit_once(", expected ").map_or("", |(_, rest)| rest);
    rest.split('`').skip(1).step_by(2).collect()
}

/// Names a path as the documentation does, without the numbers of items: the line tells which.
pub(crate) fn name(path: &[Step]) -> String {
    let keys: Vec<&str> = path
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        })
        .collect();
    keys.join(".")
}
