use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::Trial;
use crate::admin::args::{Listed, Scoped};
use crate::admin::plan::{Plan, Request};
use crate::admin::table::Column;
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Assign {
    /// List who holds which role
    #[command(after_help = "Example:\n  stanchion assign list --tenant acme --subject user:alice")]
    List {
        /// Only those of this subject
        #[arg(long)]
        subject: Option<String>,
        /// Only those of this role
        #[arg(long)]
        role: Option<String>,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Give a role to a subject
    #[command(after_help = "Examples:\n  stanchion assign create user:alice editor --tenant acme\n  \
                            stanchion assign create group:support viewer --resource folder/7 --tenant acme")]
    Create {
        /// Who: user:ID, service:ID or group:ID
        subject: String,
        /// The role's id
        role: String,
        /// On which resources, and what is in them: document/42, folder/*
        #[arg(long, value_name = "TYPE/ID")]
        resource: Option<String>,
        /// When it begins, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        not_before: Option<String>,
        /// When it ends
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Take a role from a subject
    #[command(after_help = "Example:\n  stanchion assign delete user:alice editor --tenant acme")]
    Delete {
        /// Who: user:ID, service:ID or group:ID
        subject: String,
        /// The role's id
        role: String,
        /// On which resources it is held, if that was said
        #[arg(long, value_name = "TYPE/ID")]
        resource: Option<String>,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const ASSIGNMENTS: &[Column] = &[
    Column::whole("SUBJECT", "/subject"),
    Column::whole("ROLE", "/role"),
    Column::whole("ON", "/resource"),
    Column::whole("EXPIRES", "/expires_at"),
    Column::cut("GRANTED BY", "/granted_by"),
];

impl From<Assign> for Plan {
    fn from(command: Assign) -> Self {
        match command {
            Assign::List { subject, role, listed, scoped } => Request::all(Method::GET, "assignments")
                .asking("subject", subject)
                .asking("role", role)
                .listed(scoped, listed.limit, View::Table(ASSIGNMENTS)),
            Assign::Create { subject, role, resource, not_before, expires_at, reason, trial, scoped } => {
                let body = json!({
                    "subject": subject,
                    "role": role,
                    "resource": resource,
                    "not_before": not_before,
                    "expires_at": expires_at,
                    "reason": reason,
                });
                trial.plan("assign", body.clone(), scoped, |scoped| {
                    Request::all(Method::POST, "assignments").with(body).shown(scoped, View::Fields)
                })
            }
            Assign::Delete { subject, role, resource, trial, scoped } => {
                let named = json!({ "subject": subject, "role": role, "resource": resource });
                trial.plan("revoke", named, scoped, |scoped| {
                    Request::all(Method::DELETE, "assignments")
                        .asking("subject", Some(subject))
                        .asking("role", Some(role))
                        .asking("resource", resource)
                        .shown(scoped, View::Done("taken away"))
                })
            }
        }
    }
}
