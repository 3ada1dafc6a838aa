use std::fmt::Write as _;

use serde_json::Value;

use crate::admin::table::{Column, Table, plain};
use crate::admin::view::is_empty;
use crate::json::{at, list, text};

/// How an answer about who may do what is shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Whether something is permitted, and why.
    Decision,
    /// The same of a list of questions.
    Decisions,
    /// Who may do it.
    WhoCan,
    /// What somebody may do.
    WhatCan,
    /// What changes would give and take.
    Preview,
    /// What became of the roles of a preset.
    Applied,
    /// What may be done to a type of resource.
    Actions,
    /// What permissions mean.
    Validated,
    /// What was tried.
    Attempts,
}

const DECISIONS: &[Column] = &[
    Column::whole("ALLOWED", "/allowed"),
    Column::whole("REASON", "/reason"),
    Column::cut("ROLE", "/role"),
    Column::cut("CONSTRAINTS", "/constraints"),
    Column::whole("UNTIL", "/valid_until"),
];
const WHO: &[Column] = &[
    Column::whole("SUBJECT", "/subject"),
    Column::whole("ROLE", "/role"),
    Column::cut("CONSTRAINTS", "/constraints"),
    Column::whole("UNTIL", "/valid_until"),
];
const PERMITTED: &[Column] = &[
    Column::whole("PERMITTED", "/permission"),
    Column::whole("ROLE", "/role"),
    Column::whole("ON", "/resource"),
    Column::whole("CONSTRAINED", "/constrained"),
    Column::cut("WITHOUT", "/without"),
];
const DENIED: &[Column] = &[Column::whole("DENIED", "/permission"), Column::whole("ON", "/resource")];
const ON_RESOURCE: &[Column] = &[
    Column::whole("ON THE RESOURCE", "/permission"),
    Column::whole("ROLE", "/role"),
    Column::cut("CONSTRAINTS", "/constraints"),
    Column::whole("UNTIL", "/valid_until"),
];
const GAINED: &[Column] = &[
    Column::whole("GAINS", "/subject"),
    Column::whole("PERMISSION", "/permission"),
    Column::whole("ON", "/resource"),
    Column::whole("CONDITIONAL", "/conditional"),
];
const LOST: &[Column] = &[
    Column::whole("LOSES", "/subject"),
    Column::whole("PERMISSION", "/permission"),
    Column::whole("ON", "/resource"),
    Column::whole("CONDITIONAL", "/conditional"),
];
const ACTIONS: &[Column] = &[
    Column::whole("PERMISSION", "/permission"),
    Column::whole("ADMINISTRATIVE", "/administrative"),
    Column::cut("DESCRIPTION", "/description"),
];
const ATTEMPTS: &[Column] = &[
    Column::whole("AT", "/at"),
    Column::whole("SUBJECT", "/subject"),
    Column::whole("PERMISSION", "/permission"),
    Column::cut("ON", "/resource"),
    Column::whole("ALLOWED", "/allowed"),
    Column::cut("REASON", "/reason"),
];
const VALIDATED: &[Column] = &[
    Column::cut("GIVEN", "/given"),
    Column::whole("VALID", "/valid"),
    Column::whole("KNOWN", "/known"),
    Column::whole("COVERS", "/covered"),
    Column::cut("DID YOU MEAN", "/did_you_mean"),
];

impl Report {
    /// Writes what people read.
    pub(crate) fn text(self, answer: &Value) -> String {
        match self {
            Self::Decision => decision(answer),
            Self::Decisions => Table::new(DECISIONS, list(answer, "/items")).to_string(),
            Self::WhoCan => who_can(answer),
            Self::WhatCan => what_can(answer),
            Self::Preview => preview(answer),
            Self::Applied => applied(answer),
            Self::Actions => {
                format!("{}\n\n{}", text(answer, "/name"), Table::new(ACTIONS, list(answer, "/permissions")))
            }
            Self::Validated => validated(answer),
            Self::Attempts => attempts(answer),
        }
    }

