//! Erasures, and what becomes of the words that erased values were found by.

use std::str::FromStr;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_audit::{
    self as audit, ChainId, DataSubject, Digest, Kept, RecordedErasure, SubjectKeyId, WordsLeft,
};
use stanchion_core::{EventId, ProblemCode, Text, Timestamp};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::READ;
use crate::answer::{Found, Recorded};
use crate::call::{Body, Call, Path, PathParameter};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const ERASE: &str = "audit:erase";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/audit/erasures",
            "erase_audit_subject",
            ERASE,
            On::Scope,
            "Erases what is protected for a subject, by destroying its keys.",
            erase,
        )
        .note(
            "From then on nobody can read it; chains, proofs and their verification stay what they were. What an exception covers is kept \
             and named in the receipt; once it has ended, the erasure can be sent again. The event `audit.subject_erased` that the receipt \
             stands for can be proven as any other. Sent twice, the second finds nothing more to destroy. \
             `words` says whether the words that the values could be searched by are gone, too: `GET /v1/audit/erasures/{id}` says it later.",
        )
        .refusing(ProblemCode::Overloaded),
        Operation::new(
            Method::GET,
            "/v1/audit/erasures/{id}",
            "get_audit_erasure",
            READ,
            On::Scope,
            "Tells what the ledger says of an erasure, and whether the words of what was erased are gone.",
            get,
        ),
    ]
}

/// Whose values to erase.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = AuditErasureRequest)]
pub(crate) struct ErasureRequest {
    /// Whose: `user:alice`, or `unknown` for what is about nobody that could be known.
    #[schema(value_type = String, example = "user:alice")]
    subject: DataSubject,
    /// Why, 1 to 500 bytes, for the record, which is not erased: name a case, no person.
    #[schema(value_type = String, example = "request 2026-0042")]
    reason: Text,
}

/// What an erasure has done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditErasure)]
pub(crate) struct Erasure {
    /// The event that records it. `/v1/audit/proofs/inclusion` proves it.
    #[schema(value_type = String, format = "uuid")]
    id: EventId,
    /// The chain it stands in.
    #[schema(value_type = String)]
    chain: ChainId,
    /// Its number in the chain.
    sequence: Integer,
    /// The hash of its canonical bytes, in hexadecimal.
    #[schema(value_type = String)]
    hash: Digest,
    /// Whose values.
    #[schema(value_type = String)]
    subject: DataSubject,
    /// `complete`, `partial` when something is kept, `refused` when nothing was destroyed.
    outcome: &'static str,
    /// The keys that are destroyed, but for what is kept of them.
    #[schema(value_type = Vec<String>)]
    destroyed: Vec<SubjectKeyId>,
    /// The months they were for.
    #[schema(value_type = Vec<String>, example = json!(["2026-03"]))]
    periods: Vec<Text>,
    /// What is kept, and why.
    #[schema(value_type = Vec<KeptBody>)]
    kept: Vec<Kept>,
    #[serde(flatten)]
    words: WordsBody,
}

/// What became of the words that the values could be searched by.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditWords)]
pub(crate) struct WordsBody {
    /// `gone` when they are in nothing that searches look at, `pending` while they may be. Nobody opens the values either way.
    words: &'static str,
    /// Of how many of the destroyed keys there may still be words.
    words_pending: Integer,
    /// When that was so.
    #[schema(value_type = String, format = "date-time")]
    words_at: Timestamp,
}

impl From<WordsLeft> for WordsBody {
    fn from(left: WordsLeft) -> Self {
        Self { words: left.state().as_str(), words_pending: Integer(left.keys), words_at: left.at }
    }
}

/// An erasure that was done, and what became of the words since.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditErasureRecord)]
pub(crate) struct ErasureRecord {
    /// The event that records it. `/v1/audit/proofs/inclusion` proves it.
    #[schema(value_type = String, format = "uuid")]
    id: EventId,
    /// The chain it stands in.
    #[schema(value_type = String)]
    chain: ChainId,
    /// Its number in the chain.
    sequence: Integer,
    /// The hash of its canonical bytes, in hexadecimal.
    #[schema(value_type = String)]
    hash: Digest,
    /// Whose values.
    #[schema(value_type = String)]
    subject: DataSubject,
    /// `complete`, `partial` when something was kept, `refused` when nothing was destroyed.
    outcome: &'static str,
    /// How many keys were destroyed, but for what was kept of them.
    keys: Integer,
    /// The months they were for.
    #[schema(value_type = Vec<String>, example = json!(["2026-03"]))]
    periods: Vec<Text>,
    #[serde(flatten)]
    words: WordsBody,
}

/// The id of the event that records an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErasureId(EventId);

impl FromStr for ErasureId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "the id of an erasure is a UUID")
    }
}

impl PathParameter for ErasureId {
    const DESCRIPTION: &'static str = "The id in the receipt: that of the event that records the erasure.";

    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

/// What an erasure has kept.
#[derive(ToSchema)]
#[schema(as = AuditKept)]
#[expect(dead_code, reason = "the form of `audit::Kept`, for the document")]
pub(crate) struct KeptBody {
    /// The exception that keeps it.
    exception: String,
    /// On which ground.
    basis: String,
    /// In records of which class; of all, if none is named.
    class: Option<String>,
    /// In which field; in all, if none is named.
    field: Option<String>,
    /// When it ends.
    #[schema(format = "date-time")]
    until: String,
    /// Why.
    reason: String,
}

async fn erase(call: Call, Body(request): Body<ErasureRequest>) -> Result<Recorded<Erasure>, Failure> {
    let ErasureRequest { subject, reason } = request;
    if !(1..=500).contains(&reason.as_str().len()) {
        return Err(Failure::invalid("field `reason`: use 1 to 500 bytes"));
    }
    let (protection, ledger) = (&call.api.state.protection, &call.engines().audit);
    let erased = protection.erase(ledger, &call.author(), call.scope, &subject, &reason).await?;
    let audit::Receipt { chain, seq, leaf } = erased.receipt;
    Ok(Recorded(Erasure {
        id: erased.event,
        chain,
        sequence: Integer(seq),
        hash: leaf,
        subject: erased.subject,
        outcome: erased.outcome.as_str(),
        destroyed: erased.destroyed,
        periods: erased.periods,
        kept: erased.kept,
        words: erased.words.into(),
    }))
}

async fn get(call: Call, Path(ErasureId(id)): Path<ErasureId>) -> Result<Found<ErasureRecord>, Failure> {
    let found = call.api.state.protection.erasure(&call.engines().audit, call.scope, id).await?;
    let found = found.ok_or_else(|| Failure::not_found(format!("there is no erasure {id} here")))?;
    let RecordedErasure { event, receipt, subject, outcome, keys, periods, words } = found;
    let audit::Receipt { chain, seq, leaf } = receipt;
    Ok(Found(ErasureRecord {
        id: event,
        chain,
        sequence: Integer(seq),
        hash: leaf,
        subject,
        outcome: outcome.as_str(),
        keys: Integer(keys),
        periods,
        words: words.into(),
    }))
}
