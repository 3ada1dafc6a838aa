use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use stanchion_pipeline::{LimitFields, UpstreamId};
use stanchion_tower::Dialects;

/// The data plane's listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where to listen.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub listen: SocketAddr,
    /// Networks of proxies whose `X-Forwarded-For` is believed. Empty: nobody's.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub trusted_proxies: Vec<IpNet>,
    /// The most connections at once, 1 to 1,000,000. Further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// How long a connection may take to deliver a request's head, and may idle between requests, in milliseconds.
    pub head_timeout_ms: u64,
    /// How long a body may stall, in either direction, in milliseconds.
    pub body_stall_timeout_ms: u64,
    /// The largest head of a request, in bytes, 8,192 to 1,048,576.
    pub max_head_bytes: usize,
    /// The most header fields of a request, 1 to 1,000.
    pub max_headers: usize,
    /// How answers tell of rate limits: `legacy_unix` or `legacy_delta` for `X-RateLimit-*`, `draft10` or `pull166` for `RateLimit` and
    /// `RateLimit-Policy`; one of each at most. `[]` leaves only `Retry-After`.
    pub rate_limit_headers: Dialects,
    /// Whether `RateLimit` and `RateLimit-Policy` tell callers, as the partition key `pk`, whom the server takes them for: their own
    /// tenant, subject, key, address and route, as far as the limit counts by them.
    pub rate_limit_partition_keys: bool,
    /// How long running exchanges may take to end when the process is told to stop, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            trusted_proxies: Vec::new(),
            max_connections: 10_000,
            head_timeout_ms: 30_000,
            body_stall_timeout_ms: 30_000,
            max_head_bytes: 32 * 1024,
            max_headers: 100,
            rate_limit_headers: Dialects::default(),
            rate_limit_partition_keys: false,
            drain_timeout_ms: 30_000,
        }
    }
}

impl GatewayConfig {
    /// Checks every bound.
    ///
    /// # Errors
    /// One sentence for each value that is out of its range.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let mut within = |name: &str, value: u64, least: u64, most: u64| {
            if !(least..=most).contains(&value) {
                problems.push(format!("gateway.{name} is {value}; it must be {least} to {most}"));
            }
        };
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        within("max_connections", size(self.max_connections), 1, 1_000_000);
        within("head_timeout_ms", self.head_timeout_ms, 1, 3_600_000);
        within("body_stall_timeout_ms", self.body_stall_timeout_ms, 1, 3_600_000);
        within("max_head_bytes", size(self.max_head_bytes), 8_192, 1_048_576);
        within("max_headers", size(self.max_headers), 1, 1_000);
        within("drain_timeout_ms", self.drain_timeout_ms, 0, 3_600_000);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Returns how answers tell of rate limits.
    #[must_use]
    pub const fn limit_fields(&self) -> LimitFields {
        LimitFields { dialects: self.rate_limit_headers, partition_keys: self.rate_limit_partition_keys }
    }

    /// Returns how long a body may stall.
    #[must_use]
    pub const fn body_stall(&self) -> Duration {
        Duration::from_millis(self.body_stall_timeout_ms)
    }
}

/// Where the requests of some routes go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// The upstream's name, as routes call it.
    pub id: UpstreamId,
    /// Its endpoints, `http://HOST[:PORT]`, taken in turn. One that refuses a connection is left out for a second.
    pub endpoints: Vec<String>,
    /// How long a connection may take to be made, in milliseconds.
    #[serde(default = "UpstreamConfig::default_connect_timeout")]
    pub connect_timeout_ms: u64,
    /// How long an unused connection is kept, in milliseconds. Keep it below the upstream's own keep-alive time.
    #[serde(default = "UpstreamConfig::default_idle_timeout")]
    pub idle_timeout_ms: u64,
}

impl UpstreamConfig {
    const fn default_connect_timeout() -> u64 {
        2_000
    }

    const fn default_idle_timeout() -> u64 {
        4_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        let config = GatewayConfig { max_headers: 0, max_head_bytes: 100, ..GatewayConfig::default() };
        assert_eq!(
            config.validate().unwrap_err(),
            [
                "gateway.max_head_bytes is 100; it must be 8192 to 1048576",
                "gateway.max_headers is 0; it must be 1 to 1000"
            ]
        );
        assert_eq!(GatewayConfig::default().validate(), Ok(()));
    }
}
