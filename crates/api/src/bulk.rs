//! Records of access control by the thousand.

use std::io::{self, Cursor};
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_audit::Draft;
use stanchion_core::{Category, Detail, IdGen, ProblemCode, Severity, Text};
use stanchion_rbac::{self as rbac, BadRows, BulkFormat, Export, ImportOptions, RecordKind};
use utoipa::{IntoParams, ToSchema};

use crate::answer::{Found, Streamed};
use crate::call::{Call, Input, Query, media_type};
use crate::document::Document;
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

/// The most bytes that one import has.
const MAX_IMPORT: usize = 16 * 1024 * 1024;
/// The most bad rows that are told of.
const MAX_BAD: usize = 1_000;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/access/import",
            "import_access",
            "access:import",
            On::Scope,
            "Writes roles, assignments and all other records of access control, by the thousand.",
            import,
        )
        .note(
            "The body, of at most 16 MiB, is JSON lines, each a record under the name of its kind, such as \
             `{\"assignment\":{\"subject\":\"user:ada\",\"role\":\"clerk\"}}`, or CSV of assignments with a header. Rows are written in \
             chunks that are each one change; what is there already is left as it is, so that the same import can be sent again after it \
             broke off. Nothing is removed. A row that has expired is passed over and counted; over what still counts it is refused. A row \
             that is wrong or against a rule is left out and reported, and 1,000 of them end the import. What a row needs stands before \
             it, or in the 1,000 rows after it. A larger file is sent in pieces, in its order: where roles need one another in a circle, \
             or assignments of one subject do, in one piece.",
        )
        .taking(MAX_IMPORT),
        Operation::new(
            Method::GET,
            "/v1/access/export",
            "export_access",
            "access:export",
            On::Scope,
            "Exports roles, assignments and all other records of access control, as JSON lines or CSV.",
            export,
        )
        .note(
            "Each record comes after those that it needs, so that the file can be imported as it is. Records that have expired and were \
             not swept yet are among them. Before the first byte is sent the \
             export is recorded as `access.exported`. With `format=csv` it has assignments alone, as `text/csv`.",
        )
        .refusing(ProblemCode::Overloaded),
    ]
}

/// A file of records.
pub(crate) struct Upload {
    format: BulkFormat,
    content: Bytes,
}

impl Input for Upload {
    fn document(document: &mut Document) {
        document.takes_text(["application/jsonl", "text/csv"]);
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        let format = match media_type(&call.headers) {
            // One record is a line.
            Some("application/jsonl" | "application/x-ndjson" | "application/json") => BulkFormat::JsonLines,
            Some("text/csv") => BulkFormat::Csv,
            _ => {
                let detail = "send `content-type: application/jsonl`, or `text/csv`";
                return Err(Failure::new(ProblemCode::UnsupportedMediaType, detail));
            }
        };
        Ok(Self { format, content: call.body.clone() })
    }
}

/// How an import is done.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportQuery {
    /// `write`, or `dry_run` to look at every row and write nothing; `write` when left out.
    #[param(value_type = Option<String>)]
    mode: Option<Mode>,
    /// `report` to leave bad rows out, or `stop` to end before the first; `report` when left out.
    #[param(value_type = Option<String>)]
    bad_rows: Option<Bad>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Write,
    DryRun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bad {
    Report,
    Stop,
}

/// What became of an import.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportReport {
    /// The rows that were looked at.
    rows: u32,
    /// The records that were written, or would be.
    written: u32,
    /// The rows that say what is there already.
    unchanged: u32,
    /// The rows that were passed over because they have expired, and nothing stands there that still counts.
    expired: u32,
    /// The rows that were left out because they are wrong or against a rule.
    refused: u32,
    /// Whether it ended before the end of the body, because of bad rows.
    stopped: bool,
    /// The rows that were left out.
    bad: Vec<BadRow>,
    /// The revision after the last change; 0 if there was none.
    revision: Integer,
}

/// A row that was left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BadRow {
    /// Which line of the body, from 1 on.
    line: u32,
    /// Which part of it is wrong, as far as that can be told.
    field: Option<String>,
    /// What is wrong, and what to do.
    why: String,
}

