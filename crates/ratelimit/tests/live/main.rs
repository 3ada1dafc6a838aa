//! Ten thousand rules change under load, and every decision is checked.
//!
//! What is wrong, said exactly. A rule has versions: what it allows, or that it is not there. Each is written by one call, which begins and
//! ends; a decision begins and ends too, all on one count of instants.
//!
//! 1. *By the old or the new.* A decision asks the rules that are for its request and no others, each in a version that was written, not
//!    before its write began, nor when a later write had ended before the decision began.
//! 2. *Never back.* Once a decision has ended that went by a version, none that begins then goes by an older one.
//! 3. *All or nothing, each unit once.* Under rules of one life (from being put to being removed) the decisions that were admitted
//!    used the first, second, … unit of the counter: none twice, none left out, and each within the version it went by. A refusal took
//!    nothing of any other counter.
//! 4. *No refusal for nothing.* Who was refused under a version found all its units used.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "it has what another suite needs")]
mod history;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use stanchion_calendar::Window;
use stanchion_core::{
    Author, Change, IdGen as _, ManualClock, Revision, Scope, SeededRandom, Slug, SubjectRef, TenantId,
    Timestamp,
};
use stanchion_ratelimit::{
    Algorithm, Config, Decision, Dimension, Engine, MemoryCounterStore, MemoryRuleStore, Request, Rule,
    RuleChange, RuleId, RuleStore as _, StoredRule, Verdict,
};

use history::{History, Seen};

/// How many rules there are, half of them the platform's.
const RULES: usize = 10_000;
/// How many of either half are written to.
const LIVELY: usize = 24;
const WRITES: usize = 90;
const DECIDERS: usize = 4;
/// So much that nobody uses it up.
const PLENTY: u64 = 1_000_000_000;

fn tenant() -> TenantId {
    SeededRandom::new(1).tenant_id(Timestamp::EPOCH)
}

/// Which half a rule belongs to.
fn scopes() -> [Scope; 2] {
    [Scope::Platform, Scope::Tenant(tenant())]
}

fn name(half: usize, number: usize) -> String {
    format!("rule-{half}-{number}")
}

/// The rule of a route: so many a day for each user. The limit tells the version.
fn rule(half: usize, number: usize, limit: u64) -> Rule {
    let routes = vec![Slug::new(&format!("route-{number}")).unwrap()];
    let rule = Rule::new(RuleId::new(&name(half, number)).unwrap(), Dimension::User, limit, Window::DAY);
    Rule { routes, algorithm: Algorithm::FixedWindow, ..rule }
}

/// A rule for every request, which never refuses: it counts who was admitted.
fn everybody(half: usize) -> Rule {
    let id = RuleId::new(&format!("everybody-{half}")).unwrap();
    Rule { algorithm: Algorithm::FixedWindow, ..Rule::new(id, Dimension::Tenant, PLENTY, Window::DAY) }
}

/// The limits of a rule's versions, no two alike: every other one refuses soon.
fn limit(version: usize) -> u64 {
    let version = version as u64;
    if version.is_multiple_of(2) { PLENTY / 2 + version } else { 100 - version / 2 }
}

