//! What a check costs against the least work that could do it, and what users cost in memory.
//!
//! Times are of the thread's CPU. Both sides of a figure take turns in one run: a ratio is the median over the turns, the parts are
//! the minimum over them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops at whatever goes wrong, and prints"
)]

mod batch;
mod measure;
mod size;
mod world;

use measure::{compare, one_by_one, report};
use world::{REQUESTS, Size, World};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(kind) = arguments.iter().find_map(|argument| argument.strip_prefix("--bytes-of=")) {
        return size::print_bytes_of(kind);
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    // For a profiler: nothing else runs.
    let only = arguments.iter().find_map(|argument| argument.strip_prefix("--only="));
    let wanted = |figure: &str| only.is_none_or(|only| only == figure);
    let turns = if quick { 51 } else { 201 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    let flat = runtime.block_on(World::new(Size::USUAL));
    let half = REQUESTS / 2;
    let ours = || (half, || one_by_one(REQUESTS, |request| flat.check(request)));
    let floor = || (half, || one_by_one(REQUESTS, |request| flat.floor(request)));
    if wanted("check") {
        report("check", "floor", compare(turns, ours(), floor()));
    }
    if wanted("check_stream") {
        let at_once = (half, || (0..half).filter(|request| flat.check(*request)).count());
        let floor_at_once = (half, || (0..half).filter(|request| flat.floor(*request)).count());
        report("check_stream", "floor", compare(turns, at_once, floor_at_once));
    }
    if wanted("check_depth64") {
        let deep = runtime.block_on(World::new(Size { depth: 64, ..Size::USUAL }));
        let deep = (half, || one_by_one(REQUESTS, |request| deep.check(request)));
        report("check_depth64", "check", compare(turns, deep, ours()));
    }
    if wanted("explain") {
        let explain = (half, || runtime.block_on(explain_all(&flat)));
        report("explain", "check", compare(turns / 10, explain, ours()));
    }
    if wanted("check_batch_100") {
        batch::run(turns, &flat, &runtime);
    }
    if wanted("memory") {
        size::compare_bytes();
    }
    if wanted("scale") {
        drop(flat);
        size::tabulate(quick, &runtime);
    }
}

async fn explain_all(world: &World) -> usize {
    let mut allowed = 0;
    for (subject, wanted) in world.requests.iter().take(REQUESTS / 2) {
        let explanation = world.filled.engine.explain(&world.request(subject, *wanted)).await.unwrap();
        allowed += usize::from(explanation.decision.allowed);
    }
    allowed
}
