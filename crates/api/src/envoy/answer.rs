use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use stanchion_core::{Text, Timestamp};
use stanchion_ratelimit::{Decision, RuleId, RuleState, Verdict};
use stanchion_tower::RateLimitFields;

use super::decide::{Decided, Outcome};
use super::messages::{self, Code, DescriptorStatus, HeaderValue, RateLimit, RateLimitResponse, Unit, Value};

/// Answers a request whose descriptors are decided, one way or the other.
pub(super) fn answer(decided: &[Decided], code: Code, headers: bool, now: Timestamp) -> RateLimitResponse {
    RateLimitResponse {
        overall_code: code.into(),
        statuses: decided.iter().map(status).collect(),
        response_headers_to_add: if headers { fields(decided, now) } else { Vec::new() },
        dynamic_metadata: decided.iter().flat_map(|decided| &decided.decisions).find_map(metadata),
    }
}

fn status(decided: &Decided) -> DescriptorStatus {
    let code = match decided.outcome {
        Outcome::Admitted => Code::Ok,
        Outcome::OverLimit => Code::OverLimit,
        Outcome::Unavailable => Code::Unknown,
    };
    let Some(told) = tightest(&decided.decisions) else {
        return DescriptorStatus { code: code.into(), ..DescriptorStatus::default() };
    };
    DescriptorStatus {
        code: code.into(),
        current_limit: Some(RateLimit {
            requests_per_unit: narrow(told.limit),
            unit: unit(told.window).into(),
            name: told.rule.to_string(),
        }),
        limit_remaining: narrow(told.remaining),
        duration_until_reset: Some(duration(told.reset_after)),
    }
}

/// The limit that a client is best told about: the one that refused, else the one with the least left.
fn tightest(decisions: &[Decision]) -> Option<RuleState<'_>> {
    match decisions.last() {
        Some(decision) if !decision.is_admitted() => decision.most_restrictive(),
        _ => {
            let told = decisions.iter().filter_map(Decision::most_restrictive);
            told.min_by_key(|state| (state.remaining, std::cmp::Reverse(state.reset_after)))
        }
    }
}

/// What Envoy calls a window, if it has a word for it. Days and months of the calendar differ in length.
fn unit(window: Duration) -> Unit {
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
    match window.as_secs() {
        1 => Unit::Second,
        60 => Unit::Minute,
        HOUR => Unit::Hour,
        seconds if (DAY - HOUR..=DAY + HOUR).contains(&seconds) => Unit::Day,
        seconds if (28 * DAY - HOUR..=31 * DAY + HOUR).contains(&seconds) => Unit::Month,
        seconds if (365 * DAY - HOUR..=366 * DAY + HOUR).contains(&seconds) => Unit::Year,
        _ => Unit::Unknown,
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Whole seconds, rounded up: Envoy tells clients the seconds alone, and who waits as told is not to be refused again.
fn duration(duration: Duration) -> messages::Duration {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    messages::Duration { seconds: i64::try_from(seconds).unwrap_or(i64::MAX) }
}

fn fields(decided: &[Decided], now: Timestamp) -> Vec<HeaderValue> {
    let mut fields = RateLimitFields::of(decided.iter().flat_map(|decided| &decided.decisions));
    // A limit that several descriptors have looked at is told once, as it stands for the one with the least left.
    let mut told: Vec<Text> = Vec::with_capacity(fields.policies.len());
    fields.policies.retain(|policy| {
        let is_new = !told.contains(&policy.name);
        if is_new {
            told.push(policy.name.clone());
        }
        is_new
    });
    let mut headers = HeaderMap::new();
    fields.write(&mut headers, now);
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        Some(HeaderValue { key: name.as_str().to_owned(), value: value.to_str().ok()?.to_owned() })
    };
    headers.iter().filter_map(field).collect()
}

/// What the rule that refused is, for Envoy's access log.
fn metadata(decision: &Decision) -> Option<messages::Struct> {
    let Verdict::Refused { action, rule, scope, reason, .. } = &decision.verdict else { return None };
    let texts = [
        ("rule", rule.as_ref().map_or("", RuleId::as_str).to_owned()),
        ("scope", scope.to_string()),
        ("reason", reason.as_str().to_owned()),
        ("action", action.as_str().to_owned()),
    ];
    let value = |text| Value { string_value: Some(text) };
    let fields: BTreeMap<String, Value> =
        texts.into_iter().map(|(name, text)| (name.to_owned(), value(text))).collect();
    Some(messages::Struct { fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_months_and_years_of_the_calendar_have_envoys_word_whatever_their_length() {
        const HOUR: u64 = 3_600;
        for (hours, word) in [
            (1, Unit::Hour),
            (2, Unit::Unknown),
            // Clocks go forward, and back.
            (23, Unit::Day),
            (24, Unit::Day),
            (25, Unit::Day),
            (48, Unit::Unknown),
            (27 * 24, Unit::Unknown),
            (28 * 24, Unit::Month),
            (31 * 24 - 1, Unit::Month),
            (31 * 24 + 1, Unit::Month),
            (32 * 24, Unit::Unknown),
            (365 * 24, Unit::Year),
            (366 * 24, Unit::Year),
        ] {
            assert_eq!(unit(Duration::from_secs(hours * HOUR)), word, "{hours} h");
        }
    }
}
