//! What proves the ledger to others: checkpoints, proofs, and the logs as files.

use std::str::FromStr;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_audit::tree::{TILE_WIDTH, TileId};
use stanchion_audit::{self as audit, ChainId, Digest, Prover, RetentionClass};
use stanchion_core::{EventId, Text, Timestamp};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::READ;
use crate::answer::{Found, List, Raw};
use crate::call::{Call, Nothing, Path, PathParameter, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/audit/checkpoints",
            "list_audit_checkpoints",
            READ,
            On::Scope,
            "Lists the latest checkpoint of each chain, and what verifies it.",
            checkpoints,
        )
        .note(
            "A checkpoint is a signed note (C2SP tlog-checkpoint) for the Merkle tree (RFC 6962) over a chain's entries. Keep one: whoever \
             has it can be proven later that the chain only grew.",
        ),
        Operation::new(
            Method::GET,
            "/v1/audit/proofs/inclusion",
            "prove_audit_event",
            READ,
            On::Scope,
            "Proves that an event is in its chain.",
            inclusion,
        )
        .note(
            "`proof` is a C2SP tlog-proof with the canonical event as its extra data: with a verifier key it is checked offline, by \
             `stanchion audit verify` or another tool. An entry that no checkpoint covers yet is a conflict: ask again in a second.",
        )
        .refusing(stanchion_core::ProblemCode::Conflict),
        Operation::new(
            Method::GET,
            "/v1/audit/proofs/consistency",
            "prove_audit_growth",
            READ,
            On::Scope,
            "Proves that a chain has only grown since a checkpoint that somebody kept.",
            consistency,
        ),
        Operation::new(
            Method::GET,
            "/v1/audit/log/{*id}",
            "read_audit_log",
            READ,
            On::Scope,
            "Reads a chain's log as C2SP's tlog-tiles serves it.",
            log,
        )
        .note(
            "`<class>/checkpoint`, `<class>/tile/<level>/<number>[.p/<width>]` and `<class>/tile/entries/<number>[.p/<width>]`, where the \
             class is `security`, `data_access` or `standard`. Numbers are written in groups of three digits, `x001/x234/067`.",
        ),
    ]
}

/// A signed checkpoint of a chain.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditCheckpoint)]
pub(crate) struct Checkpoint {
    /// The chain.
    #[schema(value_type = String, example = "platform/security")]
    chain: ChainId,
    /// How many entries it covers.
    size: Integer,
    /// The root of the tree over them, in hexadecimal.
    #[schema(value_type = String)]
    root: Digest,
    /// When it was signed, by the clock of the process that did; the signature does not cover it.
    #[schema(value_type = String, format = "date-time")]
    signed_at: Timestamp,
    /// The signed note.
    #[schema(value_type = String)]
    note: Text,
    /// What verifies the note, newest first: `NAME+ID+KEY`. Get it once from somewhere that you trust, not with each answer.
    verifier_keys: Vec<String>,
}

/// Proof that an event is in its chain.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditInclusionProof)]
pub(crate) struct InclusionProof {
    /// The entry's number in the chain, from 1: leaf `sequence - 1` of the tree.
    sequence: Integer,
    /// The hash of its canonical bytes, in hexadecimal.
    #[schema(value_type = String)]
    hash: Digest,
    /// The hashes that lead to the root, leaf side first, in hexadecimal.
    #[schema(value_type = Vec<String>)]
    hashes: Vec<Digest>,
    /// The checkpoint that it is proven against.
    checkpoint: Checkpoint,
    /// All of it and the event, as a C2SP tlog-proof.
    proof: String,
}

/// Proof that a chain only grew.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditConsistencyProof)]
pub(crate) struct ConsistencyProof {
    /// The size it has grown from.
    from: Integer,
    /// The hashes that lead to both roots, in hexadecimal: RFC 9162 §2.1.4.
    #[schema(value_type = Vec<String>)]
    hashes: Vec<Digest>,
    /// The checkpoint it has grown to.
    checkpoint: Checkpoint,
}

/// Of which event.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfEvent {
    /// The id of the event.
    #[param(value_type = String, format = "uuid")]
    event: EventId,
}

/// Of which chain, and since when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfGrowth {
    /// The class of the chain: `security`, `data_access` or `standard`.
    #[param(value_type = String)]
    class: RetentionClass,
    /// The size of the checkpoint that was kept, at least 1.
    #[param(value_type = String)]
    from: String,
}

