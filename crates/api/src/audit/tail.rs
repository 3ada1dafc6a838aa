//! The ledger as it grows.

use std::time::Duration;

use http::Method;
use serde::Serialize;
use stanchion_audit::{self as audit, Cursor};
use stanchion_core::ProblemCode;
use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{PartialSchema as _, ToSchema};

use super::{Entry, EntryFilter, READ};
use crate::answer::Found;
use crate::call::{Beside, Call, Parameter, Parameters, Query};
use crate::document::Document;
use crate::failure::Failure;
use crate::followers::NoPlace;
use crate::operation::{On, Operation};
use crate::wire::Integer;

/// The longest that a call waits for entries: shorter than what proxies between take for a dead connection.
const MAX_WAIT: u64 = 20;
/// The most entries of an answer.
const MAX_LIMIT: u64 = 1_000;
const LIMIT: u64 = 100;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/audit/tail",
            "follow_audit_events",
            READ,
            On::Scope,
            "Follows what is recorded, oldest first.",
            follow,
        )
        .note(
            "Without `after`: the newest entries that match, and the `cursor` after them. With it: the entries after the cursor, in the \
             order of their numbers within each chain, and the next cursor. Nothing is missed and nothing comes twice, also when the \
             server was restarted or another replica answers. A cursor goes with its filters: with others it does not go back. Only so many \
             may wait: of one tenant (429), and of all (503).",
        )
        .refusing(ProblemCode::RateLimited)
        .refusing(ProblemCode::Overloaded),
    ]
}

/// Entries as they were recorded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditTail)]
pub(crate) struct Tail {
    /// The entries, oldest first; those of one chain in the order of their numbers.
    items: Vec<Entry>,
    /// What to send as `after` to go on.
    cursor: String,
    /// How many entries were dropped, since their time was over, before they could be followed.
    skipped: Integer,
}

/// From where, and for how long.
struct From {
    after: Option<Cursor>,
    limit: usize,
    wait: Duration,
}

impl Parameter for From {
    fn document(document: &mut Document) {
        let mut add = |name: &str, says: &str, schema: ObjectBuilder| {
            document.parameter(ParameterIn::Query, name, says, Required::False, schema);
        };
        let number = |least: u64, most: u64| {
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(Some(most))
        };
        let limit = format!("About how many entries at most, 1 to {MAX_LIMIT}; {LIMIT} when left out.");
        add("limit", &limit, number(1, MAX_LIMIT));
        let wait = format!(
            "With `after`: how many seconds to wait while there is nothing, 0 to {MAX_WAIT}; 0 when left out."
        );
        add("wait", &wait, number(0, MAX_WAIT));
        let after = "The `cursor` of the answer before.";
        document.parameter(ParameterIn::Query, "after", after, Required::False, String::schema());
    }

    fn take(parameters: &mut Parameters) -> Result<Self, Failure> {
        let mut number = |name: &str, least: u64, most: u64, without: u64| match parameters.take(name) {
            None => Ok(without),
            Some(text) => {
                text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
                    Failure::invalid(format!("parameter `{name}`: use a whole number from {least} to {most}"))
                })
            }
        };
        let limit = usize::try_from(number("limit", 1, MAX_LIMIT, LIMIT)?).unwrap_or(usize::MAX);
        let wait = Duration::from_secs(number("wait", 0, MAX_WAIT, 0)?);
        let no_cursor = |_| Failure::invalid("parameter `after`: this is no `cursor` of an answer");
        let after = parameters.take("after").map(|text| text.parse().map_err(no_cursor)).transpose()?;
        Ok(Self { after, limit, wait })
    }
}

async fn follow(
    call: Call,
    Beside(from, Query(filter)): Beside<From, Query<EntryFilter>>,
) -> Result<Found<Tail>, Failure> {
    let (ledger, query) = (&call.engines().audit, super::wanted(&call, &filter));
    let audit::Tailed { entries, cursor, skipped } = match &from.after {
        None => ledger.latest(call.scope, &query, from.limit).await?,
        Some(cursor) if from.wait.is_zero() => {
            ledger.follow(call.scope, &query, cursor, from.limit, from.wait).await?
        }
        Some(cursor) => {
            let _place = call.api.state.followers.enter(call.scope).map_err(full)?;
            ledger.follow(call.scope, &query, cursor, from.limit, from.wait).await?
        }
    };
    let items = entries.into_iter().map(Entry::from).collect();
    Ok(Found(Tail { items, cursor: cursor.to_string(), skipped: Integer(skipped) }))
}

fn full(no_place: NoPlace) -> Failure {
    let (code, whose) = match no_place {
        NoPlace::Tenant => (ProblemCode::RateLimited, "of this tenant"),
        NoPlace::All => (ProblemCode::Overloaded, "on this replica"),
    };
    let detail = format!("too many followers {whose} wait for entries; ask again, or with `wait=0`");
    Failure::new(code, detail).retry_after(5)
}
