use bytes::Bytes;
use stanchion_core::Scope;
use stanchion_ratelimit::{CallerName, Decision, Request, RuleState};
use stanchion_tower::{Dialects, RateLimitFields, RateLimitPolicy};

/// How answers tell of rate limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitFields {
    /// In which fields.
    pub dialects: Dialects,
    /// Whether callers are told whom each limit takes them for.
    pub partition_keys: bool,
}

impl LimitFields {
    /// Tells what a decision about a request said.
    pub(crate) fn of(self, decision: &Decision, request: &Request<'_>) -> RateLimitFields {
        let fields = RateLimitFields::of([decision]);
        let mut fields = RateLimitFields { dialects: self.dialects, cost: Some(request.cost), ..fields };
        if self.partition_keys {
            for policy in &mut fields.policies {
                policy.partition_key = rule_of(policy, decision).map(|rule| {
                    Bytes::copy_from_slice(CallerName::of(rule.key, rule.scope, request).as_str().as_bytes())
                });
            }
        }
        fields
    }
}

/// Finds the rule that a policy tells of. Where a tenant has given its own the name of one of the platform's, that one's policy is called
/// `platform/`, and else it has the rule's name.
fn rule_of<'a>(policy: &RateLimitPolicy, decision: &'a Decision) -> Option<RuleState<'a>> {
    let (name, of_platform) = match policy.name.as_str().strip_prefix("platform/") {
        Some(name) => (name, true),
        None => (policy.name.as_str(), false),
    };
    let named = decision.rules().filter(|rule| rule.rule.as_str() == name);
    // The platform's come first, and a tenant's own hides what has the same name.
    if of_platform { named.into_iter().find(|rule| rule.scope == Scope::Platform) } else { named.last() }
}