pub(super) fn shown(prover: &Prover, checkpoint: audit::Checkpoint) -> Checkpoint {
    let audit::Checkpoint { chain, size, root, signed_at, note } = checkpoint;
    let verifier_keys = prover.verifiers(&chain).iter().map(ToString::to_string).collect();
    Checkpoint { chain, size: Integer(size), root, signed_at, note, verifier_keys }
}

async fn checkpoints(call: Call, Nothing: Nothing) -> Result<Found<List<Checkpoint>>, Failure> {
    let prover = &call.api.state.prover;
    let found = prover.checkpoints(call.scope).await?;
    let items = found.into_iter().map(|checkpoint| shown(prover, checkpoint)).collect();
    Ok(Found(List { items, next_page: None }))
}

async fn inclusion(call: Call, Query(of): Query<OfEvent>) -> Result<Found<InclusionProof>, Failure> {
    let prover = &call.api.state.prover;
    let proof = prover.prove(call.scope, of.event).await?;
    let proof = proof.ok_or_else(|| Failure::not_found(format!("the ledger has no event {}", of.event)))?;
    Ok(Found(InclusionProof {
        sequence: Integer(proof.entry.seq),
        hash: proof.entry.leaf,
        proof: proof.to_text(),
        hashes: proof.hashes,
        checkpoint: shown(prover, proof.checkpoint),
    }))
}

async fn consistency(call: Call, Query(of): Query<OfGrowth>) -> Result<Found<ConsistencyProof>, Failure> {
    let prover = &call.api.state.prover;
    let chain = ChainId { scope: call.scope, class: of.class };
    let size = prover.checkpoint(chain).await?.map_or(0, |checkpoint| checkpoint.size);
    let from = of.from.parse().ok().filter(|from| (1..=size).contains(from));
    let from = from.ok_or_else(|| {
        Failure::invalid(format!(
            "parameter `from`: {chain} has a checkpoint of {size} entries; use 1 to that"
        ))
    })?;
    let proof = prover.prove_growth(chain, from).await?;
    let proof = proof.ok_or_else(|| Failure::not_found(format!("{chain} has no checkpoint")))?;
    let checkpoint = shown(prover, proof.checkpoint);
    Ok(Found(ConsistencyProof { from: Integer(proof.from), hashes: proof.hashes, checkpoint }))
}

/// A file of a chain's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    class: RetentionClass,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Checkpoint,
    Tile(TileId, usize),
    Entries(u64, usize),
}

impl FromStr for LogFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "a log has CLASS/checkpoint, CLASS/tile/LEVEL/NUMBER and CLASS/tile/entries/NUMBER, with .p/WIDTH at the end of what is not full";
        let (class, file) = text.split_once('/').ok_or(RULE)?;
        let class = RetentionClass::from_name(class).ok_or(RULE)?;
        if file == "checkpoint" {
            return Ok(Self { class, part: Part::Checkpoint });
        }
        let tile = file.strip_prefix("tile/").ok_or(RULE)?;
        let (tile, width) = match tile.split_once(".p/") {
            Some((tile, width)) => (tile, width.parse().map_err(|_| RULE)?),
            None => (tile, TILE_WIDTH),
        };
        if !(1..=TILE_WIDTH).contains(&width) {
            return Err(RULE);
        }
        // An entry bundle stands where the tile of its leaves does.
        let id = |path: &str| path.parse::<TileId>().map_err(|_| RULE);
        let part = match tile.strip_prefix("entries/") {
            Some(number) => Part::Entries(id(&format!("0/{number}"))?.index, width),
            None => Part::Tile(id(tile)?, width),
        };
        Ok(Self { class, part })
    }
}

impl PathParameter for LogFile {
    const DESCRIPTION: &'static str = "The file, from the class on.";

    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

async fn log(call: Call, Path(file): Path<LogFile>) -> Result<Raw, Failure> {
    let prover = &call.api.state.prover;
    let chain = ChainId { scope: call.scope, class: file.class };
    let bytes =
        |body: Vec<u8>| Raw { media_type: "application/octet-stream", body: body.into(), is_immutable: true };
    let found = match file.part {
        Part::Checkpoint => prover.checkpoint(chain).await?.map(|checkpoint| Raw {
            media_type: "text/plain; charset=utf-8",
            body: checkpoint.note.as_str().to_owned().into(),
            is_immutable: false,
        }),
        Part::Tile(id, width) => prover.tile(chain, id, width).await?.map(|tile| bytes(tile.to_bytes())),
        Part::Entries(index, width) => prover.entries(chain, index, width).await?.map(bytes),
    };
    found.ok_or_else(|| {
        Failure::not_found(format!("the log of {chain} has no such file under its checkpoint"))
    })
}
