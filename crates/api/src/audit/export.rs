//! The ledger as a file that proves itself.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::Method;
use stanchion_audit as audit;
use stanchion_audit::bundle::{ChainCount, Export, Form};
use stanchion_audit::{Draft, Refused, Reserved};
use stanchion_core::{
    Author, Category, Clock, Detail, Details, Event, IdGen, Outcome, ProblemCode, Scope, Severity, Text,
};
use utoipa::PartialSchema as _;
use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;

use super::{EntryFilter, READ, wanted};
use crate::answer::Streamed;
use crate::call::{Beside, Call, Parameter, Parameters, Query};
use crate::document::Document;
use crate::failure::Failure;
use crate::operation::{On, Operation};

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/audit/export",
            "export_audit",
            READ,
            On::Scope,
            "Exports entries with what proves them, as JSON lines.",
            export,
        )
        .note(
            "A bundle of the format `stanchion.audit.bundle/v1`, which `stanchion audit verify` checks offline with a verifier key. \
             Without filters, or with `class` alone, whole chains up to their checkpoints: that no entry is missing is proven too. With \
             other filters the entries that match, newest first, each with its proof. With `format=ocsf` every line is an event of OCSF \
             1.8.0, and the file proves the same; lines of `class_uid` 0 are no events of yours but what proves them. A file without an `end` line was cut off. Before \
             the first byte is sent the export is recorded as `audit.export_begun`, and afterwards, with how much was sent, as \
             `audit.exported`.",
        )
        .refusing(ProblemCode::Overloaded),
    ]
}

impl Parameter for Form {
    fn document(document: &mut Document) {
        let says =
            "How it is written: `jsonl`, as it is, or `ocsf`, as events of OCSF; `jsonl` when left out.";
        document.parameter(ParameterIn::Query, "format", says, Required::False, String::schema());
    }

    fn take(parameters: &mut Parameters) -> Result<Self, Failure> {
        match parameters.take("format").as_deref() {
            None | Some("jsonl") => Ok(Self::Lines),
            Some("ocsf") => Ok(Self::Ocsf),
            Some(_) => Err(Failure::invalid("parameter `format`: use `jsonl` or `ocsf`")),
        }
    }
}

async fn export(
    call: Call,
    Beside(form, Query(filter)): Beside<Form, Query<EntryFilter>>,
) -> Result<Streamed, Failure> {
    let query = wanted(&call, &filter);
    let sent = begin(call, query, form).await?;
    let parts = try_unfold(sent, async |mut sent| {
        let part = sent.export.next().await.inspect_err(|error| {
            tracing::error!(%error, "an audit export broke off");
        });
        let part = part.map_err(io::Error::other)?;
        io::Result::Ok(part.map(|part| (Bytes::from(part), sent)))
    });
    Ok(Streamed { media_type: "application/jsonl", body: Body::from_stream(parts) })
}

/// Begins an export, and tells the ledger of it.
pub(super) async fn begin(call: Call, query: audit::Query, form: Form) -> Result<Sent, Failure> {
    let ledger = &call.engines().audit;
    let filters = query.filters();
    let reserve = || ledger.reserve(call.scope).map_err(refused);
    let (begun, ended) = (reserve()?, reserve()?);
    let export = call.api.state.prover.export(call.scope, query, form).await?;
    let record = Record { scope: call.scope, author: call.author(), filters };
    // Nothing leaves the ledger that it does not tell of.
    let state = &call.api.state;
    let event = record.event(&*state.clock, &*state.ids, "audit.export_begun");
    begun.append(Draft::Event(event)).await?;
    let (clock, ids) = (Arc::clone(&call.api.state.clock), Arc::clone(&call.api.state.ids));
    Ok(Sent { export, record, clock, ids, ended: Some(ended) })
}

fn refused(refused: Refused) -> Failure {
    let detail = format!("the export cannot be recorded: {refused}");
    Failure::new(ProblemCode::Overloaded, detail).retry_after(1)
}

/// What the ledger is told of an export.
struct Record {
    scope: Scope,
    author: Author,
    filters: BTreeMap<String, String>,
}

impl Record {
    fn event(&self, clock: &dyn Clock, ids: &dyn IdGen, action: &'static str) -> Event {
        let mut event = self.author.event(ids, clock.now(), self.scope, action);
        event.category = Category::DataAccess;
        event.severity = Severity::Notice;
        let filters = self.filters.iter();
        let filters: Details =
            filters.map(|(name, value)| (Text::from(name.clone()), Detail::from(value.clone()))).collect();
        event.with_detail("query", filters)
    }
}

/// An export on its way. Dropped, it tells the ledger how far it came.
pub(crate) struct Sent {
    pub(crate) export: Export,
    record: Record,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    ended: Option<Reserved>,
}

#[cfg(test)]
impl Sent {
    /// An export that nobody has asked for through the API.
    pub(crate) fn of(export: Export, scope: Scope, clock: Arc<dyn Clock>, ids: Arc<dyn IdGen>) -> Self {
        let record = Record { scope, author: Author::system("test"), filters: BTreeMap::new() };
        Self { export, record, clock, ids, ended: None }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("export", &self.export).finish_non_exhaustive()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let Some(place) = self.ended.take() else { return };
        let chain = |count: &ChainCount| {
            let details: Details = [
                ("chain", Detail::from(count.chain.to_string())),
                ("entries", count.entries.into()),
                ("newer", count.newer.into()),
            ]
            .into_iter()
            .collect();
            Detail::from(details)
        };
        let chains: Vec<Detail> = self.export.counts().iter().map(chain).collect();
        let mut event =
            self.record.event(&*self.clock, &*self.ids, "audit.exported").with_detail("chains", chains);
        if !self.export.is_complete() {
            event.outcome = Outcome::Failure;
            event.reason = Some("broken_off".into());
        }
        place.submit(Draft::Event(event));
    }
}
