//! What the whole path costs: CPU per request of the gateway against a bare hyper proxy, and of each stage by itself.
//!
//! `cargo bench -p stanchion-gateway --bench gateway -- [--quick]`. The program starts itself three times: as the upstream, as the
//! bare proxy (the floor: hyper on both sides, the same client and runtime, nothing else) and as the gateway with everything on:
//! route, API key, four rate rules, permission, audit and usage records. It drives both over 64 connections, in turn, and divides the
//! CPU time of each process (user and system, all threads) by the requests it served. Quote the median of the pairs.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and stops when it cannot go on"
)]

#[path = "support/floor.rs"]
mod floor;
#[path = "support/full.rs"]
mod full;
#[path = "support/load.rs"]
mod load;
#[path = "support/process.rs"]
mod process;
#[path = "support/stages.rs"]
mod stages;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--role") => {
            let role = arguments.next().unwrap_or_default();
            let upstream = arguments.next().unwrap_or_default();
            process::runtime().block_on(async {
                match role.as_str() {
                    "upstream" => floor::upstream().await,
                    "floor" => floor::proxy(&upstream).await,
                    _ => full::gateway(&upstream).await,
                }
            });
        }
        first => {
            let quick =
                first.into_iter().map(str::to_owned).chain(arguments).any(|argument| argument == "--quick");
            measure(if quick { 5 } else { 15 }, if quick { 20_000 } else { 60_000 });
        }
    }
}

fn measure(pairs: usize, requests: usize) {
    stages::measure();
    let upstream = process::Child::start("upstream", "");
    let floor = process::Child::start("floor", &upstream.address);
    let full = process::Child::start("full", &upstream.address);
    for target in [&floor, &full] {
        load::run(&target.address, &target.key, requests / 4, 64);
    }
    let mut ratios = Vec::with_capacity(pairs);
    let mut values = Vec::with_capacity(pairs);
    let (mut floor_p50, mut full_p50) = (f64::MAX, f64::MAX);
    for _ in 0..pairs {
        let bare = floor.micros_per_request(|| load::run(&floor.address, &floor.key, requests, 64));
        let ours = full.micros_per_request(|| load::run(&full.address, &full.key, requests, 64));
        floor_p50 = floor_p50.min(load::run(&floor.address, &floor.key, 2_000, 1).p50_micros);
        full_p50 = full_p50.min(load::run(&full.address, &full.key, 2_000, 1).p50_micros);
        ratios.push(ours / bare);
        values.push((ours, bare));
    }
    ratios.sort_by(f64::total_cmp);
    values.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (ours, bare) = values[values.len() / 2];
    println!(
        "BENCH gateway.full_vs_hyper value={ours:.2} unit=cpu_us_per_request peer=bare_hyper_proxy peer_value={bare:.2} ratio={:.3}",
        ratios[ratios.len() / 2]
    );
    println!(
        "BENCH gateway.added_p50_us value={:.1} unit=us peer=bare_hyper_proxy peer_value={floor_p50:.1} ratio={:.3}",
        full_p50 - floor_p50,
        full_p50 / floor_p50
    );
}
