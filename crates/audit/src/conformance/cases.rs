use std::sync::Arc;
use std::time::Duration;

use stanchion_core::{
    Actor, AuthenticationMethod, Category, Event, Outcome, ResourceRef, Scope, Severity, StoreErrorKind,
    SubjectRef,
};

use super::fixture::{Fixture, NOON, SYSTEM, prepared, standard};
use super::model;
use crate::{
    AppendOutcome, ChainId, Head, KnownRow, Place, Query, RetentionClass, Row, Seal, Shard, Writers,
};

/// A chain that never had an entry is empty in every way.
pub async fn empty_store_has_empty_heads(fixture: Fixture) {
    let scope = fixture.scope();
    assert_eq!(fixture.heads(&[standard(scope), standard(Scope::Platform)]).await, [Head::EMPTY; 2]);
    assert_eq!(fixture.heads(&[]).await, []);
    assert_eq!(fixture.chains(scope).await, []);
    assert_eq!(fixture.all(standard(scope)).await, []);
    assert_eq!(fixture.store.query(scope, &Query::default(), None, 10).await.expect("reads"), []);
    assert_eq!(fixture.get(scope, fixture.event(scope, Category::Access).id).await, None);
}

/// Every part of a row comes back, canonical bytes verbatim.
pub async fn rows_read_back_as_written(fixture: Fixture) {
    let scope = fixture.scope();
    let mut event = fixture.event(scope, Category::DataAccess);
    let subject = SubjectRef::user("o\"brien").expect("a subject");
    event.actor = Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key: None };
    event.action = "document.read ☃ \u{0}".into();
    event.outcome = Outcome::Denied;
    event.severity = Severity::High;
    event.correlation.request = Some(stanchion_core::RequestId::from_uuid(event.id.uuid()));
    let event = event
        .with_target(ResourceRef::new("document", "a/b").expect("a resource"))
        .with_target(ResourceRef::new("folder", "c").expect("a resource"))
        .with_detail("nul", "\u{0}");
    let id = event.id;
    let rows = fixture.write(&[prepared(event)]).await;
    assert_eq!(fixture.all(ChainId { scope, class: RetentionClass::DataAccess }).await, rows);
    assert_eq!(fixture.store.query(scope, &Query::default(), None, 10).await.expect("reads"), rows);
    assert_eq!(fixture.get(scope, id).await.as_ref(), rows.first());
}

/// One batch may add to chains of several classes and scopes.
pub async fn a_batch_moves_several_chains(fixture: Fixture) {
    let scopes = [fixture.scope(), fixture.scope(), Scope::Platform];
    let categories = [Category::Security, Category::DataAccess, Category::Access, Category::Access];
    let events = scopes.iter().flat_map(|scope| categories.map(|category| fixture.event(*scope, category)));
    let rows = fixture.write(&events.map(prepared).collect::<Vec<_>>()).await;
    for scope in scopes {
        let chains = fixture.chains(scope).await;
        assert_eq!(chains.iter().map(|chain| chain.id.class).collect::<Vec<_>>(), RetentionClass::ALL);
        assert_eq!(chains.iter().map(|chain| chain.head.seq).collect::<Vec<_>>(), [1, 1, 2]);
        for chain in chains {
            let own: Vec<Row> = rows.iter().filter(|row| row.chain == chain.id).cloned().collect();
            assert_eq!(fixture.all(chain.id).await, own);
            assert_eq!(fixture.heads(&[chain.id]).await, [chain.head]);
            assert_eq!(own.last().map(|row| (row.seq, row.link)), Some((chain.head.seq, chain.head.link)));
            assert_eq!(chain.base, Head::EMPTY);
        }
    }
}

