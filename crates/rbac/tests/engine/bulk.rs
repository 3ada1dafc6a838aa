//! Records that come and go by the thousand.

use std::sync::atomic::Ordering;

use stanchion_core::{Author, Scope, SubjectRef, SystemScope};
use stanchion_rbac::{
    Assignment, BadRows, BulkFormat, Config, Denial, Duty, Error, Grant, Guards, ImportOptions,
    ImportProgress, ImportReport, Membership, OverDenial, Record, RecordKind, Separation,
};
use stanchion_replica::OutboxStore;

use crate::random::{Random, group};
use crate::world::{World, at, author, id, permission, role, tenant, user};

const HERE: Scope = Scope::Platform;

pub(crate) fn system() -> Author {
    Author::system("test")
}

pub(crate) async fn import(world: &World, author: &Author, scope: Scope, text: &str) -> ImportReport {
    with(world, author, scope, text, &ImportOptions::default()).await
}

pub(crate) async fn with(
    world: &World,
    author: &Author,
    scope: Scope,
    text: &str,
    options: &ImportOptions,
) -> ImportReport {
    let format = if text.starts_with('{') { BulkFormat::JsonLines } else { BulkFormat::Csv };
    let rows = format.read(text.as_bytes()).unwrap();
    world.engine.import(author, scope, rows, options, &mut |_| {}).await.unwrap()
}

pub(crate) async fn exported(world: &World, scope: Scope, kinds: &[RecordKind]) -> Vec<Record> {
    let mut export = world.engine.export(scope, kinds).await.unwrap();
    let mut all = Vec::new();
    while let Some(mut records) = export.next().await.unwrap() {
        all.append(&mut records);
    }
    assert_eq!(export.records(), u64::try_from(all.len()).unwrap());
    assert!(!export.has_moved().await.unwrap());
    all
}

pub(crate) fn lines(records: &[Record]) -> String {
    String::from_utf8(BulkFormat::JsonLines.write(records).unwrap()).unwrap()
}

/// Line, field and why of each bad row.
pub(crate) fn bad(report: &ImportReport) -> Vec<(u64, &str, &str)> {
    report.bad.iter().map(|bad| (bad.line, bad.field.as_deref().unwrap_or("-"), &*bad.why)).collect()
}

pub(crate) fn counts(report: &ImportReport) -> [u64; 4] {
    let ImportProgress { rows, written, unchanged, refused, .. } = report.progress;
    [rows, written, unchanged, refused]
}

/// Makes a scope of records at random, each of which the rules let be written.
async fn fill(world: &World, scope: Scope, random: &Random) {
    let engine = &world.engine;
    let name = |number: usize| format!("r{number}");
    for number in 0..8 {
        let mut made = role(&name(number), &[&format!("x{number}:use"), "y:see:own"], &[]);
        for other in 0..8 {
            // Ids and needs run against each other as often as not.
            if random.one_in(4) && other > number {
                made.includes.insert(id(&name(other)));
            } else if random.one_in(8) && other != number {
                made.requires.insert(id(&name(other)));
            }
        }
        if random.one_in(3) {
            made.max_holders = Some(2);
        }
        made.active = !random.one_in(6);
        // From the last to the first, and round again: what needs what comes later is refused the first time.
        let _ = engine.put_role(&system(), scope, made, None).await;
    }
    for number in (0..8).rev() {
        let mut made = role(&name(number), &["z:do"], &[]);
        for other in (number + 1)..8 {
            if random.one_in(3) {
                made.includes.insert(id(&name(other)));
            }
        }
        if random.one_in(3) {
            made.requires.insert(id(&name(random.below(8))));
        }
        let _ = engine.put_role(&system(), scope, made, Some(stanchion_core::Revision::ZERO)).await;
    }
    for (number, duty) in [Duty::Static, Duty::Dynamic].into_iter().enumerate() {
        let roles = [random.below(8), random.below(8), random.below(8)].map(|role| id(&name(role)));
        let apart = Separation::new(format!("s{number}").parse().unwrap(), "S".parse().unwrap(), duty, roles);
        let _ = engine.put_separation(&system(), scope, apart).await;
    }
    let someone = |random: &Random| -> SubjectRef {
        if random.one_in(4) {
            group(["g0", "g1"][random.below(2)])
        } else {
            user(["a", "b", "c"][random.below(3)])
        }
    };
    for _ in 0..40 {
        let subject = someone(random);
        let on = random.one_in(3).then(|| "document/7".parse().unwrap());
        match random.below(5) {
            0 | 1 => {
                let mut held = Assignment::new(subject, id(&name(random.below(8))));
                held.resource = on;
                held.expires_at = random.one_in(4).then(|| at(900));
                held.reason = random.one_in(4).then(|| "said, \"so\"\nand so".parse().unwrap());
                let _ = engine.assign(&author(), scope, held).await;
            }
            2 => {
                let mut grant = Grant::new(subject, permission(["a:b", "a:*", "c:d:own"][random.below(3)]));
                grant.resource = on;
                if random.one_in(3) {
                    grant = grant.because("fire".parse().unwrap()).in_emergency();
                }
                let _ = engine.grant(&author(), scope, grant, OverDenial::Refuse).await;
            }
            3 => {
                let mut denial = Denial::new(subject, permission(["a:b", "c:*"][random.below(2)]));
                denial.resource = on;
                let _ = engine.deny(&author(), scope, denial).await;
            }
            _ => {
                let member = Membership::new(group(["g0", "g1"][random.below(2)]), user("b"));
                let _ = engine.add_member(&author(), scope, member).await;
            }
        }
    }
    for subject in ["a", "b", "c"].map(user) {
        let roles: Vec<_> = (0..8).filter(|_| random.one_in(3)).map(|role| id(&name(role))).collect();
        for role in roles {
            let _ = engine.create_session(&author(), scope, &subject, [role].into(), None).await;
        }
    }
}

