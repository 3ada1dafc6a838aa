use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::Report;
use crate::admin::args::{Listed, Scoped};
use crate::admin::plan::{Plan, Request, Segment};
use crate::admin::table::Column;
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Permission {
    /// List the permissions that are known
    #[command(after_help = "Example:\n  stanchion permission list --resource role --tenant acme")]
    List {
        /// Only those of this type of resource
        #[arg(long)]
        resource: Option<String>,
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show what may be done to a type of resource
    #[command(after_help = "Example:\n  stanchion permission show role --tenant acme")]
    Show {
        /// The type of resource
        resource: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Tell what permissions mean, and whether they are known: 1 if one is not
    #[command(after_help = "Example:\n  stanchion permission validate role:raed report:* --tenant acme")]
    Validate {
        /// RESOURCE:ACTION or RESOURCE:ACTION:SCOPE; one or more
        #[arg(required = true)]
        permission: Vec<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const KNOWN: &[Column] = &[
    Column::whole("PERMISSION", "/permission"),
    Column::whole("ADMINISTRATIVE", "/administrative"),
    Column::cut("DESCRIPTION", "/description"),
];

impl From<Permission> for Plan {
    fn from(command: Permission) -> Self {
        match command {
            Permission::List { resource, listed, scoped } => Request::all(Method::GET, "permissions")
                .asking("resource", resource)
                .listed(scoped, listed.limit, View::Table(KNOWN)),
            Permission::Show { resource, scoped } => Request::one(Method::GET, "permissions", resource)
                .shown(scoped, View::Access(Report::Actions)),
            Permission::Validate { permission, scoped } => {
                Request::new(Method::POST, [Segment::Fixed("permissions"), Segment::Fixed("validate")])
                    .with(json!({ "permissions": permission }))
                    .shown(scoped, View::Access(Report::Validated))
            }
        }
    }
}
