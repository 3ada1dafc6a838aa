use super::*;
use crate::{Stats, Verdict};

fn refused() -> Verdict {
    Verdict::Refused {
        action: Action::Block,
        rule: Some(rule("other")),
        scope: Scope::Platform,
        reason: Reason::Exceeded,
        retry_after: None,
    }
}

#[test]
fn each_decision_counts_once_by_how_it_came_out_of_the_rule() {
    let (id, counters) = (rule("a"), RuleCounters::new());
    let state = |exceeded, shadow, action| RuleState {
        key: crate::Dimension::User.into(),
        overshoot: 0,
        concurrent: false,
        delay: Duration::ZERO,
        rule: &id,
        scope: Scope::Platform,
        limit: 10,
        remaining: 0,
        reset_after: Duration::ZERO,
        retry_after: None,
        window: Duration::ZERO,
        exceeded,
        shadow,
        action,
    };
    let (admitted, refused) = (Verdict::Admitted, refused());
    for (exceeded, shadow, action, verdict, times, expected) in [
        (false, false, Action::Block, &admitted, 1, RuleOutcome::Admitted),
        (false, true, Action::Block, &admitted, 1, RuleOutcome::Admitted),
        (false, false, Action::Block, &refused, 3, RuleOutcome::Passed),
        (true, false, Action::Block, &refused, 4, RuleOutcome::Exceeded),
        (true, true, Action::Quarantine, &admitted, 5, RuleOutcome::Observed),
        (true, false, Action::Allow, &admitted, 1, RuleOutcome::Observed),
        (true, false, Action::Throttle, &refused, 7, RuleOutcome::Throttled),
        (true, false, Action::Captcha, &refused, 8, RuleOutcome::Challenged),
        (true, false, Action::Quarantine, &refused, 9, RuleOutcome::Quarantined),
    ] {
        let outcome = RuleOutcome::of(&state(exceeded, shadow, action), verdict);
        assert_eq!(outcome, expected);
        (0..times).for_each(|_| counters.count(outcome));
    }
    counters.count_near_limit();
    let counts = counters.read();
    let expected = RuleCounts {
        admitted: 2,
        passed: 3,
        exceeded: 4,
        observed: 6,
        throttled: 7,
        challenged: 8,
        quarantined: 9,
        near_limit: 1,
    };
    assert_eq!(counts, expected);
    assert_eq!((counts.decisions(), counts.violations(), counts.objections()), (39, 34, 28));
    assert_eq!([counts, counts].into_iter().sum::<RuleCounts>().decisions(), 78);
}

fn rule_statistics(
    scope: Scope,
    name: &str,
    key: KeySpec,
    action: Action,
    counts: RuleCounts,
) -> RuleStatistics {
    RuleStatistics { scope, rule: rule(name), key, action, counts }
}

#[test]
fn statistics_sum_up_by_rule_scope_dimension_and_action() {
    let own = Scope::Tenant(tenant(1));
    let (user, ip) = (KeySpec::from(Dimension::User), KeySpec::from(Dimension::Ip));
    let counts =
        |admitted, exceeded, observed| RuleCounts { admitted, exceeded, observed, ..RuleCounts::default() };
    let decisions =
        Stats { decisions: 90, exceeded: 6, missing_identifier: 2, failed_closed: 1, ..Stats::default() };
    let statistics = Statistics::new(
        decisions,
        [
            rule_statistics(Scope::Platform, "a", ip, Action::Block, counts(40, 2, 0)),
            rule_statistics(own, "b", user, Action::Block, counts(30, 4, 0)),
            rule_statistics(own, "c", user, Action::Quarantine, counts(20, 1, 5)),
            rule_statistics(own, "d", user, Action::Allow, counts(7, 0, 0)),
        ],
    );
    let names: Vec<_> = statistics.rules.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(names, ["c", "b", "a", "d"], "the most violated first");
    let scopes: Vec<_> = statistics.scopes.iter().map(|one| (one.scope, one.rules, one.counts)).collect();
    assert_eq!(scopes, [(Scope::Platform, 1, counts(40, 2, 0)), (own, 3, counts(57, 5, 5))]);
    let dimensions: Vec<_> =
        statistics.dimensions.iter().map(|one| (one.key, one.rules, one.counts)).collect();
    assert_eq!(dimensions, [(user, 3, counts(57, 5, 5)), (ip, 1, counts(40, 2, 0))]);
    assert_eq!(statistics.actions, [(Action::Block, 6), (Action::Quarantine, 1)]);
    assert_eq!((statistics.observed, statistics.refused(), statistics.block_rate_permille()), (5, 9, 100));
    let nothing = Statistics::new(Stats::default(), []);
    assert_eq!((nothing.block_rate_permille(), nothing.actions.len()), (0, 0));
}

#[test]
fn counts_of_many_threads_are_all_there() {
    let counters = RuleCounters::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| counters.count(RuleOutcome::Admitted)));
        }
    });
    assert_eq!(counters.read().admitted, 40_000);
}
