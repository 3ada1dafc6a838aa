//! The suite of [`RuleStore`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stanchion_calendar::Window;
use stanchion_core::{
    Actor, Category, Change, Event, IdGen, PageRequest, Revision, Scope, SeededRandom, StoreErrorKind,
    SystemScope, Timestamp, Versioned,
};
use stanchion_replica::OutboxStore;
use tokio::task::JoinSet;

use crate::{
    Control, Dimension, Identifiers, Override, Quarantine, Reset, Rule, RuleChange, RuleId, RuleSet,
    RuleStore, StoredRule,
};

const SYSTEM: SystemScope = SystemScope::new("conformance");

/// A store under test and the outbox that its events go to.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn RuleStore>,
    /// The outbox.
    pub outbox: Arc<dyn OutboxStore>,
}

fn tenant(seed: u64) -> Scope {
    Scope::Tenant(SeededRandom::new(seed).tenant_id(Timestamp::EPOCH))
}

fn id(name: &str) -> RuleId {
    RuleId::new(name).expect("a rule id")
}

fn rule(name: &str, limit: u64) -> StoredRule {
    let rule = Rule::new(id(name), Dimension::User, limit, Window::MINUTE);
    StoredRule { rule, epoch: Revision::from_number(limit) }
}

fn put(name: &str, limit: u64) -> RuleChange {
    RuleChange::Put(rule(name, limit))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// A change at the second after its expected revision, without events.
fn change(expected: u64, changes: Vec<RuleChange>) -> Change<RuleChange> {
    let second = i64::try_from(expected).expect("a small number") + 1;
    let expected = Revision::from_number(expected);
    Change { expected, changes, at: at(second), actor: Actor::Anonymous, events: Vec::new() }
}

fn event(seed: u64, scope: Scope) -> Event {
    let id = SeededRandom::new(seed).event_id(Timestamp::EPOCH);
    Event::new(id, Timestamp::EPOCH, scope, Actor::Anonymous, "limit.put", Category::Administration)
}

/// One control of each kind and form, in the order of their ids.
fn controls() -> [Control; 4] {
    let identifiers = |text: &str| text.parse::<Identifiers>().expect("identifiers");
    [
        Control::Override(Override {
            rule: id("a"),
            identifiers: identifiers("user:alice endpoint:chat"),
            limit: (1 << 53) - 1,
            burst: 3,
            expires_at: Some(at(1_000)),
            reason: Some("Größe \"A\"".into()),
        }),
        Control::Quarantine(Quarantine {
            identifiers: identifiers("ip:2001:db8::"),
            until: at(2_000),
            rule: Some(id("a")),
            reason: None,
        }),
        Control::Reset(Reset { identifiers: None, epoch: Revision::from_number(7), expires_at: at(3_000) }),
        Control::Reset(Reset {
            identifiers: Some(identifiers("user:bob")),
            epoch: Revision::from_number(8),
            expires_at: at(4_000),
        }),
    ]
}

async fn apply(store: &dyn RuleStore, scope: Scope, expected: u64, changes: Vec<RuleChange>) -> Revision {
    store.apply(scope, change(expected, changes)).await.expect("applies")
}

async fn load(store: &dyn RuleStore, scope: Scope) -> (u64, Vec<(String, u64)>) {
    let (revision, set) = store.load(scope).await.expect("loads");
    let named = |stored: Versioned<StoredRule>| (stored.value.rule.id.to_string(), stored.value.rule.limit);
    (revision.number(), set.rules.into_iter().map(named).collect())
}

suite! { $
    /// Runs the suite of `RuleStore`: `rule_store_conformance!(mod memory_rule_store, factory());`, where the factory is an
    /// expression that returns a future of a [`Fixture`](crate::conformance::rule_store::Fixture).
    rule_store_conformance, rule_store, Fixture;

    /// A scope without a change is at revision zero and has no rules.
    an_unused_scope_is_empty: Fixture { store, .. } => {
        assert_eq!(load(&*store, tenant(1)).await, (0, vec![]));
        assert_eq!(store.get(tenant(1), &id("a")).await.expect("reads"), None);
        let page = store.list(tenant(1), &PageRequest::default()).await.expect("lists");
        assert!(page.items.is_empty() && page.next.is_none());
    }

    /// A rule reads back as it was written, with the revision and the time of its change.
    a_rule_reads_back_as_written: Fixture { store, .. } => {
        let mut written = rule("a", 7);
        written.rule.name = Some("Größe \"A\"".into());
        written.rule.routes = vec!["chat".parse().expect("a route")];
        written.rule.labels = vec!["ai".parse().expect("a label")];
        written.rule.zone = "Asia/Tokyo".parse().expect("a zone");
        written.rule.burst = (1 << 53) - 8;
        written.rule.priority = i32::MIN;
        written.rule.shadow = true;
        let revision = apply(&*store, tenant(2), 0, vec![RuleChange::Put(written.clone())]).await;
        assert_eq!(revision.number(), 1);
        let expected = Versioned::created(written, revision, at(1));
        assert_eq!(store.get(tenant(2), &id("a")).await.expect("reads"), Some(expected.clone()));
        let set = RuleSet { rules: vec![expected.clone()], controls: Vec::new() };
        assert_eq!(store.load(tenant(2)).await.expect("loads"), (revision, set));
        let page = store.list(tenant(2), &PageRequest::default()).await.expect("lists");
        assert_eq!(page.items, [expected]);
    }

    /// Controls of every kind read back as they were written, in the order of their ids, beside the rules and apart from other scopes.
    controls_read_back_as_written: Fixture { store, .. } => {
        let written = controls();
        let changes: Vec<RuleChange> =
            written.iter().rev().cloned().map(RuleChange::PutControl).chain([put("a", 1)]).collect();
        let revision = apply(&*store, tenant(14), 0, changes).await;
        let expected: Vec<_> =
            written.iter().map(|control| Versioned::created(control.clone(), revision, at(1))).collect();
        let (_, set) = store.load(tenant(14)).await.expect("loads");
        assert_eq!((set.rules.len(), set.controls), (1, expected));
        assert!(store.load(tenant(15)).await.expect("loads").1.controls.is_empty());
    }

    /// A control that replaces another keeps the time it was first written at; deleting what is not there is no error.
    controls_are_replaced_and_deleted: Fixture { store, .. } => {
        let [first, ..] = controls();
        let id = first.id();
        let times = async || {
            let (_, set) = store.load(tenant(16)).await.expect("loads");
            let times = |stored: Versioned<Control>| (stored.revision.number(), stored.created_at, stored.updated_at);
            set.controls.into_iter().map(times).collect::<Vec<_>>()
        };
        let put = || vec![RuleChange::PutControl(first.clone())];
        apply(&*store, tenant(16), 0, put()).await;
        apply(&*store, tenant(16), 1, put()).await;
        assert_eq!(times().await, [(2, at(1), at(2))]);
        let start = store.changes(SYSTEM, None, 10).await.expect("reads").cursor;
        let gone = || vec![RuleChange::DeleteControl(id.clone())];
        apply(&*store, tenant(16), 2, gone()).await;
        apply(&*store, tenant(16), 3, gone()).await;
        assert_eq!(times().await, []);
        let entries = store.changes(SYSTEM, Some(&start), 10).await.expect("reads").entries;
        let keys: Vec<_> = entries.iter().flat_map(|entry| entry.keys.iter().map(|key| &**key)).collect();
        assert_eq!(keys, [id.as_str(), id.as_str()]);
        apply(&*store, tenant(16), 4, put()).await;
        assert_eq!(times().await, [(5, at(5), at(5))]);
    }

    /// A rule that replaces another keeps the time it was first written at; after a deletion it is a new one.
    a_replaced_rule_keeps_its_creation: Fixture { store, .. } => {
        let times = |stored: Option<Versioned<StoredRule>>| {
            stored.map(|stored| (stored.revision.number(), stored.created_at, stored.updated_at))
        };
        apply(&*store, tenant(3), 0, vec![put("a", 1)]).await;
        apply(&*store, tenant(3), 1, vec![put("b", 1)]).await;
        apply(&*store, tenant(3), 2, vec![put("a", 2)]).await;
        assert_eq!(times(store.get(tenant(3), &id("a")).await.expect("reads")), Some((3, at(1), at(3))));
        assert_eq!(times(store.get(tenant(3), &id("b")).await.expect("reads")), Some((2, at(2), at(2))));
        apply(&*store, tenant(3), 3, vec![RuleChange::Delete(id("a"))]).await;
        assert_eq!(store.get(tenant(3), &id("a")).await.expect("reads"), None);
        apply(&*store, tenant(3), 4, vec![put("a", 3)]).await;
        assert_eq!(times(store.get(tenant(3), &id("a")).await.expect("reads")), Some((5, at(5), at(5))));
    }

    /// Several writes in one change are one revision, made in order; deleting what is not there is no error.
    a_change_is_one_revision: Fixture { store, .. } => {
        let changes = vec![put("a", 1), put("b", 1), RuleChange::Delete(id("none")), put("a", 2), RuleChange::Delete(id("b"))];
        assert_eq!(apply(&*store, tenant(4), 0, changes).await.number(), 1);
        assert_eq!(load(&*store, tenant(4)).await, (1, vec![("a".to_owned(), 2)]));
    }

    /// A change made for another revision conflicts and leaves no trace: no rule, no revision, no feed entry, no event.
    a_stale_change_leaves_no_trace: Fixture { store, outbox } => {
        apply(&*store, tenant(5), 0, vec![put("a", 1)]).await;
        let start = store.changes(SYSTEM, None, 10).await.expect("reads").cursor;
        for expected in [0, 2] {
            let events = vec![event(5, tenant(5))];
            let stale = Change { events, ..change(expected, vec![put("a", 2), put("b", 1)]) };
            let error = store.apply(tenant(5), stale).await.expect_err("is stale");
            assert_eq!(error.kind(), StoreErrorKind::Conflict);
        }
        assert_eq!(load(&*store, tenant(5)).await, (1, vec![("a".to_owned(), 1)]));
        assert!(store.changes(SYSTEM, Some(&start), 10).await.expect("reads").entries.is_empty());
        assert!(outbox.pending(SYSTEM, 10).await.expect("reads").is_empty());
    }

    /// Scopes do not see each other's rules or revisions.
    scopes_are_apart: Fixture { store, .. } => {
        for scope in [Scope::Platform, tenant(6), tenant(7)] {
            apply(&*store, scope, 0, vec![put("a", 1)]).await;
        }
        apply(&*store, tenant(6), 1, vec![RuleChange::Delete(id("a"))]).await;
        assert_eq!(load(&*store, tenant(6)).await, (2, vec![]));
        for scope in [Scope::Platform, tenant(7)] {
            assert_eq!(load(&*store, scope).await, (1, vec![("a".to_owned(), 1)]));
        }
    }

    /// Pages go through all rules once, in the order of their ids' bytes.
    pages_are_in_order: Fixture { store, .. } => {
        let names = ["a", "a-", "a.b", "a0", "a_", "ab", "b", "0"];
        apply(&*store, tenant(8), 0, names.iter().map(|name| put(name, 1)).collect()).await;
        let mut seen = Vec::new();
        let mut request = PageRequest::first(3);
        loop {
            let page = store.list(tenant(8), &request).await.expect("lists");
            assert!(page.items.len() <= 3);
            seen.extend(page.items.into_iter().map(|stored| stored.value.rule.id.to_string()));
            match page.next {
                Some(next) => request = PageRequest::first(3).after(next),
                None => break,
            }
        }
        let mut sorted: Vec<String> = names.iter().map(ToString::to_string).collect();
        sorted.sort_unstable();
        assert_eq!(seen, sorted);
        let (_, loaded) = load(&*store, tenant(8)).await;
        assert_eq!(loaded.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), sorted);
    }

    /// The feed names what each change touched, and each scope's changes in order.
    the_feed_names_every_change: Fixture { store, .. } => {
        let first = store.changes(SYSTEM, None, 10).await.expect("reads");
        assert!(first.reset && first.entries.is_empty());
        apply(&*store, tenant(9), 0, vec![put("a", 1), RuleChange::Delete(id("b"))]).await;
        apply(&*store, Scope::Platform, 0, vec![put("c", 1)]).await;
        apply(&*store, tenant(9), 1, vec![put("d", 1)]).await;
        let mut entries = Vec::new();
        let mut cursor = first.cursor;
        for limit in [1, 10] {
            let page = store.changes(SYSTEM, Some(&cursor), limit).await.expect("reads");
            assert!(!page.reset);
            entries.extend(page.entries);
            cursor = page.cursor;
        }
        let of = |scope| {
            let named = entries.iter().filter(move |entry| entry.scope == scope);
            named.map(|entry| (entry.revision.number(), entry.keys.iter().map(ToString::to_string).collect())).collect()
        };
        let expected: Vec<(u64, Vec<String>)> = vec![(1, vec!["a".into(), "b".into()]), (2, vec!["d".into()])];
        let seen: Vec<(u64, Vec<String>)> = of(tenant(9));
        assert_eq!(seen, expected);
        assert_eq!(entries.len(), 3);
        assert!(store.changes(SYSTEM, Some(&cursor), 10).await.expect("reads").entries.is_empty());
    }

    /// Events are committed with their change, in order.
    events_are_committed_with_the_change: Fixture { store, outbox } => {
        let events = [event(11, tenant(11)), event(12, tenant(11)), event(13, tenant(11))];
        let [one, two, three] = events.clone();
        let first = Change { events: vec![one, two], ..change(0, vec![put("a", 1)]) };
        store.apply(tenant(11), first).await.expect("applies");
        let second = Change { events: vec![three], ..change(1, vec![put("a", 2)]) };
        store.apply(tenant(11), second).await.expect("applies");
        let pending = outbox.pending(SYSTEM, 10).await.expect("reads");
        assert_eq!(pending.into_iter().map(|record| record.event).collect::<Vec<_>>(), events);
    }

    /// Sixteen writers that read, change and try again lose no update.
    no_update_is_lost: Fixture { store, .. } => {
        apply(&*store, tenant(12), 0, vec![put("sum", 0)]).await;
        let mut writers = JoinSet::new();
        for _ in 0..16 {
            let store = Arc::clone(&store);
            writers.spawn(async move {
                for _ in 0..10 {
                    loop {
                        let (revision, rules) = load(&*store, tenant(12)).await;
                        let (_, sum) = rules.first().expect("the sum").clone();
                        match store.apply(tenant(12), change(revision, vec![put("sum", sum + 1)])).await {
                            Ok(_) => break,
                            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
                        }
                    }
                }
            });
        }
        writers.join_all().await;
        assert_eq!(load(&*store, tenant(12)).await, (161, vec![("sum".to_owned(), 160)]));
    }

    /// Random changes leave the rules that the same changes leave in a map.
    random_changes_act_like_a_map: Fixture { store, .. } => {
        let random = SeededRandom::new(13);
        let below = |bound: u64| random.next_u64() % bound;
        let mut model: HashMap<Scope, (u64, BTreeMap<String, u64>)> = HashMap::new();
        for step in 0..300 {
            let scope = tenant(20 + below(3));
            let (revision, rules) = model.entry(scope).or_default();
            let stale = below(5) == 0;
            let expected = if stale { *revision + 1 } else { *revision };
            let changes: Vec<RuleChange> = (0..below(4)).map(|_| {
                let name = format!("rule-{}", below(5));
                if below(3) == 0 { RuleChange::Delete(id(&name)) } else { put(&name, below(100)) }
            }).collect();
            let applied = store.apply(scope, change(expected, changes.clone())).await;
            assert_eq!(applied.is_err(), stale, "step {step}");
            if !stale {
                *revision += 1;
                for change in changes {
                    match change {
                        RuleChange::Put(stored) => drop(rules.insert(stored.rule.id.to_string(), stored.rule.limit)),
                        RuleChange::Delete(id) => drop(rules.remove(id.as_str())),
                        RuleChange::PutControl(_) | RuleChange::DeleteControl(_) => {}
                    }
                }
            }
            let expected = rules.iter().map(|(name, limit)| (name.clone(), *limit)).collect();
            assert_eq!(load(&*store, scope).await, (*revision, expected), "step {step}");
        }
    }
}
