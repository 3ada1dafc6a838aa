use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{Report, Trial, constraint, document, entry, given, object};
use crate::admin::args::{Listed, Scoped};
use crate::admin::plan::{Guard, Plan, Request, Segment};
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
        override_usage = "stanchion role put [OPTIONS] <ID>",
        after_help = "Examples:\n  stanchion role put editor --tenant acme --name Editor \\\n    --permission report:* --include viewer\n  \
                      stanchion role put night --tenant acme --name Night --include operator --exclude key:* \\\n    \
                      --constraint '{\"rule\":\"time\",\"hours\":\"22:00-06:00\",\"zone\":\"Europe/Berlin\"}'\n  \
                      stanchion role show editor --tenant acme --output json > editor.json\n  \
                      stanchion role put editor --tenant acme --file editor.json --max-holders 3 --dry-run"
    )]
    Put(Box<Put>),
    /// Delete a role that nobody holds
    #[command(after_help = "Example:\n  stanchion role delete editor --tenant acme")]
    Delete {
        /// The role's id
        id: String,
        #[command(flatten)]
        trial: Trial,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// List sets of roles that fit together for one kind of product
    #[command(after_help = "Example:\n  stanchion role presets --output json")]
    Presets {
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Write the roles of a preset
    #[command(after_help = "Examples:\n  stanchion role apply back-office --tenant acme --dry-run\n  \
                            stanchion role apply back-office --tenant acme\n  \
                            stanchion role apply back-office --prefix shop- --tenant acme\n\n\
                            All of them are written, or none. `access preview` shows what replacing\n\
                            roles would give to whom, and take from whom.")]
    Apply {
        /// The preset
        preset: String,
        /// Replace roles of the same ids that differ
        #[arg(long)]
        replace: bool,
        /// What the ids of the roles begin with, where the platform or the tenant has others of the same ids
        #[arg(long)]
        prefix: Option<String>,
        /// Only ask every rule, and tell which roles would be written
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        scoped: Scoped,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Put {
    /// The role's id: 1 to 64 of: a-z 0-9 . _ -
    id: String,
    /// A JSON file with what the role is to be, as `role show` writes it; - for what comes in. What is said besides counts more
    #[arg(long, value_name = "FILE", value_parser = document)]
    file: Option<Value>,
    /// What people read
    #[arg(long, required_unless_present = "file")]
    name: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// What it permits, RESOURCE:ACTION or RESOURCE:ACTION:SCOPE; may be repeated
    #[arg(long)]
    permission: Vec<String>,
    /// A role whose permissions it has as well; may be repeated
    #[arg(long, value_name = "ROLE")]
    include: Vec<String>,
    /// What it does not permit although a role that it includes does; may be repeated
    #[arg(long, value_name = "PERMISSION")]
    exclude: Vec<String>,
    /// How far it reaches at most: own, team, department, tenant or platform
    #[arg(long, value_name = "SCOPE")]
    ceiling: Option<String>,
    /// What has to hold for it to count: owner_only, organization_only, or JSON; may be repeated
    #[arg(long, value_parser = constraint)]
    constraint: Vec<Value>,
    /// A role that has to be held before it; may be repeated
    #[arg(long, value_name = "ROLE")]
    require: Vec<String>,
    /// How many subjects may hold it
    #[arg(long, value_name = "N")]
    max_holders: Option<u32>,
    /// What else is kept with it, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = entry)]
    metadata: Vec<(String, String)>,
    /// Switch it off: it conveys nothing
    #[arg(long)]
    inactive: bool,
    #[command(flatten)]
    trial: Trial,
    #[command(flatten)]
    scoped: Scoped,
}

const ROLES: &[Column] = &[
    Column::whole("ID", "/id"),
    Column::cut("NAME", "/name"),
    Column::cut("PERMISSIONS", "/permissions"),
    Column::cut("INCLUDES", "/includes"),
];
const PRESETS: &[Column] =
    &[Column::whole("NAME", "/name"), Column::cut("ROLES", "/roles"), Column::cut("FOR", "/description")];

/// What a role is answered with and is not written with.
const ANSWERED: [&str; 5] = ["id", "system", "revision", "created_at", "updated_at"];

impl Put {
    /// What the role is to be: what stands in the file, and over it what was said.
    fn body(&self) -> Value {
        let metadata = self.metadata.iter().map(|(name, value)| (name.clone(), Value::from(value.clone())));
        let said = given(json!({
            "name": self.name,
            "description": self.description,
            "permissions": self.permission,
            "includes": self.include,
            "excludes": self.exclude,
            "ceiling": self.ceiling,
            "constraints": self.constraint,
            "requires": self.require,
            "max_holders": self.max_holders,
            "metadata": object(metadata.collect()),
            "active": self.inactive.then_some(false),
        }));
        match (self.file.clone(), said) {
            (Some(Value::Object(mut whole)), Value::Object(said)) => {
                ANSWERED.iter().for_each(|name| drop(whole.remove(*name)));
                whole.extend(said);
                Value::Object(whole)
            }
            // The server says what is wrong with a file that is no object.
            (Some(other), _) => other,
            (None, said) => said,
        }
    }
}

impl From<Role> for Plan {
    fn from(command: Role) -> Self {
        match command {
            Role::List { listed, scoped } => {
                Request::all(Method::GET, "roles").listed(scoped, listed.limit, View::Table(ROLES))
            }
            Role::Show { id, scoped } => Request::one(Method::GET, "roles", id).shown(scoped, View::Fields),
            Role::Put(put) => {
                let body = put.body();
                let Put { id, trial, scoped, .. } = *put;
                let proposed = json!({ "id": id, "role": body });
                trial.plan("put_role", proposed, scoped, |scoped| {
                    Request::one(Method::PUT, "roles", id)
                        .with(body)
                        .guarded(Guard::UnchangedOrAbsent)
                        .shown(scoped, View::Fields)
                })
            }
            Role::Delete { id, trial, scoped } => {
                trial.plan("delete_role", json!({ "id": id }), scoped, |scoped| {
                    Request::one(Method::DELETE, "roles", id).shown(scoped, View::Done("deleted"))
                })
            }
            Role::Presets { scoped } => {
                Request::new(Method::GET, presets()).shown(scoped, View::Table(PRESETS))
            }
            Role::Apply { preset, replace, prefix, dry_run, scoped } => Request::new(Method::POST, presets())
                .with(given(
                    json!({ "name": preset, "replace": replace, "prefix": prefix, "dry_run": dry_run }),
                ))
                .shown(scoped, View::Access(Report::Applied)),
        }
    }
}

fn presets() -> [Segment; 2] {
    super::access_path("presets")
}
