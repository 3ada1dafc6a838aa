use clap::Subcommand;
use http::Method;
use serde_json::json;

use crate::admin::args::{Listed, Scoped};
use crate::admin::plan::{Plan, Request};
use crate::admin::table::Column;
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Separation {
    /// List which roles are kept apart
    #[command(after_help = "Example:\n  stanchion separation list --tenant acme")]
    List {
        #[command(flatten)]
        listed: Listed,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show which roles a separation keeps apart
    #[command(after_help = "Example:\n  stanchion separation show payments --tenant acme")]
    Show {
        /// The separation's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Keep roles apart
    #[command(after_help = "Example:\n  stanchion separation put payments --name Payments \\\n    \
                            --role clerk --role approver --tenant acme")]
    Put {
        /// The separation's id: 1 to 64 of: a-z 0-9 . _ -
        id: String,
        /// What people read
        #[arg(long)]
        name: String,
        /// A role; two or more
        #[arg(long, required = true)]
        role: Vec<String>,
        /// Only within one session: static roles are not held together, dynamic ones not active together
        #[arg(long)]
        dynamic: bool,
        /// How many of the roles one subject may have
        #[arg(long, value_name = "N", default_value_t = 1)]
        at_most: u32,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Do not keep roles apart any more
    #[command(after_help = "Example:\n  stanchion separation delete payments --tenant acme")]
    Delete {
        /// The separation's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const SEPARATIONS: &[Column] = &[
    Column::whole("ID", "/id"),
    Column::whole("DUTY", "/duty"),
    Column::whole("AT MOST", "/at_most"),
    Column::cut("ROLES", "/roles"),
    Column::cut("NAME", "/name"),
];

impl From<Separation> for Plan {
    fn from(command: Separation) -> Self {
        match command {
            Separation::List { listed, scoped } => Request::all(Method::GET, "separations").listed(
                scoped,
                listed.limit,
                View::Table(SEPARATIONS),
            ),
            Separation::Show { id, scoped } => {
                Request::one(Method::GET, "separations", id).shown(scoped, View::Fields)
            }
            Separation::Put { id, name, role, dynamic, at_most, scoped } => {
                Request::one(Method::PUT, "separations", id)
                    .with(json!({
                        "name": name,
                        "duty": if dynamic { "dynamic" } else { "static" },
                        "roles": role,
                        "at_most": at_most,
                    }))
                    .shown(scoped, View::Fields)
            }
            Separation::Delete { id, scoped } => {
                Request::one(Method::DELETE, "separations", id).shown(scoped, View::Done("deleted"))
            }
        }
    }
}
