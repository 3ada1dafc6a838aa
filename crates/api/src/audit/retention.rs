//! For how long entries are kept, and what keeps them for longer.

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_audit::{self as audit, ChainId, Draft, RetentionClass};
use stanchion_core::{Event, Scope, Text, Timestamp};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::answer::{Found, Recorded};
use crate::call::{Body, Call, Nothing, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const HOLD: &str = "audit:hold";
/// The longest reason, in bytes.
const MAX_REASON: usize = 1_000;

pub(crate) fn operations() -> Vec<Operation> {
    let holds = "/v1/audit/holds";
    vec![
        Operation::new(
            Method::GET,
            "/v1/audit/retention",
            "read_audit_retention",
            "audit:read",
            On::Scope,
            "Tells how long the entries of each chain are kept, and how far they are archived.",
            kept,
        ),
        Operation::new(
            Method::POST,
            "/v1/audit/retention",
            "apply_audit_retention",
            HOLD,
            On::Platform,
            "Archives every chain as far as it can be, and drops what has served its time, now.",
            apply,
        )
        .note("The same is done by itself, as often as `audit.retention.interval_seconds` says."),
        Operation::new(
            Method::GET,
            holds,
            "list_audit_holds",
            HOLD,
            On::Platform,
            "Lists the legal holds of a scope, those that were lifted too.",
            list,
        ),
        Operation::new(
            Method::POST,
            holds,
            "place_audit_hold",
            HOLD,
            On::Platform,
            "Places a legal hold: while it stands, nothing of its chains is dropped.",
            place,
        )
        .note(
            "Holds are the platform's: a tenant neither sees nor lifts those on its records. A chain that is being cut at this moment may \
             still lose that part; `/v1/audit/retention` tells where it begins.",
        )
        .idempotent(),
        Operation::new(
            Method::DELETE,
            holds,
            "lift_audit_hold",
            HOLD,
            On::Platform,
            "Lifts a legal hold. It stays on record.",
            lift,
        ),
    ]
}

/// How the chains of a scope are kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRetention)]
pub(crate) struct Retention {
    /// Each chain that has entries.
    items: Vec<KeptChain>,
}

/// How the entries of a chain are kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditKeptChain)]
pub(crate) struct KeptChain {
    /// The chain.
    #[schema(value_type = String)]
    chain: ChainId,
    /// For how many days its entries are kept at all.
    kept_days: u32,
    /// For how many of them in the database.
    online_days: u32,
    /// The number before the oldest entry in the database; 0 while nothing was dropped.
    base: Integer,
    /// The number of the newest entry.
    head: Integer,
    /// The number of the last entry that is archived; null without an archive.
    archived: Option<Integer>,
    /// When the oldest entry in the database was recorded.
    #[schema(value_type = Option<String>, format = "date-time")]
    oldest_at: Option<Timestamp>,
    /// Until when that one is kept at least; null when entries are never dropped.
    #[schema(value_type = Option<String>, format = "date-time")]
    oldest_until: Option<Timestamp>,
    /// Whether a legal hold stands on it.
    held: bool,
}

impl From<audit::ChainRetention> for KeptChain {
    fn from(kept: audit::ChainRetention) -> Self {
        Self {
            chain: kept.chain,
            kept_days: kept.term.kept_days,
            online_days: kept.term.online_days,
            base: Integer(kept.base),
            head: Integer(kept.head),
            archived: kept.archived.map(Integer),
            oldest_at: kept.oldest_at,
            oldest_until: kept.oldest_until,
            held: !kept.holds.is_empty(),
        }
    }
}

async fn kept(call: Call, Nothing: Nothing) -> Result<Found<Retention>, Failure> {
    let chains = call.api.state.keeper.kept(call.scope).await?;
    Ok(Found(Retention { items: chains.into_iter().map(KeptChain::from).collect() }))
}

/// What a round through all chains came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRetentionRound)]
pub(crate) struct Round {
    /// Whether every chain was gone through; otherwise the log says which was not, and why.
    complete: bool,
}

async fn apply(call: Call, Nothing: Nothing) -> Result<Found<Round>, Failure> {
    let end = call.api.state.keeper.once().await;
    Ok(Found(Round { complete: end == audit::RoundEnd::Complete }))
}

/// A legal hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditHold)]
pub(crate) struct Hold {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Whose entries: a tenant's id, or `platform`.
    #[schema(value_type = String)]
    scope: Scope,
    /// Of which class; null for all.
    #[schema(value_type = Option<String>)]
    class: Option<RetentionClass>,
    /// Why.
    #[schema(value_type = String)]
    reason: Text,
    /// Who placed it.
    #[schema(value_type = String)]
    placed_by: Text,
    /// Since when it stands.
    #[schema(value_type = String, format = "date-time")]
    placed_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = "date-time")]
    until: Option<Timestamp>,
    /// Who lifted it.
    #[schema(value_type = Option<String>)]
    lifted_by: Option<Text>,
    /// When it was lifted.
    #[schema(value_type = Option<String>, format = "date-time")]
    lifted_at: Option<Timestamp>,
    /// Whether it stands now.
    stands: bool,
}

