//! Queries of a store that keeps what they look at apart from the chains, or does not.

use std::time::Duration;

use stanchion_core::{Category, Event, FieldChange, Recorded, ResourceRef, Scope, Text};

use super::fixture::{Fixture, NOON, SYSTEM, prepared, standard};
use super::races::spawn;
use crate::{Actions, ChainId, Place, Query, RetentionClass, Row, SearchRow, Withdrawn};

pub(super) async fn project(fixture: &Fixture, scope: Scope) {
    let chains = RetentionClass::ALL.map(|class| ChainId { scope, class });
    while !fixture.store.project(SYSTEM, &chains, 10).await.expect("projects").left.is_empty() {}
}

pub(super) async fn found(fixture: &Fixture, scope: Scope, query: &Query) -> Vec<Row> {
    fixture.store.query(scope, query, None, 100).await.expect("reads")
}

fn texted(text: &'static str) -> Query {
    Query { text: Some(text.into()), ..Query::default() }
}

/// Each of these filters finds what it asks for and nothing else, also of another scope, whether it was projected or not.
pub async fn events_are_found_by_type_session_trace_and_words(fixture: Fixture) {
    let (scope, other) = (fixture.scope(), fixture.scope());
    let mut events: Vec<Event> = (0..5).map(|_| fixture.event(scope, Category::Authentication)).collect();
    events[0].action = "user.login".into();
    events[0].correlation.session = Some("s-1".into());
    events[1].action = "user.logout".into();
    events[1].correlation.session = Some("s-1".into());
    events[1].correlation.trace = Some("4bf92f3577b34da6a3ce929d0e0e4736".into());
    events[2].reason = Some("Quarterly REPORT-ready".into());
    events[2].targets = vec![ResourceRef::new("invoice", "2026-0042").expect("a resource")];
    let value = |text: &'static str| Some(Recorded::Value(text.into()));
    events[3].changes =
        vec![FieldChange { field: "name".into(), before: value("Straße 7"), after: value("report") }];
    let long: String = "x".repeat(200);
    events[4] =
        events[4].clone().with_detail("note", "a\u{0}b \\ quarterly").with_detail("long", long.clone());
    let mut rows = Vec::new();
    for (second, event) in (0..).zip(&events) {
        let now = NOON.plus(Duration::from_secs(second));
        let elsewhere = Event { scope: other, ..event.clone() };
        let written = fixture.write_at(now, &[prepared(event.clone()), prepared(elsewhere)]).await;
        rows.extend(written.into_iter().filter(|row| row.chain.scope == scope));
    }
    let all = Query::default;
    let counting = |name: &str| Query { event_type: Actions::default().event_type(name), ..all() };
    let queries = [
        (counting("login"), vec![0]),
        (counting("logout"), vec![1]),
        (counting("data_read"), vec![]),
        (Query { session: Some("s-1".into()), ..all() }, vec![0, 1]),
        (Query { session: Some("s".into()), ..all() }, vec![]),
        (Query { trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()), ..all() }, vec![1]),
        (Query { session: Some("s-1".into()), action: Some("user.login".into()), ..all() }, vec![0]),
        (texted("report"), vec![2, 3]),
        (texted("QUARTERLY report"), vec![2]),
        (texted("quarterly"), vec![2, 4]),
        (texted("quarter"), vec![]),
        (texted("straße"), vec![3]),
        (texted("invoice 0042"), vec![2]),
        (texted("b a"), vec![4]),
        (texted("anonymous"), vec![0, 1, 2, 3, 4]),
        (texted(" - "), vec![0, 1, 2, 3, 4]),
        (Query { text: Some(Text::from(long)), ..all() }, vec![4]),
    ];
    for is_projected in [false, true] {
        for (query, expected) in &queries {
            let expected: Vec<&Row> = expected.iter().rev().map(|index: &usize| &rows[*index]).collect();
            let found = found(&fixture, scope, query).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}, projected: {is_projected}");
        }
        project(&fixture, scope).await;
    }
}

/// A query sees all that is committed, in pages too: what was projected, and what was not.
pub async fn queries_see_what_was_not_projected(fixture: Fixture) {
    let scope = fixture.scope();
    let odd = |number: u64| {
        let mut event = fixture.event(scope, Category::Access);
        event.reason = Some(if number % 2 == 1 { "odd" } else { "even" }.into());
        prepared(event)
    };
    let mut expected = Vec::new();
    for round in 0..4 {
        let rows = fixture.write(&(0..5).map(|number| odd(round * 5 + number)).collect::<Vec<_>>()).await;
        expected.extend(rows.into_iter().filter(|row| row.seq % 2 == 0));
        let all: Vec<Row> = expected.iter().rev().cloned().collect();
        assert_eq!(found(&fixture, scope, &texted("odd")).await, all, "round {round}");
        let mut paged: Vec<Row> = Vec::new();
        loop {
            let before = paged.last().map(Place::from);
            let page = fixture.store.query(scope, &texted("odd"), before, 2).await.expect("reads");
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all, "round {round}");
        if round != 2 {
            // Only a part of it, mostly.
            fixture.store.project(SYSTEM, &[standard(scope)], 3).await.expect("projects");
        }
    }
}

/// Several who bring one store up to date leave nothing out, and what they keep is what follows from the entries.
pub async fn projectors_at_once_leave_nothing_out(fixture: Fixture) {
    let scope = fixture.scope();
    let rows = fixture.write(&fixture.some(scope, 60)).await;
    let projectors: Vec<_> = (0..4)
        .map(|_| {
            let fixture = fixture.clone();
            spawn(async move { project(&fixture, scope).await })
        })
        .collect();
    for projector in projectors {
        projector.await.expect("ends");
    }
    let page = fixture.store.projected(standard(scope), 1, 100).await.expect("reads");
    // A store that keeps nothing apart has nothing to show.
    if page.until > 0 {
        assert_eq!(page.until, 60);
        let made =
            |row: &Row| SearchRow::of(scope, row.seq, &row.content, &Withdrawn::default()).expect("an event");
        assert_eq!(page.rows, rows.iter().map(made).collect::<Vec<_>>());
        let part = fixture.store.projected(standard(scope), 31, 2).await.expect("reads");
        assert_eq!(part.rows, page.rows[30..32]);
    }
    assert_eq!(fixture.store.unprojected(SYSTEM, None, 10).await.expect("reads"), []);
    assert_eq!(found(&fixture, scope, &texted("anonymous")).await.len(), 60);
}
