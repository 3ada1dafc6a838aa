//! Several processes count on one server, and none of them knows of the others.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use stanchion_ratelimit::Charge;
use tokio::task::JoinSet;

use crate::{decide, prefix, slow, store, tenant};

const PREFIX: &str = "STANCHION_TEST_COUNT_UNDER";
const PROCESSES: usize = 4;
const LIMIT: u64 = 1_000;
/// Half as many again as there are, from every process as many.
const CALLS: u64 = LIMIT * 3 / 2 / PROCESSES as u64;

/// The test is its own children: with a prefix to count under, it counts for its parent.
#[test]
fn four_processes_admit_exactly_the_limit() {
    if let Ok(prefix) = std::env::var(PREFIX) {
        return count_for_parent(&prefix);
    }
    let prefix = prefix();
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| child(&prefix)).collect();
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
    let names = slow(LIMIT).into_iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned());
    for (number, name) in names.chain(["all together".to_owned()]).enumerate() {
        let each: Vec<u64> = admitted.iter().map(|counts| counts[number]).collect();
        assert_eq!(each.iter().sum::<u64>(), LIMIT, "{name}: {each:?}");
    }
}

fn child(prefix: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::four_processes_admit_exactly_the_limit", "--nocapture"]);
    command.env(PREFIX, prefix).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn counts(lines: impl Iterator<Item = std::io::Result<String>>) -> Vec<u64> {
    // To the end, or the child finds nobody to tell.
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    let line = lines.iter().find_map(|line| line.strip_prefix("admitted "));
    line.expect("it counts").split(' ').map(|count| count.parse().unwrap()).collect()
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
#[tokio::main]
async fn count_for_parent(prefix: &str) {
    let store = Arc::new(store(prefix));
    decide(&store, tenant(1), &[], None).await;
    println!("\nready");
    std::io::stdin().lines().next().unwrap().unwrap();
    let limits = slow(LIMIT);
    let mut admitted = Vec::new();
    for (key, limit) in &limits {
        admitted.push(count(&store, 1, vec![Charge::new(key, *limit, 1)]).await);
    }
    let all = limits.iter().map(|(key, limit)| Charge::new(key, *limit, 1)).collect();
    admitted.push(count(&store, 2, all).await);
    let admitted: Vec<String> = admitted.iter().map(u64::to_string).collect();
    println!("admitted {}", admitted.join(" "));
}

/// How many of a process' calls, 16 at a time, are admitted.
async fn count(
    store: &Arc<stanchion_redis::RedisCounterStore>,
    slot: u64,
    charges: Vec<Charge<'static>>,
) -> u64 {
    const CALLERS: u64 = 25;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (store, charges) = (Arc::clone(store), charges.clone());
        callers.spawn(async move {
            let mut admitted = 0;
            for _ in 0..CALLS / CALLERS {
                admitted += u64::from(decide(&store, tenant(slot), &charges, None).await.is_admitted());
            }
            admitted
        });
    }
    callers.join_all().await.into_iter().sum()
}
