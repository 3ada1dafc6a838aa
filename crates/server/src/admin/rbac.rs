//! Who may do what.

mod access;
mod assign;
mod deny;
mod grant;
mod group;
mod permission;
mod report;
mod role;
mod separation;
mod session;
pub(crate) mod transfer;

pub(crate) use access::Access;
pub(crate) use assign::Assign;
pub(crate) use deny::Deny;
pub(crate) use grant::Grant;
pub(crate) use group::Group;
pub(crate) use permission::Permission;
pub(crate) use report::Report;
pub(crate) use role::Role;
pub(crate) use separation::Separation;
pub(crate) use session::RoleSession;

use std::io::Read as _;

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use crate::admin::args::Scoped;
use crate::admin::plan::{Plan, Request, Segment};
use crate::admin::view::View;

/// A permission that was granted or denied to somebody.
#[derive(Clone, Debug, Args)]
pub(crate) struct Said {
    /// To whom: user:ID, service:ID or group:ID
    subject: String,
    /// What, as it was said
    permission: String,
    /// On which resources, if that was said
    #[arg(long, value_name = "TYPE/ID")]
    resource: Option<String>,
}

impl Said {
    fn named(&self) -> Value {
        json!({ "subject": self.subject, "permission": self.permission, "resource": self.resource })
    }

    /// Asks about it.
    fn in_query(self, request: Request) -> Request {
        request
            .asking("subject", Some(self.subject))
            .asking("permission", Some(self.permission))
            .asking("resource", self.resource)
    }
}

/// Whether a change is only tried.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Trial {
    /// Only show what it would give to whom, and take from whom
    #[arg(long)]
    dry_run: bool,
}

impl Trial {
    /// Makes the plan of a change, or of a look at what it would do.
    fn plan(
        self,
        change: &'static str,
        body: Value,
        scoped: Scoped,
        make: impl FnOnce(Scoped) -> Plan,
    ) -> Plan {
        if self.dry_run {
            preview(json!({ "changes": [{ change: given(body) }] }), scoped)
        } else {
            make(scoped)
        }
    }
}

fn preview(proposal: Value, scoped: Scoped) -> Plan {
    Request::new(Method::POST, access_path("preview"))
        .with(proposal)
        .shown(scoped, View::Access(Report::Preview))
}

fn access_path(what: &'static str) -> [Segment; 2] {
    [Segment::Fixed("access"), Segment::Fixed(what)]
}

/// Leaves out what was not said.
fn given(body: Value) -> Value {
    match body {
        Value::Object(fields) => {
            let said =
                |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
            Value::Object(fields.into_iter().filter(|(_, value)| said(value)).collect())
        }
        other => other,
    }
}

/// Reads a JSON file, `-` for what comes in.
fn document(file: &str) -> Result<Value, String> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(drop),
        file => std::fs::read_to_string(file).map(|content| text = content),
    };
    read.map_err(|error| format!("cannot be read: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("is no JSON: {error}"))
}

/// Reads a constraint: `owner_only`, or one as JSON.
fn constraint(text: &str) -> Result<Value, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"));
    }
    Ok(json!({ "rule": text }))
}

/// Reads `name=value`; the value as JSON if it is a number, a truth or a list, else as text.
fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("use a name and a value: region=eu")?;
    let value = match serde_json::from_str(value) {
        Ok(read @ (Value::Bool(_) | Value::Number(_) | Value::Array(_))) => read,
        _ => Value::from(value),
    };
    Ok((name.to_owned(), value))
}

/// Reads `name=value`.
fn entry(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("use a name and a value: owner=sales")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn object(entries: Vec<(String, Value)>) -> Value {
    if entries.is_empty() { Value::Null } else { Value::Object(Map::from_iter(entries)) }
}