/// The chains of all scopes come in their order, a page at a time, as each scope tells of its own.
pub async fn all_chains_are_listed_in_pages(fixture: Fixture) {
    let scopes = [fixture.scope(), fixture.scope(), Scope::Platform];
    let categories = [Category::Security, Category::DataAccess, Category::Access];
    let events = scopes.iter().flat_map(|scope| categories.map(|category| fixture.event(*scope, category)));
    fixture.write(&events.map(prepared).collect::<Vec<_>>()).await;
    let mut expected = Vec::new();
    for scope in scopes {
        expected.extend(fixture.chains(scope).await);
    }
    expected.sort_unstable_by_key(|chain| chain.id);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.store.list(SYSTEM, after, 2).await.expect("reads");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page);
    }
    assert_eq!(found, expected);
}

/// A part of a chain begins where it was asked to, and has no more rows than asked for.
pub async fn reading_is_bounded_and_in_order(fixture: Fixture) {
    let scope = fixture.scope();
    for _ in 0..5 {
        fixture.write(&fixture.some(scope, 3)).await;
    }
    let part = async |from, limit| {
        let rows = fixture.store.read(standard(scope), from, limit).await.expect("reads");
        rows.into_iter().map(|row| row.seq).collect::<Vec<u64>>()
    };
    assert_eq!(part(1, 100).await, (1..=15).collect::<Vec<_>>());
    assert_eq!(part(0, 2).await, [1, 2]);
    assert_eq!(part(7, 4).await, [7, 8, 9, 10]);
    assert_eq!(part(15, 4).await, [15]);
    assert_eq!(part(16, 4).await, [0; 0]);
    assert_eq!(part(7, 0).await, [0; 0]);

    let rows = fixture.all(standard(scope)).await;
    let seals = async |from, limit| fixture.store.seals(standard(scope), from, limit).await.expect("reads");
    assert_eq!(seals(1, 100).await, rows.iter().map(Seal::from).collect::<Vec<_>>());
    assert_eq!(seals(7, 4).await, rows[6..10].iter().map(Seal::from).collect::<Vec<_>>());
    assert_eq!(seals(16, 4).await, []);
    assert_eq!(fixture.store.seals(standard(Scope::Platform), 1, 4).await.expect("reads"), []);
}

/// A batch for a head that has moved is refused with the head as it is.
pub async fn a_moved_head_leaves_no_trace(fixture: Fixture) {
    let scope = fixture.scope();
    let fence = fixture.open().await;
    let late = fixture.seal(fence, &fixture.some(scope, 2)).await;
    let rows = fixture.write(&fixture.some(scope, 1)).await;
    let head = fixture.heads(&[standard(scope)]).await;
    let moved = head.iter().map(|head| (standard(scope), *head)).collect();
    assert_eq!(fixture.append(&late).await, AppendOutcome::HeadsMoved(moved));
    assert_eq!(fixture.all(standard(scope)).await, rows);
    assert_eq!(fixture.heads(&[standard(scope)]).await, head);
    for row in late.rows() {
        assert_eq!(fixture.get(scope, row.content.id).await, None);
    }
    // Refused is not known: linked to the new head, the same events are taken.
    let contents: Vec<_> = late.rows().iter().map(|row| (row.chain, Arc::clone(&row.content))).collect();
    fixture.write(&contents).await;
    assert_eq!(fixture.verified(scope).await, 3);
}

/// A batch is written whole or not at all; all heads that moved are told.
pub async fn one_moved_head_refuses_the_whole_batch(fixture: Fixture) {
    let scopes = [fixture.scope(), fixture.scope(), fixture.scope()];
    let fence = fixture.open().await;
    let each = |count| scopes.iter().flat_map(|scope| fixture.some(*scope, count)).collect::<Vec<_>>();
    let late = fixture.seal(fence, &each(2)).await;
    fixture.write(&fixture.some(scopes[0], 1)).await;
    fixture.write(&fixture.some(scopes[2], 1)).await;
    let AppendOutcome::HeadsMoved(mut moved) = fixture.append(&late).await else { panic!("was not refused") };
    moved.sort_by_key(|(chain, _)| scopes.iter().position(|scope| *scope == chain.scope));
    let chains = [standard(scopes[0]), standard(scopes[2])];
    assert_eq!(moved.iter().map(|(chain, _)| *chain).collect::<Vec<_>>(), chains);
    assert_eq!(moved.iter().map(|(_, head)| *head).collect::<Vec<_>>(), fixture.heads(&chains).await);
    assert_eq!(fixture.chains(scopes[1]).await, []);
    for scope in [scopes[0], scopes[2]] {
        assert_eq!(fixture.verified(scope).await, 1);
    }
}

