//! Several processes count in one database, and none of them knows of the others.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use stanchion_postgres::{PgCounterStore, testing};
use stanchion_ratelimit::{Charge, CounterStore as _};
use tokio::task::JoinSet;

use super::{PATIENT, call, decide, limits, tenant};

const DATABASE: &str = "STANCHION_TEST_COUNT_IN";
const PROCESSES: usize = 4;
const LIMIT: u64 = 1_000;
const CALLERS: u64 = 5;
/// A quarter as many again as there are, from every caller as many.
const CALLS: u64 = LIMIT * 5 / 4 / PROCESSES as u64 / CALLERS;

/// The test is its own children: with a database to count in, it counts for its parent.
#[test]
fn four_processes_admit_exactly_the_limit() {
    #[expect(clippy::disallowed_methods, reason = "a child is told by its environment")]
    if let Ok(url) = std::env::var(DATABASE) {
        return count_for_parent(&url);
    }
    let url = testing::text(&tokio::runtime::Runtime::new().unwrap().block_on(testing::fresh_url()));
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| child(&url)).collect();
    let mut answers: Vec<_> =
        children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap()).lines()).collect();
    for lines in &mut answers {
        assert!(lines.any(|line| line.unwrap().ends_with("ready")), "it did not connect");
    }
    // All at once.
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let admitted: Vec<Vec<u64>> = answers.into_iter().map(counts).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let names = limits(LIMIT).into_iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned());
    for (number, name) in names.chain(["all together".to_owned()]).enumerate() {
        let each: Vec<u64> = admitted.iter().map(|counts| counts[number]).collect();
        assert_eq!(each.iter().sum::<u64>(), LIMIT, "{name}: {each:?}");
    }
}

fn child(url: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::four_processes_admit_exactly_the_limit", "--nocapture"]);
    command.env(DATABASE, url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn counts(lines: impl Iterator<Item = std::io::Result<String>>) -> Vec<u64> {
    // To the end, or the child finds nobody to tell.
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    let line = lines.iter().find_map(|line| line.strip_prefix("admitted "));
    line.unwrap().split(' ').map(|count| count.parse().unwrap()).collect()
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
#[tokio::main]
async fn count_for_parent(url: &str) {
    let store = Arc::new(PgCounterStore::new(&url.parse().unwrap(), PATIENT));
    decide(&store, tenant(1), &[]).await;
    println!("\nready");
    std::io::stdin().lines().next().unwrap().unwrap();
    let limits = limits(LIMIT);
    let mut admitted = Vec::new();
    for (key, limit) in &limits {
        admitted.push(count(&store, 1, vec![Charge::new(key, *limit, 1)]).await);
    }
    let all = limits.iter().map(|(key, limit)| Charge::new(key, *limit, 1)).collect();
    admitted.push(count(&store, 2, all).await);
    let admitted: Vec<String> = admitted.iter().map(u64::to_string).collect();
    println!("admitted {}", admitted.join(" "));
}

/// How many of a process' calls are admitted.
async fn count(store: &Arc<PgCounterStore>, slot: u64, charges: Vec<Charge<'static>>) -> u64 {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (store, charges) = (Arc::clone(store), charges.clone());
        callers.spawn(async move {
            let mut admitted = 0;
            for number in 0..CALLS {
                let number = (u128::from(std::process::id()) << 64) | u128::from((caller << 32) | number);
                let outcome = store.decide(tenant(slot), &call(&charges, number)).await.unwrap();
                admitted += u64::from(outcome.is_admitted());
            }
            admitted
        });
    }
    callers.join_all().await.into_iter().sum()
}
