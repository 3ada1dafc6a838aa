use std::fmt::Write as _;

use serde_json::Value;

use crate::admin::rbac::Report;
use crate::admin::table::{Column, Table, plain};
use crate::json::{at, list, text};

/// How an answer is shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// A list, as a table.
    Table(&'static [Column]),
    /// One thing, a line for each of its fields.
    Fields,
    /// Nothing but that it is done.
    Done(&'static str),
    /// Something of who may do what.
    Access(Report),
    /// What the limits say to a request.
    Limits,
    /// What limits have decided.
    LimitStats,
    /// What was used and what it costs.
    Usage,
    /// Whether chains are intact.
    Verification,
    /// Whether a round went through every chain.
    Round,
    /// One field, as it is.
    Text(&'static str),
}

/// What the server's answer says to the question that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Yes,
    No,
}

pub(crate) const TENANTS: &[Column] = &[
    Column::whole("SLUG", "/slug"),
    Column::whole("STATUS", "/status"),
    Column::whole("TIER", "/tier"),
    Column::cut("NAME", "/name"),
    Column::whole("ID", "/id"),
];
pub(crate) const KEYS: &[Column] = &[
    Column::whole("ID", "/id"),
    Column::cut("SUBJECT", "/subject"),
    Column::whole("SHOWN", "/shown"),
    Column::whole("STATUS", "/status"),
    Column::cut("NAME", "/name"),
];
pub(crate) const LIMITS: &[Column] = &[
    Column::whole("ID", "/id"),
    Column::cut("BY", "/key"),
    Column::whole("LIMIT", "/limit"),
    Column::whole("WINDOW", "/window"),
    Column::cut("ROUTES", "/routes"),
    Column::cut("LABELS", "/labels"),
    Column::cut("ACTION", "/action"),
];
pub(crate) const OVERRIDES: &[Column] = &[
    Column::whole("LIMIT", "/limit_id"),
    Column::cut("CALLER", "/identifiers"),
    Column::whole("GIVES", "/limit"),
    Column::whole("BURST", "/burst"),
    Column::whole("ENDS", "/expires_at"),
    Column::cut("REASON", "/reason"),
];
pub(crate) const QUARANTINES: &[Column] = &[
    Column::cut("CALLER", "/identifiers"),
    Column::whole("UNTIL", "/until"),
    Column::whole("BY", "/limit_id"),
    Column::cut("REASON", "/reason"),
];
pub(crate) const VIOLATIONS: &[Column] = &[
    Column::whole("AT", "/at"),
    Column::whole("LIMIT", "/limit_id"),
    Column::cut("CALLER", "/identifiers"),
    Column::whole("USED", "/used"),
    Column::whole("OF", "/limit"),
    Column::cut("ACTION", "/action"),
];
const COUNTS: &[Column] = &[
    Column::whole("LIMIT", "/limit_id"),
    Column::whole("ADMITTED", "/admitted"),
    Column::whole("NEAR", "/near_limit"),
    Column::whole("EXCEEDED", "/exceeded"),
    Column::whole("THROTTLED", "/throttled"),
    Column::whole("CHALLENGED", "/challenged"),
    Column::cut("OBSERVED", "/observed"),
];
const OFFENDERS: &[Column] = &[
    Column::whole("VIOLATIONS", "/violations"),
    Column::whole("LIMIT", "/limit_id"),
    Column::whole("LAST", "/last_at"),
    Column::cut("CALLER", "/identifiers"),
];
const STATES: &[Column] = &[
    Column::whole("LIMIT", "/limit_id"),
    Column::whole("STAGE", "/stage"),
    Column::whole("LEFT", "/remaining"),
    Column::whole("OF", "/limit"),
    Column::whole("EXCEEDED", "/exceeded"),
    Column::cut("ACTION", "/action"),
];
pub(crate) const ENTRIES: &[Column] = &[
    Column::whole("RECORDED", "/recorded_at"),
    Column::whole("OUTCOME", "/event/outcome"),
    Column::cut("ACTION", "/event/action"),
    Column::cut("ACTOR", "/event/actor"),
    Column::cut("AS", "/event/acted_as"),
    Column::cut("ON", "/event/targets"),
    Column::cut("REASON", "/event/reason"),
];
pub(crate) const ACTIONS: &[Column] = &[
    Column::whole("ACTION", "/action"),
    Column::whole("CLASS", "/class"),
    Column::whole("ORIGIN", "/origin"),
    Column::cut("COUNTS AS", "/event_type"),
    Column::cut("TITLE", "/title"),
];
const COSTS: &[Column] = &[
    Column::whole("METER", "/meter"),
    Column::whole("QUANTITY", "/quantity"),
    Column::cut("PRICE", "/price"),
    Column::whole("AMOUNT", "/amount"),
];
pub(crate) const CHECKPOINTS: &[Column] = &[
    Column::whole("CHAIN", "/chain"),
    Column::whole("SIZE", "/size"),
    Column::whole("SIGNED", "/signed_at"),
    Column::cut("ROOT", "/root"),
];
pub(crate) const RETENTION: &[Column] = &[
    Column::cut("CHAIN", "/chain"),
    Column::whole("KEPT DAYS", "/kept_days"),
    Column::whole("OLDEST UNTIL", "/oldest_until"),
    Column::whole("BASE", "/base"),
    Column::whole("ARCHIVED", "/archived"),
    Column::whole("HEAD", "/head"),
    Column::whole("HELD", "/held"),
];
pub(crate) const HOLDS: &[Column] = &[
    Column::whole("ID", "/id"),
    Column::whole("STANDS", "/stands"),
    Column::cut("CLASS", "/class"),
    Column::cut("REASON", "/reason"),
    Column::cut("BY", "/placed_by"),
    Column::cut("UNTIL", "/until"),
];
const CHAINS: &[Column] = &[
    Column::whole("CHAIN", "/chain"),
    Column::whole("INTACT", "/intact"),
    Column::whole("ENTRIES", "/entries"),
    Column::whole("NEWEST", "/head/recorded_at"),
];

impl View {
    /// Writes what people read.
    pub(crate) fn text(self, answer: &Value) -> String {
        match self {
            Self::Table(columns) => Table::new(columns, list(answer, "/items")).to_string(),
            Self::Fields => fields(answer),
            Self::Done(what) => format!("{what}\n"),
            Self::Access(report) => report.text(answer),
            Self::Limits => limits(answer),
            Self::LimitStats => limit_stats(answer),
            Self::Usage => usage(answer),
            Self::Verification => verification(answer),
            Self::Round if at(answer, "/complete") == true => "every chain was gone through\n".to_owned(),
            Self::Round => {
                "some chains were not gone through; the server's log says which, and why\n".to_owned()
            }
            Self::Text(field) => text(answer, field).to_owned(),
        }
    }

    /// Tells what the answer means for the shell.
    pub(crate) fn says(self, answer: &Value) -> Says {
        let holds = match self {
            Self::Access(report) => report.holds(answer),
            Self::Limits => at(answer, "/admitted") == true,
            Self::Verification => at(answer, "/intact") == true,
            Self::Round => at(answer, "/complete") == true,
            Self::Table(_)
            | Self::Fields
            | Self::Done(_)
            | Self::Usage
            | Self::LimitStats
            | Self::Text(_) => true,
        };
        if holds { Says::Yes } else { Says::No }
    }
}

/// What is written first of a thing: what somebody will copy.
const FIRST: [&str; 2] = ["secret", "id"];

pub(super) fn fields(answer: &Value) -> String {
    let Some(fields) = answer.as_object() else { return String::new() };
    let is_first = |name: &str| FIRST.contains(&name);
    let first = FIRST.into_iter().filter_map(|name| fields.get_key_value(name));
    let all = first.chain(fields.iter().filter(|(name, _)| !is_first(name)));
    let shown = || all.clone().filter(|(_, value)| !value.is_null() && !is_empty(value));
    let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in shown() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:width$}  {}", plain(value));
    }
    text
}

