use clap::Subcommand;
use http::Method;
use serde_json::json;

use crate::admin::args::Scoped;
use crate::admin::plan::{Plan, Request, Segment};
use crate::admin::table::Column;
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RoleSession {
    /// List the sessions of a subject
    #[command(after_help = "Example:\n  stanchion session list user:alice --tenant acme")]
    List {
        /// Whose: user:ID or service:ID
        subject: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Start a session, in which only its active roles count
    #[command(
        after_help = "Example:\n  stanchion session create user:alice --role clerk --minutes 60 --tenant acme"
    )]
    Create {
        /// Whose: user:ID or service:ID
        subject: String,
        /// A role that is active from the beginning; may be repeated
        #[arg(long)]
        role: Vec<String>,
        /// After how many minutes it ends [default: as long as it may last]
        #[arg(long, value_name = "N")]
        minutes: Option<u32>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show a session
    #[command(
        after_help = "Example:\n  stanchion session show 0192f0c1-2345-7abc-8def-0123456789ab --tenant acme"
    )]
    Show {
        /// The session's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Activate a role in a session
    #[command(
        after_help = "Example:\n  stanchion session activate 0192f0c1-2345-7abc-8def-0123456789ab clerk"
    )]
    Activate {
        /// The session's id
        id: String,
        /// The role
        role: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Do not use a role in a session any more
    #[command(after_help = "Example:\n  stanchion session drop 0192f0c1-2345-7abc-8def-0123456789ab clerk")]
    Drop {
        /// The session's id
        id: String,
        /// The role
        role: String,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// End a session
    #[command(after_help = "Example:\n  stanchion session end 0192f0c1-2345-7abc-8def-0123456789ab")]
    End {
        /// The session's id
        id: String,
        #[command(flatten)]
        scoped: Scoped,
    },
}

const SESSIONS: &[Column] = &[
    Column::whole("ID", "/id"),
    Column::whole("BEGAN", "/created_at"),
    Column::whole("ENDS", "/expires_at"),
    Column::cut("ACTIVE", "/active"),
];

fn roles(id: String) -> [Segment; 3] {
    [Segment::Fixed("sessions"), Segment::Given(id), Segment::Fixed("roles")]
}

impl From<RoleSession> for Plan {
    fn from(command: RoleSession) -> Self {
        match command {
            RoleSession::List { subject, scoped } => Request::all(Method::GET, "sessions")
                .asking("subject", Some(subject))
                .shown(scoped, View::Table(SESSIONS)),
            RoleSession::Create { subject, role, minutes, scoped } => Request::all(Method::POST, "sessions")
                .with(json!({ "subject": subject, "roles": role, "minutes": minutes }))
                .shown(scoped, View::Fields),
            RoleSession::Show { id, scoped } => {
                Request::one(Method::GET, "sessions", id).shown(scoped, View::Fields)
            }
            RoleSession::Activate { id, role, scoped } => Request::new(Method::POST, roles(id))
                .with(json!({ "role": role }))
                .shown(scoped, View::Fields),
            RoleSession::Drop { id, role, scoped } => {
                Request::new(Method::DELETE, roles(id)).asking("role", Some(role)).shown(scoped, View::Fields)
            }
            RoleSession::End { id, scoped } => {
                Request::one(Method::DELETE, "sessions", id).shown(scoped, View::Done("ended"))
            }
        }
    }
}
