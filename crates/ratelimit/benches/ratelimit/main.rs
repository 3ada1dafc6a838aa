//! What a decision costs against the least work that could do it, and what a counter costs in memory.
//!
//! Times are of the thread's CPU. Both sides of a figure take turns in one run: a ratio is the median over the turns, the parts are
//! the minimum over them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark stops at whatever goes wrong, and prints"
)]

mod algorithms;
mod floor;
mod measure;
mod threads;
mod workload;

use std::hint::black_box;

use stanchion_ratelimit::Request;

use crate::floor::Bare;
use crate::measure::{Comparison, bytes_each, compare, report};
use crate::threads::{compare_threads, counters};
use crate::workload::{Counters, KEYS, NAME, REQUESTS, engine, subjects, tenant, users, write_name};

/// One rule, its key at hand, over so many keys.
fn of_keys(turns: usize, keys: usize) -> Comparison {
    let (bare, order) = (Bare::new(keys), users(keys));
    let mut counters = Counters::roomy(keys);
    (0..keys).for_each(|user| assert!(counters.decide(user)));
    let mut name = NAME;
    compare(
        turns,
        REQUESTS,
        || order.iter().for_each(|user| assert!(counters.decide(*user))),
        || {
            for user in &order {
                write_name(*user, &mut name);
                black_box(bare.add(black_box(&name)));
            }
        },
    )
}

/// A whole decision of the engine, of as many counters as `KEYS` in all: `matching` of `rules` rules are for the request.
fn of_rules(turns: usize, rules: usize, matching: usize) -> Comparison {
    let count = KEYS / matching.max(1);
    let (engine, bare, tenant) = (engine(rules, matching), Bare::new(KEYS), tenant());
    let (subjects, order) = (subjects(count), users(count));
    let decide = |user: &usize| {
        let subject = Some(black_box(&subjects[*user]));
        let request = Request { tenant: Some(tenant), subject, route: Some("hot"), ..Request::default() };
        let decision = engine.try_decide(&request).unwrap();
        assert!(decision.is_admitted() && black_box(decision.most_restrictive()).is_some() == (matching > 0));
    };
    (0..count).for_each(|user| decide(&user));
    let mut name = NAME;
    compare(
        turns,
        REQUESTS,
        || order.iter().for_each(decide),
        || {
            for user in &order {
                black_box(subjects[*user].id().as_str().as_bytes()[0]);
                for rule in 0..matching.max(1) {
                    write_name(user + rule * count, &mut name);
                    black_box(bare.add(black_box(&name)));
                }
            }
        },
    )
}

fn bytes_per_key(count: usize) -> f64 {
    bytes_each(count, || {
        let mut counters = Counters::roomy(count);
        (0..count).for_each(|user| assert!(counters.decide(user)));
        assert_eq!(counters.store.len(), count);
        counters
    })
}

/// The floor of several threads: the same bare look-up.
fn of_threads(turns: usize) {
    let bare = Bare::new(KEYS);
    let look_up = |users: &[usize]| {
        let mut name = NAME;
        for user in users {
            write_name(*user, &mut name);
            black_box(bare.add(black_box(&name)));
        }
    };
    compare_threads(turns, "bare_lookups", counters(), look_up);
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let turns = if quick { 9 } else { 41 };
    let report = |figure: &str, compared| report(figure, "bare_lookups", compared);
    // First, while the process holds no memory that could be used again.
    println!("BENCH ratelimit.bytes_per_key value={:.1} unit=bytes", bytes_per_key(1_000_000));

    let hundred_thousand = of_keys(turns, KEYS);
    report("memory_one_rule", hundred_thousand);
    report("keys_1k", of_keys(turns, 1_000));
    report("keys_10k", of_keys(turns, 10_000));
    report("keys_100k", hundred_thousand);
    if !quick {
        report("keys_1m", of_keys(turns, 1_000_000));
    }

    println!("BENCH ratelimit.engine_no_rule value={:.1} unit=ns", of_rules(turns, 1_000, 0).ours);
    report("engine_one_rule", of_rules(turns, 1, 1));
    let thousand = of_rules(turns, 1_000, 8);
    report("memory_eight_of_thousand", thousand);
    report("rules_10", of_rules(turns, 10, 8));
    report("rules_1k", thousand);
    report("rules_100k", of_rules(turns, 100_000, 8));

    of_threads(turns);
    algorithms::costs(turns);
    algorithms::over_admissions(if quick { 50 } else { 500 });
}