pub(super) fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn limit_stats(answer: &Value) -> String {
    let mut report = Table::new(COUNTS, list(answer, "/limits")).to_string();
    let since = at(answer, "/outage_since");
    if !since.is_null() {
        let _ = writeln!(report, "\nthe counters cannot be reached since {}", plain(since));
    }
    if let Some(load) = at(answer, "/load").as_u64().filter(|load| *load > 0) {
        let _ = writeln!(report, "\nload {load} of 1000: limits with `adaptive` are smaller");
    }
    let offenders = list(answer, "/offenders");
    if !offenders.is_empty() {
        let _ = write!(report, "\n{}", Table::new(OFFENDERS, offenders));
    }
    report
}

fn limits(answer: &Value) -> String {
    let mut report = if at(answer, "/admitted") == true {
        match text(answer, "/delay_ms") {
            "0" => "admitted\n".to_owned(),
            delay => format!("admitted after {delay} ms\n"),
        }
    } else {
        let by = match at(answer, "/limit_id") {
            Value::Null => String::new(),
            limit => format!(" by {}", plain(limit)),
        };
        let wait = match at(answer, "/retry_after_ms") {
            Value::Null => String::new(),
            wait => format!(", again in {} ms", plain(wait)),
        };
        format!("refused{by}: {}, {}{wait}\n", text(answer, "/reason"), text(answer, "/action"))
    };
    let states = list(answer, "/limits");
    if !states.is_empty() {
        let _ = write!(report, "\n{}", Table::new(STATES, states));
    }
    for state in states.iter().filter(|state| !matches!(text(state, "/overshoot"), "" | "0")) {
        let (limit, overshoot) = (text(state, "/limit_id"), text(state, "/overshoot"));
        let _ =
            writeln!(report, "\n{limit}: with its lease, up to {overshoot} more by all replicas together");
    }
    report
}

