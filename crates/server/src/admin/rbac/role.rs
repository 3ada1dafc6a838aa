use clap::Subcommand;
use http::Method;
use serde_json::json;

use crate::admin::args::{Listed, Scoped};
use crate::admin::plan::{Guard, Plan, Request};
use crate::admin::table::Column;
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// List roles
    #[command(after_help = "Example:\n  stanchion role list --tenant platform")]
    List {
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show a role
    #[command(after_help = "Example:\n  stanchion role show editor --tenant acme")]
    Show {
        /// The role's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Create or replace a role
    #[command(
        after_help = "Example:\n  stanchion role put editor --tenant acme --name Editor \\\n    --permission report:* --include viewer"
    )]
    Put {
        /// The role's id: 1 to 64 of: a-z 0-9 . _ -
        id: String,
        /// What people read
        #[arg(long)]
        name: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// What it permits, RESOURCE:ACTION; may be repeated
        #[arg(long)]
        permission: Vec<String>,
        /// A role whose permissions it has as well; may be repeated
        #[arg(long, value_name = "ROLE")]
        include: Vec<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Delete a role that nobody holds
    #[command(after_help = "Example:\n  stanchion role delete editor --tenant acme")]
    Delete {
        /// The role's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Ask whether a subject has a permission, and why: 1 if not
    #[command(after_help = "Example:\n  stanchion role check user:bob report:delete --tenant acme")]
    Check {
        /// Who: user:ID or service:ID
        subject: String,
        /// What: RESOURCE:ACTION
        permission: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const ROLES: &[Column] = &[
    Column::whole("ID", "/id"),
    Column::cut("NAME", "/name"),
    Column::cut("PERMISSIONS", "/permissions"),
    Column::cut("INCLUDES", "/includes"),
];

impl From<Role> for Plan {
    fn from(command: Role) -> Self {
        match command {
            Role::List { listed, scoped } => {
                Request::all(Method::GET, "roles").listed(scoped, listed.limit, View::Table(ROLES))
            }
            Role::Show { id, scoped } => Request::one(Method::GET, "roles", id).shown(scoped, View::Fields),
            Role::Put { id, name, description, permission, include, scoped } => {
                Request::one(Method::PUT, "roles", id)
                    .with(json!({
                        "name": name,
                        "description": description,
                        "permissions": permission,
                        "includes": include,
                    }))
                    .guarded(Guard::UnchangedOrAbsent)
                    .shown(scoped, View::Fields)
            }
            Role::Delete { id, scoped } => {
                Request::one(Method::DELETE, "roles", id).shown(scoped, View::Done("deleted"))
            }
            Role::Check { subject, permission, scoped } => Request::all(Method::POST, "check")
                .with(json!({ "subject": subject, "permission": permission }))
                .shown(scoped, View::Allowed),
        }
    }
}
