//! Other limits for single callers.

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

pub(crate) fn operations() -> Vec<Operation> {
    let all = "/v1/limits/overrides";
    vec![
        Operation::new(
            Method::POST,
            all,
            "put_limit_override",
            WRITE,
            On::Scope,
            "Gives one caller another limit.",
            put,
        )
        .note("What the caller has used stays used. One that is there already is changed; the answer is then 200."),
        Operation::new(
            Method::GET,
            all,
            "list_limit_overrides",
            READ,
            On::Scope,
            "Lists the other limits of single callers, in the order of limits and callers.",
            list,
        ),
        Operation::new(
            Method::DELETE,
            all,
            "delete_limit_override",
            WRITE,
            On::Scope,
            "Takes another limit away again.",
            delete,
        ),
    ]
}

/// Another limit for one caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitOverride {
    /// The limit that it is another of.
    #[schema(value_type = String)]
    limit_id: RuleId,
    /// The caller.
    #[schema(value_type = String, example = "user:alice")]
    identifiers: Identifiers,
    /// How much each window gives.
    limit: Integer,
    /// How much more may be used at once.
    burst: Integer,
    /// When it ends; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// Why.
    #[schema(value_type = Option<String>)]
    reason: Option<Text>,
    /// The revision of the last change.
    revision: Integer,
    /// When it was created.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// Another limit that a caller is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewLimitOverride {
    /// The limit that it is another of.
    #[schema(value_type = String)]
    limit_id: RuleId,
    /// The caller: one identifier for each thing the limit counts by, with spaces between. In a limit of the platform `tenant:ID`
    /// besides means: in that tenant alone.
    #[schema(value_type = String, example = "user:alice")]
    identifiers: Identifiers,
    /// How much each window gives.
    limit: Integer,
    /// How much more may be used at once; 0 when left out.
    #[serde(default)]
    #[schema(required = false)]
    burst: Integer,
    /// When it ends; never, when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// Why, for whoever reads it later.
    #[schema(value_type = Option<String>)]
    reason: Option<Text>,
}

/// Which override is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverrideName {
    /// The limit that it is another of.
    #[param(value_type = String)]
    limit_id: RuleId,
    /// The caller.
    #[param(value_type = String, example = "user:alice")]
    identifiers: Identifiers,
}

impl LimitOverride {
    fn of(stored: Versioned<Control>) -> Option<Self> {
        let Versioned { value: Control::Override(control), revision, created_at, updated_at } = stored else {
            return None;
        };
        let ratelimit::Override { rule, identifiers, limit, burst, expires_at, reason } = control;
        let (limit, burst) = (Integer(limit), Integer(burst));
        let revision = revision.into();
        Some(Self {
            limit_id: rule,
            identifiers,
            limit,
            burst,
            expires_at,
            reason,
            revision,
            created_at,
            updated_at,
        })
    }
}

async fn put(call: Call, Body(new): Body<NewLimitOverride>) -> Result<Written<LimitOverride>, Failure> {
    let NewLimitOverride { limit_id, identifiers, limit, burst, expires_at, reason } = new;
    let (limit, burst) = (limit.0, burst.0);
    let control = ratelimit::Override { rule: limit_id, identifiers, limit, burst, expires_at, reason };
    let written = call.engines().ratelimit.put_override(&call.author(), call.scope, control).await?;
    let (created, revision) = (written.created_at == written.updated_at, written.revision);
    let body = LimitOverride::of(written).ok_or_else(|| Failure::internal("an override was written"))?;
    Ok(Written { created, body, revision })
}

async fn list(call: Call, paged: Paged<Everything>) -> Result<Found<List<LimitOverride>>, Failure> {
    let is_override = |control: &Control| matches!(control, Control::Override(_));
    let page = controls(&call, &paged.page, is_override, LimitOverride::of).await?;
    Ok(paged.answer(&call, page))
}

async fn delete(call: Call, Query(named): Query<OverrideName>) -> Result<Done, Failure> {
    let OverrideName { limit_id, identifiers } = named;
    let engine = &call.engines().ratelimit;
    if engine.delete_override(&call.author(), call.scope, &limit_id, &identifiers).await? {
        Ok(Done)
    } else {
        Err(Failure::not_found(format!("`{identifiers}` has no other limit of `{limit_id}`")))
    }
}