#[tokio::test]
async fn what_is_exported_and_imported_is_the_same_in_chunks_of_any_size() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..150 {
        let random = Random::new(seed);
        let guards = Guards { last_administrator: false, ..Guards::default() };
        let world = World::with(Config { guards, ..Config::default() });
        fill(&world, tenant(1), &random).await;
        let records = exported(&world, tenant(1), &RecordKind::ALL).await;
        for record in &records {
            *seen.entry(record.kind()).or_insert(0) += 1;
        }
        let all = u64::try_from(records.len()).unwrap();
        for (number, chunk) in [(2, 64), (3, 1_000), (4, 8)] {
            let options = ImportOptions { chunk, ..ImportOptions::default() };
            let report = with(&world, &system(), tenant(number), &lines(&records), &options).await;
            assert_eq!(counts(&report), [all, all, 0, 0], "seed {seed}: {report:?}");
            let again = exported(&world, tenant(number), &RecordKind::ALL).await;
            assert_eq!(again, records, "seed {seed}");
            let again = with(&world, &system(), tenant(number), &lines(&records), &options).await;
            assert_eq!(counts(&again), [all, 0, all, 0], "seed {seed}: a second time changes nothing");
        }
    }
    for kind in RecordKind::ALL {
        assert!(seen.get(&kind).is_some_and(|seen| *seen > 50), "{kind:?} is common: {seen:?}");
    }
}

#[tokio::test]
async fn each_record_comes_after_those_that_it_needs() {
    let world = World::new();
    let scope = tenant(1);
    for made in [
        role("z-junior", &["x:y"], &[]),
        role("zz-engineer", &["x:z"], &[]),
        role("a-lead", &[], &["z-junior"]).requiring([id("zz-engineer")]),
        role("b-director", &[], &["a-lead"]),
        role("a-last", &[], &[]).requiring([id("b-director")]),
    ] {
        world.put(scope, made).await;
    }
    for name in ["zz-engineer", "a-lead", "b-director", "a-last"] {
        world.assign(scope, "ada", name).await;
    }
    world
        .engine
        .grant(&author(), scope, Grant::new(user("ada"), permission("q:r")), OverDenial::Refuse)
        .await
        .unwrap();
    world.deny(scope, "ada", "q:*").await;
    let all = exported(&world, scope, &RecordKind::ALL).await;
    let keys: Vec<String> = all.iter().map(|record| record.key().to_string()).collect();
    let expected = [
        "z-junior",
        "zz-engineer",
        "a-lead",
        "b-director",
        "a-last",
        "user:ada zz-engineer",
        "user:ada b-director",
        "user:ada a-last",
        "user:ada a-lead",
        "user:ada q:r",
        "user:ada q:*",
    ];
    assert_eq!(keys, expected);
    let some = exported(&world, scope, &[RecordKind::Denial]).await;
    assert_eq!(some.len(), 1);
}

