use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use stanchion_core::{SubjectKind, SubjectRef, TenantId, Text, Timestamp};

use crate::decimal::{self, to_units};
use crate::dimensions::is_plain;
use crate::{Dimensions, MeterId, Rejection};

/// Something that was used, as its producer reports it.
///
/// `(tenant, source, id)` identifies the event for ever: sent again it is a duplicate and not counted, and with anything else
/// changed it is a conflict and not counted either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageEvent {
    /// Who pays for it.
    pub tenant: TenantId,
    /// Who reports it, 1 to 256 bytes without control characters.
    pub source: Text,
    /// The producer's id of the event, unique within its source; 1 to 256 bytes without control characters.
    pub id: Text,
    /// What was used.
    pub meter: MeterId,
    /// Who used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectRef>,
    /// When it was used. This decides the billing period, however late the event arrives.
    pub time: Timestamp,
    /// How much was used, 0 to [`UsageEvent::MAX_VALUE`] with at most 12 digits after the point. A meter that counts looks only at
    /// the event.
    #[serde(with = "decimal::exact")]
    pub value: Decimal,
    /// What else it can be told apart by: at most 16 names of 1 to 64 bytes with values of 0 to 256, without control characters.
    #[serde(default, skip_serializing_if = "Dimensions::is_empty")]
    pub dimensions: Dimensions,
}

impl UsageEvent {
    /// The largest value of one event: 10^15.
    pub const MAX_VALUE: u64 = 1_000_000_000_000_000;

    /// States a use without subject and dimensions.
    #[must_use]
    pub fn new(
        tenant: TenantId,
        source: impl Into<Text>,
        id: impl Into<Text>,
        meter: MeterId,
        time: Timestamp,
        value: Decimal,
    ) -> Self {
        let (source, id) = (source.into(), id.into());
        Self { tenant, source, id, meter, subject: None, time, value, dimensions: Dimensions::default() }
    }

    /// Says who used it.
    #[must_use]
    pub fn with_subject(self, subject: SubjectRef) -> Self {
        Self { subject: Some(subject), ..self }
    }

    /// Says what else it can be told apart by.
    #[must_use]
    pub fn with_dimensions(self, dimensions: Dimensions) -> Self {
        Self { dimensions, ..self }
    }

    /// Checks everything about the event that depends on nothing else.
    ///
    /// # Errors
    /// The [`Rejection`] that names the broken rule.
    pub fn check(&self) -> Result<(), Rejection> {
        if !is_plain(self.source.as_str(), 1, 256) {
            Err(Rejection::InvalidSource)
        } else if !is_plain(self.id.as_str(), 1, 256) {
            Err(Rejection::InvalidId)
        } else if !self.dimensions.are_within_bounds() {
            Err(Rejection::InvalidDimensions)
        } else if self.value < Decimal::ZERO {
            Err(Rejection::NegativeValue)
        } else if self.value > Decimal::from(Self::MAX_VALUE) || to_units(self.value).is_none() {
            Err(Rejection::ValueOutOfRange)
        } else {
            Ok(())
        }
    }

