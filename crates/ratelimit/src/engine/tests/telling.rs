//! What is told of limits to whoever wants to hear of it.

use std::sync::{Mutex, PoisonError};

use stanchion_core::{Event, EventSink};

use super::*;

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Vec<Event>>);

impl EventSink for Told {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Told {
    /// Takes the actions of what was told, with the value of a detail.
    pub(super) fn take(&self, detail: &str) -> Vec<(String, String)> {
        let told = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let text = |event: &Event| {
            let value = event.details.get(detail).map(|value| serde_json::to_value(value).unwrap());
            value.map_or_else(String::new, |value| value.to_string().trim_matches('"').to_owned())
        };
        told.iter().map(|event| (event.action.to_string(), text(event))).collect()
    }
}

pub(super) fn listening(config: Config) -> (Setup, Arc<Told>) {
    let setup = setup(config, false);
    let told = Arc::new(Told::default());
    let Setup { engine, rules, outbox, remote, clock } = setup;
    let engine = Arc::into_inner(engine).unwrap().with_events(told.clone());
    (Setup { engine: Arc::new(engine), rules, outbox, remote, clock }, told)
}

fn near(used: u64) -> (String, String) {
    ("limit.near".to_owned(), used.to_string())
}

#[tokio::test]
async fn a_counter_near_its_limit_is_told_once_in_its_window() {
    let (setup, told) = listening(Config::default());
    setup.put(tenant(1).into(), rule("ten", Dimension::User, 10)).await;
    let (alice, bob) = (alice(), SubjectRef::user("bob").unwrap());
    for _ in 0..7 {
        setup.decide(&by(&alice)).await;
    }
    assert_eq!(told.take("used"), []);
    for _ in 0..3 {
        setup.decide(&by(&alice)).await;
    }
    assert_eq!(told.take("used"), [near(8)], "80 percent");
    setup.decide(&Request { cost: 9, ..by(&bob) }).await;
    assert_eq!(told.take("used"), [near(9)], "another counter");
    setup.clock.advance(Duration::from_secs(60));
    setup.decide(&Request { cost: 8, ..by(&alice) }).await;
    assert_eq!(
        told.take("identifiers"),
        [("limit.near".to_owned(), "user:alice".to_owned())],
        "another window"
    );
    let statistics = setup.engine.statistics(Some(tenant(1).into()));
    assert_eq!((statistics.rules[0].counts.near_limit, statistics.decisions.near_limits), (3, 3));
}

#[tokio::test]
async fn where_no_limit_is_called_near_nothing_is_counted() {
    let (setup, told) = listening(Config { near_limit_percent: 0, ..Config::default() });
    setup.put(tenant(1).into(), rule("ten", Dimension::User, 10)).await;
    setup.decide(&Request { cost: 10, ..by(&alice()) }).await;
    assert_eq!((told.take("used").len(), setup.engine.stats().near_limits), (0, 0));
}

#[tokio::test]
async fn what_an_override_gives_is_what_near_is_measured_by() {
    let (setup, told) = listening(Config { near_limit_percent: 50, ..Config::default() });
    setup.put(tenant(1).into(), rule("ten", Dimension::User, 10)).await;
    let scope = tenant(1).into();
    let control = crate::Override {
        rule: id("ten"),
        identifiers: "user:alice".parse().unwrap(),
        limit: 100,
        burst: 0,
        expires_at: None,
        reason: None,
    };
    setup.engine.put_override(&Author::system("test"), scope, control).await.unwrap();
    setup.decide(&Request { cost: 49, ..by(&alice()) }).await;
    assert_eq!(told.take("used"), []);
    setup.decide(&by(&alice())).await;
    assert_eq!(told.take("used"), [near(50)]);
}