fn usage(answer: &Value) -> String {
    let mut report = format!("from {} until {}\n\n", plain(at(answer, "/from")), plain(at(answer, "/to")));
    let cost = at(answer, "/cost");
    let priced = list(cost, "/lines");
    report.push_str(&Table::new(COSTS, priced).to_string());
    let is_priced = |used: &&Value| priced.iter().any(|line| at(line, "/meter") == at(used, "/meter"));
    for used in list(answer, "/usage").iter().filter(|used| !is_priced(used)) {
        let _ = writeln!(
            report,
            "{}: {}, without a price",
            plain(at(used, "/meter")),
            plain(at(used, "/quantity"))
        );
    }
    let _ = writeln!(report, "\ntotal {} {}", plain(at(cost, "/total")), plain(at(cost, "/currency")));
    report
}

/// Tells which numbered events were made and are not there.
fn missing(answer: &Value, report: &mut String) {
    let runs = at(answer, "/producers").as_array().into_iter().flatten();
    for run in runs {
        for gap in at(run, "/gaps").as_array().into_iter().flatten() {
            let _ = writeln!(
                report,
                "missing: events {} to {} of {} ({}), {}",
                plain(at(gap, "/first")),
                plain(at(gap, "/last")),
                plain(at(run, "/producer")),
                plain(at(run, "/boot")),
                plain(at(gap, "/cause")),
            );
        }
    }
}

fn verification(answer: &Value) -> String {
    let mut chains = list(answer, "/chains").to_vec();
    for chain in &mut chains {
        // The scope is the same for all of them, and was asked for.
        let class = text(chain, "/chain").split_once('/').map(|(_, class)| Value::from(class));
        if let (Some(class), Some(name)) = (class, chain.pointer_mut("/chain")) {
            *name = class;
        }
    }
    let mut report = Table::new(CHAINS, &chains).to_string();
    let found = at(answer, "/first_break");
    if at(answer, "/intact") == true {
        let _ = writeln!(report, "\nintact: {} entries verified", plain(at(answer, "/entries")));
        missing(answer, &mut report);
    } else {
        let part = |pointer| plain(at(found, pointer));
        let _ = writeln!(
            report,
            "\nbroken: {} at entry {}: {}",
            part("/chain"),
            part("/sequence"),
            part("/detail")
        );
    }
    report
}
