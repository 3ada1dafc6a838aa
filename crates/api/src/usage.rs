use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanchion_billing_metering::{self as metering, MeterId};
use stanchion_calendar::{Month, Period, Zone};
use stanchion_core::{ProblemCode, Scope, TenantId, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::answer::Found;
use crate::call::{Call, Input, Query, json, media_type};
use crate::cloud_event::{self, CloudEvent};
use crate::document::Document;
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::{Exact, Integer};

const SINGLE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/usage/events",
            "record_usage",
            "usage:write",
            On::Scope,
            "Records usage as CloudEvents 1.0.",
            record,
        )
        .note(
            "One event, or a batch of them. Each is counted exactly once, in the period its `time` lies in, however often it is sent: \
             `source` and `id` identify it. Of a batch each event has its own outcome, and the answer is 200. A single event that \
             cannot be counted is refused with a problem.",
        ),
        Operation::new(
            Method::GET,
            "/v1/usage",
            "get_usage",
            "usage:read",
            On::Scope,
            "Says how much was used in a period, and what it costs.",
            get,
        )
        .note(
            "The period is a month (`period=2026-11`), or goes from `from` until just before `to`. Costs are those of the rate card of \
             now. While a period is going on, quantities and cost are read one after the other and may be some events apart.",
        )
        .refusing(ProblemCode::Conflict),
    ]
}

/// What became of the events, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Outcomes {
    /// One for each event.
    items: Vec<EventOutcome>,
}

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventOutcome {
    /// The event's id, as far as it could be read.
    id: Option<String>,
    /// The event's source, as far as it could be read.
    source: Option<String>,
    /// `accepted`: it is counted now; `duplicate`: it was counted before; `conflict`: another event with this source and id was;
    /// `rejected`: it cannot be counted.
    outcome: &'static str,
    /// For a rejection a stable code: `malformed`, `unknown_meter`, `too_late`, `in_future`, …
    reason: Option<&'static str>,
    /// What is wrong with it.
    detail: Option<String>,
}

/// The events of a request.
pub(crate) enum Events {
    Single(Value),
    Batch(Vec<Value>),
}

impl Input for Events {
    fn document(document: &mut Document) {
        document.takes_one_or_list::<CloudEvent>(SINGLE, BATCH);
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        match media_type(&call.headers) {
            Some(SINGLE) => json(&call.body).map(Self::Single),
            Some(BATCH) => json(&call.body).map(Self::Batch),
            _ => {
                let detail = format!("send `content-type: {SINGLE}` or `{BATCH}`");
                Err(Failure::new(ProblemCode::UnsupportedMediaType, detail))
            }
        }
    }
}

async fn record(call: Call, events: Events) -> Result<Found<Outcomes>, Failure> {
    let tenant = tenant(&call)?;
    let (is_single, events) = match events {
        Events::Single(event) => (true, vec![event]),
        Events::Batch(events) => (false, events),
    };
    let mut good = Vec::with_capacity(events.len());
    let mut items: Vec<EventOutcome> = Vec::with_capacity(events.len());
    for event in events {
        let cloud_event::Read { id, source, event } = cloud_event::read(tenant, event);
        let mut item = EventOutcome { id, source, outcome: "rejected", reason: None, detail: None };
        match event {
            Ok(event) => good.push(event),
            Err(detail) => (item.reason, item.detail) = (Some("malformed"), Some(detail)),
        }
        items.push(item);
    }
    let outcomes = call.engines().metering.record(good).await?;
    let waiting = items.iter_mut().filter(|item| item.reason.is_none());
    for (item, outcome) in waiting.zip(outcomes) {
        item.tell(outcome);
    }
    match items.first() {
        Some(item) if is_single => item.as_failure().map_or(Ok(()), Err)?,
        _ => {}
    }
    Ok(Found(Outcomes { items }))
}

impl EventOutcome {
    fn tell(&mut self, outcome: metering::Outcome) {
        (self.outcome, self.reason, self.detail) = match outcome {
            metering::Outcome::Accepted { .. } => ("accepted", None, None),
            metering::Outcome::Duplicate => ("duplicate", None, None),
            metering::Outcome::Conflict => (
                "conflict",
                None,
                Some("another event with this source and id was counted before".to_owned()),
            ),
            metering::Outcome::Rejected { reason } => {
                ("rejected", Some(reason.as_str()), Some(reason.to_string()))
            }
        };
    }

    fn as_failure(&self) -> Option<Failure> {
        let detail = self.detail.clone().unwrap_or_default();
        match (self.outcome, self.reason) {
            ("conflict", _) => Some(Failure::conflict(detail)),
            ("rejected", Some("malformed")) => Some(Failure::invalid(detail)),
            ("rejected", reason) => {
                Some(Failure::invalid(format!("{}: {detail}", reason.unwrap_or_default())))
            }
            _ => None,
        }
    }
}

