use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{Said, Trial, constraint, given};
use crate::admin::args::{Listed, Scoped};
use crate::admin::plan::{Plan, Request, Segment};
use crate::admin::table::Column;
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Grant {
    /// List what is granted to whom besides roles
    #[command(after_help = "Example:\n  stanchion grant list --tenant acme --subject user:alice")]
    List {
        /// Only those of this subject
        #[arg(long)]
        subject: Option<String>,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Grant a single permission to a subject
    #[command(
        after_help = "Examples:\n  stanchion grant put user:bob report:read --resource report/7 \\\n    \
                            --expires-at 2027-01-01T00:00:00Z --reason \"the audit of 2026\" --tenant acme\n  \
                            stanchion grant put user:bob payment:approve --emergency \\\n    \
                            --reason \"the approver is ill\" --tenant acme"
    )]
    Put {
        /// Who: user:ID, service:ID or group:ID
        subject: String,
        /// What: RESOURCE:ACTION or RESOURCE:ACTION:SCOPE
        permission: String,
        /// On which resources, and what is in them: document/42, folder/*
        #[arg(long, value_name = "TYPE/ID")]
        resource: Option<String>,
        /// When it begins, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        not_before: Option<String>,
        /// When it ends
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// What has to hold for it to count: owner_only, organization_only, or JSON; may be repeated
        #[arg(long, value_parser = constraint)]
        constraint: Vec<Value>,
        /// Why, for the record; an emergency needs one
        #[arg(long, required_if_eq("emergency", "true"))]
        reason: Option<String>,
        /// It is for an emergency: it ends soon, is recorded with high severity, and may need approval
        #[arg(long)]
        emergency: bool,
        /// Lift the denials that stand against it
        #[arg(long)]
        lift_denial: bool,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Approve a grant that somebody else has made in an emergency
    #[command(after_help = "Example:\n  stanchion grant approve user:bob payment:approve --tenant acme")]
    Approve {
        #[command(flatten)]
        said: Said,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Take a grant back
    #[command(after_help = "Example:\n  stanchion grant revoke user:bob payment:approve --tenant acme")]
    Revoke {
        #[command(flatten)]
        said: Said,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const GRANTS: &[Column] = &[
    Column::whole("SUBJECT", "/subject"),
    Column::whole("PERMISSION", "/permission"),
    Column::whole("ON", "/resource"),
    Column::whole("EXPIRES", "/expires_at"),
    Column::whole("EMERGENCY", "/emergency"),
    Column::cut("REASON", "/reason"),
];

impl From<Grant> for Plan {
    fn from(command: Grant) -> Self {
        match command {
            Grant::List { subject, listed, scoped } => Request::all(Method::GET, "grants")
                .asking("subject", subject)
                .listed(scoped, listed.limit, View::Table(GRANTS)),
            Grant::Put {
                subject,
                permission,
                resource,
                not_before,
                expires_at,
                constraint,
                reason,
                emergency,
                lift_denial,
                trial,
                scoped,
            } => {
                let body = given(json!({
                    "subject": subject,
                    "permission": permission,
                    "resource": resource,
                    "not_before": not_before,
                    "expires_at": expires_at,
                    "constraints": constraint,
                    "reason": reason,
                    "emergency": emergency.then_some(true),
                    "lift_denial": lift_denial.then_some(true),
                }));
                trial.plan("grant", body.clone(), scoped, |scoped| {
                    Request::all(Method::POST, "grants").with(body).shown(scoped, View::Fields)
                })
            }
            Grant::Approve { said, scoped } => {
                let approval = [Segment::Fixed("grants"), Segment::Fixed("approval")];
                said.in_query(Request::new(Method::POST, approval)).shown(scoped, View::Fields)
            }
            Grant::Revoke { said, trial, scoped } => {
                trial.plan("revoke_grant", said.named(), scoped, |scoped| {
                    said.in_query(Request::all(Method::DELETE, "grants"))
                        .shown(scoped, View::Done("taken back"))
                })
            }
        }
    }
}