    /// Appends the bytes that identify the event: tenant, source and id, each length before its text, so that no two events share
    /// them by accident of where one part ends. The format is fixed; stores may keep hashes of it.
    pub fn encode_key(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.tenant.uuid().as_bytes());
        push_text(bytes, self.source.as_str());
        push_text(bytes, self.id.as_str());
    }

    /// Appends the bytes of everything else, equal exactly for events with an equal payload: `1.50` is `1.5`. The format is fixed;
    /// stores may keep hashes of it.
    pub fn encode_payload(&self, bytes: &mut Vec<u8>) {
        push_text(bytes, self.meter.as_str());
        match &self.subject {
            None => bytes.push(0),
            Some(subject) => {
                bytes.push(match subject.kind() {
                    SubjectKind::User => 1,
                    SubjectKind::Service => 2,
                    SubjectKind::Group => 3,
                });
                push_text(bytes, subject.id().as_str());
            }
        }
        bytes.extend_from_slice(&self.time.micros().to_le_bytes());
        let value = self.value.normalize();
        bytes.extend_from_slice(&value.scale().to_le_bytes());
        bytes.extend_from_slice(&value.mantissa().to_le_bytes());
        for (name, text) in self.dimensions.iter() {
            push_text(bytes, name.as_str());
            push_text(bytes, text.as_str());
        }
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(source: &'static str, id: &'static str, value: &str) -> UsageEvent {
        let tenant = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
        let value = Decimal::from_str_exact(value).unwrap();
        UsageEvent::new(tenant, source, id, MeterId::new("calls").unwrap(), Timestamp::EPOCH, value)
    }

    fn key(event: &UsageEvent) -> Vec<u8> {
        let mut bytes = Vec::new();
        event.encode_key(&mut bytes);
        bytes
    }

    fn payload(event: &UsageEvent) -> Vec<u8> {
        let mut bytes = Vec::new();
        event.encode_payload(&mut bytes);
        bytes
    }

    #[test]
    fn keys_that_a_separator_would_join_differ() {
        assert_ne!(key(&event("a-b", "c", "1")), key(&event("a", "b-c", "1")));
        assert_ne!(key(&event("ab", "c", "1")), key(&event("a", "bc", "1")));
    }

    #[test]
    fn equal_payloads_have_equal_bytes_and_others_differ() {
        let one = event("a", "1", "1.50");
        assert_eq!(payload(&one), payload(&event("b", "2", "1.5")), "source and id are not of the payload");
        let subject = SubjectRef::user("alice").unwrap();
        let dimensions = Dimensions::from_iter([("route", "chat")]);
        let others = [
            event("a", "1", "1.51"),
            event("a", "1", "15"),
            UsageEvent { meter: MeterId::new("bytes").unwrap(), ..one.clone() },
            UsageEvent { time: Timestamp::from_micros(1), ..one.clone() },
            one.clone().with_subject(subject),
            one.clone().with_subject(SubjectRef::service("alice").unwrap()),
            one.clone().with_dimensions(dimensions),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(payload(&one), payload(other), "{index}");
        }
    }

    #[test]
    fn the_format_of_the_bytes_is_fixed() {
        let event = event("gateway", "7", "1.5").with_dimensions(Dimensions::from_iter([("a", "b")]));
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(key(&event)),
            "0192f0c123457abc8def0123456789ab0700000000000000676174657761790100000000000000\
             37"
        );
        assert_eq!(
            hex(payload(&event)),
            "050000000000000063616c6c73000000000000000000010000000f000000000000000000000000000000\
             0100000000000000610100000000000000\
             62"
        );
    }

    #[test]
    fn a_broken_event_is_named() {
        assert_eq!(event("a", "1", "1").check(), Ok(()));
        assert_eq!(event("a", "1", "1000000000000000").check(), Ok(()));
        assert_eq!(event("", "1", "1").check(), Err(Rejection::InvalidSource));
        assert_eq!(event("a", "1\n", "1").check(), Err(Rejection::InvalidId));
        let bad = event("a", "1", "1").with_dimensions(Dimensions::from_iter([("", "")]));
        assert_eq!(bad.check(), Err(Rejection::InvalidDimensions));
        assert_eq!(event("a", "1", "-1").check(), Err(Rejection::NegativeValue));
        assert_eq!(event("a", "1", "1000000000000000.1").check(), Err(Rejection::ValueOutOfRange));
        assert_eq!(event("a", "1", "0.0000000000001").check(), Err(Rejection::ValueOutOfRange));
    }

    #[test]
    fn json_keeps_decimals_as_text_and_refuses_fractions_as_numbers() {
        let json = serde_json::to_string(&event("a", "1", "0.10")).unwrap();
        assert_eq!(
            json,
            r#"{"tenant":"0192f0c1-2345-7abc-8def-0123456789ab","source":"a","id":"1","meter":"calls","time":"1970-01-01T00:00:00.000000Z","value":"0.10"}"#
        );
        assert_eq!(serde_json::from_str::<UsageEvent>(&json).unwrap(), event("a", "1", "0.1"));
        let with = |value: &str| serde_json::from_str::<UsageEvent>(&json.replace("\"0.10\"", value));
        assert_eq!(with("2").unwrap().value, Decimal::TWO);
        assert!(with("0.1").is_err());
        assert!(with("\"1e400\"").is_err());
    }
}
