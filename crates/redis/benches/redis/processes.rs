//! How much more than a limit four processes are given, which must be nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use stanchion_ratelimit::{Call, CallId, Charge, CounterStore as _, Limit};
use stanchion_redis::RedisCounterStore;
use tokio::task::JoinSet;

use crate::{DAY, PREFIX, every_day, slot, store};

/// Tells a child what to count under.
const PREFIX_OF_CHILD: &str = "STANCHION_BENCH_COUNT_UNDER";
const PROCESSES: usize = 4;
const LIMIT: u64 = 1_000;
const CALLERS: u64 = 16;
const CALLS: u64 = 32;

/// A limit of each kernel, of which nothing comes back meanwhile.
fn limits() -> [(&'static [u8], Limit); 4] {
    [
        (b"bucket", Limit::token_bucket(LIMIT, 1, 3_155_760_000).unwrap()),
        (b"window", Limit::fixed_window(LIMIT, every_day()).unwrap()),
        (b"sliding", Limit::sliding_window(LIMIT, every_day()).unwrap()),
        (b"log", Limit::sliding_log(LIMIT, DAY).unwrap()),
    ]
}

pub(crate) fn over_admission() {
    let prefix = format!("{PREFIX}:{}", std::process::id());
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| child(&prefix)).collect();
    let mut answers: Vec<_> =
        children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap()).lines()).collect();
    for lines in &mut answers {
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
    }
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let mut admitted = [0; 4];
    for (lines, child) in answers.into_iter().zip(&mut children) {
        for (sum, line) in admitted.iter_mut().zip(lines) {
            *sum += line.unwrap().parse::<u64>().unwrap();
        }
        assert!(child.wait().unwrap().success());
    }
    assert!(admitted.iter().all(|admitted| *admitted >= LIMIT), "{admitted:?}");
    let over = admitted.iter().map(|admitted| admitted - LIMIT).max().unwrap();
    println!("BENCH ratelimit.over_admission_redis value={over} unit=calls");
}

fn child(prefix: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(PREFIX_OF_CHILD, prefix).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Counts, where this process is the child of another; tells whether it was.
#[tokio::main]
pub(crate) async fn count_for_parent() -> bool {
    let Ok(prefix) = std::env::var(PREFIX_OF_CHILD) else { return false };
    let store = Arc::new(store(&prefix));
    store.check().await.unwrap();
    println!("ready");
    std::io::stdin().lines().next().unwrap().unwrap();
    for (key, limit) in limits() {
        println!("{}", count(&store, key, limit).await);
    }
    true
}

async fn count(store: &Arc<RedisCounterStore>, key: &'static [u8], limit: Limit) -> u64 {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = Arc::clone(store);
        callers.spawn(async move {
            let mut admitted = 0;
            for call in 0..CALLS {
                let number = (caller << 32) | call;
                let id = CallId::new((u128::from(std::process::id()) << 64) | u128::from(number));
                let charges = [Charge::new(key, limit, 1)];
                let outcome = store.decide(slot(0), &Call { id, ..Call::new(&charges, None) }).await;
                admitted += u64::from(outcome.unwrap().is_admitted());
            }
            admitted
        });
    }
    callers.join_all().await.into_iter().sum()
}
