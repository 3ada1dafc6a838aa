//! The ledger as a file that proves itself.

use std::collections::BTreeMap;
use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::Method;
use stanchion_audit::bundle::{ChainCount, Export};
use stanchion_audit::{Draft, Refused, Reserved};
use stanchion_core::{Author, Category, Detail, Details, Event, Outcome, ProblemCode, Scope, Severity, Text};

use super::{EntryFilter, READ, wanted};
use crate::answer::Streamed;
use crate::call::{Call, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::state::Api;

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
             other filters the entries that match, newest first, each with its proof. A file without an `end` line was cut off. Before \
             the first byte is sent the export is recorded as `audit.export_begun`, and afterwards, with how much was sent, as \
             `audit.exported`.",
        )
        .refusing(ProblemCode::Overloaded),
    ]
}

async fn export(call: Call, Query(filter): Query<EntryFilter>) -> Result<Streamed, Failure> {
    let ledger = &call.engines().audit;
    let query = wanted(&call, &filter);
    let filters = query.filters();
    let reserve = || ledger.reserve(call.scope).map_err(refused);
    let (begun, ended) = (reserve()?, reserve()?);
    let export = call.api.state.prover.export(call.scope, query).await?;
    let record = Record { scope: call.scope, author: call.author(), filters };
    // Nothing leaves the ledger that it does not tell of.
    begun.append(Draft::Event(record.event(&call.api, "audit.export_begun"))).await?;
    let sent = Sent { export, record, api: call.api, ended: Some(ended) };
    let parts = try_unfold(sent, async |mut sent| {
        let part = sent.export.next().await.inspect_err(|error| {
            tracing::error!(%error, "an audit export broke off");
        });
        let part = part.map_err(io::Error::other)?;
        io::Result::Ok(part.map(|part| (Bytes::from(part), sent)))
    });
    Ok(Streamed { media_type: "application/jsonl", body: Body::from_stream(parts) })
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
    fn event(&self, api: &Api, action: &'static str) -> Event {
        let now = api.state.clock.now();
        let mut event = self.author.event(&*api.state.ids, now, self.scope, action);
        event.category = Category::DataAccess;
        event.severity = Severity::Notice;
        let filters = self.filters.iter();
        let filters: Details =
            filters.map(|(name, value)| (Text::from(name.clone()), Detail::from(value.clone()))).collect();
        event.with_detail("query", filters)
    }
}

/// An export on its way. Dropped, it tells the ledger how far it came.
struct Sent {
    export: Export,
    record: Record,
    api: std::sync::Arc<Api>,
    ended: Option<Reserved>,
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
        let mut event = self.record.event(&self.api, "audit.exported").with_detail("chains", chains);
        if !self.export.is_complete() {
            event.outcome = Outcome::Failure;
            event.reason = Some("broken_off".into());
        }
        place.submit(Draft::Event(event));
    }
}
