use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};

use super::transfer::{Export, Import};
use super::{Report, access_path, attribute, document, given, object, preview};
use crate::admin::args::{Scoped, Session};
use crate::admin::plan::{Plan, Request, platform};
use crate::admin::view::View;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Access {
    /// Decide whether a subject may do something: 1 if not
    #[command(
        override_usage = "stanchion access check [OPTIONS] <SUBJECT> <PERMISSION>",
        after_help = "Examples:\n  stanchion access check user:bob report:delete --tenant acme\n  \
                      stanchion access check user:bob document:read --resource document/42 \\\n    \
                      --inside folder/7 --owner user:alice --tenant acme\n  \
                      stanchion access check --file questions.json --tenant acme\n\n\
                      Refusals are recorded. The file is a list of {\"subject\", \"permission\", ...}."
    )]
    Check {
        #[command(flatten)]
        asked: OptionalQuestion,
        /// A JSON file with a list of questions; - for what comes in: 1 if one is refused
        #[arg(long, value_name = "FILE", value_parser = document, conflicts_with_all = ["subject", "permission"])]
        file: Option<Value>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Tell whether a subject may do something, by what, and what is missing: 1 if not
    #[command(
        override_usage = "stanchion access explain [OPTIONS] <SUBJECT> <PERMISSION>",
        after_help = "Example:\n  stanchion access explain user:bob report:delete --tenant acme"
    )]
    Explain {
        #[command(flatten)]
        asked: Question,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Find the users and services that may do something: 1 if nobody may
    #[command(after_help = "Example:\n  stanchion access who-can payment:approve --tenant acme")]
    WhoCan {
        /// What: RESOURCE:ACTION
        permission: String,
        #[command(flatten)]
        about: About,
        /// How many subjects are looked at, 1 to 10000
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        most: usize,
        /// After which subject to go on, as the answer before says
        #[arg(long, value_name = "SUBJECT")]
        after: Option<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// List what a subject may do, and what is denied to it
    #[command(after_help = "Examples:\n  stanchion access what-can user:bob --tenant acme\n  \
                            stanchion access what-can user:bob --resource document/42 --tenant acme")]
    WhatCan {
        /// Who: user:ID or service:ID
        subject: String,
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        known: Known,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Tell on which resources a subject may do something: what a list is to be filtered by
    #[command(after_help = "Example:\n  stanchion access plan user:bob document:read --tenant acme")]
    Plan {
        /// Who: user:ID or service:ID
        subject: String,
        /// What: RESOURCE:ACTION
        permission: String,
        #[command(flatten)]
        known: Known,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show what changes would give to whom, and take from whom
    #[command(after_help = "Example:\n  stanchion access preview changes.json --tenant acme\n\n\
                            The file is a list of changes, such as\n  \
                            [{\"assign\": {\"subject\": \"user:bob\", \"role\": \"editor\"}},\n   \
                            {\"delete_role\": {\"id\": \"viewer\"}}]\n\
                            Of one change, commands that make it show the same with --dry-run.")]
    Preview {
        /// A JSON file with a list of changes; - for what comes in
        #[arg(value_name = "FILE", value_parser = document)]
        changes: Value,
        /// A permission to look at besides those that records name; may be repeated
        #[arg(long)]
        permission: Vec<String>,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Write the records of a scope to a file: roles, assignments and all others
    #[command(after_help = "Examples:\n  stanchion access export acme.jsonl --tenant acme\n  \
                            stanchion access export acme.csv --tenant acme")]
    Export(Export),
    /// Write the records of a file into a scope: 1 if a row was refused
    #[command(after_help = "Examples:\n  stanchion access import acme.jsonl --tenant acme --dry-run\n  \
                            stanchion access import people.csv --tenant acme\n\n\
                            What is there already stays, so an import that broke off is done again.\n\
                            Nothing is removed.")]
    Import(Import),
    /// List what was tried of late and how it ended, as this replica remembers
    #[command(after_help = "Example:\n  stanchion access attempts --subject user:bob --outcome denied\n\n\
                            How many are remembered says `[rbac.decisions] recent`; none, unless it is set.")]
    Attempts {
        /// Only by this subject
        #[arg(long)]
        subject: Option<String>,
        /// Only those that ended so
        #[arg(long, value_enum)]
        outcome: Option<Outcome>,
        /// The most attempts, 1 to 1000
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        scoped: Scoped,
    },
    /// Show how many checks this replica has decided, for the platform's administrators
    #[command(after_help = "Example:\n  stanchion access stats")]
    Stats {
        #[command(flatten)]
        session: Session,
    },
}

/// How something ended that was tried.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Outcome {
    /// It was permitted
    Permitted,
    /// It was refused
    Denied,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Question {
    /// Who: user:ID or service:ID
    subject: String,
    /// What: RESOURCE:ACTION
    permission: String,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    known: Known,
}

/// A question where a file may have many instead.
#[derive(Clone, Debug, Args)]
pub(crate) struct OptionalQuestion {
    /// Who: user:ID or service:ID
    #[arg(required_unless_present = "file", requires = "permission")]
    subject: Option<String>,
    /// What: RESOURCE:ACTION
    permission: Option<String>,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    known: Known,
}

/// What is known of a resource.
#[derive(Clone, Debug, Args)]
pub(crate) struct About {
    /// On which resource, TYPE/ID, or TYPE alone for one that is to be created
    #[arg(long, value_name = "TYPE/ID")]
    resource: Option<String>,
    /// What it is nested in; repeated from the inside out
    #[arg(long, value_name = "TYPE/ID", requires = "resource")]
    inside: Vec<String>,
    /// Whose it is, such as user:alice
    #[arg(long, requires = "resource")]
    owner: Option<String>,
    /// The team it belongs to
    #[arg(long, requires = "resource")]
    team: Option<String>,
    /// The department it belongs to
    #[arg(long, requires = "resource")]
    department: Option<String>,
    /// The organization it belongs to
    #[arg(long, requires = "resource")]
    organization: Option<String>,
    /// What else is known of it, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute, requires = "resource")]
    attribute: Vec<(String, Value)>,
}

/// What is known of a subject.
#[derive(Clone, Debug, Args)]
pub(crate) struct Known {
    /// A team of the subject's; may be repeated
    #[arg(long, value_name = "TEAM")]
    of_team: Vec<String>,
    /// A department of the subject's; may be repeated
    #[arg(long, value_name = "DEPARTMENT")]
    of_department: Vec<String>,
    /// The subject's organization
    #[arg(long, value_name = "ORGANIZATION")]
    of_organization: Option<String>,
    /// What else is known of the subject, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    with: Vec<(String, Value)>,
    /// The session in which only active roles count
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

impl About {
    fn resource(self) -> Value {
        let Some(resource) = self.resource else { return Value::Null };
        let named = |text: &str| match text.split_once('/') {
            Some((kind, id)) => json!({ "type": kind, "id": id }),
            None => json!({ "type": text }),
        };
        let parent = self.inside.iter().rev().fold(Value::Null, |outer, inner| within(named(inner), outer));
        let mut whole = within(named(&resource), parent);
        let said = given(json!({
            "owner": self.owner,
            "team": self.team,
            "department": self.department,
            "organization": self.organization,
            "attributes": object(self.attribute),
        }));
        if let (Some(whole), Value::Object(said)) = (whole.as_object_mut(), said) {
            whole.extend(said);
        }
        whole
    }
}

fn within(mut inner: Value, outer: Value) -> Value {
    if let Some(fields) = inner.as_object_mut().filter(|_| !outer.is_null()) {
        fields.insert("parent".to_owned(), outer);
    }
    inner
}

impl Known {
    /// What is known, and the session.
    fn fields(self) -> Map<String, Value> {
        let profile = given(json!({
            "teams": self.of_team,
            "departments": self.of_department,
            "organization": self.of_organization,
            "attributes": object(self.with),
        }));
        let profile = if profile.as_object().is_some_and(Map::is_empty) { Value::Null } else { profile };
        match given(json!({ "profile": profile, "session": self.session })) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

fn question(subject: Option<String>, permission: Option<String>, about: About, known: Known) -> Value {
    let mut body = given(json!({
        "subject": subject,
        "permission": permission,
        "resource": about.resource(),
    }));
    if let Some(fields) = body.as_object_mut() {
        fields.extend(known.fields());
    }
    body
}

impl From<Access> for Plan {
    fn from(command: Access) -> Self {
        let ask = |what| Request::new(Method::POST, access_path(what));
        match command {
            Access::Check { file: Some(questions), scoped, .. } => {
                ask("check").with(questions).shown(scoped, View::Access(Report::Decisions))
            }
            Access::Check {
                asked: OptionalQuestion { subject, permission, about, known }, scoped, ..
            } => ask("check")
                .with(question(subject, permission, about, known))
                .shown(scoped, View::Access(Report::Decision)),
            Access::Explain { asked: Question { subject, permission, about, known }, scoped } => {
                ask("explain")
                    .with(question(Some(subject), Some(permission), about, known))
                    .shown(scoped, View::Access(Report::Decision))
            }
            Access::WhoCan { permission, about, most, after, scoped } => ask("who-can")
                .with(given(json!({
                    "permission": permission, "resource": about.resource(), "most": most, "after": after,
                })))
                .shown(scoped, View::Access(Report::WhoCan)),
            Access::WhatCan { subject, about, known, scoped } => ask("what-can")
                .with(question(Some(subject), None, about, known))
                .shown(scoped, View::Access(Report::WhatCan)),
            Access::Plan { subject, permission, known, scoped } => {
                let nothing = About {
                    resource: None,
                    inside: Vec::new(),
                    owner: None,
                    team: None,
                    department: None,
                    organization: None,
                    attribute: Vec::new(),
                };
                ask("plan")
                    .with(question(Some(subject), Some(permission), nothing, known))
                    .shown(scoped, View::Fields)
            }
            Access::Preview { changes, permission, scoped } => {
                preview(given(json!({ "changes": changes, "permissions": permission })), scoped)
            }
            Access::Export(asked) => asked.into(),
            Access::Import(asked) => asked.into(),
            Access::Attempts { subject, outcome, limit, scoped } => {
                let outcome = outcome.map(|outcome| match outcome {
                    Outcome::Permitted => "permitted".to_owned(),
                    Outcome::Denied => "denied".to_owned(),
                });
                Request::new(Method::GET, access_path("attempts"))
                    .asking("subject", subject)
                    .asking("outcome", outcome)
                    .asking("limit", Some(limit.to_string()))
                    .shown(scoped, View::Access(Report::Attempts))
            }
            Access::Stats { session } => {
                Request::new(Method::GET, access_path("statistics")).shown(platform(session), View::Fields)
            }
        }
    }
}
