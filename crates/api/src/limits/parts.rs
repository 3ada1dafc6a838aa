use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use stanchion_core::Text;
use stanchion_ratelimit::{self as ratelimit, Action, Load};
use utoipa::ToSchema;

use crate::wire::Integer;

/// What a limit asks of an attribute of the request. Of `equals`, `one_of`, `prefix` and `cidr` there is exactly one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = LimitCondition)]
pub(super) struct Condition {
    /// The attribute: `method`, `host`, `path`, `ip`, `route`, `tenant`, `subject`, `api_key`.
    #[schema(value_type = String, example = "method")]
    pub(super) attribute: Text,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) equals: Option<Text>,
    /// Its value is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(super) one_of: Option<Vec<Text>>,
    /// How its value begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) prefix: Option<Text>,
    /// The network that the address lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) cidr: Option<IpNet>,
    /// Whether the opposite is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) not: bool,
}

/// From how many violations of one caller on a limit does something else.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = LimitRung)]
pub(super) struct Rung {
    /// The number of violations within the ladder's window, at least 2.
    pub(super) violations: u32,
    /// What happens from then on.
    #[schema(value_type = String)]
    pub(super) action: Action,
}

/// How a replica takes a limit in chunks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = LimitLease)]
pub(super) struct Lease {
    /// How many units are taken at a time, at most `limit` and `burst` together.
    pub(super) chunk: Integer,
    /// For how many seconds units that nobody asks for are kept from the other replicas, 1 to 3,600; 5 when left out.
    #[serde(default = "lease_ttl")]
    #[schema(required = false)]
    pub(super) ttl_seconds: u32,
}

const fn lease_ttl() -> u32 {
    5
}

/// How a limit shrinks as the load grows; loads are thousandths of what can be borne.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = LimitAdaptive)]
pub(super) struct Adaptive {
    /// What is left of it under full load, 1 to 100 percent.
    pub(super) floor_percent: u8,
    /// The load from which it shrinks; 500 when left out.
    #[serde(default = "half")]
    #[schema(required = false)]
    pub(super) starts_at: u16,
    /// The load from which no more than the floor is left; 1000 when left out.
    #[serde(default = "full")]
    #[schema(required = false)]
    pub(super) full_at: u16,
}

const fn half() -> u16 {
    500
}

const fn full() -> u16 {
    1_000
}

impl From<Adaptive> for ratelimit::Adaptive {
    fn from(adaptive: Adaptive) -> Self {
        let Adaptive { floor_percent, starts_at, full_at } = adaptive;
        let (starts_at, full_at) = (Load::from_permille(starts_at), Load::from_permille(full_at));
        Self { floor_percent, starts_at, full_at }
    }
}

impl From<ratelimit::Adaptive> for Adaptive {
    fn from(adaptive: ratelimit::Adaptive) -> Self {
        let ratelimit::Adaptive { floor_percent, starts_at, full_at } = adaptive;
        Self { floor_percent, starts_at: starts_at.permille(), full_at: full_at.permille() }
    }
}

impl From<Condition> for ratelimit::Condition {
    fn from(condition: Condition) -> Self {
        let Condition { attribute, equals, one_of, prefix, cidr, not } = condition;
        Self { attribute, equals, one_of, prefix, cidr, not }
    }
}

impl From<ratelimit::Condition> for Condition {
    fn from(condition: ratelimit::Condition) -> Self {
        let ratelimit::Condition { attribute, equals, one_of, prefix, cidr, not } = condition;
        Self { attribute, equals, one_of, prefix, cidr, not }
    }
}
