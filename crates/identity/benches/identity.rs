//! What a key that is known costs, against the floor: one hash of the key and one look-up of the hash.
//!
//! Thread CPU time, floor and engine in turns; the ratio is the median of the pairs, the times are the least. `--quick` leaves out the
//! table of sizes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark stops at whatever goes wrong"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hashbrown::HashMap;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use stanchion_core::{Author, KeyRing, Scope, Secret, SeededRandom, SubjectRef, SystemClock};
use stanchion_identity::{Config, Engine, MemoryKeyStore, NewKey, Outcome, PlainKey};

const OPERATIONS: usize = 200_000;
const IP: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes: &[(usize, &str)] = if quick {
        &[(100_000, "")]
    } else {
        &[(10, "_10"), (1_000, "_1k"), (100_000, ""), (1_000_000, "_1m")]
    };
    for (size, suffix) in sizes {
        let pairs = if *size > 100_000 { 9 } else { 21 };
        report(&format!("api_key_cached{suffix}"), &measure(*size, pairs));
    }
}

/// Nanoseconds of the engine and of the floor, for each operation.
fn measure(size: usize, pairs: usize) -> Vec<(f64, f64)> {
    let (engine, keys) = engine_with(size);
    let hashes: HashMap<[u8; 32], usize> =
        keys.iter().enumerate().map(|(number, key)| (Sha256::digest(key.expose()).into(), number)).collect();
    let random = SeededRandom::new(2);
    let order: Vec<usize> = (0..OPERATIONS).map(|_| index(random.next_u64(), size)).collect();
    let each = |operation: &dyn Fn(&str) -> bool| {
        let began = cpu_nanos();
        let good = order.iter().filter(|key| operation(keys.get(**key).expect("is within").expose())).count();
        let took = cpu_nanos() - began;
        assert_eq!(good, OPERATIONS);
        took / f64::from(u32::try_from(OPERATIONS).unwrap())
    };
    let ours = || {
        each(&|key| matches!(black_box(engine.try_authenticate(key, IP)), Some(Outcome::Authenticated(_))))
    };
    let floor = || each(&|key| black_box(hashes.get(&*Sha256::digest(key))).is_some());
    (0..pairs).map(|_| (ours(), floor())).collect()
}

/// An engine that knows `size` keys.
fn engine_with(size: usize) -> (Engine, Vec<PlainKey>) {
    let peppers = KeyRing::new([(1, Secret::new([7; 32]))]).unwrap();
    let store = Arc::new(MemoryKeyStore::new(None));
    let config = Config { cached_keys: (2 * size).max(4_096), ..Config::default() };
    let random = Arc::new(SeededRandom::new(1));
    let engine = Engine::new(store, peppers, Arc::new(SystemClock), random, config);
    let author = Author::system("bench");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let keys = runtime.block_on(async {
        let mut keys = Vec::with_capacity(size);
        for number in 0..size {
            let new = NewKey {
                scope: Scope::Platform,
                subject: SubjectRef::service(format!("service-{number}")).unwrap(),
                name: "benchmark".parse().unwrap(),
                environment: None,
                expires_at: None,
                cidrs: Vec::new(),
            };
            let (_, plain) = engine.issue(&author, new).await.unwrap();
            keys.push(plain);
        }
        for key in &keys {
            engine.authenticate(key.expose(), IP).await.unwrap();
        }
        keys
    });
    (engine, keys)
}

fn index(random: u64, size: usize) -> usize {
    usize::try_from(random % u64::try_from(size).unwrap()).unwrap()
}

fn cpu_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    f64::from(i32::try_from(time.tv_sec).unwrap()) * 1e9 + f64::from(i32::try_from(time.tv_nsec).unwrap())
}

fn report(figure: &str, pairs: &[(f64, f64)]) {
    let least = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).fold(f64::INFINITY, f64::min);
    let mut ratios: Vec<f64> = pairs.iter().map(|(ours, floor)| ours / floor).collect();
    ratios.sort_by(f64::total_cmp);
    let (ours, floor) = (least(|pair| pair.0), least(|pair| pair.1));
    let ratio = ratios.get(ratios.len() / 2).expect("there are pairs");
    println!(
        "BENCH identity.{figure} value={ours:.1} unit=ns peer=floor peer_value={floor:.1} ratio={ratio:.2}"
    );
}
