//! Rate limiting against `governor` and `limitador`, each as its documentation recommends.
//!
//! | peer | same | different |
//! |---|---|---|
//! | `governor`, keyed by string | one limit, a key written on the spot, the peer's own clock, nothing refused (where it says so), or everything | it answers yes or no, ours also what is left and until when; its limit is the same for all keys, ours comes with each call; its clock reads the processor's counter, ours asks the operating system; it never forgets a key, ours is bounded |
//! | `limitador`, counters in memory | rules that are chosen by route and counted by user, all or nothing; what is left of each | it evaluates CEL, and its windows are fixed; it lets a request look before it counts, so threads can go beyond a limit |
//!
//! The ruler and the questions are those of our own benchmark.

#[path = "../../../../crates/ratelimit/benches/ratelimit/measure.rs"]
mod measure;
#[path = "../../../../crates/ratelimit/benches/ratelimit/threads.rs"]
mod threads;
#[path = "../../../../crates/ratelimit/benches/ratelimit/workload.rs"]
mod workload;

mod against_governor;
mod against_limitador;
mod memory;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(peer) = arguments.iter().find_map(|argument| argument.strip_prefix("--bytes-of=")) {
        return memory::print_bytes_of(peer);
    }
    let turns = if arguments.iter().any(|argument| argument == "--quick") { 9 } else { 41 };
    memory::compare_bytes();
    against_governor::run(turns);
    against_limitador::run(turns);
}