/// What usage is asked about.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// Only this meter.
    #[param(value_type = String, required = false, example = "api.calls")]
    meter: Option<MeterId>,
    /// A month: `2026-11`. Stands in for `from` and `to`.
    #[param(value_type = String, required = false, example = "2026-11")]
    period: Option<Month>,
    /// The time zone whose month is meant; `UTC` when left out.
    #[param(value_type = String, required = false)]
    zone: Option<Zone>,
    /// The first instant of the period.
    #[param(value_type = String, required = false, format = "date-time")]
    from: Option<Timestamp>,
    /// The first instant after the period.
    #[param(value_type = String, required = false, format = "date-time")]
    to: Option<Timestamp>,
}

/// What was used in a period, and what it costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageReport {
    /// The first instant of the period.
    #[schema(value_type = String, format = "date-time")]
    from: Timestamp,
    /// The first instant after the period.
    #[schema(value_type = String, format = "date-time")]
    to: Timestamp,
    /// How much of each meter.
    usage: Vec<MeterUsage>,
    /// What it costs by the rate card of now. It is no invoice.
    cost: Cost,
}

/// How much of a meter was used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeterUsage {
    /// The meter.
    #[schema(value_type = String)]
    meter: MeterId,
    /// How much, as the meter counts it.
    quantity: Exact,
    /// How many events that is made of.
    events: Integer,
}

/// What usage costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cost {
    /// The currency of every amount (ISO 4217).
    currency: String,
    /// One line for each meter that was used and has a price.
    lines: Vec<CostLine>,
    /// Meters that were used and have no price.
    #[schema(value_type = Vec<String>)]
    unpriced: Vec<MeterId>,
    /// The sum of the lines' amounts.
    total: Exact,
}

/// What a meter's usage costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CostLine {
    /// The meter.
    #[schema(value_type = String)]
    meter: MeterId,
    /// Its name for people.
    name: String,
    /// One of what it counts.
    unit: String,
    /// How much was used.
    quantity: Exact,
    /// The price in words.
    #[schema(example = "0.0001 USD per call")]
    price: String,
    /// The amount before rounding.
    precise: Exact,
    /// The amount, rounded once to the currency's smallest unit.
    amount: Exact,
}

async fn get(call: Call, Query(asked): Query<UsageQuery>) -> Result<Found<UsageReport>, Failure> {
    let tenant = tenant(&call)?;
    let period = asked.period()?;
    let metering = &call.engines().metering;
    let usage = metering.usage(tenant, asked.meter.as_ref(), period).await?;
    let mut cost = metering.cost(tenant, period).await?;
    if let Some(meter) = &asked.meter {
        cost.lines.retain(|line| line.meter == *meter);
        cost.unpriced.retain(|unpriced| unpriced == meter);
        // One line at most, whose amount is the total.
        cost.total =
            cost.lines.first().map_or(metering::Money::zero(cost.total.currency()), |line| line.amount);
    }
    let usage = usage.into_iter().map(|used| MeterUsage {
        meter: used.meter,
        quantity: Exact(used.quantity),
        events: Integer(used.events),
    });
    Ok(Found(UsageReport {
        from: period.start(),
        to: period.end(),
        usage: usage.collect(),
        cost: cost.into(),
    }))
}

impl UsageQuery {
    fn period(&self) -> Result<Period, Failure> {
        match (self.period, self.from, self.to, self.zone) {
            (Some(month), None, None, zone) => Ok(month.period(zone.unwrap_or_default())),
            (None, Some(from), Some(to), None) => {
                Period::new(from, to).map_err(|error| Failure::invalid(format!("parameter `to`: {error}")))
            }
            _ => Err(Failure::invalid(
                "name the period: `period=2026-11`, with a `zone` if not UTC, or both `from` and `to`",
            )),
        }
    }
}

impl From<metering::Cost> for Cost {
    fn from(cost: metering::Cost) -> Self {
        let line = |line: metering::CostLine| CostLine {
            meter: line.meter,
            name: line.name.to_string(),
            unit: line.unit.to_string(),
            quantity: Exact(line.quantity),
            price: line.price,
            precise: Exact(line.precise),
            amount: Exact(line.amount.amount()),
        };
        Self {
            currency: cost.total.currency().to_string(),
            lines: cost.lines.into_iter().map(line).collect(),
            unpriced: cost.unpriced,
            total: Exact(cost.total.amount()),
        }
    }
}

fn tenant(call: &Call) -> Result<TenantId, Failure> {
    match call.scope {
        Scope::Tenant(tenant) => Ok(tenant),
        Scope::Platform => {
            Err(Failure::invalid("parameter `tenant`: usage is a tenant's, the platform has none"))
        }
    }
}

impl From<metering::Error> for Failure {
    fn from(error: metering::Error) -> Self {
        match error {
            metering::Error::Store(error) => error.into(),
            metering::Error::UnknownMeter(_) => Self::invalid(format!("parameter `meter`: {error}")),
            metering::Error::Unanswerable(_) | metering::Error::Price { .. } | metering::Error::Money(_) => {
                Self::conflict(error.to_string())
            }
            error => Self::internal(error),
        }
    }
}
