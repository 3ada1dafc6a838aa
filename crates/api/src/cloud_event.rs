use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use stanchion_billing_metering::{Dimensions, MeterId, UsageEvent};
use stanchion_core::{SubjectRef, TenantId, Text, Timestamp};
use utoipa::ToSchema;

use crate::mistake;
use crate::wire::Exact;

/// Usage as a CloudEvent 1.0. `(source, id)` identifies it: sent again it is not counted again. Other attributes are passed over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(expecting = "a CloudEvent")]
pub(crate) struct CloudEvent {
    /// `1.0`.
    #[schema(example = "1.0")]
    specversion: String,
    /// The producer's id of the event, unique within its source: 1 to 256 bytes.
    #[schema(value_type = String, example = "7f1c2a")]
    id: Text,
    /// Who reports it: 1 to 256 bytes.
    #[schema(value_type = String, example = "/billing/exporter")]
    source: Text,
    /// The meter.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "api.calls")]
    meter: MeterId,
    /// Who used it: `user:ID` or `service:ID`.
    #[schema(value_type = Option<String>, example = "user:alice")]
    subject: Option<SubjectRef>,
    /// When it was used. This decides the billing period, however late the event arrives.
    #[schema(value_type = String, format = "date-time")]
    time: Timestamp,
    /// `application/json`, if there is one.
    datacontenttype: Option<String>,
    /// How much, and of what.
    data: Option<Usage>,
    /// Binary data has no meaning here.
    #[serde(default, deserialize_with = "refused")]
    #[schema(ignore)]
    #[expect(dead_code, reason = "read to refuse it")]
    data_base64: (),
}

/// How much was used, and what else it can be told apart by.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = UsageData)]
pub(crate) struct Usage {
    /// How much: 0 to 10^15 with at most 12 digits after the point; 1 when left out.
    value: Option<Exact>,
    /// At most 16 names with their values.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    dimensions: Dimensions,
}

fn refused<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(serde::de::Error::custom("send the data as JSON, in `data`"))
}

/// An event of a batch as far as it could be read, so that one that is wrong does not hold up the others.
#[derive(Debug)]
pub(crate) struct Read {
    /// The event's own id, if it has one.
    pub(crate) id: Option<String>,
    /// The event's own source, if it has one.
    pub(crate) source: Option<String>,
    /// The event, or what is wrong with it.
    pub(crate) event: Result<UsageEvent, String>,
}

/// Reads an event that a tenant is to pay for.
pub(crate) fn read(tenant: TenantId, value: serde_json::Value) -> Read {
    let text = |name: &str| Some(value.get(name)?.as_str()?.chars().take(256).collect());
    let (id, source) = (text("id"), text("source"));
    let event = serde_path_to_error::deserialize::<_, CloudEvent>(value);
    let event = event.map_err(|error| mistake::describe("attribute", &error));
    Read { id, source, event: event.and_then(|event| event.into_usage(tenant)) }
}

impl CloudEvent {
    fn into_usage(self, tenant: TenantId) -> Result<UsageEvent, String> {
        if self.specversion != "1.0" {
            return Err("attribute `specversion`: use 1.0".to_owned());
        }
        if self
            .datacontenttype
            .is_some_and(|of| of.split(';').next().map(str::trim) != Some("application/json"))
        {
            return Err("attribute `datacontenttype`: use application/json".to_owned());
        }
        let data = self.data.unwrap_or_default();
        Ok(UsageEvent {
            tenant,
            source: self.source,
            id: self.id,
            meter: self.meter,
            subject: self.subject,
            time: self.time,
            value: data.value.map_or(Decimal::ONE, |value| value.0),
            dimensions: data.dimensions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(changes: &Value) -> Result<UsageEvent, String> {
        let mut event = json!({
            "specversion": "1.0", "id": "1", "source": "s", "type": "calls", "time": "2026-03-01T00:00:00Z",
        });
        for (name, value) in changes.as_object().unwrap() {
            event[name] = value.clone();
        }
        let tenant = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
        read(tenant, event).event
    }

    #[test]
    fn an_event_without_data_counts_as_one() {
        let event = event(
            &json!({"traceparent": "passed over", "datacontenttype": "application/json; charset=utf-8"}),
        );
        let event = event.unwrap();
        assert_eq!((event.value, event.meter.as_str()), (Decimal::ONE, "calls"));
        assert_eq!(event.time.to_string(), "2026-03-01T00:00:00.000000Z");
    }

    #[test]
    fn quantity_subject_and_dimensions_are_read() {
        let event = event(&json!({
            "subject": "user:alice",
            "data": {"value": "0.25", "dimensions": {"region": "eu"}},
        }));
        let event = event.unwrap();
        assert_eq!(event.value.to_string(), "0.25");
        assert_eq!(event.subject.unwrap().to_string(), "user:alice");
        assert_eq!(event.dimensions.get("region").unwrap().as_str(), "eu");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (changes, expected) in [
            (json!({"specversion": "0.3"}), "attribute `specversion`: use 1.0"),
            (json!({"datacontenttype": "text/plain"}), "attribute `datacontenttype`: use application/json"),
            (json!({"data_base64": "AA=="}), "attribute `data_base64`: send the data as JSON, in `data`"),
            (json!({"data": {"valeu": "1"}}), "attribute `data.valeu`: unknown field `valeu`"),
            (json!({"data": {"value": 0.1}}), "attribute `data.value`: invalid type: floating point `0.1`"),
            (json!({"type": "API"}), "attribute `type`: `API` is not a meter id"),
            (json!({"subject": "alice"}), "attribute `subject`: `alice` is not a subject"),
        ] {
            let problem = event(&changes).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }
}