impl From<rbac::ImportReport> for ImportReport {
    fn from(report: rbac::ImportReport) -> Self {
        let rbac::ImportReport { progress, stopped, bad, revision, .. } = report;
        // No body has more lines than that.
        let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let bad = bad.into_iter().map(|bad| BadRow { line: count(bad.line), field: bad.field, why: bad.why });
        Self {
            rows: count(progress.rows),
            written: count(progress.written),
            unchanged: count(progress.unchanged),
            expired: count(progress.expired),
            refused: count(progress.refused),
            stopped,
            bad: bad.collect(),
            revision: Integer(revision.number()),
        }
    }
}

async fn import(
    call: Call,
    (Upload { format, content }, Query(query)): (Upload, Query<ImportQuery>),
) -> Result<Found<ImportReport>, Failure> {
    let options = ImportOptions {
        dry_run: query.mode == Some(Mode::DryRun),
        bad_rows: match query.bad_rows {
            Some(Bad::Stop) => BadRows::Stop,
            Some(Bad::Report) | None => BadRows::Report { most: MAX_BAD },
        },
        ..ImportOptions::default()
    };
    let rows = format.read(Cursor::new(content))?;
    let rbac = &call.engines().rbac;
    let report = rbac.import(&call.author(), call.scope, rows, &options, &mut |_| {}).await?;
    Ok(Found(report.into()))
}

/// What is exported.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// `jsonl` or `csv`; `jsonl` when left out.
    #[param(value_type = Option<String>)]
    format: Option<Form>,
    /// Which kinds of records, with commas between: `role`, `separation`, `membership`, `assignment`, `grant`, `denial`, `session`; all
    /// when left out.
    kinds: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Jsonl,
    Csv,
}

fn kinds(text: &str) -> Result<Vec<RecordKind>, Failure> {
    let kind = |name: &str| {
        let found = RecordKind::ALL.into_iter().find(|kind| kind.as_str() == name);
        let known = RecordKind::ALL.map(RecordKind::as_str).join(", ");
        found.ok_or_else(|| Failure::invalid(format!("parameter `kinds`: `{name}` is none of {known}")))
    };
    text.split(',').map(kind).collect()
}

async fn export(call: Call, Query(query): Query<ExportQuery>) -> Result<Streamed, Failure> {
    let format = match query.format {
        Some(Form::Csv) => BulkFormat::Csv,
        Some(Form::Jsonl) | None => BulkFormat::JsonLines,
    };
    let wanted = match (&query.kinds, format) {
        (None, BulkFormat::Csv) => vec![RecordKind::Assignment],
        (None, _) => RecordKind::ALL.to_vec(),
        (Some(text), _) => kinds(text)?,
    };
    if format == BulkFormat::Csv && wanted != [RecordKind::Assignment] {
        return Err(Failure::invalid("parameter `kinds`: csv has no place for any but `assignment`"));
    }
    let ledger = &call.engines().audit;
    let place = ledger.reserve(call.scope).map_err(|refused| {
        let detail = format!("the export cannot be recorded: {refused}");
        Failure::new(ProblemCode::Overloaded, detail).retry_after(1)
    })?;
    let records = call.engines().rbac.export(call.scope, &wanted).await?;
    let state = &call.api.state;
    let ids: Arc<dyn IdGen> = Arc::clone(&state.ids) as _;
    let mut event = call.author().event(&*ids, state.clock.now(), call.scope, "access.exported");
    (event.category, event.severity) = (Category::DataAccess, Severity::Notice);
    let names = wanted.iter().map(|kind| Detail::from(Text::from(kind.as_str()))).collect();
    let event = event.with_detail("kinds", Detail::List(names)).with_detail("format", format.as_str());
    // Nothing leaves that is not told of.
    place.append(Draft::Event(event)).await?;
    let parts = try_unfold((records, Some(format.head())), move |(mut records, head): Sent| async move {
        let next = records.next().await.inspect_err(|error| {
            tracing::error!(%error, "an export of access control broke off");
        });
        let Some(found) = next.map_err(io::Error::other)? else {
            // A file without records has a head all the same.
            return Ok(head.filter(|head| !head.is_empty()).map(|head| (Bytes::from(head), (records, None))));
        };
        let mut part = head.unwrap_or_default();
        part.extend(format.write(&found)?);
        io::Result::Ok(Some((Bytes::from(part), (records, None))))
    });
    Ok(Streamed { media_type: format.media_type(), body: Body::from_stream(parts) })
}

type Sent = (Export, Option<Vec<u8>>);
