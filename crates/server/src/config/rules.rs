//! Rate limits from presets and from files of their own.

use std::path::Path;

use stanchion_ratelimit::{InvalidRuleFile, Rule, preset, rules_from_json, rules_from_toml};

use crate::config::document::{Document, Step};
use crate::config::{Config, Problem, directory};

/// Adds the limits of files to those of the configuration, which are checked with them: no id may stand in both.
pub(crate) fn from_files(
    config: &mut Config,
    path: &Path,
    document: &Document<'_>,
    problems: &mut Vec<Problem>,
) {
    for (index, file) in config.limit_files.iter().enumerate() {
        match read(&directory(path).join(file)) {
            Ok(rules) => {
                for rule in rules {
                    if config.limits.iter().any(|other| other.id == rule.id) {
                        let twice = format!(
                            "{}: limit `{}` stands elsewhere too: leave one out",
                            file.display(),
                            rule.id
                        );
                        problems.push(problem(document, "limit_files", index, &twice));
                    } else {
                        config.limits.push(rule);
                    }
                }
            }
            Err(messages) => problems.extend(messages.iter().map(|message| {
                problem(document, "limit_files", index, &format!("{}: {message}", file.display()))
            })),
        }
    }
}

/// Adds the limits of presets; one that has the id of another limit gives way to it. A preset may name labels that no route has.
pub(crate) fn from_presets(config: &mut Config, document: &Document<'_>, problems: &mut Vec<Problem>) {
    for (index, name) in config.limit_presets.iter().enumerate() {
        match preset(name) {
            Ok(rules) => {
                let is_free = |rule: &Rule| config.limits.iter().all(|other| other.id != rule.id);
                let free: Vec<Rule> = rules.into_iter().filter(is_free).collect();
                config.limits.extend(free);
            }
            Err(invalid) => problems
                .extend(invalid.problems().map(|message| problem(document, "limit_presets", index, message))),
        }
    }
}

fn read(file: &Path) -> Result<Vec<Rule>, Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|error| vec![format!("cannot be read: {error}")])?;
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let rules = if is_json { rules_from_json(&text) } else { rules_from_toml(&text) };
    rules.map_err(|invalid: InvalidRuleFile| invalid.problems().map(str::to_owned).collect())
}

fn problem(document: &Document<'_>, list: &str, index: usize, message: &str) -> Problem {
    let at = [Step::Key(list.to_owned()), Step::Item(index)];
    document.problem_at(&at, format!("`{list}`: {message}"))
}
