pub(crate) mod across;
pub(crate) mod actions;
pub(crate) mod export;
pub(crate) mod jobs;
pub(crate) mod producers;
pub(crate) mod proofs;
pub(crate) mod protection;
pub(crate) mod report;
pub(crate) mod retention;
pub(crate) mod tail;

use std::collections::BTreeSet;
use std::net::IpAddr;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_audit::{self as audit, Actions, ChainId, Digest, EventType, RetentionClass, Verdict};
use stanchion_core::{
    Category, Event, EventId, Outcome, ProblemCode, RequestId, ResourceRef, Scope, Severity, Text, Timestamp,
};
use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, PartialSchema as _, ToSchema};

use self::protection::Unseal;
use crate::answer::Found;
use crate::call::{Beside, Call, Nothing, Paged, Parameter, Parameters};
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
        Operation::new(
            Method::GET,
            "/v1/audit/verification",
            "verify_audit",
            READ,
            On::Scope,
            "Verifies every chain of the scope from its stored bytes.",
            verify,
        )
        .note(
            "Proven is that every entry up to the head is there, unaltered, in its place, and signed by a holder of the keys. Not proven \
             is that nothing was cut off the end together with the head and the checkpoint: keep a checkpoint elsewhere and compare.",
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

/// Something that happened.
#[derive(ToSchema)]
#[schema(as = AuditEvent)]
#[expect(dead_code, reason = "the form of `core::Event`, for the document")]
pub(crate) struct EventBody {
    /// Its id, unique within its scope.
    #[schema(value_type = String, format = "uuid")]
    id: EventId,
    /// When it happened.
    #[schema(value_type = String, format = "date-time")]
    occurred_at: Timestamp,
    /// Whose record it belongs to: a tenant, or `platform`.
    #[schema(value_type = String)]
    scope: Scope,
    /// Who did it: `{"subject": {"subject": "user:alice", "method": "api_key", "key": …}}`, `{"system": "sweeper"}` or `"anonymous"`.
    #[schema(value_type = serde_json::Value)]
    actor: (),
    /// Whom the actor acted as, with whose rights or on whose behalf; left out when it acted for itself.
    #[schema(required = false, value_type = String, example = "user:bob")]
    acted_as: (),
    /// Every permission that was looked for before it was done, or not done; left out when there was none.
    #[schema(required = false)]
    authorization: Vec<Authorization>,
    /// What was done, object first.
    #[schema(example = "role.put")]
    action: String,
    /// The family of the action.
    category: String,
    /// What it was done to.
    #[schema(example = json!(["role/editor"]))]
    targets: Vec<String>,
    /// What it changed, field by field; left out when that is nothing, or not known.
    #[schema(required = false)]
    changes: Vec<FieldChange>,
    /// How it ended.
    outcome: String,
    /// Which of its maker's events it is, `PRODUCER/BOOT/NUMBER`; left out of events that are not numbered.
    #[schema(required = false, value_type = String)]
    producer: (),
    /// A stable code for why it ended so.
    reason: Option<String>,
    /// Whether the actor reported it: then everything but the scope and the actor is the actor's word. Left out of what Stanchion saw
    /// or did itself.
    #[schema(required = false)]
    reported: bool,
    /// How much it matters.
    severity: String,
    /// What it belongs together with.
    correlation: Correlation,
    /// Where it came from.
    source: Source,
    /// Whatever else the action's readers need, by name.
    #[schema(value_type = Object)]
    details: (),
}

/// A permission that was looked for, and what came of it.
#[derive(ToSchema)]
#[schema(as = AuditAuthorization)]
#[expect(dead_code, reason = "the form of `core::Authorization`, for the document")]
pub(crate) struct Authorization {
    /// Which one.
    #[schema(example = "document:read")]
    permission: String,
    /// On what, when it was looked for on one resource.
    #[schema(required = false, value_type = String)]
    resource: (),
    /// Whether it was there.
    granted: bool,
    /// What decided. Of a refusal it may be a role that is held and does not count.
    #[schema(required = false, value_type = String, example = "role/editor")]
    by: (),
}

/// What a change has made of one field.
#[derive(ToSchema)]
#[schema(as = AuditFieldChange)]
#[expect(dead_code, reason = "the form of `core::FieldChange`, for the document")]
pub(crate) struct FieldChange {
    /// The path of the field.
    #[schema(example = "permissions")]
    field: String,
    /// What stood there before: `{"value": …}`, or `"redacted"` for what must not be recorded; left out when nothing did.
    #[schema(required = false, value_type = serde_json::Value)]
    before: (),
    /// What stands there now, likewise.
    #[schema(required = false, value_type = serde_json::Value)]
    after: (),
}

/// What an event belongs together with.
#[derive(ToSchema)]
#[schema(as = AuditCorrelation)]
#[expect(dead_code, reason = "the form of `core::Correlation`, for the document")]
pub(crate) struct Correlation {
    /// The request that caused it.
    #[schema(value_type = Option<String>, format = "uuid")]
    request: Option<RequestId>,
    /// The trace of the caller.
    trace: Option<String>,
    /// The session it happened in.
    session: Option<String>,
    /// The event that caused it.
    #[schema(value_type = Option<String>, format = "uuid")]
    parent: Option<EventId>,
}

/// Where an event came from.
#[derive(ToSchema)]
#[schema(as = AuditSource)]
#[expect(dead_code, reason = "the form of `core::Source`, for the document")]
pub(crate) struct Source {
    /// The client's address, as far as it could be established.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// What the client called itself. Not trustworthy.
    user_agent: Option<String>,
}

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryFilter {
    /// The action, `role.put`; or with `.*` at the end every action below it, `role.*`.
    #[param(value_type = String, required = false)]
    action: Option<Text>,
    /// The actor: `user:alice`, `service:etl`, `system:sweeper` or `anonymous`.
    #[param(value_type = String, required = false)]
    actor: Option<Text>,
    /// One of the targets: `role/editor`.
    #[param(value_type = String, required = false)]
    target: Option<ResourceRef>,
    /// `success`, `denied`, `failure`, `error` or `unknown`.
    #[param(value_type = String, required = false)]
    outcome: Option<Outcome>,
    /// `access`, `authentication`, `administration`, `security`, `data_access`, `billing` or `system`.
    #[param(value_type = String, required = false)]
    category: Option<Category>,
    /// The class of the chain: `security`, `data_access` or `standard`.
    #[param(value_type = String, required = false)]
    class: Option<RetentionClass>,
    /// The least severity: `info`, `notice`, `warning`, `high` or `critical`.
    #[param(value_type = String, required = false)]
    severity: Option<Severity>,
    /// What it counts as in reports: `login`, `permission_denied`.
    #[serde(rename = "type")]
    #[param(rename = "type", value_type = String, required = false)]
    event_type: Option<Text>,
    /// The request that caused it: the `x-request-id` of an answer.
    #[param(value_type = String, required = false, format = "uuid")]
    request: Option<RequestId>,
    /// The session it happened in.
    #[param(value_type = String, required = false)]
    session: Option<Text>,
    /// The trace that it belongs to, 32 hexadecimal digits.
    #[param(value_type = String, required = false)]
    trace: Option<Text>,
    /// Words that all have to be among those of its texts: letters and digits as far as they stand together, capitals or not.
    #[param(value_type = String, required = false)]
    text: Option<Text>,
    /// Recorded at this instant or later.
    #[param(value_type = String, required = false, format = "date-time")]
    since: Option<Timestamp>,
    /// Recorded before this instant.
    #[param(value_type = String, required = false, format = "date-time")]
    until: Option<Timestamp>,
}

impl From<&EntryFilter> for audit::Query {
    fn from(filter: &EntryFilter) -> Self {
        Self {
            action: filter.action.clone(),
            actor: filter.actor.clone(),
            target: filter.target.clone(),
            outcome: filter.outcome,
            category: filter.category,
            class: filter.class,
            severity: filter.severity,
            event_type: filter.event_type.as_ref().map(|name| counting_as(&Actions::default(), name)),
            request: filter.request,
            session: filter.session.clone(),
            trace: filter.trace.clone(),
            text: filter.text.clone(),
            since: filter.since,
            until: filter.until,
        }
    }
}

/// The actions that count as a type; none for a type that nobody knows.
fn counting_as(actions: &Actions, name: &Text) -> EventType {
    let unknown = || EventType { name: name.clone(), actions: BTreeSet::new() };
    actions.event_type(name.as_str()).unwrap_or_else(unknown)
}

/// Returns the query of a call, which knows the actions that are configured.
pub(crate) fn wanted(call: &Call, filter: &EntryFilter) -> audit::Query {
    let event_type = filter.event_type.as_ref();
    let event_type = event_type.map(|name| counting_as(&call.api.state.actions, name));
    audit::Query { event_type, ..audit::Query::from(filter) }
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
    protection::require_unseal(&call, unseal).await?;
    if proofs == Proofs::Without {
        let page = call.engines().audit.query(call.scope, &query, &paged.page).await?;
        let page = protection::unsealed(&call, unseal, &query, page).await?;
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

/// What a verification found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
pub(crate) struct Verification {
    /// Whose chains: a tenant's, or `platform`.
    #[schema(value_type = String)]
    scope: Scope,
    /// Whether every chain is intact.
    intact: bool,
    /// How many entries of intact chains were verified.
    entries: Integer,
    /// The first break, by the order of the chains.
    first_break: Option<Break>,
    /// Each chain that has entries, and what was found.
    chains: Vec<Chain>,
    /// What the numbers that producers give to their events tell of events that were made and are not here.
    producers: Vec<producers::Run>,
}

/// What a verification found in one chain.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditChain)]
pub(crate) struct Chain {
    /// The chain.
    #[schema(value_type = String)]
    chain: ChainId,
    /// Whether it is intact.
    intact: bool,
    /// How many entries were verified; none of a broken chain.
    entries: Option<Integer>,
    /// The last entry whose signature was not checked, since its key was destroyed as signing keys evolve; its hash was.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned_to: Option<Integer>,
    /// The newest entry. Keep it: a later chain that does not pass through it was cut or replaced.
    head: Option<ChainHead>,
    /// Where it is broken.
    #[serde(rename = "break")]
    broken: Option<Break>,
}

/// The newest entry of a chain.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditHead)]
pub(crate) struct ChainHead {
    /// Its number.
    sequence: Integer,
    /// Its link, in hexadecimal.
    #[schema(value_type = String)]
    link: Digest,
    /// When it was recorded.
    #[schema(value_type = String, format = "date-time")]
    recorded_at: Timestamp,
}

/// The first place at which a chain is not what was recorded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditBreak)]
pub(crate) struct Break {
    /// The chain.
    #[schema(value_type = String)]
    chain: ChainId,
    /// The number of the first entry that is wrong or missing.
    sequence: Integer,
    /// What is wrong with it.
    detail: String,
}

impl From<audit::Break> for Break {
    fn from(found: audit::Break) -> Self {
        Self { chain: found.chain, sequence: Integer(found.seq), detail: found.reason.to_string() }
    }
}

impl From<(ChainId, Verdict)> for Chain {
    fn from((chain, verdict): (ChainId, Verdict)) -> Self {
        match verdict {
            Verdict::Intact { entries, head, unsigned_to, .. } => {
                let unsigned_to = Some(unsigned_to).filter(|to| *to > 0).map(Integer);
                let head =
                    ChainHead { sequence: Integer(head.seq), link: head.link, recorded_at: head.recorded_at };
                Self {
                    chain,
                    intact: true,
                    entries: Some(Integer(entries)),
                    unsigned_to,
                    head: Some(head),
                    broken: None,
                }
            }
            Verdict::Broken(found) => Self {
                chain,
                intact: false,
                entries: None,
                unsigned_to: None,
                head: None,
                broken: Some(found.into()),
            },
        }
    }
}

async fn verify(call: Call, Nothing: Nothing) -> Result<Found<Verification>, Failure> {
    let found = call.api.state.prover.verify(call.scope).await?;
    Ok(Found(Verification {
        scope: found.scope,
        intact: found.is_intact(),
        entries: Integer(found.entries()),
        first_break: found.first_break().map(Break::from),
        chains: found.chains.into_iter().map(Chain::from).collect(),
        producers: call.api.state.prover.producers(call.scope).await?.into_iter().map(Into::into).collect(),
    }))
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
