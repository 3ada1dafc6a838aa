use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota};
use stanchion_ratelimit::{Limit, Request};

use crate::measure::{Comparison, compare, over_admission, report};
use crate::threads::{PLENTY, compare_threads, counters};
use crate::workload::{
    Counters, DAY, KEYS, LIMIT, NAME, REQUESTS, engine, name, subjects, tenant, users, write_name,
};

/// A limiter with its keys, as `governor` documents it.
pub(crate) struct Governor {
    limiter: DefaultKeyedRateLimiter<String>,
    key: String,
}

impl Governor {
    /// So many in a day, all of them at once if need be.
    pub(crate) fn new(limit: u64) -> Self {
        let pace = Duration::from_secs(DAY) / u32::try_from(limit).unwrap();
        let burst = NonZeroU32::new(u32::try_from(limit).unwrap()).unwrap();
        let quota = Quota::with_period(pace).unwrap().allow_burst(burst);
        Self { limiter: DefaultKeyedRateLimiter::keyed(quota), key: String::new() }
    }

    pub(crate) fn roomy() -> Self {
        Self::new(LIMIT)
    }

    pub(crate) fn decide(&mut self, user: usize) -> bool {
        let mut name = NAME;
        write_name(user, &mut name);
        self.decide_named(std::str::from_utf8(&name).unwrap())
    }

    fn decide_named(&mut self, name: &str) -> bool {
        self.key.clear();
        self.key.push_str(name);
        self.limiter.check_key(std::hint::black_box(&self.key)).is_ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.limiter.len()
    }
}

pub(crate) fn run(turns: usize) {
    report("memory_one_rule", "governor", allowed(turns, KEYS));
    report("memory_one_rule_denied", "governor", denied(turns));
    for (figure, keys) in [("keys_1k", 1_000), ("keys_10k", 10_000), ("keys_1m", 1_000_000)] {
        report(figure, "governor", allowed(turns, keys));
    }
    report("engine_one_rule", "governor", through_engine(turns));
    of_threads(turns);
    let over = over();
    println!("BENCH ratelimit.over_admission_governor value={over} unit=requests");
}

fn allowed(turns: usize, keys: usize) -> Comparison {
    let (mut ours, mut theirs) = (Counters::roomy(keys), Governor::roomy());
    (0..keys).for_each(|user| assert!(ours.decide(user) && theirs.decide(user)));
    let order = users(keys);
    compare(
        turns,
        REQUESTS,
        || order.iter().for_each(|user| assert!(ours.decide(*user))),
        || order.iter().for_each(|user| assert!(theirs.decide(*user))),
    )
}

/// One in a day, and it is used up.
fn denied(turns: usize) -> Comparison {
    let (mut ours, mut theirs) =
        (Counters::new(KEYS, Limit::token_bucket(1, 1, DAY).unwrap()), Governor::new(1));
    (0..KEYS).for_each(|user| assert!(ours.decide(user) && theirs.decide(user)));
    let order = users(KEYS);
    compare(
        turns,
        REQUESTS,
        || order.iter().for_each(|user| assert!(!ours.decide(*user))),
        || order.iter().for_each(|user| assert!(!theirs.decide(*user))),
    )
}

/// Both read the name off the request; ours also finds the rule, writes the key and tells how each rule stands.
fn through_engine(turns: usize) -> Comparison {
    let (engine, subjects, tenant) = (engine(1, 1), subjects(KEYS), tenant());
    let decide = |user: usize| {
        let subject = Some(&subjects[user]);
        let request = Request { tenant: Some(tenant), subject, route: Some("hot"), ..Request::default() };
        engine.try_decide(&request).unwrap().is_admitted()
    };
    let mut theirs = Governor::roomy();
    (0..KEYS).for_each(|user| assert!(decide(user) && theirs.decide(user)));
    let order = users(KEYS);
    compare(
        turns,
        REQUESTS,
        || order.iter().for_each(|user| assert!(decide(*user))),
        || order.iter().for_each(|user| assert!(theirs.decide_named(subjects[*user].id().as_str()))),
    )
}

/// All threads ask one limiter, each with a key of its own at hand to write names into.
fn of_threads(turns: usize) {
    let quota = Quota::with_period(Duration::from_secs(DAY) / PLENTY)
        .unwrap()
        .allow_burst(NonZeroU32::new(PLENTY).unwrap());
    let limiter: DefaultKeyedRateLimiter<String> = DefaultKeyedRateLimiter::keyed(quota);
    let check = |users: &[usize]| {
        let (mut name, mut key) = (NAME, String::new());
        for user in users {
            write_name(*user, &mut name);
            key.clear();
            key.push_str(std::str::from_utf8(&name).unwrap());
            assert!(limiter.check_key(std::hint::black_box(&key)).is_ok());
        }
    };
    compare_threads(turns, "governor", counters(), check);
}

fn over() -> usize {
    let quota =
        Quota::with_period(Duration::from_secs(DAY)).unwrap().allow_burst(NonZeroU32::new(1_000).unwrap());
    let limiter = DefaultKeyedRateLimiter::keyed(quota);
    over_admission(500, 1_000, |round| limiter.check_key(&name(round)).is_ok())
}
