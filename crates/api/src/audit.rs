pub(crate) mod across;
pub(crate) mod actions;
mod event;
pub(crate) mod export;
mod filter;
pub(crate) mod jobs;
pub(crate) mod producers;
pub(crate) mod proofs;
pub(crate) mod protection;
pub(crate) mod report;
pub(crate) mod retention;
pub(crate) mod tail;
mod unseal;
pub(crate) mod verification;

use http::Method;
use serde::Serialize;
use stanchion_audit::{self as audit, ChainId, Digest};
use stanchion_core::{Event, ProblemCode, Timestamp};
use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;
use utoipa::{PartialSchema as _, ToSchema};

use self::event::EventBody;
use self::filter::{EntryFilter, wanted};
use self::unseal::Unseal;
use crate::answer::Found;
use crate::call::{Beside, Call, Paged, Parameter, Parameters};
use crate::document::Document;
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "audit:read";

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/audit/events",
            "list_audit_events",
            READ,
            On::Scope,
            "Lists what was recorded, newest first.",
            list,
        )
        .note(
            "Every filter that is given must hold. Entries that are recorded meanwhile do not move a page. With `proofs=true` each entry \
             comes with its proof, and the page with the checkpoints they are proven against; `stanchion audit verify` checks the page \
             offline. That no entry was left out of the page is not proven: an export of whole chains proves that. Protected values are \
             closed; opened, they are no longer what was hashed, so `unseal=true` goes without proofs. Those that are erased say so.",
        ),
    ]
}

/// An entry of the ledger.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct Entry {
    /// The chain it stands in: the scope and the retention class.
    #[schema(value_type = String, example = "platform/security")]
    chain: ChainId,
    /// Its number in the chain, from 1, without gaps.
    sequence: Integer,
    /// When it was recorded.
    #[schema(value_type = String, format = "date-time")]
    recorded_at: Timestamp,
    /// The hash of the event's canonical bytes, in hexadecimal.
    #[schema(value_type = String)]
    hash: Digest,
    /// The hash over the entry and the link before it, in hexadecimal.
    #[schema(value_type = String)]
    link: Digest,
    /// The signature of the link, in hexadecimal.
    #[schema(value_type = String)]
    signature: Digest,
    /// The version of the key it was signed with.
    key_epoch: u32,
    /// The event, read from the signed bytes.
    #[schema(value_type = EventBody)]
    event: Event,
    /// With `proofs=true`: the event and its proof as a C2SP tlog-proof; `null` when the entry is newer than its chain's checkpoint, which
    /// is about a second old.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<String>)]
    proof: Option<Option<String>>,
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntryPage)]
pub(crate) struct EntryPage {
    /// The entries, newest first.
    items: Vec<Entry>,
    /// The token of the next page; `null` after the last.
    next_page: Option<String>,
    /// With `proofs=true`: the latest checkpoint of each chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    checkpoints: Option<Vec<proofs::Checkpoint>>,
}

impl From<audit::Entry> for Entry {
    fn from(entry: audit::Entry) -> Self {
        Self {
            chain: entry.chain,
            sequence: Integer(entry.seq),
            recorded_at: entry.recorded_at,
            hash: entry.leaf,
            link: entry.link,
            signature: entry.mac,
            key_epoch: entry.key_epoch,
            event: entry.event,
            proof: None,
        }
    }
}

/// Whether entries come with their proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proofs {
    With,
    Without,
}

impl Parameter for Proofs {
    fn document(document: &mut Document) {
        let says = "`true` to have each entry with its proof.";
        document.parameter(ParameterIn::Query, "proofs", says, Required::False, bool::schema());
    }

    fn take(parameters: &mut Parameters) -> Result<Self, Failure> {
        match parameters.take("proofs").as_deref() {
            Some("true") => Ok(Self::With),
            None | Some("false") => Ok(Self::Without),
            Some(_) => Err(Failure::invalid("parameter `proofs`: use `true` or `false`")),
        }
    }
}

async fn list(
    call: Call,
    Beside((proofs, unseal), paged): Beside<(Proofs, Unseal), Paged<EntryFilter>>,
) -> Result<Found<EntryPage>, Failure> {
    let query = wanted(&call, &paged.filter);
    unseal::require(&call, unseal).await?;
    if proofs == Proofs::Without {
        let page = call.engines().audit.query(call.scope, &query, &paged.page).await?;
        let page = unseal::unsealed(&call, unseal, &query, page).await?;
        let next_page = paged.next(&call, &page);
        let items = page.items.into_iter().map(Entry::from).collect();
        return Ok(Found(EntryPage { items, next_page, checkpoints: None }));
    }
    if unseal == Unseal::Opened {
        let detail =
            "parameter `unseal`: opened values are not what was hashed; ask for proofs or for opened values";
        return Err(Failure::invalid(detail));
    }
    let prover = &call.api.state.prover;
    let audit::ProvenPage { page, checkpoints } = prover.query(call.scope, &query, &paged.page).await?;
    let next_page = paged.next(&call, &page);
    let entry = |found: audit::PageEntry| Entry { proof: Some(found.proof), ..Entry::from(found.entry) };
    let items = page.items.into_iter().map(entry).collect();
    let checkpoints = checkpoints.into_iter().map(|checkpoint| proofs::shown(prover, checkpoint));
    Ok(Found(EntryPage { items, next_page, checkpoints: Some(checkpoints.collect()) }))
}

impl From<audit::Error> for Failure {
    fn from(error: audit::Error) -> Self {
        match error {
            audit::Error::Store(error) => error.into(),
            audit::Error::IntegerTooLarge { .. } | audit::Error::TooDeep { .. } => {
                Self::invalid(format!("field {error}"))
            }
            audit::Error::TooLarge { .. } => Self::new(ProblemCode::PayloadTooLarge, error.to_string()),
            audit::Error::IdReused { .. } => Self::conflict(error.to_string()),
            audit::Error::Late { .. } | audit::Error::Uncovered { .. } => {
                let detail = format!("{error}; send it again, an event with the same `id` and `occurred_at`");
                Self::new(ProblemCode::BackendUnavailable, detail).uncertain()
            }
            audit::Error::Closed | audit::Error::Fenced => {
                let detail = "this process takes no more records; send it again, to another one";
                Self::new(ProblemCode::BackendUnavailable, detail)
            }
            audit::Error::NotCovered { .. } => {
                Self::new(ProblemCode::Conflict, format!("{error}; ask again in a second"))
            }
            audit::Error::Unreadable { .. } => {
                let detail = format!("{error}; `/v1/audit/verification` says what is wrong");
                Self::internal(error).with_detail(detail)
            }
            error => Self::internal(error),
        }
    }
}