#[tokio::test]
async fn a_bad_row_is_named_by_line_and_field_and_the_others_are_written() {
    let world = World::new();
    world.put(HERE, role("clerk", &["x:y"], &[])).await;
    let text = r#"{"assignment":{"subject":"user:a","role":"clerk"}}

{"assignment":{"subject":"nobody","role":"clerk"}}
{"assignment":{"subject":"user:b","role":"ghost"}}
{"assignment":{"subject":"user:c","role":"clerk","until":1}}
{"pony":{}}
{"role":{"id":"wide","name":"Wide","permissions":["x:y","x"]}}
{"role":{"id":"up","name":"Up","includes":["missing"]}}
{"grant":{"subject":"user:d","permission":"a:b","not_before":"2029-01-01T00:00:00Z","expires_at":"2028-01-01T00:00:00Z"}}
not json
{"denial":{"subject":"user:d","permission":"a:b"}} and more
{"membership":{"group":"group:g","member":"group:h"}}
{"session":{"id":"0192f0c1-2345-7abc-8def-0123456789ab","subject":"user:a","active":["ghost"],"expires_at":"2026-03-01T13:00:00Z"}}
{"separation":{"id":"s","name":"S","duty":"static","roles":["clerk"]}}
{"assignment":{"subject":"user:e","role":"clerk"}}"#;
    let report = import(&world, &author(), HERE, text).await;
    assert_eq!(counts(&report), [14, 2, 0, 12]);
    let bad = bad(&report);
    let places: Vec<(u64, &str)> = bad.iter().map(|(line, field, _)| (*line, *field)).collect();
    let expected = [
        (3, "assignment.subject"),
        (4, "role"),
        (5, "assignment.until"),
        (6, "-"),
        (7, "role.permissions[1]"),
        (8, "includes"),
        (9, "expires_at"),
        (10, "-"),
        (11, "-"),
        (12, "member"),
        (13, "active"),
        (14, "-"),
    ];
    assert_eq!(places, expected, "{bad:#?}");
    assert_eq!(bad[1].2, "there is no role `ghost`");
    assert_eq!(bad[5].2, "role `up` includes `missing`, which does not exist");
    assert_eq!(bad[6].2, "the grant would never count: it expires before it begins");
    assert!(world.allows(HERE, "e", "x:y").await && world.allows(HERE, "a", "x:y").await);
    assert!(!report.stopped);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_on_says_where() {
    let world = World::new();
    world.put(HERE, role("clerk", &["x:y"], &[])).await;
    let mut text = br#"{"assignment":{"subject":"user:a","role":"clerk"}}"#.to_vec();
    text.push(b'\n');
    text.extend(std::iter::repeat_n(b'x', 1_048_577));
    let rows = BulkFormat::JsonLines.read(&*text).unwrap();
    let error = world.engine.import(&author(), HERE, rows, &ImportOptions::default(), &mut |_| {}).await;
    assert_eq!(error.unwrap_err().to_string(), "line 2: it is longer than 1048576 bytes");
    assert!(world.allows(HERE, "a", "x:y").await, "what stood before it is written");
    for (head, why) in [
        (
            "subject,role,granted",
            "line 1: `granted` is no column, or stands there twice; use subject, role, resource, not_before, expires_at, reason",
        ),
        (
            "subject,role,role",
            "line 1: `role` is no column, or stands there twice; use subject, role, resource, not_before, expires_at, reason",
        ),
        ("subject,resource", "line 1: it has to name the columns, `subject` and `role` among them"),
    ] {
        assert_eq!(BulkFormat::Csv.read(head.as_bytes()).unwrap_err().to_string(), why);
    }
    for chunk in [0, 10_001] {
        let options = ImportOptions { chunk, ..ImportOptions::default() };
        assert!(matches!(options.validate(), Err(Error::InvalidConfig { setting: "chunk", .. })));
    }
}

#[tokio::test]
async fn csv_has_assignments_and_names_what_is_wrong_with_them() {
    let world = World::new();
    world.put(HERE, role("clerk", &["x:y"], &[])).await;
    let text = "role,subject,reason,expires_at,resource\r\nclerk,user:a,\"on call,\nsays \"\"she\"\"\",2026-04-01T00:00:00+02:00,document/7\r\nclerk,user:b\r\nclerk,user:c,,tomorrow,\nclerk,user:d,,,\nclerk,,,,\n";
    let report = import(&world, &author(), HERE, text).await;
    assert_eq!(counts(&report), [5, 2, 0, 3], "{report:?}");
    let bad = bad(&report);
    assert_eq!((bad[0].0, bad[0].1, bad[0].2), (4, "-", "it has 2 fields, and the header has 5"));
    assert_eq!((bad[1].0, bad[1].1, bad[2].0, bad[2].1), (5, "expires_at", 7, "subject"));
    let records = exported(&world, HERE, &RecordKind::ALL).await;
    let mut csv = BulkFormat::Csv.head();
    csv.extend(BulkFormat::Csv.write(&records).unwrap());
    assert_eq!(
        String::from_utf8(csv.clone()).unwrap(),
        "subject,role,resource,not_before,expires_at,reason\r\nuser:a,clerk,document/7,,2026-03-31T22:00:00.000000Z,\"on call,\nsays \"\"she\"\"\"\r\nuser:d,clerk,,,,\r\n"
    );
    let again = import(&world, &system(), HERE, &String::from_utf8(csv).unwrap()).await;
    assert_eq!(counts(&again), [2, 0, 2, 0], "the roles are none of its business");
}

#[tokio::test]
async fn one_change_holds_a_chunk_and_shared_records_are_read_once_for_it() {
    let world = World::new();
    world.put(tenant(1), role("clerk", &["x:y"], &[])).await;
    let row =
        |number: usize| format!("{{\"assignment\":{{\"subject\":\"user:u{number}\",\"role\":\"clerk\"}}}}\n");
    let text: String = (0..250).map(row).collect();
    let options = ImportOptions { chunk: 100, ..ImportOptions::default() };
    let mut told = Vec::new();
    world.store.by.reads();
    world.store.by.lists.store(0, Ordering::SeqCst);
    let rows = BulkFormat::JsonLines.read(text.as_bytes()).unwrap();
    let report = world
        .engine
        .import(&author(), tenant(1), rows, &options, &mut |progress| told.push(*progress))
        .await
        .unwrap();
    assert_eq!(
        world.store.by.reads(),
        (6, 3),
        "roles of tenant and platform, and subjects, for each of three chunks"
    );
    assert_eq!(world.store.by.lists.load(Ordering::SeqCst), 0);
    let told: Vec<_> = told.iter().map(|told| (told.rows, told.written)).collect();
    assert_eq!(told, [(100, 100), (200, 200), (250, 250)]);
    assert_eq!(report.revision.number(), 4, "the role, and three chunks");
    let pending = world.outbox.pending(SystemScope::new("test"), 1_000).await.unwrap();
    let of = |action: &str| pending.iter().filter(|one| one.event.action.as_str() == action).count();
    assert_eq!((of("assignment.put"), of("access.imported")), (250, 3));
    let last = &pending.last().unwrap().event;
    assert_eq!(
        serde_json::to_string(&last.details).unwrap(),
        r#"{"first_line":201,"last_line":250,"written":50,"unchanged":0,"expired":0,"refused":0}"#
    );
}

#[tokio::test]
async fn an_import_that_broke_off_is_done_again_from_the_start() {
    let world = World::new();
    world.put(tenant(1), role("clerk", &["x:y"], &[])).await;
    let row =
        |number: usize| format!("{{\"assignment\":{{\"subject\":\"user:u{number}\",\"role\":\"clerk\"}}}}\n");
    let text: String = (0..50).map(row).collect();
    let options = ImportOptions { chunk: 10, ..ImportOptions::default() };
    *world.store.by.writes_left.lock().unwrap() = Some(3);
    let rows = BulkFormat::JsonLines.read(text.as_bytes()).unwrap();
    let broken = world.engine.import(&author(), tenant(1), rows, &options, &mut |_| {}).await;
    assert!(matches!(broken, Err(Error::Store(_))));
    *world.store.by.writes_left.lock().unwrap() = None;
    // Somebody else goes on: who assigned what is there already stays as it is.
    let report = with(&world, &system(), tenant(1), &text, &options).await;
    assert_eq!(counts(&report), [50, 20, 30, 0]);
    let held = exported(&world, tenant(1), &[RecordKind::Assignment]).await;
    let by_system = held.iter().filter(
        |record| matches!(record, Record::Assignment(held) if held.granted_by == Some(system().actor)),
    );
    assert_eq!((held.len(), by_system.count()), (50, 20));
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let world = World::new();
    let text = r#"{"role":{"id":"clerk","name":"C","permissions":["x:y"],"max_holders":2}}
{"assignment":{"subject":"user:a","role":"clerk"}}
{"assignment":{"subject":"user:b","role":"ghost"}}
{"assignment":{"subject":"user:c","role":"clerk"}}
{"assignment":{"subject":"user:d","role":"clerk"}}"#;
    for chunk in [1, 2, 1_000] {
        let dry = ImportOptions { chunk, dry_run: true, ..ImportOptions::default() };
        let report = with(&world, &author(), tenant(1), text, &dry).await;
        assert_eq!(counts(&report), [5, 3, 0, 2], "in chunks of {chunk}");
        let why: Vec<u64> = bad(&report).iter().map(|bad| bad.0).collect();
        assert_eq!((why, report.revision.number()), (vec![3, 5], 0));
        assert_eq!(exported(&world, tenant(1), &RecordKind::ALL).await, []);
    }
    let wet = import(&world, &author(), tenant(1), text).await;
    assert_eq!(counts(&wet), [5, 3, 0, 2]);
    let pending = world.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
    assert_eq!(pending.len(), 4, "the dry runs are on no record");
}

#[tokio::test]
async fn an_import_stops_at_the_first_bad_row_or_after_so_many() {
    let text = r#"{"assignment":{"subject":"user:a","role":"clerk"}}
{"assignment":{"subject":"user:b","role":"clerk"}}
{"assignment":{"subject":"user:c","role":"ghost"}}
{"assignment":{"subject":"user:d","role":"clerk"}}
{"assignment":{"subject":"user:e","role":"ghost"}}
{"assignment":{"subject":"user:f","role":"clerk"}}"#;
    let broken = text.replace(r#""user:c""#, r#""c""#);
    // A role that comes after the first bad row comes too late for the rows before it.
    let late = text.lines().next().unwrap().to_owned()
        + "\n{\"assignment\":{\"subject\":\"user:b\",\"role\":\"clerk\"}}\n{\"assignment\":{\"subject\":\"user:c\",\"role\":\"late\"}}\n\
           {\"role\":{\"id\":\"late\",\"name\":\"L\",\"includes\":[\"ghost\"]}}";
    for (text, bad_rows, chunk, expected) in [
        (text, BadRows::Stop, 1_000, [6, 2, 0, 1]),
        (&*broken, BadRows::Stop, 1_000, [3, 2, 0, 1]),
        (text, BadRows::Stop, 1, [4, 2, 0, 1]),
        (&*late, BadRows::Stop, 1_000, [4, 2, 0, 2]),
        (text, BadRows::Report { most: 1 }, 2, [6, 4, 0, 2]),
        (text, BadRows::Report { most: 1 }, 1, [4, 3, 0, 1]),
        (text, BadRows::Report { most: 2 }, 2, [6, 4, 0, 2]),
    ] {
        let world = World::new();
        world.put(tenant(1), role("clerk", &["x:y"], &[])).await;
        let options = ImportOptions { chunk, bad_rows, ..ImportOptions::default() };
        let report = with(&world, &author(), tenant(1), text, &options).await;
        assert_eq!((counts(&report), report.stopped), (expected, true), "{bad_rows:?} {chunk}");
        assert_eq!(report.bad[0].line, 3);
        assert!(world.allows(tenant(1), "b", "x:y").await);
    }
}

#[tokio::test]
async fn where_an_import_stops_nothing_below_is_written_not_even_roles() {
    let world = World::new();
    let text = r#"{"assignment":{"subject":"user:a","role":"ghost"}}
{"role":{"id":"below","name":"B"}}"#;
    let options = ImportOptions { bad_rows: BadRows::Stop, ..ImportOptions::default() };
    let report = with(&world, &author(), tenant(1), text, &options).await;
    assert_eq!((counts(&report), report.stopped), ([2, 0, 0, 1], true));
    assert_eq!(exported(&world, tenant(1), &RecordKind::ALL).await, []);
}

#[tokio::test]
async fn who_assigned_is_restored_by_stanchion_itself_and_by_nobody_else() {
    let world = World::new();
    world.put(tenant(1), role("clerk", &["x:y"], &[])).await;
    world.assign(tenant(1), "a", "clerk").await;
    let mut held = Assignment::new(user("a"), id("clerk"));
    held.granted_by = Some(system().actor);
    let text = lines(&[held.clone().into()]);
    assert_eq!(counts(&import(&world, &author(), tenant(1), &text).await), [1, 0, 1, 0]);
    assert_eq!(counts(&import(&world, &system(), tenant(1), &text).await), [1, 1, 0, 0]);
    assert_eq!(exported(&world, tenant(1), &[RecordKind::Assignment]).await, [Record::from(held)]);
}
