//! Exports that are made into files.

use std::io;
use std::str::FromStr;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::Method;
use serde::Serialize;
use stanchion_core::{ProblemCode, Scope, Timestamp};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use stanchion_audit::bundle::Form;

use super::export::begin;
use super::{EntryFilter, READ};
use crate::answer::{Accepted, Done, Found, List, Streamed};
use crate::call::{Beside, Call, Nothing, Path, PathParameter, Query};
use crate::exports::{self, Job, JobState, NotMade};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/audit/exports",
            "list_audit_exports",
            READ,
            On::Scope,
            "Lists the exports that are made into files.",
            list,
        ),
        Operation::new(
            Method::POST,
            "/v1/audit/exports",
            "start_audit_export",
            READ,
            On::Scope,
            "Begins an export into a file, for what is too large to be streamed.",
            start,
        )
        .note(
            "What it exports and how it is recorded are those of `GET /v1/audit/export`. One is made after the other. The file and what \
             is known of it stay on the replica that was asked, for as long as the configuration says. An export whose process ends \
             before it is made has failed, and says so.",
        )
        .refusing(ProblemCode::Overloaded),
        Operation::new(
            Method::GET,
            "/v1/audit/exports/{id}",
            "get_audit_export",
            READ,
            On::Scope,
            "Tells how far an export is.",
            get,
        ),
        Operation::new(
            Method::DELETE,
            "/v1/audit/exports/{id}",
            "delete_audit_export",
            READ,
            On::Scope,
            "Ends an export, or removes its file.",
            delete,
        ),
        Operation::new(
            Method::GET,
            "/v1/audit/exports/{id}/content",
            "read_audit_export",
            READ,
            On::Scope,
            "Returns the file of an export that is done.",
            content,
        )
        .refusing(ProblemCode::Conflict),
    ]
}

/// An export that is made into a file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditExport)]
pub(crate) struct Export {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Whose entries.
    #[schema(value_type = String)]
    scope: Scope,
    /// What its first line says it is.
    #[schema(example = "stanchion.audit.bundle/v1")]
    format: String,
    /// The filters, by name.
    #[schema(value_type = Object)]
    query: std::collections::BTreeMap<String, String>,
    /// `waiting`, `running`, `done` or `failed`.
    state: &'static str,
    /// Why it failed.
    reason: Option<String>,
    /// How many entries were written.
    entries: Integer,
    /// How many there will be; `null` when that is not known.
    total: Option<Integer>,
    /// How many bytes were written.
    bytes: Integer,
    /// When it was asked for.
    #[schema(value_type = String, format = "date-time")]
    asked_at: Timestamp,
    /// When it was done, or had failed.
    #[schema(value_type = Option<String>, format = "date-time")]
    ended_at: Option<Timestamp>,
}

impl From<Job> for Export {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            scope: job.scope,
            format: job.format,
            query: job.query,
            state: job.state.as_str(),
            reason: job.reason,
            entries: Integer(job.entries),
            total: job.total.map(Integer),
            bytes: Integer(job.bytes),
            asked_at: job.asked_at,
            ended_at: job.ended_at,
        }
    }
}

/// The id of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExportId(Uuid);

impl FromStr for ExportId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "the id of an export is a UUID")
    }
}

impl PathParameter for ExportId {
    const DESCRIPTION: &'static str = "The id of the export.";

    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

async fn list(call: Call, Nothing: Nothing) -> Result<Found<List<Export>>, Failure> {
    let items = call.api.state.exports.list(call.scope).into_iter().map(Export::from).collect();
    Ok(Found(List { items, next_page: None }))
}

async fn start(
    call: Call,
    Beside(form, Query(filter)): Beside<Form, Query<EntryFilter>>,
) -> Result<Accepted<Export>, Failure> {
    let query = super::wanted(&call, &filter);
    let id = call.api.state.ids.uuid(call.at);
    let mut job = Job::new(id, call.scope, form, query.filters(), call.at);
    let exports = call.api.state.exports.clone();
    exports.room(call.scope).map_err(not_made)?;
    let sent = begin(call, query, form).await?;
    job.total = sent.export.total();
    exports.add(job, sent).map(|job| Accepted(job.into())).map_err(not_made)
}

fn not_made(why: NotMade) -> Failure {
    match why {
        NotMade::NoDirectory => Failure::conflict(
            "no directory for exports is configured (`audit.exports.directory`): use `GET /v1/audit/export`",
        ),
        NotMade::TooMany(most) => {
            Failure::conflict(format!("there are {most} exports already, which is the most: delete one"))
        }
    }
}

fn find(call: &Call, ExportId(id): ExportId) -> Result<Job, Failure> {
    let found = call.api.state.exports.get(call.scope, id);
    found.ok_or_else(|| Failure::not_found(format!("there is no export {id} here")))
}

async fn get(call: Call, Path(id): Path<ExportId>) -> Result<Found<Export>, Failure> {
    find(&call, id).map(|job| Found(job.into()))
}

async fn delete(call: Call, Path(id): Path<ExportId>) -> Result<Done, Failure> {
    let job = find(&call, id)?;
    call.api.state.exports.remove(call.scope, job.id);
    Ok(Done)
}

async fn content(call: Call, Path(id): Path<ExportId>) -> Result<Streamed, Failure> {
    let job = find(&call, id)?;
    if job.state != JobState::Done {
        return Err(Failure::conflict(format!("the export is {}", job.state.as_str())));
    }
    let file = call.api.state.exports.content(&job).map_err(Failure::internal)?;
    let parts = try_unfold(file, async |file| {
        let part = exports::part(file).await?;
        io::Result::Ok(part.map(|(part, file)| (Bytes::from(part), file)))
    });
    Ok(Streamed { media_type: "application/jsonl", body: Body::from_stream(parts) })
}
