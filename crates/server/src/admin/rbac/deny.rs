use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::{Said, Trial};
use crate::admin::args::{Listed, Scoped};
use crate::admin::plan::{Plan, Request};
use crate::admin::table::Column;
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Deny {
    /// List what is denied to whom
    #[command(after_help = "Example:\n  stanchion deny list --tenant acme --subject user:bob")]
    List {
        /// Only those of this subject
        #[arg(long)]
        subject: Option<String>,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Deny a permission to a subject, whatever roles it holds
    #[command(after_help = "Example:\n  stanchion deny put user:bob report:* --reason \"under inquiry\"")]
    Put {
        /// Who: user:ID, service:ID or group:ID
        subject: String,
        /// What: RESOURCE:ACTION, with * as a wildcard
        permission: String,
        /// On which resources, and what is in them: document/42, folder/*
        #[arg(long, value_name = "TYPE/ID")]
        resource: Option<String>,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Lift a denial
    #[command(after_help = "Example:\n  stanchion deny lift user:bob report:* --tenant acme")]
    Lift {
        #[command(flatten)]
        said: Said,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const DENIALS: &[Column] = &[
    Column::whole("SUBJECT", "/subject"),
    Column::whole("PERMISSION", "/permission"),
    Column::whole("ON", "/resource"),
    Column::whole("SINCE", "/created_at"),
    Column::cut("REASON", "/reason"),
];

impl From<Deny> for Plan {
    fn from(command: Deny) -> Self {
        match command {
            Deny::List { subject, listed, scoped } => Request::all(Method::GET, "denials")
                .asking("subject", subject)
                .listed(scoped, listed.limit, View::Table(DENIALS)),
            Deny::Put { subject, permission, resource, reason, trial, scoped } => {
                let body = json!({
                    "subject": subject,
                    "permission": permission,
                    "resource": resource,
                    "reason": reason,
                });
                trial.plan("deny", body.clone(), scoped, |scoped| {
                    Request::all(Method::POST, "denials").with(body).shown(scoped, View::Fields)
                })
            }
            Deny::Lift { said, trial, scoped } => trial.plan("lift_denial", said.named(), scoped, |scoped| {
                said.in_query(Request::all(Method::DELETE, "denials")).shown(scoped, View::Done("lifted"))
            }),
        }
    }
}