/// An id that was written before is told with its place and content, and nothing of the batch is written.
pub async fn a_known_id_leaves_no_trace(fixture: Fixture) {
    let scope = fixture.scope();
    let mut first = fixture.some(scope, 1);
    // The second's category puts it into another chain; the id is the scope's all the same.
    let event = fixture.event(scope, Category::Access);
    let altered = Event { category: Category::Security, ..event.clone() };
    first.push(prepared(event));
    let rows = fixture.write(&first).await;
    let same = first.first().expect("an event").clone();
    let batch =
        [fixture.some(scope, 1), vec![same], fixture.some(scope, 1), vec![prepared(altered)]].concat();
    let fence = fixture.open().await;
    let batch = fixture.seal(fence, &batch).await;
    let known =
        |index: usize, row: &Row| KnownRow { index, chain: row.chain, seq: row.seq, leaf: row.content.leaf };
    let expected = vec![known(1, &rows[0]), known(3, &rows[1])];
    assert_eq!(fixture.append(&batch).await, AppendOutcome::Known(expected));
    assert_eq!(fixture.all(standard(scope)).await, rows);
    assert_eq!(fixture.chains(scope).await.len(), 1);
    for index in [0, 2] {
        assert_eq!(fixture.get(scope, batch.rows()[index].content.id).await, None);
    }
}

/// The same id in two scopes is two events.
pub async fn an_id_is_known_in_its_own_scope_only(fixture: Fixture) {
    let (one, two) = (fixture.scope(), fixture.scope());
    let event = fixture.event(one, Category::Access);
    let id = event.id;
    let other = Event { scope: two, ..event.clone() };
    fixture.write(&[prepared(event), prepared(other)]).await;
    for scope in [one, two] {
        assert_eq!(fixture.get(scope, id).await.map(|row| row.chain.scope), Some(scope));
    }
    assert_eq!(fixture.get(Scope::Platform, id).await, None);
}

/// Nothing that takes a scope returns another's rows.
pub async fn scopes_are_kept_apart(fixture: Fixture) {
    let scopes = [fixture.scope(), fixture.scope(), Scope::Platform];
    let mut rows = Vec::new();
    for (count, scope) in (2..).zip(scopes) {
        rows.push(fixture.write(&fixture.some(scope, count)).await);
    }
    for (scope, own) in scopes.iter().zip(&rows) {
        let mut newest_first = own.clone();
        newest_first.reverse();
        assert_eq!(fixture.all(standard(*scope)).await, *own);
        let found = fixture.store.query(*scope, &Query::default(), None, 100).await.expect("reads");
        assert_eq!(found, newest_first);
        assert_eq!(
            fixture.chains(*scope).await.iter().map(|chain| chain.id.scope).collect::<Vec<_>>(),
            [*scope]
        );
        for row in rows.iter().flatten() {
            assert_eq!(fixture.get(*scope, row.content.id).await.is_some(), row.chain.scope == *scope);
        }
    }
}

/// An exclusive writer ends the writing of all before it, for good.
pub async fn an_exclusive_writer_shuts_out_those_before(fixture: Fixture) {
    let scope = fixture.scope();
    let open = async |writers| fixture.store.open(SYSTEM, Shard::ONLY, writers).await.expect("opens");
    let (shared, first) = (open(Writers::Shared).await, open(Writers::Exclusive).await);
    let second = open(Writers::Exclusive).await;
    let later = open(Writers::Shared).await;
    assert!(shared < first && first < second && second < later);
    for fence in [shared, first] {
        // Also with a stale head and a known id: the fence is told first.
        let batch = fixture.seal(fence, &fixture.some(scope, 1)).await;
        assert_eq!(fixture.append(&batch).await, AppendOutcome::Fenced);
        assert_eq!(fixture.chains(scope).await, []);
    }
    for (fence, entries) in [(second, 1), (later, 2), (second, 3)] {
        let batch = fixture.seal(fence, &fixture.some(scope, 1)).await;
        assert_eq!(fixture.append(&batch).await, AppendOutcome::Committed);
        assert_eq!(fixture.verified(scope).await, entries);
    }
    let stale = fixture.seal(shared, &fixture.some(scope, 1)).await;
    fixture.write(&fixture.some(scope, 1)).await;
    assert_eq!(fixture.append(&stale).await, AppendOutcome::Fenced);
}

