//! Callers who are shut out.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{Text, Timestamp, Versioned};
use stanchion_ratelimit::{self as ratelimit, Control, Identifiers, RuleId};
use utoipa::{IntoParams, ToSchema};

use super::{READ, WRITE, controls};
use crate::answer::{Done, Found, List, Written};
use crate::call::{Body, Call, Everything, Paged, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

/// A year.
const LONGEST: u32 = 31_536_000;

pub(crate) fn operations() -> Vec<Operation> {
    let all = "/v1/limits/quarantines";
    vec![
        Operation::new(
            Method::POST,
            all,
            "put_quarantine",
            WRITE,
            On::Scope,
            "Shuts a caller out for a while.",
            put,
        ),
        Operation::new(
            Method::GET,
            all,
            "list_quarantines",
            READ,
            On::Scope,
            "Lists who is shut out, by limits and by hand, in the order of the callers.",
            list,
        ),
        Operation::new(
            Method::DELETE,
            all,
            "lift_quarantine",
            WRITE,
            On::Scope,
            "Lets a caller in again.",
            lift,
        ),
    ]
}

/// A caller who is shut out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quarantine {
    /// The caller.
    #[schema(value_type = String, example = "ip:203.0.113.7")]
    identifiers: Identifiers,
    /// When it ends.
    #[schema(value_type = String, format = "date-time")]
    until: Timestamp,
    /// The limit that did it; none if it was done by hand.
    #[schema(value_type = Option<String>)]
    limit_id: Option<RuleId>,
    /// Why.
    #[schema(value_type = Option<String>)]
    reason: Option<Text>,
    /// The revision of the last change.
    revision: Integer,
    /// When it began.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// A caller who is to be shut out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewQuarantine {
    /// The caller: identifiers with spaces between, all of which must be true of a request.
    #[schema(value_type = String, example = "ip:203.0.113.7")]
    identifiers: Identifiers,
    /// For how many seconds, up to a year.
    seconds: u32,
    /// Why, for whoever reads it later.
    #[schema(value_type = Option<String>)]
    reason: Option<Text>,
}

/// Who is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuarantineName {
    /// The caller, as it was shut out.
    #[param(value_type = String, example = "ip:203.0.113.7")]
    identifiers: Identifiers,
}

impl Quarantine {
    fn of(stored: Versioned<Control>) -> Option<Self> {
        let Versioned { value: Control::Quarantine(control), revision, created_at, updated_at } = stored
        else {
            return None;
        };
        let ratelimit::Quarantine { identifiers, until, rule: limit_id, reason } = control;
        Some(Self { identifiers, until, limit_id, reason, revision: revision.into(), created_at, updated_at })
    }
}

async fn put(call: Call, Body(new): Body<NewQuarantine>) -> Result<Written<Quarantine>, Failure> {
    let NewQuarantine { identifiers, seconds, reason } = new;
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Failure::invalid(format!("field `seconds`: use 1 to {LONGEST}")));
    }
    let until = call.at.plus(Duration::from_secs(seconds.into()));
    let control = ratelimit::Quarantine { identifiers, until, rule: None, reason };
    let written = call.engines().ratelimit.put_quarantine(&call.author(), call.scope, control).await?;
    let (created, revision) = (written.created_at == written.updated_at, written.revision);
    let body = Quarantine::of(written).ok_or_else(|| Failure::internal("a quarantine was written"))?;
    Ok(Written { created, body, revision })
}

async fn list(call: Call, paged: Paged<Everything>) -> Result<Found<List<Quarantine>>, Failure> {
    let is_quarantine = |control: &Control| matches!(control, Control::Quarantine(_));
    let page = controls(&call, &paged.page, is_quarantine, Quarantine::of).await?;
    Ok(paged.answer(&call, page))
}

async fn lift(call: Call, Query(named): Query<QuarantineName>) -> Result<Done, Failure> {
    let engine = &call.engines().ratelimit;
    if engine.lift_quarantine(&call.author(), call.scope, &named.identifiers).await? {
        Ok(Done)
    } else {
        Err(Failure::not_found(format!("`{}` is not shut out", named.identifiers)))
    }
}
