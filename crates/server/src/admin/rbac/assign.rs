use clap::Subcommand;
use http::Method;
use serde_json::json;

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
    #[command(after_help = "Example:\n  stanchion assign create user:alice editor --tenant acme")]
    Create {
        /// Who: user:ID or service:ID
        subject: String,
        /// The role's id
        role: String,
        /// When it ends, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Take a role from a subject
    #[command(after_help = "Example:\n  stanchion assign delete user:alice editor --tenant acme")]
    Delete {
        /// Who: user:ID or service:ID
        subject: String,
        /// The role's id
        role: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const ASSIGNMENTS: &[Column] = &[
    Column::whole("SUBJECT", "/subject"),
    Column::whole("ROLE", "/role"),
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
            Assign::Create { subject, role, expires_at, reason, scoped } => Request::all(
                Method::POST,
                "assignments",
            )
            .with(json!({ "subject": subject, "role": role, "expires_at": expires_at, "reason": reason }))
            .shown(scoped, View::Fields),
            Assign::Delete { subject, role, scoped } => Request::all(Method::DELETE, "assignments")
                .asking("subject", Some(subject))
                .asking("role", Some(role))
                .shown(scoped, View::Done("taken away")),
        }
    }
}
