//! Records that come and go by the thousand.

use std::sync::atomic::Ordering;

use stanchion_core::{Actor, Author, Scope, SubjectRef, SystemScope};
use stanchion_rbac::{
    Approval, Assignment, BadRows, BulkFormat, Config, Denial, Duty, Emergency, Error, Grant, Guards,
    ImportOptions, ImportProgress, ImportReport, Limits, Membership, OverDenial, Record, RecordFilter,
    RecordKind, Role, Separation, Session,
};
use stanchion_replica::OutboxStore;

use crate::random::{Random, group};
use crate::world::{PLATFORM, World, at, author, id, permission, role, tenant, user};

const HERE: Scope = Scope::Platform;

fn system() -> Author {
    Author::system("test")
}

async fn import(world: &World, author: &Author, scope: Scope, text: &str) -> ImportReport {
    with(world, author, scope, text, &ImportOptions::default()).await
}

async fn with(
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

async fn exported(world: &World, scope: Scope, kinds: &[RecordKind]) -> Vec<Record> {
    let mut export = world.engine.export(scope, kinds).await.unwrap();
    let mut all = Vec::new();
    while let Some(mut records) = export.next().await.unwrap() {
        all.append(&mut records);
    }
    assert_eq!(export.records(), u64::try_from(all.len()).unwrap());
    assert!(!export.has_moved().await.unwrap());
    all
}

fn lines(records: &[Record]) -> String {
    String::from_utf8(BulkFormat::JsonLines.write(records).unwrap()).unwrap()
}

/// Line, field and why of each bad row.
fn bad(report: &ImportReport) -> Vec<(u64, &str, &str)> {
    report.bad.iter().map(|bad| (bad.line, bad.field.as_deref().unwrap_or("-"), &*bad.why)).collect()
}

fn counts(report: &ImportReport) -> [u64; 4] {
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
        // Roles that need one another in a circle have to be in one chunk.
        for (number, chunk) in [(2, 64), (3, 1_000), (4, 9)] {
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
        role("engineer", &["x:z"], &[]),
        role("a-lead", &[], &["z-junior"]).requiring([id("engineer")]),
        role("b-director", &[], &["a-lead"]),
    ] {
        world.put(scope, made).await;
    }
    for name in ["engineer", "a-lead", "b-director"] {
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
        "engineer",
        "z-junior",
        "a-lead",
        "b-director",
        "user:ada engineer",
        "user:ada a-lead",
        "user:ada b-director",
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
{"grant":{"subject":"user:d","permission":"a:b","expires_at":"2020-01-01T00:00:00Z"}}
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
    assert_eq!(bad[6].2, "the grant would never count: it has expired already");
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
async fn rows_are_held_against_one_another_as_single_writes_are() {
    let limits = Limits { assignments: 3, roles: 4, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() });
    let text = r#"{"role":{"id":"senior","name":"S","includes":["junior"]}}
{"role":{"id":"junior","name":"J"}}
{"role":{"id":"loop","name":"L","includes":["pool"]}}
{"role":{"id":"pool","name":"P","includes":["loop"]}}
{"role":{"id":"few","name":"F","max_holders":1,"requires":["junior"]}}
{"role":{"id":"over","name":"O"}}
{"separation":{"id":"apart","name":"A","duty":"static","roles":["few","over"]}}
{"assignment":{"subject":"user:a","role":"few"}}
{"assignment":{"subject":"user:a","role":"junior"}}
{"assignment":{"subject":"user:a","role":"over"}}
{"assignment":{"subject":"user:a","role":"senior"}}
{"assignment":{"subject":"user:b","role":"few"}}
{"assignment":{"subject":"user:b","role":"senior"}}
{"assignment":{"subject":"user:c","role":"few"}}
{"denial":{"subject":"user:c","permission":"a:*"}}
{"grant":{"subject":"user:c","permission":"a:b"}}
{"assignment":{"subject":"user:d","role":"few"}}
{"assignment":{"subject":"user:d","role":"junior"}}"#;
    let report = import(&world, &system(), tenant(1), text).await;
    let bad = bad(&report);
    let texts: Vec<String> = bad.iter().map(|(line, _, why)| format!("{line} {why}")).collect();
    // What lacks something that a later row brings is looked at after that one, and so comes too late for some.
    let expected = [
        "3 role `loop` includes `pool`, which does not exist",
        "4 role `pool` would include itself: pool → loop → pool",
        "8 separation `apart` allows 1 of its roles: user:a would have few, over",
        "11 too many roles held by a subject: at most 3",
        "14 role `few` requires `junior`, which user:c does not hold: assign `junior` first",
        "16 user:c is denied `a:*`: ask for it to be lifted with the grant, or leave it",
        "17 role `few` may be held by 1 at most, and 2 would hold it: user:b, user:d",
    ];
    assert_eq!(texts, expected);
    let held = exported(&world, tenant(1), &[RecordKind::Assignment]).await;
    let keys: Vec<String> = held.iter().map(|record| record.key().to_string()).collect();
    assert_eq!(keys, ["user:a junior", "user:a over", "user:b senior", "user:d junior", "user:b few"]);
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
        r#"{"first_line":201,"last_line":250,"written":50,"unchanged":0,"refused":0}"#
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
        (text, BadRows::Stop, 1, [3, 2, 0, 1]),
        (&*late, BadRows::Stop, 1_000, [4, 2, 0, 2]),
        (text, BadRows::Report { most: 1 }, 2, [4, 3, 0, 1]),
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
async fn a_row_that_breaks_a_rule_of_the_whole_is_found_among_the_others() {
    let world = World::with(Config::default());
    world.put(tenant(1), role("admin", &["*"], &[])).await;
    world.put(tenant(1), role("one", &["a:a"], &[])).await;
    world.put(tenant(1), role("two", &["b:b"], &[])).await;
    let apart =
        Separation::new("apart".parse().unwrap(), "A".parse().unwrap(), Duty::Static, [id("one"), id("two")]);
    world.engine.put_separation(&author(), tenant(1), apart).await.unwrap();
    world.assign(tenant(1), "root", "admin").await;
    for subject in ["u13", "u14", "u77"] {
        world.assign(tenant(1), subject, "one").await;
    }
    let mut text: String = (0..200)
        .map(|number| format!("{{\"assignment\":{{\"subject\":\"user:u{number}\",\"role\":\"two\"}}}}\n"))
        .collect();
    text.push_str(r#"{"denial":{"subject":"user:root","permission":"*"}}"#);
    let report = import(&world, &author(), tenant(1), &text).await;
    assert_eq!(counts(&report), [201, 197, 0, 4]);
    assert_eq!(report.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [14, 15, 78, 201]);
    assert!(report.bad[3].why.starts_with("user:root is the last administrator of "));
}

#[tokio::test]
async fn who_imports_gives_nothing_that_they_do_not_have() {
    let guards = Guards { self_elevation: true, last_administrator: false, ..Guards::default() };
    let world = World::guarded(Config { guards, ..Config::default() });
    let scope = tenant(1);
    let put = async |made: Role| world.engine.put_role(&system(), scope, made, None).await.unwrap();
    put(role("reader", &["x:read"], &[])).await;
    put(role("writer", &["x:write"], &[])).await;
    world.engine.assign(&system(), scope, Assignment::new(user("root"), id("reader"))).await.unwrap();
    let mut text = String::from(
        r#"{"assignment":{"subject":"user:a","role":"writer"}}
{"assignment":{"subject":"user:b","role":"reader"}}
{"grant":{"subject":"user:c","permission":"x:write"}}
{"assignment":{"subject":"user:root","role":"writer"}}
{"role":{"id":"reader","name":"R","permissions":["x:read","x:write"]}}
{"role":{"id":"fresh","name":"F","permissions":["x:burn"]}}
{"role":{"id":"fresher","name":"F","includes":["fresh"]}}
{"assignment":{"subject":"user:z","role":"fresh"}}
"#,
    );
    for number in 0..40 {
        text.push_str(&format!(
            "{{\"assignment\":{{\"subject\":\"user:b\",\"role\":\"reader\",\"resource\":\"d/{number}\"}}}}\n"
        ));
    }
    let report = import(&world, &author(), scope, &text).await;
    assert_eq!(counts(&report), [48, 41, 0, 7], "{report:?}");
    assert_eq!(report.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 7, 8]);
    assert_eq!(report.bad[5].why, "role `fresher` includes `fresh`, which does not exist");
    assert_eq!(report.bad[6].why, "there is no role `fresh`");
    assert!(report.bad[2].why.ends_with("to itself: let somebody else do it"));
    let report = import(&world, &system(), scope, &text).await;
    assert_eq!(counts(&report), [48, 7, 41, 0], "Stanchion itself may give anything");
}

#[tokio::test]
async fn only_stanchion_itself_says_who_gave_and_approved() {
    let emergency = Emergency { max_minutes: 30, second_approver: true };
    let guards = Guards { last_administrator: false, ..Guards::default() };
    let world = World::with(Config { emergency, guards, ..Config::default() });
    let by = Actor::Subject {
        subject: user("eve"),
        method: stanchion_core::AuthenticationMethod::ApiKey,
        key: None,
    };
    let mut grant =
        Grant::new(user("a"), permission("safe:open")).because("fire".parse().unwrap()).expiring(at(600));
    grant.granted_by = Some(by.clone());
    grant.emergency = Some(Approval::Given(by.clone()));
    let text = lines(&[grant.clone().into()]);
    let granted = async |scope| -> Grant {
        let page = stanchion_core::PageRequest::default();
        let filter = RecordFilter::all(RecordKind::Grant);
        world.engine.list::<Grant>(scope, &filter, &page).await.unwrap().items[0].value.clone()
    };
    assert_eq!(import(&world, &author(), tenant(1), &text).await.progress.written, 1);
    let made = granted(tenant(1)).await;
    assert_eq!((made.granted_by, made.emergency), (Some(author().actor), Some(Approval::Awaited)));
    assert_eq!(counts(&import(&world, &author(), tenant(1), &text).await), [1, 0, 1, 0]);
    assert_eq!(
        granted(tenant(1)).await.emergency,
        Some(Approval::Awaited),
        "nor is it approved by saying so again"
    );
    assert_eq!(import(&world, &system(), tenant(2), &text).await.progress.written, 1);
    assert_eq!(granted(tenant(2)).await, grant);
    // One that says no end does not go on for ever by being imported every day.
    let mut endless = grant.clone();
    (endless.expires_at, endless.subject) = (None, user("b"));
    let endless = lines(&[endless.into()]);
    assert_eq!(import(&world, &author(), tenant(3), &endless).await.progress.written, 1);
    assert_eq!(granted(tenant(3)).await.expires_at, Some(at(1_800)));
    world.advance(60);
    assert_eq!(counts(&import(&world, &author(), tenant(3), &endless).await), [1, 0, 1, 0]);
    let mut late = grant.clone();
    late.expires_at = Some(at(9_999));
    let report = import(&world, &author(), tenant(4), &lines(&[late.into()])).await;
    assert_eq!(bad(&report)[0].1, "expires_at");
}

#[tokio::test]
async fn sessions_come_in_only_as_they_could_have_been_created() {
    let world = World::new();
    world.put(tenant(1), role("clerk", &["x:y"], &[])).await;
    world.assign(tenant(1), "a", "clerk").await;
    let session = |number: u8, subject: SubjectRef, seconds: i64| {
        let id = format!("0192f0c1-2345-7abc-8def-0123456789{number:02x}").parse().unwrap();
        Record::from(Session::new(id, subject, at(seconds)).with_active([id_of("clerk")]))
    };
    let text = lines(&[
        session(1, user("a"), 60),
        session(2, user("b"), 60),
        session(3, user("a"), 720 * 60 + 1),
        session(4, group("g"), 60),
        session(5, user("a"), 0),
    ]);
    let report = import(&world, &author(), tenant(1), &text).await;
    assert_eq!(counts(&report), [5, 1, 0, 4]);
    let fields: Vec<_> = bad(&report).iter().map(|bad| (bad.0, bad.1)).collect();
    assert_eq!(fields, [(2, "active"), (3, "expires_at"), (4, "subject"), (5, "expires_at")]);
    let stolen = lines(&[session(1, user("b"), 60)]);
    let report = import(&world, &author(), tenant(1), &stolen).await;
    assert!(bad(&report)[0].2.ends_with("stays whose it is; give the session another id"));
}

fn id_of(name: &str) -> stanchion_rbac::RoleId {
    id(name)
}

#[tokio::test]
async fn roles_of_the_system_stay_and_the_platforms_names_are_its_own() {
    let world = World::new();
    let mut admin = role("admin", &["*"], &[]);
    admin.system = true;
    world.engine.put_role(&system(), PLATFORM, admin.clone(), None).await.unwrap();
    let report = import(&world, &author(), PLATFORM, &lines(&[admin.clone().into()])).await;
    assert_eq!(counts(&report), [1, 0, 1, 0], "as it is it may stand in a file");
    admin.description = Some("mine".parse().unwrap());
    let report = import(&world, &author(), PLATFORM, &lines(&[admin.into()])).await;
    assert_eq!(bad(&report)[0].1, "system");
    let report = import(&world, &author(), tenant(1), &lines(&[role("admin", &[], &[]).into()])).await;
    assert_eq!(bad(&report)[0].1, "id");
    let beyond = [role("far", &["x:y:platform"], &[]).into()];
    let report = import(&world, &author(), tenant(1), &lines(&beyond)).await;
    assert_eq!(bad(&report)[0].1, "permissions");
}

#[tokio::test]
async fn what_others_write_meanwhile_is_seen() {
    let world = World::new();
    world.put(tenant(1), role("few", &["x:y"], &[]).held_by_at_most(1)).await;
    let other = world.replica();
    let intruder = async move {
        other.assign(&author(), tenant(1), Assignment::new(user("quick"), id("few"))).await.unwrap();
    };
    *world.store.by.intruder.lock().unwrap() = Some(Box::pin(intruder));
    let text = r#"{"assignment":{"subject":"user:slow","role":"few"}}"#;
    let report = import(&world, &author(), tenant(1), text).await;
    assert_eq!(
        bad(&report)[0].2,
        "role `few` may be held by 1 at most, and 2 would hold it: user:quick, user:slow"
    );
}

#[tokio::test]
async fn a_record_that_stands_twice_in_a_file_is_as_the_last_says() {
    let world = World::new();
    world.put(tenant(1), role("clerk", &["x:y"], &[])).await;
    let text = r#"{"assignment":{"subject":"user:a","role":"clerk"}}
{"assignment":{"subject":"user:b","role":"clerk"}}
{"assignment":{"subject":"user:a","role":"clerk","reason":"later"}}"#;
    let report = import(&world, &author(), tenant(1), text).await;
    assert_eq!(counts(&report), [3, 3, 0, 0]);
    let held = exported(&world, tenant(1), &[RecordKind::Assignment]).await;
    let reasons: Vec<_> =
        held.iter().map(|one| matches!(one, Record::Assignment(held) if held.reason.is_some())).collect();
    assert_eq!(reasons, [true, false]);
}
