//! The audit ledger while what it stands on dies: what was acknowledged is there, once, where it was said to be.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Client, PostgresServer, Program, Site, World, eventually};

const REPORTERS: usize = 4;

/// Events that reporters send until they are acknowledged, however often.
struct Reports {
    target: String,
    next: Mutex<u32>,
    waiting: Mutex<Vec<String>>,
    /// Receipts by the ids of events.
    acknowledged: Mutex<BTreeMap<String, Value>>,
    refused: Mutex<u32>,
}

impl Reports {
    fn new(world: &World) -> Self {
        Self {
            target: format!("/v1/audit/events?tenant={}", world.acme),
            next: Mutex::new(0),
            waiting: Mutex::new(Vec::new()),
            acknowledged: Mutex::new(BTreeMap::new()),
            refused: Mutex::new(0),
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("no panic").len()
    }

    /// Takes an event that was sent without an answer, or else makes a new one.
    fn take(&self) -> String {
        if let Some(waiting) = self.waiting.lock().expect("no panic").pop() {
            return waiting;
        }
        let mut next = self.next.lock().expect("no panic");
        *next += 1;
        format!("0192f0c1-2345-7abc-8def-{:012x}", *next)
    }

    /// Reports until the program dies or `is_over`.
    fn report(&self, world: &World, is_over: &AtomicBool) {
        let mut client = Client::connect(world.program.admin);
        while !is_over.load(Ordering::Relaxed) {
            let id = self.take();
            match self.send(&mut client, world, &id) {
                Some((201, receipt)) => {
                    let before = self.acknowledged.lock().expect("no panic").insert(id, receipt.clone());
                    assert!(before.is_none_or(|before| before == receipt), "one event, one receipt");
                }
                Some((503, _)) => {
                    *self.refused.lock().expect("no panic") += 1;
                    self.waiting.lock().expect("no panic").push(id);
                }
                Some((status, problem)) => panic!("{status}: {problem}"),
                None => return self.waiting.lock().expect("no panic").push(id),
            }
        }
    }

    fn send(&self, client: &mut Client, world: &World, id: &str) -> Option<(u16, Value)> {
        let event = json!({
            "id": id, "occurred_at": "2026-03-01T12:00:00Z", "action": "invoice.approved", "category": "billing",
            "outcome": "success", "details": {"said": "\"it's\" ☃"},
        });
        let (body, key) = (event.to_string(), &world.program.key);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: admin.test\r\nx-api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.target,
            body.len()
        );
        client.try_send(head).ok()?;
        client.try_send(body).ok()?;
        let answer = client.try_answer("POST").ok()?;
        Some((answer.status(), answer.json()))
    }

    /// Has reporters report while `meanwhile` goes on.
    fn while_reporting<T>(&self, world: &World, meanwhile: impl FnOnce(&AtomicBool) -> T) -> T {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..REPORTERS {
                scope.spawn(|| self.report(world, &is_over));
            }
            let done = meanwhile(&is_over);
            is_over.store(true, Ordering::Relaxed);
            done
        })
    }

    fn more(&self, count: usize) {
        let enough = self.count() + count;
        eventually("more is acknowledged", || (self.count() >= enough).then_some(()));
    }

    /// Sends what never had an answer, and checks that the ledger has what it acknowledged and nothing else of ours.
    fn settle(&self, world: &World) {
        let mut client = Client::connect(world.program.admin);
        let waiting = std::mem::take(&mut *self.waiting.lock().expect("no panic"));
        for id in waiting {
            let (status, receipt) = self.send(&mut client, world, &id).expect("an answer");
            assert_eq!(status, 201, "{receipt}");
            self.acknowledged.lock().expect("no panic").insert(id, receipt);
        }
        let acknowledged = self.acknowledged.lock().expect("no panic");
        let mut found = BTreeMap::new();
        let first = format!("{}&action=invoice.approved&limit=100", self.target);
        let mut page = world.get(&first);
        loop {
            for entry in page["items"].as_array().expect("a list") {
                let id = entry["event"]["id"].as_str().expect("an id").to_owned();
                assert!(found.insert(id, entry.clone()).is_none(), "twice in the ledger: {entry}");
            }
            let Some(next) = page["next_page"].as_str() else { break };
            page = world.get(&format!("{first}&page={next}"));
        }
        assert_eq!(found.len(), acknowledged.len());
        for (id, receipt) in &*acknowledged {
            let entry = &found[id];
            assert_eq!((&entry["sequence"], &entry["hash"]), (&receipt["sequence"], &receipt["hash"]));
        }
        assert!(world.verified() >= u64::try_from(acknowledged.len()).expect("a number"));
    }
}

#[test]
fn a_program_that_is_killed_again_and_again_loses_doubles_and_forks_nothing() {
    const ROUNDS: usize = 8;
    let mut world = World::on_postgres("");
    let reports = Reports::new(&world);
    for round in 0..ROUNDS {
        let program = reports.while_reporting(&world, |_| {
            reports.more(20 + 7 * round);
            world.program.kill_at_once();
            Program::run(&world.program.site)
        });
        drop(std::mem::replace(&mut world.program, program));
    }
    reports.settle(&world);
}

/// Postgres says that its disk is full to every write of an entry: nothing is acknowledged, nothing is forgotten.
#[test]
fn a_full_disk_and_a_crashed_database_are_waited_out() {
    let mut server = PostgresServer::start();
    let world = World::at(|routes| Site::on_own_postgres(&server, "backend = \"postgres\"", &routes));
    server.run(
        "CREATE FUNCTION public.disk_is_full() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$",
    );
    let reports = Reports::new(&world);
    reports.while_reporting(&world, |_| {
        for _ in 0..3 {
            reports.more(20);
            server.run(
                "CREATE TRIGGER full_disk BEFORE INSERT ON stanchion.audit_entry
                 FOR EACH ROW EXECUTE FUNCTION public.disk_is_full()",
            );
            let acknowledged = reports.count();
            let refused = || *reports.refused.lock().expect("no panic");
            let before = refused();
            eventually("it is refused", || (refused() > before).then_some(()));
            // What was on its way when the disk filled up may have been written just before.
            assert!(reports.count() <= acknowledged + REPORTERS);
            server.run("DROP TRIGGER full_disk ON stanchion.audit_entry");
            reports.more(20);
            server.down();
            server.up();
        }
        reports.more(20);
    });
    reports.settle(&world);
}