impl Hold {
    fn at(now: Timestamp, hold: audit::Hold) -> Self {
        let stands = hold.stands(now);
        let audit::Hold { id, scope, class, reason, placed_by, placed_at, until, lifted_by, lifted_at } =
            hold;
        Self { id, scope, class, reason, placed_by, placed_at, until, lifted_by, lifted_at, stands }
    }
}

/// The legal holds of a scope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditHolds)]
pub(crate) struct Holds {
    /// The holds, in the order of their placing.
    items: Vec<Hold>,
}

/// Whose holds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldFilter {
    /// A tenant's id, or `platform`.
    #[param(value_type = String)]
    scope: Scope,
}

/// Which hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldName {
    /// A tenant's id, or `platform`.
    #[param(value_type = String)]
    scope: Scope,
    /// The hold.
    #[param(value_type = String, format = "uuid")]
    id: Uuid,
}

/// A hold to place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = NewAuditHold)]
pub(crate) struct NewHold {
    /// Whose entries: a tenant's id, or `platform`.
    #[schema(value_type = String, example = "platform")]
    scope: Scope,
    /// Of which class: `security`, `data_access` or `standard`; all of them when left out.
    #[schema(value_type = Option<String>)]
    class: Option<RetentionClass>,
    /// Why, at most 1,000 bytes.
    #[schema(value_type = String, example = "Smith v. Acme")]
    reason: Text,
    /// When it ends by itself; when it is lifted, if left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    until: Option<Timestamp>,
}

async fn list(call: Call, Query(HoldFilter { scope }): Query<HoldFilter>) -> Result<Found<Holds>, Failure> {
    let holds = call.api.state.keeper.holds().list(scope).await?;
    Ok(Found(Holds { items: holds.into_iter().map(|hold| Hold::at(call.at, hold)).collect() }))
}

async fn place(call: Call, Body(new): Body<NewHold>) -> Result<Recorded<Hold>, Failure> {
    let reason = new.reason.as_str();
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return Err(Failure::invalid(format!("field `reason`: say why, in 1 to {MAX_REASON} bytes")));
    }
    if new.until.is_some_and(|until| until <= call.at) {
        return Err(Failure::invalid("field `until`: it is past"));
    }
    let hold = audit::Hold {
        id: call.api.state.ids.event_id(call.at).uuid(),
        scope: new.scope,
        class: new.class,
        reason: new.reason,
        placed_by: call.author().actor.to_string().into(),
        placed_at: call.at,
        until: new.until,
        lifted_by: None,
        lifted_at: None,
    };
    // First: what it says is true already when the record of it is not there yet.
    let hold = call.api.state.keeper.holds().put(&hold).await?;
    record(&call, &hold, "audit.hold_placed").await?;
    Ok(Recorded(Hold::at(call.at, hold)))
}

async fn lift(call: Call, Query(HoldName { scope, id }): Query<HoldName>) -> Result<Found<Hold>, Failure> {
    let holds = call.api.state.keeper.holds();
    let known = holds.list(scope).await?.into_iter().find(|hold| hold.id == id);
    let none = || Failure::not_found(format!("there is no hold `{id}`"));
    let known = known.ok_or_else(none)?;
    if known.lifted_at.is_none() {
        // First: no hold is ever lifted without a record.
        record(&call, &known, "audit.hold_lifted").await?;
    }
    let by = call.author().actor.to_string().into();
    let lifted = holds.lift(scope, id, &by, call.at).await?.ok_or_else(none)?;
    Ok(Found(Hold::at(call.at, lifted)))
}

/// Records in the platform's ledger what became of a hold; tenants are not told.
async fn record(call: &Call, hold: &audit::Hold, action: &'static str) -> Result<(), Failure> {
    let event: Event = call
        .author()
        .event(&*call.api.state.ids, call.at, Scope::Platform, action)
        .with_detail("hold", hold.id.to_string())
        .with_detail("scope", hold.scope.to_string())
        .with_detail("class", hold.class.map_or("all", RetentionClass::as_str))
        .with_detail("reason", hold.reason.clone());
    call.engines().audit.append(Scope::Platform, Draft::Event(event)).await?;
    Ok(())
}
