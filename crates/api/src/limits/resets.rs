//! Counters that begin anew.

use http::Method;
use serde::Deserialize;
use stanchion_ratelimit::{Identifiers, RuleId};
use utoipa::ToSchema;

use super::WRITE;
use crate::answer::Done;
use crate::call::{Body, Call};
use crate::failure::Failure;
use crate::operation::{On, Operation};

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Begins counters anew: those of a limit, of a caller, or all of the scope.";
    vec![
        Operation::new(Method::POST, "/v1/limits/reset", "reset_limits", WRITE, On::Scope, summary, reset)
            .note("It is one write, however many counters there are. Leases that are held go on, and are not counted any more."),
    ]
}

/// Which counters begin anew; of the three there is exactly one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct LimitReset {
    /// Those of a limit.
    #[schema(value_type = Option<String>)]
    limit: Option<RuleId>,
    /// Those of a caller, in all limits of the scope.
    #[schema(value_type = Option<String>, example = "user:alice")]
    identifiers: Option<Identifiers>,
    /// All of the scope's limits.
    #[serde(default)]
    all: bool,
}

async fn reset(call: Call, Body(which): Body<LimitReset>) -> Result<Done, Failure> {
    let (engine, author) = (&call.engines().ratelimit, call.author());
    match which {
        LimitReset { limit: Some(id), identifiers: None, all: false } => {
            engine.reset_rule(&author, call.scope, &id).await?;
        }
        LimitReset { limit: None, identifiers: Some(caller), all: false } => {
            engine.reset_caller(&author, call.scope, caller).await?;
        }
        LimitReset { limit: None, identifiers: None, all: true } => {
            engine.reset_all(&author, call.scope).await?;
        }
        _ => {
            let detail = "say which counters: one of `limit`, `identifiers` or `\"all\": true`";
            return Err(Failure::invalid(detail));
        }
    }
    Ok(Done)
}
