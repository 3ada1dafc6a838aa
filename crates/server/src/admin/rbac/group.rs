use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::Trial;
use crate::admin::args::{Listed, Scoped};
use crate::admin::plan::{Plan, Request};
use crate::admin::table::Column;
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Group {
    /// List who belongs to which group
    #[command(after_help = "Example:\n  stanchion group list --group group:support --tenant acme")]
    List {
        /// Only those in this group
        #[arg(long)]
        group: Option<String>,
        /// Only those of this subject
        #[arg(long)]
        member: Option<String>,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Put a subject into a group
    #[command(after_help = "Example:\n  stanchion group add group:support user:bob --tenant acme")]
    Add {
        /// The group: group:ID
        group: String,
        /// Who: user:ID or service:ID
        member: String,
        /// When it begins, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        not_before: Option<String>,
        /// When it ends
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Take a subject out of a group
    #[command(after_help = "Example:\n  stanchion group remove group:support user:bob --tenant acme")]
    Remove {
        /// The group
        group: String,
        /// Who belongs to it
        member: String,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const MEMBERSHIPS: &[Column] = &[
    Column::whole("GROUP", "/group"),
    Column::whole("MEMBER", "/member"),
    Column::whole("FROM", "/not_before"),
    Column::whole("EXPIRES", "/expires_at"),
];

impl From<Group> for Plan {
    fn from(command: Group) -> Self {
        match command {
            Group::List { group, member, listed, scoped } => Request::all(Method::GET, "memberships")
                .asking("group", group)
                .asking("member", member)
                .listed(scoped, listed.limit, View::Table(MEMBERSHIPS)),
            Group::Add { group, member, not_before, expires_at, trial, scoped } => {
                let body = json!({
                    "group": group,
                    "member": member,
                    "not_before": not_before,
                    "expires_at": expires_at,
                });
                trial.plan("add_member", body.clone(), scoped, |scoped| {
                    Request::all(Method::POST, "memberships").with(body).shown(scoped, View::Fields)
                })
            }
            Group::Remove { group, member, trial, scoped } => {
                let named = json!({ "group": group, "member": member });
                trial.plan("remove_member", named, scoped, |scoped| {
                    Request::all(Method::DELETE, "memberships")
                        .asking("group", Some(group))
                        .asking("member", Some(member))
                        .shown(scoped, View::Done("taken out"))
                })
            }
        }
    }
}
