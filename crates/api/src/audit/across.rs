//! What is recorded of all tenants.

use http::Method;
use stanchion_core::SystemScope;
use stanchion_core::{Detail, Details, Text};

use super::unseal::{event, tell};
use super::{Entry, EntryFilter, wanted};
use crate::answer::{Found, List};
use crate::call::{Call, Paged};
use crate::failure::Failure;
use crate::operation::{On, Operation};

const SYSTEM: SystemScope = SystemScope::new("audit query across tenants");

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/audit/events/all",
            "list_audit_events_of_all",
            "audit:read_all",
            On::Platform,
            "Lists what was recorded in all tenants and on the platform.",
            list,
        )
        .note(
            "One scope after the other, the platform first, and of each the newest first. Every filter that is given must hold. A page ends \
             after 256 scopes, so it may have fewer entries than asked for, or none, and still be followed by another. Each call is \
             recorded in the platform's ledger as `audit.queried_across`, with its filters, before it is answered. Protected values stay \
             closed.",
        ),
    ]
}

async fn list(call: Call, paged: Paged<EntryFilter>) -> Result<Found<List<Entry>>, Failure> {
    let query = wanted(&call, &paged.filter);
    let filters: Details =
        query.filters().into_iter().map(|(name, value)| (Text::from(name), Detail::from(value))).collect();
    tell(&call, event(&call, "audit.queried_across").with_detail("query", filters)).await?;
    let page = call.engines().audit.query_across(SYSTEM, &query, &paged.page).await?;
    Ok(paged.answer(&call, page))
}
