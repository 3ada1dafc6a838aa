//! The ruler, which the comparisons with peers use too.

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

/// Lets both sides do their `operations` in turns. The first turn warms up and is not counted.
pub(crate) fn compare(
    turns: usize,
    operations: usize,
    mut ours: impl FnMut(),
    mut theirs: impl FnMut(),
) -> Comparison {
    let (mut least_ours, mut least_theirs, mut ratios) = (f64::MAX, f64::MAX, Vec::new());
    for turn in 0..=turns {
        let (cost_ours, cost_theirs) = (cost(operations, &mut ours), cost(operations, &mut theirs));
        if turn > 0 {
            least_ours = least_ours.min(cost_ours);
            least_theirs = least_theirs.min(cost_theirs);
            ratios.push(cost_ours / cost_theirs);
        }
    }
    ratios.sort_by(f64::total_cmp);
    Comparison { ours: least_ours, theirs: least_theirs, ratio: ratios[turns / 2] }
}

fn cost(operations: usize, work: &mut impl FnMut()) -> f64 {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    work();
    let after = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
    nanos as f64 / operations as f64
}

/// How many bytes of memory the process holds more after `work` for each of `count` things that it made. What `work` returns is
/// kept until then.
pub(crate) fn bytes_each<T>(count: usize, work: impl FnOnce() -> T) -> f64 {
    let before = resident_bytes();
    let made = work();
    let bytes = resident_bytes().saturating_sub(before);
    drop(made);
    bytes as f64 / count as f64
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

/// Lets four threads ask at once, all of them more often than the limit allows, and returns by how many the worst of the rounds
/// went beyond the limit. `ask` is told the round and tells whether it was admitted.
pub(crate) fn over_admission(rounds: usize, limit: usize, ask: impl Fn(usize) -> bool + Sync) -> usize {
    const THREADS: usize = 4;
    let start = std::sync::Barrier::new(THREADS);
    let of_thread = || -> Vec<usize> {
        let of_round = |round| {
            start.wait();
            (0..limit).filter(|_| ask(round)).count()
        };
        (0..rounds).map(of_round).collect()
    };
    let admitted: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(of_thread)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let totals = (0..rounds).map(|round| admitted.iter().map(|of_thread| of_thread[round]).sum::<usize>());
    let over = |total: usize| total.checked_sub(limit).unwrap();
    totals.map(over).max().unwrap()
}

pub(crate) fn report(figure: &str, peer: &str, compared: Comparison) {
    let Comparison { ours, theirs, ratio } = compared;
    println!(
        "BENCH ratelimit.{figure} value={ours:.1} unit=ns peer={peer} peer_value={theirs:.1} ratio={ratio:.3}"
    );
}
