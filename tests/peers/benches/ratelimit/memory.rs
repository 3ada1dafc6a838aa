use std::process::Command;

use crate::against_governor::Governor;
use crate::against_limitador::Limitador;
use crate::measure::bytes_each;
use crate::workload::Counters;

const MANY: usize = 1_000_000;
/// `limitador` takes long to fill.
const FEWER: usize = 100_000;

/// Each limiter fills a process of its own, for memory that another has given back would be used again unnoticed.
pub(crate) fn compare_bytes() {
    let ours = bytes_of("ours");
    for peer in ["governor", "limitador"] {
        let theirs = bytes_of(peer);
        println!(
            "BENCH ratelimit.bytes_per_key value={ours:.1} unit=bytes peer={peer} peer_value={theirs:.1} ratio={:.3}",
            ours / theirs
        );
    }
}

fn bytes_of(limiter: &str) -> f64 {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg(format!("--bytes-of={limiter}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// What the process of one limiter does.
pub(crate) fn print_bytes_of(limiter: &str) {
    let bytes = match limiter {
        "ours" => bytes_each(MANY, || {
            let mut counters = Counters::roomy(MANY);
            (0..MANY).for_each(|user| assert!(counters.decide(user)));
            assert_eq!(counters.store.len(), MANY);
            counters
        }),
        "governor" => bytes_each(MANY, || {
            let mut governor = Governor::roomy();
            (0..MANY).for_each(|user| assert!(governor.decide(user)));
            assert_eq!(governor.len(), MANY);
            governor
        }),
        "limitador" => bytes_each(FEWER, || {
            let limitador = Limitador::new(1, 1, 10);
            (0..FEWER).for_each(|user| assert!(limitador.decide(user)));
            limitador
        }),
        other => panic!("no limiter `{other}`"),
    };
    println!("{bytes:.1}");
}
