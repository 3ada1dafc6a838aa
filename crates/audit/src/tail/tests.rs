use std::sync::Arc;

use stanchion_core::{
    Actor, Category, Clock as _, Event, IdGen as _, KeyRing, ManualClock, Secret, SeededRandom, Timestamp,
};

use super::*;
use crate::{Config, Draft, MemoryLedgerStore};

const NOON: i64 = 1_772_366_400_000_000;

struct World {
    clock: Arc<ManualClock>,
    ids: SeededRandom,
    ledger: Ledger,
}

impl World {
    async fn record(&self, action: &'static str, category: Category) {
        let (now, scope) = (self.clock.now(), Scope::Platform);
        let event = Event::new(self.ids.event_id(now), now, scope, Actor::Anonymous, action, category);
        self.ledger.append(scope, Draft::Event(event)).await.unwrap();
    }

    async fn follow(&self, cursor: &Cursor, limit: usize) -> Tailed {
        let query = Query::default();
        self.ledger.follow(Scope::Platform, &query, cursor, limit, Duration::ZERO).await.unwrap()
    }
}

fn actions(tailed: &Tailed) -> Vec<String> {
    tailed.entries.iter().map(|entry| entry.event.action.to_string()).collect()
}

fn with_ledger(capacity: usize, work: impl AsyncFnOnce(&World)) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(NOON)));
    let store = Arc::new(MemoryLedgerStore::new(capacity));
    let keys = KeyRing::new([(1, Secret::new([7; 32]))]).unwrap();
    let ids = Arc::new(SeededRandom::new(7));
    let config = Config { linger_ms: 0, ..Config::default() };
    let (ledger, sequencer) = Ledger::new(store, keys, clock.clone(), clock.clone(), ids, config);
    let world = World { clock, ids: SeededRandom::new(9), ledger };
    let work = async {
        work(&world).await;
        world.ledger.close();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { tokio::join!(sequencer.run(), work).0 }).unwrap();
}

#[test]
fn whoever_follows_sees_every_entry_once_whatever_the_size_of_a_page() {
    with_ledger(1_000, async |world: &World| {
        world.record("door.opened", Category::Access).await;
        world.clock.advance(Duration::from_secs(1));
        world.record("role.put", Category::Administration).await;
        let latest = world.ledger.latest(Scope::Platform, &Query::default(), 10).await.unwrap();
        assert_eq!(actions(&latest), ["door.opened", "role.put"]);
        let one = world.ledger.latest(Scope::Platform, &Query::default(), 1).await.unwrap();
        assert_eq!((actions(&one), &one.cursor), (vec!["role.put".to_owned()], &latest.cursor));
        // The clock of whoever records goes back; in which order they come does not depend on it.
        for (back, count) in [(0, 7), (1, 4), (0, 6)] {
            world.clock.set(Timestamp::from_micros(NOON - back * 1_000_000));
            for _ in 0..count {
                world.record("door.opened", Category::Access).await;
                world.record("role.put", Category::Administration).await;
            }
        }
        for limit in [1, 2, 3, 5, 100] {
            let (mut cursor, mut seen) = (latest.cursor.clone(), Vec::new());
            loop {
                let tailed = world.follow(&cursor, limit).await;
                if tailed.entries.is_empty() {
                    break;
                }
                seen.extend(tailed.entries.iter().map(|entry| (entry.chain.class, entry.seq)));
                // It survives as a text.
                cursor = tailed.cursor.to_string().parse().unwrap();
                assert_eq!((&cursor, tailed.skipped), (&tailed.cursor, 0));
            }
            seen.sort_unstable();
            let classes = [RetentionClass::Security, RetentionClass::Standard];
            let all: Vec<_> = classes.iter().flat_map(|class| (2..=18).map(|seq| (*class, seq))).collect();
            assert_eq!(seen, all, "pages of {limit}");
        }
    });
}

#[test]
fn entries_that_do_not_match_are_passed_over_and_those_that_were_dropped_are_counted() {
    with_ledger(10, async |world: &World| {
        for _ in 0..50 {
            world.record("door.opened", Category::Access).await;
        }
        let all = world.follow(&Cursor::default(), 100).await;
        let kept = all.entries.len() as u64;
        assert!(kept < 50, "something was dropped");
        assert_eq!(kept + all.skipped, 50);
        let query = Query { action: Some("door.shut".into()), ..Query::default() };
        let none = world.ledger.follow(Scope::Platform, &query, &Cursor::default(), 5, Duration::ZERO).await;
        let none = none.unwrap();
        assert_eq!((none.entries.len(), none.cursor.at(RetentionClass::Standard)), (0, 50));
    });
}

#[test]
fn whoever_waits_is_told_as_soon_as_there_is_something() {
    with_ledger(10, async |world: &World| {
        let (cursor, query) = (Cursor::default(), Query::default());
        let wait = Duration::from_secs(10);
        let follow = world.ledger.follow(Scope::Platform, &query, &cursor, 5, wait);
        let record = async {
            while world.clock.sleepers() == 0 {
                tokio::task::yield_now().await;
            }
            world.record("door.opened", Category::Access).await;
            world.clock.advance(INTERVAL);
        };
        let (tailed, ()) = tokio::join!(follow, record);
        assert_eq!(actions(&tailed.unwrap()), ["door.opened"]);
    });
}

#[test]
fn a_cursor_has_one_text() {
    for good in ["", "security.1", "security.1-data_access.2-standard.0"] {
        assert_eq!(good.parse::<Cursor>().unwrap().to_string(), good);
    }
    let bad = ["-", "security", "security.", "security.+1", "standard.1-security.1", "x.1"];
    for bad in bad.into_iter().chain(["security.1-security.2"]) {
        assert!(bad.parse::<Cursor>().is_err(), "{bad}");
    }
}
