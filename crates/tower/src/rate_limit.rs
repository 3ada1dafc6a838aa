use std::fmt::Write as _;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use stanchion_core::{Text, Timestamp};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// One limit, as a client may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitPolicy {
    /// The rule's name: visible ASCII without `"` and `\`.
    pub name: Text,
    /// How many requests the window takes.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// The length of the window.
    pub window: Duration,
    /// How long until the limit is fully restored.
    pub reset_after: Duration,
}

/// What a response says of rate limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimitFields {
    /// Every limit that was looked at, the tightest first.
    pub policies: Vec<RateLimitPolicy>,
    /// When to come back, for a request that was refused.
    pub retry_after: Option<Duration>,
}

impl RateLimitFields {
    /// Writes the fields into a response of the instant `now`.
    ///
    /// `RateLimit` and `RateLimit-Policy` follow draft-ietf-httpapi-ratelimit-headers-10; `X-RateLimit-Limit`, `-Remaining` and
    /// `-Reset` (Unix seconds) tell the tightest limit to older clients. Seconds are rounded up, so that a client that waits as told
    /// is not refused again.
    pub fn write(&self, headers: &mut HeaderMap, now: Timestamp) {
        if let Some(tightest) = self.policies.first() {
            headers.insert(LIMIT, tightest.limit.into());
            headers.insert(REMAINING, tightest.remaining.into());
            let reset = now.plus(tightest.reset_after);
            headers.insert(RESET, ceil_seconds(Duration::from_micros(reset.micros().unsigned_abs())).into());
            let (mut state, mut policy) = (String::with_capacity(48), String::with_capacity(48));
            for (index, limit) in self.policies.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                let (name, reset) = (&limit.name, ceil_seconds(limit.reset_after));
                // Writing to a string cannot fail.
                let _ = write!(state, "{comma}\"{name}\";r={};t={reset}", limit.remaining);
                let window = ceil_seconds(limit.window);
                let _ = write!(policy, "{comma}\"{name}\";q={};w={window}", limit.limit);
            }
            if let (Ok(state), Ok(policy)) = (HeaderValue::try_from(state), HeaderValue::try_from(policy)) {
                headers.insert(RATE_LIMIT, state);
                headers.insert(RATE_LIMIT_POLICY, policy);
            }
        }
        if let Some(retry_after) = self.retry_after {
            headers.insert(RETRY_AFTER, ceil_seconds(retry_after).max(1).into());
        }
    }
}

fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_told_and_the_tightest_also_to_older_clients() {
        let policy = |name: &'static str, limit, remaining, window, reset_after| RateLimitPolicy {
            name: name.into(),
            limit,
            remaining,
            window: Duration::from_secs(window),
            reset_after: Duration::from_millis(reset_after),
        };
        let fields = RateLimitFields {
            policies: vec![policy("burst", 5, 0, 1, 200), policy("day", 1000, 990, 86_400, 43_200_000)],
            retry_after: Some(Duration::from_millis(1)),
        };
        let mut headers = HeaderMap::new();
        fields.write(&mut headers, Timestamp::from_micros(1_000_000_900_000));
        assert_eq!(headers["ratelimit"], r#""burst";r=0;t=1, "day";r=990;t=43200"#);
        assert_eq!(headers["ratelimit-policy"], r#""burst";q=5;w=1, "day";q=1000;w=86400"#);
        assert_eq!(headers["x-ratelimit-limit"], "5");
        assert_eq!(headers["x-ratelimit-remaining"], "0");
        assert_eq!(
            headers["x-ratelimit-reset"], "1000002",
            "1 000 000.9 s + 0.2 s = 1 000 001.1 s, rounded up"
        );
        assert_eq!(headers["retry-after"], "1");
    }
}
