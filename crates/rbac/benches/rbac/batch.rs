//! Many checks in one call.

use std::hint::black_box;

use stanchion_core::SubjectRef;
use tokio::runtime::Runtime;

use crate::measure::{compare, one_by_one, report};
use crate::world::{REQUESTS, World};

const BATCH: usize = 100;
const BATCHES: usize = REQUESTS / 2 / BATCH;

/// Compares a batch with as many single checks of the same things, each asked for once the answer before it is there.
pub(crate) fn run(turns: usize, world: &World, runtime: &Runtime) {
    // As a page asks which of its hundred buttons to show: the questions are those of other users.
    let of_one: Vec<(&SubjectRef, usize)> = world
        .requests
        .iter()
        .enumerate()
        .map(|(turn, (_, wanted))| (&world.requests[turn / BATCH].0, *wanted))
        .collect();
    let of_many: Vec<(&SubjectRef, usize)> =
        world.requests.iter().map(|(subject, wanted)| (subject, *wanted)).collect();
    for (figure, asked) in [("check_batch_100", &of_one), ("check_batch_100_subjects", &of_many)] {
        let batches = (BATCHES * BATCH, || runtime.block_on(ask_in_batches(world, asked)));
        let check = |request: usize| {
            let (subject, wanted) = asked[request];
            black_box(world.filled.engine.try_check(&world.request(subject, wanted))).unwrap().allowed
        };
        let singles = (REQUESTS / 2, || one_by_one(REQUESTS, check));
        report(figure, "check", compare(turns, batches, singles));
    }
    let batches = (BATCHES * BATCH, || runtime.block_on(ask_in_batches(world, &of_one)));
    let checks = (REQUESTS / 2, || one_by_one(REQUESTS, |request| world.check(request)));
    report("check_batch_100", "check_of_many_users", compare(turns, batches, checks));
}

async fn ask_in_batches(world: &World, asked: &[(&SubjectRef, usize)]) -> usize {
    let mut allowed = 0;
    for batch in asked.chunks(BATCH).take(BATCHES) {
        let requests: Vec<_> =
            batch.iter().map(|(subject, wanted)| world.request(subject, *wanted)).collect();
        let decisions = black_box(world.filled.engine.check_batch(&requests).await.unwrap());
        allowed += decisions.iter().filter(|decision| decision.allowed).count();
    }
    allowed
}
