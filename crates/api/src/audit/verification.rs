use http::Method;
use serde::Serialize;
use stanchion_audit::{self as audit, ChainId, Digest, Verdict};
use stanchion_core::{Scope, Timestamp};
use utoipa::ToSchema;

use super::{READ, producers};
use crate::answer::Found;
use crate::call::{Call, Nothing};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
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
