//! The audit ledger, followed as it grows.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::export::{list, run};
use crate::harness::{Program, World, command, eventually};

/// A process that follows the ledger.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(world: &World, args: &[&str]) -> Self {
        let mut command = command(["audit", "tail", "--follow", "--output", "json"]);
        let command = command.args(args).stdout(Stdio::piped()).stderr(Stdio::null());
        let command = command.env("STANCHION_SERVER", format!("http://{}", world.program.admin));
        let mut child = command.env("STANCHION_KEY", &world.program.key).spawn().expect("runs");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line).ok())
        });
        Self { child, lines }
    }

    /// Returns the numbers of the entries up to one.
    fn until(&self, last: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        while seen.last() != Some(&last) {
            let line = self.lines.recv_timeout(Duration::from_secs(60)).expect("another entry");
            let entry: Value = serde_json::from_str(&line).expect("JSON");
            let number = entry["sequence"].as_str().and_then(|text| text.parse().ok());
            seen.push(number.expect("a number"));
        }
        seen
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number of the newest entry of a chain of acme's.
fn newest(world: &World, class: &str) -> u64 {
    let found = world.get(&format!("/v1/audit/verification?tenant={}", world.acme));
    let chain =
        list(&found["chains"]).iter().find(|chain| chain["chain"] == format!("{}/{class}", world.acme));
    chain.and_then(|chain| chain["head"]["sequence"].as_str()?.parse().ok()).unwrap_or(0)
}

fn report(world: &World, count: u64) {
    for _ in 0..count {
        let body = json!({"action": "data.read", "outcome": "success"});
        let answer = world.admin("POST", &format!("/v1/audit/events?tenant={}", world.acme), &body);
        assert_eq!(answer.status(), 201, "{}", answer.json());
    }
}

#[test]
fn who_follows_sees_each_entry_once_although_the_server_was_killed() {
    let mut world = World::on_postgres("");
    // So that whoever follows finds the next one where the one before was.
    let config = world.program.site.path("stanchion.toml");
    let text = std::fs::read_to_string(&config).expect("reads");
    let (before, admin) = text.split_once("[admin]").expect("a section");
    let admin = admin.replacen("127.0.0.1:0", &world.program.admin.to_string(), 1);
    std::fs::write(&config, format!("{before}[admin]{admin}")).expect("writes");
    report(&world, 8);
    let follower = Follower::start(&world, &["--tenant", "acme", "--class", "data_access", "--lines", "5"]);
    assert_eq!(follower.until(8), [4, 5, 6, 7, 8]);
    report(&world, 20);
    assert_eq!(follower.until(28), (9..=28).collect::<Vec<_>>());
    for _ in 0..2 {
        world.program.kill_at_once();
        world.program.ended();
        let last = {
            world.program = Program::run(&world.program.site.clone());
            report(&world, 3);
            newest(&world, "data_access")
        };
        let seen = follower.until(last);
        assert_eq!(seen, (last - 2..=last).collect::<Vec<_>>());
    }
    // It ends as it is asked to, and that is no failure.
    let mut follower = follower;
    let pid =
        i32::try_from(follower.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("an id");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let status = eventually("it ends", || follower.child.try_wait().expect("a child"));
    assert!(status.success(), "{status}");
}

#[test]
fn whoever_does_not_follow_gets_the_newest_entries_oldest_first() {
    let world = World::start();
    report(&world, 4);
    let (code, said, complaint) =
        run(&world, &["tail", "--tenant", "acme", "--action", "data.*", "-n", "2", "--output", "json"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    let seen = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let seen: Vec<Value> = seen.map(|entry| entry["sequence"].clone()).collect();
    assert_eq!(seen, [json!("3"), json!("4")]);
    let (_, said, _) = run(&world, &["tail", "--tenant", "acme", "--action", "data.*", "-n", "1"]);
    assert!(said.contains(" success data.read by "), "{said}");
}
