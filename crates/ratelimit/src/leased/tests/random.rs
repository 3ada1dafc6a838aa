//! Random calls on several replicas: every unit that is charged at the shared store was used by a call or is held by a replica.

use proptest::prelude::*;

use super::*;

const KEYS: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
const ROOM: u64 = 60;

struct Run {
    world: World,
    replicas: Vec<LeasedCounterStore>,
    random: SeededRandom,
    limits: [Limit; 4],
    /// What calls have used, net of what they gave back.
    used: [u64; 4],
}

impl Run {
    fn below(&self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    fn pick<'x, T>(&self, of: &'x [T]) -> &'x T {
        &of[usize::try_from(self.below(u64::try_from(of.len()).unwrap())).unwrap()]
    }

    async fn decide(&mut self) {
        let mut keys: Vec<usize> = (0..KEYS.len()).collect();
        keys.sort_by_cached_key(|_| self.random.next_u64());
        keys.truncate(usize::try_from(1 + self.below(4)).unwrap());
        let charges: Vec<Charge<'_>> = keys
            .iter()
            .map(|key| Charge {
                key: KEYS[*key],
                mode: if self.below(4) == 0 { Mode::Observe } else { Mode::Enforce },
                charge_denied: self.below(5) == 0,
                lease: (self.below(4) > 0).then(|| lease(1 + self.below(20), 1 + self.below(3_000))),
                ..Charge::new(b"", self.limits[*key], self.below(6))
            })
            .collect();
        let id = CallId::new(self.random.next_u64().into());
        let hold = (self.below(5) == 0).then(|| Duration::from_secs(1 + self.below(5)));
        let call = Call { id, hold, ..Call::new(&charges, None) };
        let replica = self.pick(&self.replicas);
        let outcome = put(replica, &call).await;
        assert_eq!(outcome.standings().len(), charges.len());
        let refuses = |(charge, standing): (&Charge<'_>, &crate::Standing)| {
            charge.mode == Mode::Enforce && !standing.fits
        };
        assert_eq!(
            outcome.is_admitted(),
            !charges.iter().zip(outcome.standings()).any(refuses),
            "{call:?} {outcome:?}"
        );
        let mut given_back = Vec::new();
        for ((key, charge), standing) in keys.iter().zip(&charges).zip(outcome.standings()) {
            if standing.fits && (outcome.is_admitted() || charge.charge_denied) {
                self.used[*key] += charge.cost;
                given_back.push((*key, self.below(charge.cost + 1)));
            }
        }
        if outcome.is_admitted() && (hold.is_some() || self.below(3) == 0) {
            let settled = Settled { id, at: outcome.at(), hold: hold.is_some() };
            let corrections: Vec<Settlement<'_>> = given_back
                .iter()
                .map(|(key, units)| Settlement {
                    key: KEYS[*key],
                    limit: self.limits[*key],
                    adjustment: Adjustment::Return(*units),
                })
                .collect();
            let replica = self.pick(&self.replicas);
            let done = match replica.try_settle(Slot::Edge, settled, &corrections, None) {
                Some(done) => done.unwrap(),
                None => replica.settle(Slot::Edge, settled, &corrections, None).await.unwrap(),
            };
            assert!(done);
            given_back.into_iter().for_each(|(key, units)| self.used[key] -= units);
        }
    }

    async fn step(&mut self) {
        match self.below(20) {
            0 => self.world.clock.advance(Duration::from_millis(self.below(2_000))),
            1 => self.pick(&self.replicas).sweep().await.unwrap(),
            2 => self.pick(&self.replicas).flush().await.unwrap(),
            _ => self.decide().await,
        }
    }

    /// What the shared store has charged is what calls used and what replicas hold.
    async fn check(&self, step: usize) {
        for (number, limit) in self.limits.iter().enumerate() {
            let charges = [Charge { lease: Some(lease(1, 1)), ..Charge::new(KEYS[number], *limit, 0) }];
            let remaining = async |store: &dyn CounterStore| {
                let look = store.peek(Slot::Edge, &Call::new(&charges, None)).await.unwrap();
                look.standings()[0].remaining
            };
            let there = remaining(&*self.world.shared).await;
            let mut held = 0;
            for replica in &self.replicas {
                held += remaining(replica).await - there;
                held += replica.expired(KEYS[number]);
            }
            assert_eq!(ROOM - there, self.used[number] + held, "step {step}, {limit:?}");
        }
    }
}

impl LeasedCounterStore {
    /// What is here of a counter and may not be used any more.
    fn expired(&self, key: &[u8]) -> u64 {
        let now = self.clock.now();
        let account = |account: &mut account::Account| {
            if account.has_expired(now) { account.left(Timestamp::MIN) } else { 0 }
        };
        self.with_account(Slot::Edge, key, account).unwrap_or(0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_unit_is_used_or_held(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let hour = Frame::Every(NonZeroU64::new(3_600_000_000).unwrap());
            let sliding = Limit::sliding_window(ROOM, hour).unwrap();
            // Too slow for a unit to come back while this runs.
            let bucket = bucket(ROOM, 1, 3_155_760_000);
            let replicas = (0..2).map(|_| world.replica()).collect();
            let random = SeededRandom::new(seed);
            let limits = [window(ROOM, 3_600), window(ROOM, 3_600), sliding, bucket];
            let mut run = Run { world, replicas, random, limits, used: [0; 4] };
            for step in 0..150 {
                run.step().await;
                run.check(step).await;
            }
            assert!(run.replicas.iter().all(|replica| replica.stats().lost == 0));
        });
    }

    #[test]
    fn no_window_gives_more_than_the_limit(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let replicas = [(); 3].map(|()| world.replica());
            let random = SeededRandom::new(seed);
            let below = |bound: u64| random.next_u64() % bound;
            let (limit, mut used) = (window(50, 2), std::collections::BTreeMap::<i64, u64>::new());
            for _ in 0..400 {
                world.clock.advance(Duration::from_millis(below(60)));
                let cost = below(4);
                let replica = &replicas[usize::try_from(below(3)).unwrap()];
                if admits(replica, charge(limit, cost, lease(12, 700))).await {
                    *used.entry(world.clock.now().seconds() / 2).or_default() += cost;
                }
            }
            assert!(used.values().all(|used| *used <= 50), "{used:?}");
        });
    }

    #[test]
    fn no_stretch_of_time_gives_more_of_a_level_than_stated(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let replicas = [(); 3].map(|()| world.replica());
            let random = SeededRandom::new(seed);
            let below = |bound: u64| random.next_u64() % bound;
            let (limit, lease) = (bucket(20, 10, 1), lease(1 + below(9), 100 + below(900)));
            let overshoot = lease.overshoot(&limit, NonZeroU32::new(3).unwrap());
            let mut taken = Vec::new();
            for _ in 0..300 {
                // Bursts and pauses.
                world.clock.advance(Duration::from_millis(if below(10) == 0 { below(900) } else { below(20) }));
                let cost = 1 + below(3);
                if admits(&replicas[usize::try_from(below(3)).unwrap()], charge(limit, cost, lease)).await {
                    taken.push((world.clock.now(), cost));
                }
            }
            for (index, (start, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (at, cost) in &taken[index..] {
                    sum += cost;
                    let drained = u64::try_from(at.since(*start).as_micros()).unwrap() * 10 / 1_000_000 + 1;
                    assert!(sum <= 20 + drained + overshoot, "{sum} within {:?}", at.since(*start));
                }
            }
        });
    }
}