/// An engine that holds all rules, in memory, at a time that stands still.
async fn engine() -> Engine {
    let store = MemoryRuleStore::new(None);
    for (half, scope) in scopes().into_iter().enumerate() {
        // Apart from those of the writes to come: rules of one epoch would share their counters.
        let epoch = |number| Revision::from_number(1_000_000 + number as u64);
        let stored = |(number, rule)| RuleChange::Put(StoredRule { rule, epoch: epoch(number) });
        let numbers = 0..RULES / 2 - 1;
        let rules = numbers.map(|number| rule(half, number, if number < LIVELY { limit(0) } else { PLENTY }));
        let change = Change {
            expected: Revision::ZERO,
            changes: rules.chain([everybody(half)]).enumerate().map(stored).collect(),
            at: Timestamp::EPOCH,
            actor: Author::system("test").actor,
            events: Vec::new(),
        };
        store.apply(scope, change).await.unwrap();
    }
    let clock = Arc::new(ManualClock::at(Timestamp::parse_rfc3339("2026-03-01T12:00:00Z").unwrap()));
    let counters = Arc::new(MemoryCounterStore::new(100_000, clock.clone()));
    let config = Config { rules_per_scope: RULES, ..Config::default() };
    Engine::new(Arc::new(store), counters, clock, Arc::new(SeededRandom::new(2)), config)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn below(random: &SeededRandom, most: usize) -> usize {
    usize::try_from(random.next_u64() % most as u64).unwrap()
}

/// Writes to the rules of one half, one after the other: changes, removes, and puts back.
fn write(engine: &Engine, half: usize, histories: &[History]) {
    let (scope, random, author) =
        (scopes()[half], SeededRandom::new(10 + half as u64), Author::system("test"));
    let mut lives = [true; LIVELY];
    for _ in 0..WRITES {
        let number = below(&random, LIVELY);
        let id = RuleId::new(&name(half, number)).unwrap();
        let removes = lives[number] && random.next_u64().is_multiple_of(3);
        lives[number] = !removes;
        histories[number].write(!removes, |version| {
            block_on(async {
                if removes {
                    engine.delete_rule(&author, scope, &id, None).await.unwrap();
                } else {
                    let rule = rule(half, number, limit(version));
                    engine.put_rule(&author, scope, rule, None).await.unwrap();
                }
            });
        });
    }
}

/// What the decisions of one thread came to.
#[derive(Default)]
struct Tally {
    /// Of each lively rule of each half: every unit that was used, by the version that it was used under.
    used: HashMap<(usize, usize), Vec<(usize, u64)>>,
    /// The versions under which it has refused.
    refused: HashMap<(usize, usize), Vec<usize>>,
    /// What the rules for everybody told of the decisions that were admitted.
    everybody: [Vec<u64>; 2],
    decisions: usize,
}

impl Tally {
    fn take(&mut self, route: usize, decision: &Decision, seen: [Option<(usize, u64)>; 2]) {
        self.decisions += 1;
        let admitted = decision.is_admitted();
        if let Verdict::Refused { rule, scope, .. } = &decision.verdict {
            let half = usize::from(*scope != Scope::Platform);
            assert_eq!(rule.as_ref().unwrap().as_str(), name(half, route), "only the route's rules run out");
            let (version, remaining) = seen[half].unwrap();
            assert_eq!(remaining, 0, "a refusal with units left");
            self.refused.entry((half, route)).or_default().push(version);
        }
        for (half, seen) in seen.into_iter().enumerate() {
            if let Some((version, remaining)) = seen
                && admitted
            {
                self.used.entry((half, route)).or_default().push((version, limit(version) - remaining));
            }
            let name = format!("everybody-{half}");
            let everybody = decision.rules().find(|state| state.rule.as_str() == name).unwrap();
            assert_eq!((everybody.limit, everybody.exceeded), (PLENTY, false));
            if admitted {
                self.everybody[half].push(PLENTY - everybody.remaining);
            }
        }
    }
}

/// Decides until the writers are done, and checks each decision against the histories.
fn decide(engine: &Engine, thread: usize, histories: &[Vec<History>; 2], done: &AtomicBool) -> Tally {
    let (random, alice) = (SeededRandom::new(100 + thread as u64), SubjectRef::user("alice").unwrap());
    let mut tally = Tally::default();
    while !done.load(Ordering::SeqCst) {
        let lively = random.next_u64() % 8 < 7;
        let count = if lively { LIVELY } else { RULES / 2 - 1 };
        let route = below(&random, count);
        let name_of_route = format!("route-{route}");
        let request = Request {
            tenant: Some(tenant()),
            subject: Some(&alice),
            route: Some(&name_of_route),
            ..Request::default()
        };
        let begun = [0, 1].map(|half| (route < LIVELY).then(|| histories[half][route].begin()));
        let decision = match engine.try_decide(&request) {
            Some(decision) => decision,
            None => block_on(engine.decide(&request)).unwrap(),
        };
        let seen = [0, 1].map(|half| {
            let state = decision.rules().find(|state| state.rule.as_str() == name(half, route));
            let Some(begun) = begun[half] else {
                assert_eq!(state.unwrap().limit, PLENTY, "a rule that nobody wrote to");
                return None;
            };
            let seen = state.map_or(Seen::Absent, |state| Seen::Limit(state.limit));
            let version = histories[half][route].end(begun, seen);
            state.map(|state| (version, state.remaining))
        });
        let expected =
            2 + [0, 1].into_iter().filter(|half| begun[*half].is_none() || seen[*half].is_some()).count();
        assert_eq!(decision.rules().count(), expected, "rules that are not for the request");
        if begun[0].is_some() {
            tally.take(route, &decision, seen);
        } else {
            assert!(decision.is_admitted());
            tally.take_everybody(&decision);
        }
    }
    tally
}

impl Tally {
    fn take_everybody(&mut self, decision: &Decision) {
        self.decisions += 1;
        for half in [0, 1] {
            let name = format!("everybody-{half}");
            let everybody = decision.rules().find(|state| state.rule.as_str() == name).unwrap();
            self.everybody[half].push(PLENTY - everybody.remaining);
        }
    }
}

/// Checks that the units are the first, the second, … in whatever order, and returns how many.
fn whole(mut units: Vec<u64>) -> u64 {
    units.sort_unstable();
    let count = units.len() as u64;
    assert!(units.iter().copied().eq(1..=count), "not each unit once: {units:?}");
    count
}

#[test]
fn ten_thousand_rules_change_under_load_without_a_wrong_decision() {
    let engine = block_on(engine());
    let instants = Arc::new(AtomicU64::new(0));
    let half = || (0..LIVELY).map(|_| History::new(Arc::clone(&instants), limit)).collect::<Vec<_>>();
    let (histories, done) = ([half(), half()], AtomicBool::new(false));
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let deciders: Vec<_> = (0..DECIDERS)
            .map(|thread| {
                let (engine, histories, done) = (&engine, &histories, &done);
                scope.spawn(move || decide(engine, thread, histories, done))
            })
            .collect();
        let writers: Vec<_> = [0, 1]
            .map(|half| {
                let (engine, histories) = (&engine, &histories[half]);
                scope.spawn(move || write(engine, half, histories))
            })
            .into();
        let written: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::SeqCst);
        let tallies = deciders.into_iter().map(|decider| decider.join().unwrap()).collect();
        written.into_iter().for_each(Result::unwrap);
        tallies
    });

    let (mut admitted, mut refusals) = ([0; 2], 0_u64);
    let mut seen_versions = 0;
    for half in [0, 1] {
        let everybody = tallies.iter().flat_map(|tally| tally.everybody[half].clone()).collect();
        admitted[half] = whole(everybody);
        for (number, history) in histories[half].iter().enumerate() {
            let of = |tally: &Tally| tally.used.get(&(half, number)).cloned().unwrap_or_default();
            let mut lives: HashMap<usize, Vec<u64>> = HashMap::new();
            for (version, unit) in tallies.iter().flat_map(of) {
                lives.entry(history.life_of(version)).or_default().push(unit);
            }
            let used: HashMap<usize, u64> =
                lives.into_iter().map(|(life, units)| (life, whole(units))).collect();
            let refused =
                tallies.iter().flat_map(|tally| tally.refused.get(&(half, number)).into_iter().flatten());
            for version in refused {
                let used = used.get(&history.life_of(*version)).copied().unwrap_or(0);
                assert!(used >= limit(*version), "refused at {used} of {}", limit(*version));
                refusals += 1;
            }
            seen_versions += history.versions_seen();
        }
    }
    let decisions: usize = tallies.iter().map(|tally| tally.decisions).sum();
    assert_eq!(admitted[0], admitted[1], "all or nothing, over both halves");
    assert_eq!(admitted[0] + refusals, decisions as u64);
    // It was a test of something.
    assert!(refusals > 1_000 && admitted[0] > 1_000, "{admitted:?} {refusals}");
    assert!(seen_versions > LIVELY * 2 + WRITES / 2, "{seen_versions}");
}
