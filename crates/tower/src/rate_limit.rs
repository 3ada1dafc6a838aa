mod dialect;

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use sfv::{Integer, KeyRef, ListSerializer, StringRef};
use stanchion_core::{Random, Text, Timestamp};

pub use dialect::{Dialect, Dialects, InvalidDialects};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const AVAILABLE: &KeyRef = KeyRef::constant("a");
const COST: &KeyRef = KeyRef::constant("c");
const PARTITION_KEY: &KeyRef = KeyRef::constant("pk");
const QUOTA: &KeyRef = KeyRef::constant("q");
const QUOTA_UNIT: &KeyRef = KeyRef::constant("qu");
const REMAINS: &KeyRef = KeyRef::constant("r");
const TIME: &KeyRef = KeyRef::constant("t");
const WINDOW: &KeyRef = KeyRef::constant("w");

/// The most that a structured field's integer holds: 15 digits (RFC 9651 §3.3.1).
const MOST: u64 = 999_999_999_999_999;

/// One limit, as a client may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitPolicy {
    /// The rule's name. A structured field can hold only printable ASCII: a policy with another name is left out of it.
    pub name: Text,
    /// How much the window takes.
    pub limit: u64,
    /// What is counted.
    pub unit: QuotaUnit,
    /// The length of the window, if there is one.
    pub window: Option<Duration>,
    /// How much is left.
    pub remaining: u64,
    /// How long until the limit is fully restored.
    pub reset_after: Duration,
    /// How long until the request would fit that this limit refuses; `None` when it does not refuse it.
    pub retry_after: Option<Duration>,
    /// Which part of the quota the request draws on, if clients are to tell the parts apart. It must not give anything away.
    pub partition_key: Option<Bytes>,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QuotaUnit {
    /// Requests, or whatever they cost.
    #[default]
    Requests,
    /// Bytes of content.
    ContentBytes,
    /// Requests at the same time.
    ConcurrentRequests,
}

impl QuotaUnit {
    /// What the field says; nothing for the unit that is meant without a word.
    const fn named(self) -> Option<&'static StringRef> {
        match self {
            Self::Requests => None,
            Self::ContentBytes => Some(StringRef::constant("content-bytes")),
            Self::ConcurrentRequests => Some(StringRef::constant("concurrent-requests")),
        }
    }
}

impl RateLimitPolicy {
    /// States a limit on requests that has no window.
    #[must_use]
    pub fn new(name: impl Into<Text>, limit: u64, remaining: u64, reset_after: Duration) -> Self {
        Self {
            name: name.into(),
            limit,
            unit: QuotaUnit::Requests,
            window: None,
            remaining,
            reset_after,
            retry_after: None,
            partition_key: None,
        }
    }

    /// How long until more is left: all of it, or where that is not enough for the request, as much as it takes.
    fn more_after(&self) -> u64 {
        seconds(self.retry_after.unwrap_or(self.reset_after))
    }
}

/// What a response says of rate limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimitFields {
    /// Every limit that was looked at, the tightest first.
    pub policies: Vec<RateLimitPolicy>,
    /// When to come back, for a request that was refused.
    pub retry_after: Option<Duration>,
    /// How much the request counts, for the dialects that tell it.
    pub cost: Option<u64>,
    /// How to say it.
    pub dialects: Dialects,
}

/// What becomes of fields that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Present {
    Replace,
    Join,
}

impl RateLimitFields {
    /// Puts off every time to come back by the same random part of `most`, so that not all clients come back at the same moment.
    pub fn spread(&mut self, most: Duration, random: &dyn Random) {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        let part = most.as_micros().saturating_mul(u64::from_le_bytes(bytes).into()) >> u64::BITS;
        let later = Duration::from_micros(u64::try_from(part).unwrap_or(u64::MAX));
        let put_off = |time: &mut Duration| *time = time.saturating_add(later);
        for policy in &mut self.policies {
            put_off(&mut policy.reset_after);
            policy.retry_after.as_mut().map(put_off);
        }
        self.retry_after.as_mut().map(put_off);
    }

    /// Writes the fields into a response of the instant `now`, over those that are there.
    ///
    /// Seconds are rounded up, so that a client that waits as told is not refused again. `Retry-After` is at least one second, and
    /// not earlier than any limit that refuses says it has more.
    pub fn write(&self, headers: &mut HeaderMap, now: Timestamp) {
        self.put(headers, now, Present::Replace);
    }

