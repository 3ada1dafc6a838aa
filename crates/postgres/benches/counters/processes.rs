//! How much more than a limit four processes are given, which must be nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroU64;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use stanchion_postgres::{CounterConfig, PgCounterStore, Url, testing};
use stanchion_ratelimit::{Call, CallId, Charge, CounterStore as _, Frame, Limit, Slot};
use tokio::task::JoinSet;

use crate::CONFIG;

/// Tells a child where to count.
const DATABASE_OF_CHILD: &str = "STANCHION_BENCH_COUNT_IN";
const CENTURY: u64 = 3_155_760_000;
const PROCESSES: usize = 4;
const LIMIT: u64 = 1_000;
const CALLERS: u64 = 4;
const CALLS: u64 = 75;

/// A limit of each kernel, of which nothing comes back meanwhile.
fn limits() -> [(&'static [u8], Limit); 4] {
    let frame = Frame::Every(NonZeroU64::new(CENTURY * 1_000_000).unwrap());
    [
        (b"bucket", Limit::token_bucket(LIMIT, 1, CENTURY).unwrap()),
        (b"window", Limit::fixed_window(LIMIT, frame).unwrap()),
        (b"sliding", Limit::sliding_window(LIMIT, frame).unwrap()),
        (b"log", Limit::sliding_log(LIMIT, Duration::from_secs(CENTURY)).unwrap()),
    ]
}

pub(crate) fn over_admission(url: &Url) {
    let url = testing::text(&url.with_login(testing::LOGIN));
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| child(&url)).collect();
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
    println!("BENCH ratelimit.over_admission_postgres value={over} unit=calls");
}

fn child(url: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(DATABASE_OF_CHILD, url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Counts, where this process is the child of another; tells whether it was.
#[tokio::main]
pub(crate) async fn count_for_parent() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a child is told by its environment")]
    let Ok(url) = std::env::var(DATABASE_OF_CHILD) else { return false };
    let config = CounterConfig { max_connections: 4, ..CONFIG };
    let store = Arc::new(PgCounterStore::new(&url.parse().unwrap(), config));
    store.decide(Slot::Edge, &Call::new(&[], None)).await.unwrap();
    println!("ready");
    std::io::stdin().lines().next().unwrap().unwrap();
    for (key, limit) in limits() {
        println!("{}", count(&store, key, limit).await);
    }
    true
}

async fn count(store: &Arc<PgCounterStore>, key: &'static [u8], limit: Limit) -> u64 {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let store = Arc::clone(store);
        callers.spawn(async move {
            let mut admitted = 0;
            for call in 0..CALLS {
                let number = (caller << 32) | call;
                let id = CallId::new((u128::from(std::process::id()) << 64) | u128::from(number));
                let charges = [Charge::new(key, limit, 1)];
                let outcome = store.decide(Slot::Edge, &Call { id, ..Call::new(&charges, None) }).await;
                admitted += u64::from(outcome.unwrap().is_admitted());
            }
            admitted
        });
    }
    callers.join_all().await.into_iter().sum()
}