/// Fences are a shard's own.
pub async fn an_exclusive_writer_shuts_nobody_out_of_other_shards(fixture: Fixture) {
    let shards: Vec<Shard> = Shard::all(3).collect();
    let open = async |shard| fixture.store.open(SYSTEM, shard, Writers::Exclusive).await.expect("opens");
    let first = open(shards[0]).await;
    let other = open(shards[2]).await;
    let second = open(shards[0]).await;
    let scope = fixture.scope();
    for (fence, outcome) in [
        (first, AppendOutcome::Fenced),
        (other, AppendOutcome::Committed),
        (second, AppendOutcome::Committed),
        (other, AppendOutcome::Committed),
    ] {
        let batch = fixture.seal(fence, &fixture.some(scope, 1)).await;
        assert_eq!(fixture.append(&batch).await, outcome);
    }
    assert_eq!(fixture.verified(scope).await, 3);
}

/// Chains go to the sequencers of their shards for good, so there are always as many.
pub async fn the_number_of_shards_is_settled_by_the_first(fixture: Fixture) {
    let open = async |count| {
        let shard = Shard::all(count).last().expect("one at least");
        fixture.store.open(SYSTEM, shard, Writers::Shared).await.map_err(|error| error.kind())
    };
    assert!(open(2).await.is_ok());
    for other in [1, 3] {
        assert_eq!(open(other).await, Err(StoreErrorKind::Unsupported));
    }
    assert!(open(2).await.is_ok());
}

/// Writers that share a store go on side by side.
pub async fn shared_writers_do_not_shut_out(fixture: Fixture) {
    let scope = fixture.scope();
    let (one, two) = (fixture.open().await, fixture.open().await);
    assert!(one < two);
    for fence in [two, one, two] {
        let batch = fixture.seal(fence, &fixture.some(scope, 1)).await;
        assert_eq!(fixture.append(&batch).await, AppendOutcome::Committed);
    }
    assert_eq!(fixture.verified(scope).await, 3);
}

