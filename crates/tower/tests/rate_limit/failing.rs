//! When the limits cannot be asked.

use std::sync::Arc;

use stanchion_core::{Actor, Change, ManualClock, Revision, Scope};
use stanchion_ratelimit::{
    Dimension, MemoryCounterStore, MemoryRuleStore, OnBackendFailure, Rule, RuleChange, RuleStore, StoredRule,
};
use tower::Layer;

use crate::bed::{Bed, Hello, Unreachable, ask, field, from, noon, per_minute, text};

async fn without_counters(on_backend_failure: OnBackendFailure) -> Bed {
    let clock = Arc::new(ManualClock::at(noon()));
    let rule = Rule { on_backend_failure, ..per_minute("burst", Dimension::Ip, 1) };
    Bed::with(Arc::new(MemoryRuleStore::new(None)), Arc::new(Unreachable), clock, [rule]).await
}

#[tokio::test]
async fn counters_that_are_away_close_or_open_as_the_rule_says() {
    let bed = without_counters(OnBackendFailure::Closed).await;
    let hello = Hello::default();
    let answer = ask(&bed.layer().layer(hello.clone()), from("10.0.0.1")).await;
    assert_eq!((answer.status().as_u16(), hello.calls()), (503, 0));
    assert_eq!(field(&answer, "ratelimit"), "", "nothing is known");
    let document = text(answer).await;
    assert!(document.contains(r#""code":"backend_unavailable""#), "{document}");
    assert!(!document.contains("burst") && !document.contains("test"), "{document}");
    assert_eq!(bed.log.lines(), ["refused burst cost=1"]);

    let bed = without_counters(OnBackendFailure::Open).await;
    assert_eq!(ask(&bed.layer().layer(Hello::default()), from("10.0.0.1")).await.status(), 200);
}

#[tokio::test]
async fn rules_that_cannot_be_read_never_admit() {
    let clock = Arc::new(ManualClock::at(noon()));
    let store = Arc::new(MemoryRuleStore::new(None));
    let counters = Arc::new(MemoryCounterStore::new(1_000, clock.clone()));
    // A rule that no engine would have written.
    let rule = Rule { limit: 0, ..per_minute("burst", Dimension::Ip, 1) };
    let change = Change {
        expected: Revision::ZERO,
        changes: vec![RuleChange::Put(StoredRule { rule, epoch: Revision::ZERO })],
        at: noon(),
        actor: Actor::Anonymous,
        events: Vec::new(),
    };
    store.apply(Scope::Platform, change).await.unwrap();
    let bed = Bed::with(store, counters, clock, []).await;
    let hello = Hello::default();
    let answer = ask(&bed.layer().layer(hello.clone()), from("10.0.0.1")).await;
    assert_eq!((answer.status().as_u16(), hello.calls()), (503, 0));
    let document = text(answer).await;
    assert!(document.contains(r#""code":"backend_unavailable""#), "{document}");
    assert_eq!(bed.log.lines(), ["failed"]);
}
