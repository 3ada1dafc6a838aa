//! The ruler, which the comparisons with peers use too.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// What an operation costs on either side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    /// The least over the turns, in nanoseconds of the thread's CPU.
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    /// The median over the turns.
    pub(crate) ratio: f64,
}

/// Lets both sides work in turns. What `ours` and `theirs` are is work and how many operations it has.
pub(crate) fn compare(
    turns: usize,
    mut ours: (usize, impl FnMut() -> usize),
    mut theirs: (usize, impl FnMut() -> usize),
) -> Comparison {
    let (mut least_ours, mut least_theirs, mut ratios) = (f64::MAX, f64::MAX, Vec::new());
    // The first turn warms up and is not counted.
    for turn in 0..=turns {
        let (cost_ours, cost_theirs) = (cost(ours.0, &mut ours.1), cost(theirs.0, &mut theirs.1));
        if turn > 0 {
            least_ours = least_ours.min(cost_ours);
            least_theirs = least_theirs.min(cost_theirs);
            ratios.push(cost_ours / cost_theirs);
        }
    }
    ratios.sort_by(f64::total_cmp);
    Comparison { ours: least_ours, theirs: least_theirs, ratio: ratios[turns / 2] }
}

fn cost(operations: usize, work: &mut impl FnMut() -> usize) -> f64 {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    black_box(work());
    let after = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
    nanos as f64 / operations as f64
}

/// Asks for one thing or another, as the answer before it was: a caller has its answer before it goes on. Without that, the processor
/// works on several requests at once and hides what each of them waits for.
pub(crate) fn one_by_one(requests: usize, check: impl Fn(usize) -> bool) -> usize {
    let (mut count, mut allowed) = (0, false);
    for turn in 0..requests / 2 {
        allowed = check(2 * turn + usize::from(black_box(allowed)));
        count += usize::from(allowed);
    }
    count
}

pub(crate) fn report(figure: &str, peer: &str, compared: Comparison) {
    let Comparison { ours, theirs, ratio } = compared;
    // A peer may cost thousands of times as much.
    let places = if ratio < 0.1 { 6 } else { 3 };
    println!(
        "BENCH rbac.{figure} value={ours:.1} unit=ns peer={peer} peer_value={theirs:.1} ratio={ratio:.places$}"
    );
}

pub(crate) fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size()
}