/// Each filter finds what it asks for, alone and together with others.
pub async fn queries_answer_what_matches(fixture: Fixture) {
    let scope = fixture.scope();
    let alice = SubjectRef::user("alice").expect("a subject");
    let document = |id: &'static str| ResourceRef::new("document", id).expect("a resource");
    let mut events: Vec<Event> = Vec::new();
    for (index, category) in Category::ALL.iter().enumerate() {
        events.push(fixture.event(scope, *category));
        let Some(event) = events.last_mut() else { continue };
        event.outcome = Outcome::ALL[index % Outcome::ALL.len()];
        event.severity = Severity::ALL[index % Severity::ALL.len()];
    }
    events[0].actor =
        Actor::Subject { subject: alice.clone(), method: AuthenticationMethod::ApiKey, key: None };
    events[1].actor = Actor::System("sweeper".into());
    events[2].action = "role.put".into();
    events[3].action = "role.assignment.revoke".into();
    events[4].action = "roles.put".into();
    events[2].targets = vec![document("1"), document("2")];
    events[5].targets = vec![document("2")];
    let request = stanchion_core::RequestId::from_uuid(events[6].id.uuid());
    events[6].correlation.request = Some(request);
    let mut rows = Vec::new();
    for (second, event) in (0..).zip(&events) {
        rows.extend(
            fixture.write_at(NOON.plus(Duration::from_secs(second)), &[prepared(event.clone())]).await,
        );
    }
    let all = Query::default;
    let at = |second| Some(NOON.plus(Duration::from_secs(second)));
    let queries = [
        (all(), vec![0, 1, 2, 3, 4, 5, 6]),
        (Query { action: Some("role.put".into()), ..all() }, vec![2]),
        (Query { action: Some("role.*".into()), ..all() }, vec![2, 3]),
        (Query { action: Some("role".into()), ..all() }, vec![]),
        (Query { action: Some("role.%".into()), ..all() }, vec![]),
        (Query { actor: Some("user:alice".into()), ..all() }, vec![0]),
        (Query { actor: Some("system:sweeper".into()), ..all() }, vec![1]),
        (Query { actor: Some("anonymous".into()), ..all() }, vec![2, 3, 4, 5, 6]),
        (Query { actor: Some("alice".into()), ..all() }, vec![]),
        (Query { target: Some(document("2")), ..all() }, vec![2, 5]),
        (Query { target: Some(document("1")), ..all() }, vec![2]),
        (Query { outcome: Some(Outcome::Denied), ..all() }, vec![1, 6]),
        (Query { category: Some(Category::DataAccess), ..all() }, vec![4]),
        (Query { severity: Some(Severity::High), ..all() }, vec![3, 4]),
        (Query { severity: Some(Severity::Info), ..all() }, vec![0, 1, 2, 3, 4, 5, 6]),
        (Query { request: Some(request), ..all() }, vec![6]),
        (Query { since: at(5), ..all() }, vec![5, 6]),
        (Query { until: at(2), ..all() }, vec![0, 1]),
        (Query { since: at(2), until: at(4), ..all() }, vec![2, 3]),
        (Query { since: at(4), until: at(2), ..all() }, vec![]),
        (
            Query {
                since: at(1),
                outcome: Some(Outcome::Success),
                category: Some(Category::Billing),
                ..all()
            },
            vec![5],
        ),
        (Query { category: Some(Category::Security), outcome: Some(Outcome::Success), ..all() }, vec![]),
    ];
    for (query, expected) in queries {
        let found = fixture.store.query(scope, &query, None, 100).await.expect("reads");
        let expected: Vec<&Row> = expected.iter().rev().map(|index: &usize| &rows[*index]).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}");
    }
}

/// Pages go through a scope's classes newest first, each entry once, also while entries are added.
pub async fn queries_return_newest_first_in_stable_pages(fixture: Fixture) {
    let scope = fixture.scope();
    let categories = [Category::Access, Category::Security, Category::DataAccess, Category::System];
    let mixed = |count: usize| {
        let categories = categories.iter().cycle().take(count);
        categories.map(|category| prepared(fixture.event(scope, *category))).collect::<Vec<_>>()
    };
    let mut expected = Vec::new();
    for second in [0, 0, 1, 1, 5] {
        expected.extend(fixture.write_at(NOON.plus(Duration::from_secs(second)), &mixed(7)).await);
    }
    expected.sort_by_key(|row| std::cmp::Reverse(Place::from(row)));
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = fixture.store.query(scope, &Query::default(), before, 4).await.expect("reads");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 4);
        before = Some(Place::from(last));
        found.extend(page);
        fixture.write_at(NOON.plus(Duration::from_secs(9)), &mixed(2)).await;
    }
    assert_eq!(found, expected);
    assert_eq!(fixture.store.query(scope, &Query::default(), None, 0).await.expect("reads"), []);
}

/// What the store returns is enough to verify it.
pub async fn stored_chains_verify(fixture: Fixture) {
    let scope = fixture.scope();
    for (count, category) in (1..).zip([Category::Access, Category::Security, Category::DataAccess]) {
        for _ in 0..3 {
            let events = (0..count).map(|_| prepared(fixture.event(scope, category)));
            fixture.write(&events.collect::<Vec<_>>()).await;
        }
    }
    assert_eq!(fixture.verified(scope).await, 3 + 6 + 9);
}

/// Random operations have the same outcomes and leave the same entries as in memory.
pub async fn behaves_as_the_reference(fixture: Fixture) {
    for seed in 0..8 {
        model::run(&fixture, seed).await;
    }
}
