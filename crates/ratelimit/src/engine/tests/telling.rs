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

/// Everything is told at once.
fn each(config: Config) -> Config {
    let analytics = crate::AnalyticsConfig { event_interval_seconds: 0, ..config.analytics };
    Config { analytics, ..config }
}

fn near(used: u64) -> (String, String) {
    ("limit.near".to_owned(), used.to_string())
}

#[tokio::test]
async fn a_counter_near_its_limit_is_told_once_in_its_window() {
    let (setup, told) = listening(each(Config::default()));
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
    let (setup, told) = listening(each(Config { near_limit_percent: 50, ..Config::default() }));
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

fn exceeded(what: impl ToString) -> (String, String) {
    ("limit.exceeded".to_owned(), what.to_string())
}

#[tokio::test]
async fn a_flood_of_violations_is_told_once_soon_and_then_with_its_number() {
    let (setup, told) = listening(Config { near_limit_percent: 0, ..Config::default() });
    setup.put(tenant(1).into(), rule("ten", Dimension::User, 10)).await;
    let (alice, bob) = (alice(), SubjectRef::user("bob").unwrap());
    let flood = async |times: u64| {
        for _ in 0..times {
            setup.decide(&Request { cost: 11, ..by(&alice) }).await;
        }
    };
    flood(3).await;
    assert_eq!(told.take("times"), []);
    setup.engine.tell_due_events();
    assert_eq!(told.take("times"), [exceeded(3)]);
    flood(1_000).await;
    setup.clock.advance(Duration::from_secs(59));
    setup.engine.tell_due_events();
    assert_eq!(told.take("times"), [], "not twice in a minute");
    setup.decide(&Request { cost: 11, ..by(&bob) }).await;
    setup.clock.advance(Duration::from_secs(1));
    setup.engine.tell_due_events();
    let mut both = told.take("times");
    both.sort();
    assert_eq!(both, [exceeded(1), exceeded(1_000)], "alice since, and bob");
    flood(2).await;
    setup.engine.tell_all_events();
    assert_eq!(told.take("times"), [exceeded(2)], "what is not due is told at the end");
    assert_eq!(setup.engine.stats().untold_events, 0);
}

#[tokio::test]
async fn a_tenant_with_many_callers_leaves_room_for_others() {
    let few = std::num::NonZeroUsize::new(8).unwrap();
    let analytics = crate::AnalyticsConfig { events: few, ..Default::default() };
    let (setup, told) = listening(Config { near_limit_percent: 0, analytics, ..Config::default() });
    for number in [1, 2] {
        setup.put(tenant(number).into(), rule("ten", Dimension::User, 10)).await;
    }
    let violate = async |number, user: String| {
        let subject = SubjectRef::user(user).unwrap();
        setup.decide(&Request { tenant: Some(tenant(number)), cost: 11, ..by(&subject) }).await;
    };
    for user in 0..100 {
        violate(1, format!("u{user}")).await;
    }
    violate(2, "quiet".to_owned()).await;
    setup.engine.tell_due_events();
    let mut names = told.take("identifiers");
    names.sort();
    assert_eq!(names, ["many", "user:quiet", "user:u0", "user:u1"].map(exceeded));
    setup.clock.advance(Duration::from_secs(60));
    setup.engine.tell_due_events();
    violate(1, "late".to_owned()).await;
    setup.engine.tell_due_events();
    assert_eq!(told.take("identifiers"), [exceeded("user:late")], "those who are quiet make room");
}

#[tokio::test]
async fn what_a_ladder_has_come_to_is_told_apart() {
    let (setup, told) = listening(Config { near_limit_percent: 0, ..Config::default() });
    let ladder = [(2, crate::Action::Block), (4, crate::Action::Quarantine)];
    let ladder = ladder.map(|(violations, action)| crate::Rung { violations, action });
    let rule =
        Rule { action: crate::Action::Captcha, ladder: ladder.into(), ..rule("ten", Dimension::User, 10) };
    setup.put(tenant(1).into(), rule).await;
    for _ in 0..4 {
        setup.decide(&Request { cost: 11, ..by(&alice()) }).await;
    }
    setup.engine.tell_due_events();
    let mut steps = told.take("action");
    steps.sort();
    assert_eq!(steps, ["block", "captcha", "quarantine"].map(exceeded));
}

#[tokio::test]
async fn an_outage_is_told_once_when_it_begins_and_once_when_it_is_over() {
    let setup = setup(Config::default(), true);
    let told = Arc::new(Told::default());
    let Setup { engine, remote, clock, .. } = setup;
    let engine = Arc::into_inner(engine).unwrap().with_events(told.clone());
    engine
        .put_rule(&Author::system("test"), tenant(1).into(), rule("ten", Dimension::User, 10), None)
        .await
        .unwrap();
    let decide = async |mood| {
        *remote.mood.lock().unwrap() = mood;
        engine.decide(&by(&alice())).await.unwrap();
    };
    decide(Mood::Well).await;
    decide(Mood::Down).await;
    let since = clock.now();
    clock.advance(Duration::from_secs(4));
    decide(Mood::Down).await;
    assert_eq!((engine.stats().outages, engine.stats().outage_since), (1, Some(since)));
    clock.advance(Duration::from_secs(4));
    decide(Mood::Well).await;
    assert_eq!(
        told.take("decisions"),
        [("limit.counting_failed".to_owned(), String::new())],
        "it may not be over"
    );
    clock.advance(Duration::from_secs(1));
    decide(Mood::Well).await;
    decide(Mood::Well).await;
    assert_eq!(told.take("decisions"), [("limit.counting_resumed".to_owned(), "2".to_owned())]);
    assert_eq!((engine.stats().outages, engine.stats().outage_since), (1, None));
    decide(Mood::Down).await;
    assert_eq!(told.take("decisions").len(), 1, "another one");
}
