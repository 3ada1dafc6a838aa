use http::Method;
use serde_json::{Map, Value, json};

use super::{Guard, Plan, Request, Segment};
use crate::admin::view::{self, View};
use crate::admin::what::{Limit, Override, Quarantine};

impl From<Limit> for Plan {
    fn from(command: Limit) -> Self {
        match command {
            Limit::List { listed, scoped } => {
                Request::all(Method::GET, "limits").listed(scoped, listed.limit, View::Table(view::LIMITS))
            }
            Limit::Show { id, scoped } => Request::one(Method::GET, "limits", id).shown(scoped, View::Fields),
            Limit::Put {
                id,
                by,
                limit,
                window,
                burst,
                algorithm,
                action,
                max_delay_ms,
                quarantine_seconds,
                rung: rungs,
                when,
                route,
                label,
                shadow,
                scoped,
            } => {
                let rung = |(violations, action)| json!({ "violations": violations, "action": action });
                let ladder: Vec<Value> = rungs.into_iter().map(rung).collect();
                let conditions: Vec<Value> = when.into_iter().map(condition).collect();
                Request::one(Method::PUT, "limits", id)
                    .with(json!({
                        "key": by,
                        "limit": limit.to_string(),
                        "window": window,
                        "burst": burst.to_string(),
                        "algorithm": algorithm,
                        "action": action,
                        "max_delay_ms": max_delay_ms,
                        "quarantine_seconds": quarantine_seconds,
                        "ladder": ladder,
                        "conditions": conditions,
                        "routes": route,
                        "labels": label,
                        "shadow": shadow,
                    }))
                    .guarded(Guard::UnchangedOrAbsent)
                    .shown(scoped, View::Fields)
            }
            Limit::Delete { id, scoped } => {
                Request::one(Method::DELETE, "limits", id).shown(scoped, View::Done("deleted"))
            }
            Limit::Reset { id, caller, all, scoped } => Request::new(Method::POST, limits("reset"))
                .with(json!({ "limit": id, "identifiers": caller, "all": all.then_some(true) }))
                .shown(scoped, View::Done("begun anew")),
            Limit::Violations { of, caller, since, until, listed, scoped } => {
                Request::new(Method::GET, limits("violations"))
                    .asking("limit_id", of)
                    .asking("identifier", caller)
                    .asking("from", since)
                    .asking("until", until)
                    .listed(scoped, listed.limit, View::Table(view::VIOLATIONS))
            }
            Limit::Stats { scoped } => {
                Request::new(Method::GET, limits("stats")).shown(scoped, View::LimitStats)
            }
            Limit::Explain { subject, api_key, ip, route, attribute, cost, scoped } => {
                let attributes: Map<String, Value> =
                    attribute.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
                Request::new(Method::POST, limits("explain"))
                    .with(json!({
                        "subject": subject,
                        "key": api_key,
                        "ip": ip,
                        "route": route,
                        "attributes": attributes,
                        "cost": cost.to_string(),
                    }))
                    .shown(scoped, View::Limits)
            }
            Limit::Override(command) => command.into(),
            Limit::Quarantine(command) => command.into(),
        }
    }
}

fn limits(what: &'static str) -> [Segment; 2] {
    [Segment::Fixed("limits"), Segment::Fixed(what)]
}

/// A condition as it was typed: one value, or several with commas.
fn condition((name, value): (String, String)) -> Value {
    if value.contains(',') {
        let values: Vec<&str> = value.split(',').collect();
        json!({ "attribute": name, "one_of": values })
    } else {
        json!({ "attribute": name, "equals": value })
    }
}

impl From<Override> for Plan {
    fn from(command: Override) -> Self {
        let all = |method| Request::new(method, limits("overrides"));
        match command {
            Override::List { listed, scoped } => {
                all(Method::GET).listed(scoped, listed.limit, View::Table(view::OVERRIDES))
            }
            Override::Put { id, caller, limit, burst, expires_at, reason, scoped } => all(Method::POST)
                .with(json!({
                    "limit_id": id,
                    "identifiers": caller,
                    "limit": limit.to_string(),
                    "burst": burst.to_string(),
                    "expires_at": expires_at,
                    "reason": reason,
                }))
                .shown(scoped, View::Fields),
            Override::Delete { id, caller, scoped } => all(Method::DELETE)
                .asking("limit_id", Some(id))
                .asking("identifiers", Some(caller))
                .shown(scoped, View::Done("taken away")),
        }
    }
}

impl From<Quarantine> for Plan {
    fn from(command: Quarantine) -> Self {
        let all = |method| Request::new(method, limits("quarantines"));
        match command {
            Quarantine::List { listed, scoped } => {
                all(Method::GET).listed(scoped, listed.limit, View::Table(view::QUARANTINES))
            }
            Quarantine::Put { caller, seconds, reason, scoped } => all(Method::POST)
                .with(json!({ "identifiers": caller, "seconds": seconds, "reason": reason }))
                .shown(scoped, View::Fields),
            Quarantine::Lift { caller, scoped } => all(Method::DELETE)
                .asking("identifiers", Some(caller))
                .shown(scoped, View::Done("let in again")),
        }
    }
}
