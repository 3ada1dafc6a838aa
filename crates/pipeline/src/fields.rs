use stanchion_core::Text;
use stanchion_ratelimit::{Action, Decision, Verdict};
use stanchion_tower::{RateLimitFields, RateLimitPolicy};

/// Tells a client what the limits said: every rule that was looked at, the tightest first.
pub(crate) fn rate_limit_fields(decision: &Decision) -> RateLimitFields {
    let mut policies = Vec::with_capacity(8);
    let told = decision.rules().filter(|rule| !rule.shadow && rule.action != Action::Allow).map(|rule| {
        let name = Text::from(rule.rule.shared());
        RateLimitPolicy {
            window: Some(rule.window),
            retry_after: rule.retry_after,
            ..RateLimitPolicy::new(name, rule.limit, rule.remaining, rule.reset_after)
        }
    });
    policies.extend(told);
    policies.sort_by(|a, b| {
        // a.remaining / a.limit against b.remaining / b.limit, without dividing.
        let (left, right) =
            (u128::from(a.remaining) * u128::from(b.limit), u128::from(b.remaining) * u128::from(a.limit));
        left.cmp(&right)
    });
    let retry_after = match decision.verdict {
        Verdict::Admitted => None,
        Verdict::Refused { retry_after, .. } => retry_after,
    };
    RateLimitFields { policies, retry_after, ..RateLimitFields::default() }
}