    /// Tells whether the answer is yes.
    pub(crate) fn holds(self, answer: &Value) -> bool {
        let all = |field: &str| list(answer, "/items").iter().all(|item| at(item, field) == true);
        match self {
            Self::Decision => at(answer, "/allowed") == true,
            Self::Decisions => at(answer, "/items").is_array() && all("/allowed"),
            Self::WhoCan => !list(answer, "/items").is_empty(),
            Self::Validated => at(answer, "/items").is_array() && all("/known"),
            Self::WhatCan | Self::Preview | Self::Applied | Self::Actions | Self::Attempts => true,
        }
    }
}

fn decision(answer: &Value) -> String {
    let verdict = if at(answer, "/allowed") == true { "allowed" } else { "denied" };
    let mut report = format!("{verdict}: {}\n", text(answer, "/reason"));
    for (name, field) in [
        ("role", "/role"),
        ("by way of", "/path"),
        ("matched", "/matched"),
        ("constraints", "/constraints"),
        ("not known", "/missing_attribute"),
        ("would permit it", "/candidates"),
        ("until", "/valid_until"),
    ] {
        let value = at(answer, field);
        if !value.is_null() && !is_empty(value) {
            // Writing to a string cannot fail.
            let _ = writeln!(report, "{name}: {}", plain(value));
        }
    }
    let missing = at(answer, "/missing");
    if !missing.is_null() {
        let what = text(missing, "/what").replace('_', " ");
        let _ = writeln!(report, "missing: {}", format!("{what} {}", plain(at(missing, "/name"))).trim_end());
    }
    report
}

fn who_can(answer: &Value) -> String {
    let items = list(answer, "/items");
    let mut report =
        if items.is_empty() { "nobody\n".to_owned() } else { Table::new(WHO, items).to_string() };
    if at(answer, "/complete") == false {
        let next = plain(at(answer, "/next"));
        let _ = writeln!(report, "\nthere are more subjects than were looked at: go on with --after {next}");
    }
    report
}

fn what_can(answer: &Value) -> String {
    let parts = [
        (PERMITTED, list(answer, "/permitted")),
        (DENIED, list(answer, "/denied")),
        (ON_RESOURCE, list(answer, "/on_resource")),
    ];
    let written = parts.into_iter().filter(|(_, items)| !items.is_empty());
    let mut report =
        written.map(|(columns, items)| Table::new(columns, items).to_string()).collect::<Vec<_>>().join("\n");
    if report.is_empty() {
        report.push_str("nothing\n");
    }
    if at(answer, "/on_resource").is_array() && list(answer, "/on_resource").is_empty() {
        report.push_str("\nnothing on the resource\n");
    }
    report
}

fn preview(answer: &Value) -> String {
    let parts = [(GAINED, list(answer, "/gained")), (LOST, list(answer, "/lost"))];
    let written = parts.into_iter().filter(|(_, items)| !items.is_empty());
    let mut report =
        written.map(|(columns, items)| Table::new(columns, items).to_string()).collect::<Vec<_>>().join("\n");
    if report.is_empty() {
        report.push_str("nobody gains or loses anything\n");
    }
    if at(answer, "/complete") == false {
        report.push_str("\nand more\n");
    }
    report
}

fn applied(answer: &Value) -> String {
    let mut report = String::new();
    let written = if at(answer, "/dry_run") == true { "would be written" } else { "written" };
    for (name, field) in [(written, "/written"), ("as they are to be", "/unchanged")] {
        let roles = at(answer, field);
        if !is_empty(roles) {
            let _ = writeln!(report, "{name}: {}", plain(roles));
        }
    }
    report
}

fn attempts(answer: &Value) -> String {
    if at(answer, "/remembered") == 0 {
        return "nothing is remembered: `recent` of `[rbac.decisions]` says how many attempts are to be\n"
            .to_owned();
    }
    Table::new(ATTEMPTS, list(answer, "/items")).to_string()
}

fn validated(answer: &Value) -> String {
    let items = list(answer, "/items");
    let mut report = Table::new(VALIDATED, items).to_string();
    let problems = items.iter().map(|item| at(item, "/problem")).filter(|problem| !problem.is_null());
    for (index, problem) in problems.enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        let _ = writeln!(report, "{gap}{}", plain(problem));
    }
    report
}

#[cfg(test)]
mod tests;
