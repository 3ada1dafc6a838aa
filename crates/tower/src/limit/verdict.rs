use stanchion_core::{Problem, ProblemCode, Scope, Text};
use stanchion_ratelimit::{Action, Challenge, Decision, Reason, RuleId, RuleState, Verdict};

use crate::{QuotaUnit, RateLimitFields, RateLimitPolicy};

/// Says to a caller why the limits refuse its request; `None` when they do not.
#[must_use]
pub fn limit_problem(verdict: &Verdict) -> Option<Problem> {
    let Verdict::Refused { action, rule, reason, .. } = verdict else { return None };
    let rule = rule.as_ref().map_or("", RuleId::as_str);
    Some(match (reason, action) {
        (Reason::BackendFailure, _) => ProblemCode::BackendUnavailable.into(),
        (Reason::Quarantined, _) => ProblemCode::Quarantined.into(),
        (Reason::MissingIdentifier, _) => Problem::new(
            ProblemCode::Forbidden,
            format!("the limit `{rule}` needs an identity that this request lacks"),
        ),
        (Reason::Exceeded, Action::Captcha) => Problem::new(
            ProblemCode::ChallengeRequired,
            format!("the limit `{rule}` is used up; solve a challenge to go on"),
        ),
        (Reason::Exceeded, Action::Quarantine) => Problem::new(
            ProblemCode::Quarantined,
            format!("the limit `{rule}` was exceeded, and its caller is shut out for a while"),
        ),
        (Reason::Exceeded, Action::Allow | Action::Throttle | Action::Block) => {
            Problem::new(ProblemCode::RateLimited, format!("the limit `{rule}` is used up"))
        }
    })
}

/// Adds to a problem what its caller has to solve: `challenge`, the kind, and `challenge_…`, what solving it takes.
pub fn add_challenge(problem: &mut Problem, challenge: Challenge) {
    problem.members.push(("challenge".into(), challenge.kind));
    let named = |(name, value)| (Text::from(format!("challenge_{name}")), value);
    problem.members.extend(challenge.details.into_iter().map(named));
}

/// A policy that is told, on its way into order.
struct Told {
    exceeded: bool,
    of_platform: bool,
    policy: RateLimitPolicy,
}

impl RateLimitFields {
    /// Tells what decisions about one request said: every rule that can refuse, those that do first, then the tightest.
    pub fn of<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Self {
        let mut told = Vec::with_capacity(8);
        let mut retry_after = None;
        for decision in decisions {
            if let Verdict::Refused { retry_after: wait, .. } = decision.verdict {
                retry_after = wait;
            }
            let in_force = decision.rules().filter(|rule| !rule.shadow && rule.action != Action::Allow);
            told.extend(in_force.map(Told::from));
        }
        told.sort_by(|a, b| {
            let (a, b, is_worse) = (&a.policy, &b.policy, b.exceeded.cmp(&a.exceeded));
            // a.remaining / a.limit against b.remaining / b.limit, without dividing.
            let left = u128::from(a.remaining) * u128::from(b.limit);
            let right = u128::from(b.remaining) * u128::from(a.limit);
            is_worse.then_with(|| left.cmp(&right))
        });
        tell_apart(&mut told);
        let policies = told.into_iter().map(|told| told.policy).collect();
        Self { policies, retry_after, ..Self::default() }
    }
}

impl From<RuleState<'_>> for Told {
    fn from(rule: RuleState<'_>) -> Self {
        let name = Text::from(rule.rule.shared());
        let policy = RateLimitPolicy {
            unit: if rule.concurrent { QuotaUnit::ConcurrentRequests } else { QuotaUnit::Requests },
            window: (!rule.concurrent).then_some(rule.window),
            retry_after: rule.retry_after,
            ..RateLimitPolicy::new(name, rule.limit, rule.remaining, rule.reset_after)
        };
        Self { exceeded: rule.exceeded, of_platform: rule.scope == Scope::Platform, policy }
    }
}

/// A tenant may give a rule the name of one of the platform's; a client knows policies by nothing but their name.
fn tell_apart(told: &mut [Told]) {
    let is_taken = |one: &Told| {
        one.of_platform && told.iter().any(|own| !own.of_platform && own.policy.name == one.policy.name)
    };
    let taken: Vec<usize> =
        (0..).zip(&*told).filter(|(_, one)| is_taken(one)).map(|(place, _)| place).collect();
    for place in taken {
        if let Some(one) = told.get_mut(place) {
            one.policy.name = format!("platform/{}", one.policy.name).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_refusal_has_its_code_and_names_its_rule() {
        let check = |action, reason, code, named| {
            let rule = Some(RuleId::new("burst").unwrap());
            let retry_after = Some(Duration::from_secs(1));
            let verdict = Verdict::Refused { action, rule, scope: Scope::Platform, reason, retry_after };
            let problem = limit_problem(&verdict).unwrap();
            assert_eq!(problem.code, code);
            let detail = problem.detail.as_ref().map_or("", AsRef::as_ref);
            assert_eq!(detail.contains("`burst`"), named, "{detail}");
        };
        for action in [Action::Allow, Action::Throttle, Action::Block] {
            check(action, Reason::Exceeded, ProblemCode::RateLimited, true);
        }
        check(Action::Captcha, Reason::Exceeded, ProblemCode::ChallengeRequired, true);
        check(Action::Quarantine, Reason::Exceeded, ProblemCode::Quarantined, true);
        check(Action::Quarantine, Reason::Quarantined, ProblemCode::Quarantined, false);
        for action in [Action::Block, Action::Captcha, Action::Quarantine] {
            check(action, Reason::MissingIdentifier, ProblemCode::Forbidden, true);
            check(action, Reason::BackendFailure, ProblemCode::BackendUnavailable, false);
        }
        assert_eq!(limit_problem(&Verdict::Admitted), None);
    }
}