    /// Writes the fields as [`write`](Self::write) does, beside those of limits further in: lists go on, and of the tightest limits
    /// the tighter stays.
    pub fn join(&self, headers: &mut HeaderMap, now: Timestamp) {
        self.put(headers, now, Present::Join);
    }

    fn put(&self, headers: &mut HeaderMap, now: Timestamp, present: Present) {
        if let (Some(dialect), Some(tightest)) = (self.dialects.legacy(), self.policies.first())
            && (present == Present::Replace || !is_as_tight(headers, tightest))
        {
            let reset = match dialect {
                Dialect::LegacyDelta => seconds(tightest.reset_after),
                _ => {
                    let reset = now.plus(tightest.reset_after);
                    seconds(Duration::from_micros(reset.micros().unsigned_abs()))
                }
            };
            headers.insert(LIMIT, tightest.limit.into());
            headers.insert(REMAINING, tightest.remaining.into());
            headers.insert(RESET, reset.into());
        }
        if let Some((limits, policies)) = self.dialects.standard().and_then(|dialect| self.lists(dialect)) {
            match present {
                Present::Replace => {
                    headers.insert(RATE_LIMIT, limits);
                    headers.insert(RATE_LIMIT_POLICY, policies);
                }
                Present::Join => {
                    headers.append(RATE_LIMIT, limits);
                    headers.append(RATE_LIMIT_POLICY, policies);
                }
            }
        }
        if let Some(retry_after) = self.retry_after {
            let refusing = self.policies.iter().filter(|policy| policy.retry_after.is_some());
            let latest = refusing.map(RateLimitPolicy::more_after).max().unwrap_or(0);
            headers.insert(RETRY_AFTER, seconds(retry_after).max(latest).max(1).into());
        }
    }

    /// The values of `RateLimit` and `RateLimit-Policy`; `None` when there is nothing that they could hold.
    fn lists(&self, dialect: Dialect) -> Option<(HeaderValue, HeaderValue)> {
        let (remains, time, cost) = match dialect {
            Dialect::Pull166 => (AVAILABLE, WINDOW, self.cost),
            _ => (REMAINS, TIME, None),
        };
        let space = || String::with_capacity(self.policies.len().saturating_mul(32));
        let (mut limits, mut policies) = (space(), space());
        let mut limit_list = ListSerializer::with_buffer(&mut limits);
        let mut policy_list = ListSerializer::with_buffer(&mut policies);
        for policy in &self.policies {
            let Ok(name) = StringRef::from_str(policy.name.as_str()) else { continue };
            let partition_key = policy.partition_key.as_deref();

            let mut limit = limit_list.bare_item(name);
            limit = limit.parameter(remains, integer(policy.remaining));
            limit = limit.parameter(time, integer(policy.more_after()));
            limit = limit.parameters(partition_key.map(|key| (PARTITION_KEY, key)));
            let _ = limit.parameters(cost.map(|cost| (COST, integer(cost))));

            let mut stated = policy_list.bare_item(name).parameter(QUOTA, integer(policy.limit));
            stated = stated.parameters(policy.unit.named().map(|unit| (QUOTA_UNIT, unit)));
            // A window is never zero (draft §3.1.3).
            let window = policy.window.map(|window| integer(seconds(window).max(1)));
            stated = stated.parameters(window.map(|window| (WINDOW, window)));
            let _ = stated.parameters(partition_key.map(|key| (PARTITION_KEY, key)));
        }
        limit_list.finish().zip(policy_list.finish())?;
        HeaderValue::try_from(limits).ok().zip(HeaderValue::try_from(policies).ok())
    }
}

/// Whether `X-RateLimit-*` tell already of a limit that is as tight as this one.
fn is_as_tight(headers: &HeaderMap, policy: &RateLimitPolicy) -> bool {
    let number = |name| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let Some((limit, remaining)) = number(LIMIT).zip(number(REMAINING)) else { return false };
    u128::from(remaining) * u128::from(policy.limit) <= u128::from(policy.remaining) * u128::from(limit)
}

fn integer(value: u64) -> Integer {
    Integer::try_from(value).unwrap_or(Integer::MAX)
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).min(MOST)
}

#[cfg(test)]
mod tests;
