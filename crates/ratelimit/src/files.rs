//! Rules as files: TOML or JSON with a list `rules`, and the presets that come with this crate.

use std::fmt;

use serde::Deserialize;

use crate::{InvalidRule, Rule};

/// The rules of a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Rule>,
}

/// The presets that come with this crate, by name.
pub const PRESETS: &[(&str, &str)] = &[("default", include_str!("../presets/default.toml"))];

/// Rules that cannot be read or cannot be as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRuleFile(Vec<String>);

impl InvalidRuleFile {
    /// Returns each problem, with the field and the way out.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for InvalidRuleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for InvalidRuleFile {}

/// Reads rules from TOML: a table `[[rules]]` for each.
///
/// # Errors
/// [`InvalidRuleFile`] with everything that is wrong, by field.
pub fn rules_from_toml(text: &str) -> Result<Vec<Rule>, InvalidRuleFile> {
    let unreadable = |error: &dyn fmt::Display| InvalidRuleFile(vec![error.to_string()]);
    let document = toml::Deserializer::parse(text).map_err(|error| unreadable(&error))?;
    let file = serde_path_to_error::deserialize(document).map_err(|error| {
        // The error's own text repeats the lines of the file.
        InvalidRuleFile(vec![format!("`{}`: {}", error.path(), error.inner().message())])
    })?;
    checked(file)
}

/// Reads rules from JSON: an object with a list `rules`.
///
/// # Errors
/// [`InvalidRuleFile`] with everything that is wrong, by field.
pub fn rules_from_json(text: &str) -> Result<Vec<Rule>, InvalidRuleFile> {
    let mut document = serde_json::Deserializer::from_str(text);
    let file = serde_path_to_error::deserialize(&mut document)
        .map_err(|error| InvalidRuleFile(vec![format!("`{}`: {}", error.path(), error.inner())]))?;
    document.end().map_err(|error| InvalidRuleFile(vec![error.to_string()]))?;
    checked(file)
}

/// Reads a preset.
///
/// # Errors
/// [`InvalidRuleFile`] when there is none of that name.
pub fn preset(name: &str) -> Result<Vec<Rule>, InvalidRuleFile> {
    match PRESETS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => rules_from_toml(text),
        None => {
            let known: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
            Err(InvalidRuleFile(vec![format!(
                "there is no preset `{name}`: use one of {}",
                known.join(", ")
            )]))
        }
    }
}

fn checked(file: File) -> Result<Vec<Rule>, InvalidRuleFile> {
    let mut problems = Vec::new();
    for (number, rule) in file.rules.iter().enumerate() {
        if let Err(invalid) = rule.validate() {
            problems.push(invalid.to_string());
        }
        if file.rules.iter().take(number).any(|earlier| earlier.id == rule.id) {
            let twice = InvalidRule::one(&rule.id, "id", "it stands twice: give one of them another");
            problems.push(twice.to_string());
        }
    }
    if problems.is_empty() { Ok(file.rules) } else { Err(InvalidRuleFile(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;

    /// The eight rules that the project's first sketch of a limiter installs by default: scope, limit, window, burst, action, priority.
    const SKETCHED: [(&str, &str, u64, &str, u64, Action, i32); 8] = [
        ("user_per_minute", "user", 60, "1m", 10, Action::Throttle, 1),
        ("user_per_hour", "user", 1_000, "1h", 0, Action::Block, 1),
        ("user_per_day", "user", 10_000, "1d", 0, Action::Block, 1),
        ("ip_per_minute", "ip", 30, "1m", 0, Action::Block, 2),
        ("ip_per_hour", "ip", 500, "1h", 0, Action::Block, 2),
        ("api_key_per_minute", "api_key", 100, "1m", 0, Action::Throttle, 1),
        ("global_per_second", "global", 1_000, "1s", 0, Action::Throttle, 10),
        ("ai_generation_per_minute", "user", 20, "1m", 0, Action::Block, 1),
    ];

    #[test]
    fn the_default_preset_is_the_sketched_one() {
        let rules = preset("default").unwrap();
        let seen: Vec<_> = rules
            .iter()
            .map(|rule| {
                let (key, window) = (rule.key.to_string(), rule.window.to_string());
                (rule.id.to_string(), key, rule.limit, window, rule.burst, rule.action, rule.priority)
            })
            .collect();
        let expected = SKETCHED.map(|(id, key, limit, window, burst, action, priority)| {
            (id.to_owned(), key.to_owned(), limit, window.to_owned(), burst, action, priority)
        });
        assert_eq!(seen, expected);
        let labelled: Vec<_> = rules.iter().filter(|rule| !rule.labels.is_empty()).collect();
        assert_eq!(labelled.len(), 1);
        assert_eq!(labelled[0].labels[0].as_str(), "ai_generation");
    }

    #[test]
    fn both_forms_say_the_same() {
        let toml = "[[rules]]\nid = \"a\"\nkey = [\"ip\"]\nlimit = 5\nwindow = \"1m\"\n";
        let json = r#"{"rules":[{"id":"a","key":["ip"],"limit":5,"window":"1m"}]}"#;
        assert_eq!(rules_from_toml(toml).unwrap(), rules_from_json(json).unwrap());
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let wrong =
            |rules: &str| rules_from_json(&format!(r#"{{"rules":[{rules}]}}"#)).unwrap_err().to_string();
        for (rules, expected) in [
            (r#"{"id":"a","key":["ip"],"limit":5,"window":"0s"}"#, "`rules[0].window`: `0s` is not a window"),
            (
                r#"{"id":"a","key":["ip"],"limit":-5,"window":"1m"}"#,
                "`rules[0].limit`: invalid value: integer `-5`",
            ),
            (
                r#"{"id":"a","key":["planet"],"limit":5,"window":"1m"}"#,
                "`rules[0].key[0]`: unknown variant `planet`",
            ),
            (r#"{"id":"A!","key":["ip"],"limit":5,"window":"1m"}"#, "`rules[0].id`: "),
            (
                r#"{"id":"a","key":["ip"],"limit":5,"window":"1m","conditions":[{"attribute":"x","equals":5}]}"#,
                "`rules[0].conditions[0].equals`: invalid type: integer `5`",
            ),
            (r#"{"id":"a","key":["ip"],"limit":5,"windw":"1m"}"#, "`rules[0].windw`: unknown field `windw`"),
            (
                r#"{"id":"a","key":["ip"],"limit":0,"window":"1m"},{"id":"a","key":["ip"],"limit":1,"window":"1m"}"#,
                "rule `a`: limit: use at least 1",
            ),
        ] {
            let problem = wrong(rules);
            assert!(problem.starts_with(expected), "{problem}");
        }
        let twice = wrong(
            r#"{"id":"a","key":["ip"],"limit":1,"window":"1m"},{"id":"a","key":["ip"],"limit":1,"window":"1m"}"#,
        );
        assert_eq!(twice, "rule `a`: id: it stands twice: give one of them another");
        let toml =
            rules_from_toml("[[rules]]\nid = \"a\"\nkey = [\"ip\"]\nlimit = 5\nwindow = 7\n").unwrap_err();
        assert!(toml.to_string().starts_with("`rules[0].window`: invalid type"), "{toml}");
        assert!(preset("strict").unwrap_err().to_string().contains("use one of default"));
    }
}
