use proptest::prelude::*;
use stanchion_calendar::Window;
use stanchion_core::{IdGen, SeededRandom};

use super::*;
use crate::{Algorithm, Dimension, Edges};

fn prefix() -> KeyPrefix {
    KeyPrefix::new(Scope::Platform, Revision::ZERO, Revision::ZERO)
}

fn slug(letter: &str) -> Slug {
    Slug::new(letter).unwrap()
}

fn slugs() -> impl Strategy<Value = Vec<Slug>> {
    prop::collection::btree_set("[a-d]", 0..3).prop_map(|set| set.iter().map(|letter| slug(letter)).collect())
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (slugs(), slugs(), prop::bool::weighted(0.8), prop::sample::select(&Dimension::ALL[..]));
    prop::collection::vec(rule, 0..30).prop_map(|rules| {
        let rule =
            |(number, (routes, labels, enabled, key)): (usize, (Vec<Slug>, Vec<Slug>, bool, Dimension))| {
                let id = RuleId::new(&format!("rule-{number}")).unwrap();
                Rule { routes, labels, enabled, ..Rule::new(id, key, 1, Window::MINUTE) }
            };
        rules.into_iter().enumerate().map(rule).collect()
    })
}

proptest! {
    /// The index finds what going through all the rules finds, each once.
    #[test]
    fn indexed_is_naive(rules in rules(), route in prop::option::of("[a-e]"), labels in slugs(), platform: bool) {
        let scope = if platform { Scope::Platform } else { SeededRandom::new(1).tenant_id(Timestamp::EPOCH).into() };
        let stored: Vec<_> = rules.iter().map(|rule| {
            let stored = StoredRule { rule: rule.clone(), epoch: Revision::ZERO };
            Versioned::created(stored, Revision::ZERO, Timestamp::EPOCH)
        }).collect();
        let set = RuleSet { rules: stored, controls: Vec::new() };
        let snapshot = Snapshot::compile(scope, Revision::ZERO, Timestamp::EPOCH, &set, None).unwrap();
        let request = Request { route: route.as_deref(), labels: &labels, ..Request::default() };
        for stage in [Stage::Edge, Stage::Inner] {
            let mut found = Vec::new();
            snapshot.for_each_match(stage, &request, |_, rule| found.push(rule.id.clone()));
            let is_for = |rule: &&Rule| {
                let everything = rule.routes.is_empty() && rule.labels.is_empty();
                let by_route = rule.routes.iter().any(|one| Some(one.as_str()) == route.as_deref());
                let anonymous = [Dimension::Ip, Dimension::Global, Dimension::Endpoint];
                let edge = platform && anonymous.iter().any(|dimension| rule.key == (*dimension).into());
                rule.enabled
                    && (everything || by_route || rule.labels.iter().any(|one| labels.contains(one)))
                    && edge == (stage == Stage::Edge)
            };
            let mut naive: Vec<_> = rules.iter().filter(is_for).map(|rule| rule.id.clone()).collect();
            found.sort_unstable();
            naive.sort_unstable();
            prop_assert_eq!(found, naive);
        }
    }
}

#[test]
fn a_utc_day_is_found_by_the_store_and_a_week_by_the_calendar() {
    let limit = |window: &str, now: &str| {
        let id = RuleId::new("r").unwrap();
        let rule = Rule {
            algorithm: Algorithm::FixedWindow,
            ..Rule::new(id, Dimension::User, 1, window.parse().unwrap())
        };
        let now = Timestamp::parse_rfc3339(now).unwrap();
        let compiled = CompiledRule::compile(Scope::Platform, &rule, prefix(), now).unwrap();
        compiled.limit_for(None, &[], now).unwrap()
    };
    let frame = |limit| match limit {
        (Limit::FixedWindow(window), seconds) => (window.frame(), seconds),
        other => panic!("{other:?}"),
    };
    let day = frame(limit("1d", "2026-03-04T12:00:00Z"));
    assert_eq!(day, (Frame::Every(86_400_000_000.try_into().unwrap()), 86_400));
    // 2 March 2026 is a Monday.
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let weeks =
        ["2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z", "2026-03-16T00:00:00Z"];
    let edges = Edges::new(weeks.map(at)).unwrap();
    assert_eq!(frame(limit("7d", "2026-03-04T12:00:00Z")), (Frame::Calendar(edges), 604_800));
}

#[test]
fn a_window_of_the_calendar_is_looked_up_anew_when_it_is_over_and_when_the_clock_goes_back() {
    let id = RuleId::new("r").unwrap();
    let rule = Rule { algorithm: Algorithm::FixedWindow, ..Rule::new(id, Dimension::User, 1, Window::MONTH) };
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let compiled = CompiledRule::compile(Scope::Platform, &rule, prefix(), Timestamp::EPOCH).unwrap();
    for (now, days) in
        [("2026-01-31T23:59:59Z", 31), ("2026-02-01T00:00:00Z", 28), ("2026-01-01T00:00:00Z", 31)]
    {
        assert_eq!(compiled.limit_for(None, &[], at(now)).unwrap().1, days * 86_400, "{now}");
    }
}
