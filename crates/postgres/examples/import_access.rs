//! Says how long it takes to import assignments by the thousand, in memory and in Postgres, and to find who may do something among
//! them: `cargo run --release -p stanchion-postgres --features rbac,testing --example import_access -- 100000`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures, and says what it measured"
)]

use std::sync::Arc;
use std::time::Instant;

use stanchion_core::{Author, Scope, SystemClock, SystemRandom};
use stanchion_postgres::{PgRbacStore, testing};
use stanchion_rbac::{
    Assignment, BulkFormat, Config, Duty, Engine, Grant, ImportOptions, MemoryRbacStore, Permission,
    RbacStore, Record, RecordKind, Role, RoleId, Separation,
};
use stanchion_replica::MemoryOutboxStore;

const ROLES: usize = 100;
/// The role that is bounded, where one is.
const BOUNDED: usize = 5;

fn role(number: usize) -> RoleId {
    format!("role-{number}").parse().unwrap()
}

fn permission(text: &str) -> Permission {
    text.parse().unwrap()
}

/// So many assignments of a hundred roles; with `apart`, two of which are kept apart and one of which, that ten others include, only so
/// many may hold as do.
fn file(rows: usize, apart: bool) -> Vec<u8> {
    let mut records: Vec<Record> = Vec::new();
    for number in 0..ROLES {
        let read = permission(&format!("resource-{number}:read"));
        let mut made = Role::new(role(number), "A role".parse().unwrap()).with_permissions([read]);
        if number >= 10 {
            made = made.with_includes([role(number - 10)]);
        }
        if apart && number == BOUNDED {
            made = made.held_by_at_most(u32::try_from(rows).unwrap());
        }
        records.push(made.into());
    }
    if apart {
        let roles = [role(95), role(86)];
        let name = "apart".parse().unwrap();
        records.push(Separation::new(name, "Apart".parse().unwrap(), Duty::Static, roles).into());
    }
    for number in 0..rows {
        let subject = format!("user:user-{number:07}").parse().unwrap();
        records.push(Assignment::new(subject, role(number % (ROLES - 1))).into());
    }
    BulkFormat::JsonLines.write(&records).unwrap()
}

async fn measure(what: &str, store: Arc<dyn RbacStore>, rows: usize, apart: bool) {
    let ids = Arc::new(SystemRandom::default());
    let engine = Engine::new(store, Arc::new(SystemClock), ids, Config::default());
    let (author, scope, file) = (Author::system("import"), Scope::Platform, file(rows, apart));
    for (turn, dry_run) in [("dry run", true), ("import", false), ("again", false)] {
        let options = ImportOptions { dry_run, ..ImportOptions::default() };
        let begun = Instant::now();
        let lines = BulkFormat::JsonLines.read(&*file).unwrap();
        let report = engine.import(&author, scope, lines, &options, &mut |_| {}).await.unwrap();
        println!("{what}, {turn}: {:.2} s, {:?}", begun.elapsed().as_secs_f64(), report.progress);
        assert_eq!(report.bad, []);
    }
    let (begun, mut records, mut bytes) = (Instant::now(), 0, 0);
    let mut export = engine.export(scope, &RecordKind::ALL).await.unwrap();
    while let Some(found) = export.next().await.unwrap() {
        records += found.len();
        bytes += BulkFormat::JsonLines.write(&found).unwrap().len();
    }
    println!("{what}, export: {:.2} s, {records} records, {bytes} bytes", begun.elapsed().as_secs_f64());
}

/// How long it takes to find who may do something, where as many hold roles as have single permissions.
async fn ask(what: &str, store: Arc<dyn RbacStore>, rows: usize) {
    let ids = Arc::new(SystemRandom::default());
    let engine = Engine::new(store, Arc::new(SystemClock), ids, Config::default());
    let (author, scope) = (Author::system("import"), Scope::Platform);
    let mut records: Vec<Record> = Vec::new();
    for number in 0..rows {
        let subject = format!("user:user-{number:07}").parse().unwrap();
        let name = if number % (rows / 5) == 0 {
            "rare:read".to_owned()
        } else {
            format!("other-{}:*", number % 500)
        };
        records.push(Grant::new(subject, permission(&name)).into());
    }
    let file = [file(rows, false), BulkFormat::JsonLines.write(&records).unwrap()].concat();
    let lines = BulkFormat::JsonLines.read(&*file).unwrap();
    let report = engine.import(&author, scope, lines, &ImportOptions::default(), &mut |_| {}).await.unwrap();
    assert_eq!(report.bad, []);
    for (asked, most) in
        [("rare:read", 100), ("resource-98:read", 100), ("resource-5:read", 100), ("nobody:read", 100)]
    {
        let mut turns = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            let found = engine.who_can(scope, &permission(asked), None, most).await.unwrap();
            turns.push((begun.elapsed(), found.subjects.len(), found.complete));
        }
        turns.sort();
        println!("{what}, who can {asked}: {:?}", turns.get(2));
    }
}

#[tokio::main]
async fn main() {
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(100_000);
    for apart in [false, true] {
        let with = if apart { ", with a separation and a bounded role" } else { "" };
        let memory = MemoryRbacStore::new(Some(Arc::new(MemoryOutboxStore::default())));
        measure(&format!("memory{with}"), Arc::new(memory), rows, apart).await;
        let postgres = PgRbacStore::new(testing::fresh().await);
        measure(&format!("Postgres{with}"), Arc::new(postgres), rows, apart).await;
    }
    let memory = MemoryRbacStore::new(Some(Arc::new(MemoryOutboxStore::default())));
    ask("memory", Arc::new(memory), rows).await;
    ask("Postgres", Arc::new(PgRbacStore::new(testing::fresh().await)), rows).await;
}
