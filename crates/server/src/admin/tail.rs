//! Follows the audit ledger.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use crate::admin::args::Output;
use crate::admin::table::plain;
use crate::admin::{Connection, Plan};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::json::{at, list, text};
use crate::signals::{Ask, Signals};
use crate::terminal::cut;

/// How many seconds the server waits for entries before it answers without any.
const WAIT: &str = "10";
/// The most entries of an answer.
const LIMIT: &str = "500";
/// How long to wait before a server that could not be reached is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether to go on after the entries there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    End,
    Follow,
}

/// Writes the newest entries, oldest first, and then each new one.
pub(crate) async fn run(plan: Plan, then: Then, environment: &Environment) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::No, "signals cannot be listened to").because(&error);
    let mut signals = Signals::listen().map_err(failed)?;
    tokio::select! {
        done = follow(&plan, then, environment) => done,
        // Whoever follows ends it so.
        () = stopped(&mut signals) => Ok(()),
    }
}

async fn stopped(signals: &mut Signals) {
    while signals.next().await != Ask::Stop {}
}

async fn follow(plan: &Plan, then: Then, environment: &Environment) -> Result<(), Failure> {
    let connection = Connection::new(plan, environment)?;
    let tenant = match &plan.tenant {
        Some(named) => Some(connection.tenant(named).await?),
        None => None,
    };
    let mut request = plan.request.clone();
    let mut answer = connection.send(&request, tenant.as_deref()).await?;
    let mut is_lost = false;
    loop {
        if !write(&answer, plan.session.output)? || then == Then::End {
            return Ok(());
        }
        let cursor = text(&answer, "/cursor").to_owned();
        request.query.retain(|(name, _)| !matches!(*name, "after" | "limit" | "wait"));
        let more = [("after", cursor), ("limit", LIMIT.to_owned()), ("wait", WAIT.to_owned())];
        request.query.extend(more);
        answer = loop {
            match connection.send(&request, tenant.as_deref()).await {
                Ok(answer) => break answer,
                Err(failure) if failure.exit() == Exit::Unreachable => {
                    if !std::mem::replace(&mut is_lost, true) {
                        tell("the server cannot be reached; it is asked again");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failure) => return Err(failure),
            }
        };
        if std::mem::replace(&mut is_lost, false) {
            tell("the server is back");
        }
    }
}

/// Tells a person something that is no entry.
fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "stanchion: {what}");
}

/// Writes entries, a line for each. Returns whether anybody still reads them.
fn write(answer: &Value, output: Output) -> Result<bool, Failure> {
    let skipped = text(answer, "/skipped");
    if !matches!(skipped, "" | "0") {
        tell(&format!("{skipped} entries were dropped before they could be read: their time was over"));
    }
    let lines: String = list(answer, "/items").iter().map(|entry| line(entry, output)).collect();
    let written = io::stdout().write_all(lines.as_bytes()).and_then(|()| io::stdout().flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::No, "cannot write the answer").because(&error)),
    }
}

fn line(entry: &Value, output: Output) -> String {
    if output == Output::Json {
        return format!("{entry}\n");
    }
    let part = |pointer: &str| plain(at(entry, pointer));
    let on = part("/event/targets");
    let on = if on.is_empty() { on } else { format!(" on {on}") };
    let reason = part("/event/reason");
    let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
    let said = format!(
        "{} {} {} by {}{on}{reason}",
        part("/recorded_at"),
        part("/event/outcome"),
        part("/event/action"),
        part("/event/actor"),
    );
    format!("{}\n", cut(&said, 500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_whatever_is_in_it() {
        let entry = serde_json::json!({
            "recorded_at": "2026-03-01T12:00:00.000000Z",
            "event": {
                "outcome": "denied", "action": "role.put", "actor": {"subject": {"subject": "user:alice"}},
                "targets": ["role/editor\u{1b}[2J"], "reason": "a\nb",
            },
        });
        let line = line(&entry, Output::Table);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains("denied role.put by user:alice on role/editor [2J (a b)"), "{line}");
    }
}
