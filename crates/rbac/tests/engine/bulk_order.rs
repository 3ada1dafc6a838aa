//! Rows that need one another, and rows that count no more.

use stanchion_core::Scope;
use stanchion_rbac::{
    Assignment, BadRows, Duty, Grant, ImportOptions, ImportReport, Membership, OverDenial, RbacChange,
    Record, RecordKind, Separation, Session,
};

use crate::bulk::{bad, counts, exported, import, lines, system, with};
use crate::random::{group, write_on};
use crate::world::{World, at, author, id, permission, role, tenant, user};

const HERE: u128 = 1;

async fn chunked(world: &World, scope: Scope, text: &str, chunk: usize) -> ImportReport {
    with(world, &system(), scope, text, &ImportOptions { chunk, ..ImportOptions::default() }).await
}

/// Two roles and two more that ask for each other, and people who hold both of a pair.
async fn with_circles(people: usize) -> World {
    let world = World::new();
    let scope = tenant(HERE);
    for name in ["a", "b", "c", "m", "z"] {
        world.put(scope, role(name, &["x:y"], &[])).await;
    }
    for number in 0..people {
        for name in ["z", "a", "m"] {
            world.assign(scope, &format!("u{number:02}"), name).await;
        }
    }
    world.give(scope, Assignment::new(group("g"), id("b"))).await;
    world.engine.add_member(&author(), scope, Membership::new(group("g"), user("v"))).await.unwrap();
    world.assign(scope, "v", "c").await;
    world.put(scope, role("a", &["x:y"], &[]).requiring([id("z")])).await;
    world.put(scope, role("z", &["x:y"], &[]).requiring([id("a")])).await;
    world.put(scope, role("b", &["x:y"], &[]).requiring([id("c")])).await;
    world.put(scope, role("c", &["x:y"], &[]).requiring([id("b")])).await;
    world
}

#[tokio::test]
async fn what_needs_one_another_in_a_circle_stands_together_in_an_export() {
    let world = with_circles(2).await;
    let all = exported(&world, tenant(HERE), &[RecordKind::Role, RecordKind::Assignment]).await;
    let keys: Vec<String> = all.iter().map(|record| record.key().to_string()).collect();
    let expected = [
        "a",
        "z",
        "b",
        "c",
        "m",
        "user:u00 m",
        "user:u01 m",
        "user:u00 a",
        "user:u00 z",
        "user:u01 a",
        "user:u01 z",
        "group:g b",
        "user:v c",
    ];
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn a_circle_is_imported_wherever_a_chunk_ends() {
    let world = with_circles(9).await;
    let records = exported(&world, tenant(HERE), &RecordKind::ALL).await;
    let all = u64::try_from(records.len()).unwrap();
    for chunk in [2, 3, 4, 5, 7, 11, 1_000] {
        for bad_rows in [BadRows::Stop, BadRows::Report { most: 1 }] {
            let other = World::new();
            let options = ImportOptions { chunk, bad_rows, ..ImportOptions::default() };
            let report = with(&other, &system(), tenant(2), &lines(&records), &options).await;
            assert_eq!(counts(&report), [all, all, 0, 0], "in chunks of {chunk}: {report:?}");
            assert_eq!(exported(&other, tenant(2), &RecordKind::ALL).await, records);
            let dry = ImportOptions { dry_run: true, ..options };
            let other = World::new();
            let report = with(&other, &system(), tenant(2), &lines(&records), &dry).await;
            assert_eq!(counts(&report), [all, all, 0, 0], "tried in chunks of {chunk}: {report:?}");
        }
    }
}

#[tokio::test]
async fn a_bad_row_does_not_break_the_circles_beside_it() {
    let world = with_circles(4).await;
    let mut records = exported(&world, tenant(HERE), &RecordKind::ALL).await;
    let apart =
        Separation::new("apart".parse().unwrap(), "A".parse().unwrap(), Duty::Static, [id("m"), id("b")]);
    // Somebody holds both of what is kept apart, and somebody lacks what their role asks for.
    records.insert(5, apart.into());
    records.extend([
        Assignment::new(user("w"), id("m")).into(),
        Assignment::new(user("w"), id("b")).into(),
        Record::from(Assignment::new(user("y"), id("a"))),
    ]);
    let all = u64::try_from(records.len()).unwrap();
    let report = chunked(&World::new(), tenant(2), &lines(&records), 1_000).await;
    assert_eq!(counts(&report), [all, all - 2, 0, 2], "{report:?}");
    let subjects: Vec<bool> =
        report.bad.iter().map(|bad| bad.why.contains("user:w") || bad.why.contains("user:y")).collect();
    assert_eq!(subjects, [true, true]);
}

#[tokio::test]
async fn rows_that_are_tried_again_count_once() {
    let scope = tenant(HERE);
    let text = r#"{"assignment":{"subject":"user:a","role":"late"}}
{"assignment":{"subject":"user:known","role":"here"}}
{"assignment":{"subject":"user:old","role":"here","expires_at":"2020-01-01T00:00:00Z"}}
{"role":{"id":"here","name":"here","permissions":["x:y"]}}
{"role":{"id":"late","name":"L"}}"#;
    for bad_rows in [BadRows::Stop, BadRows::Report { most: 1 }] {
        for dry_run in [true, false] {
            let world = World::new();
            world.put(scope, role("here", &["x:y"], &[])).await;
            world.assign(scope, "known", "here").await;
            let options = ImportOptions { chunk: 4, bad_rows, dry_run };
            let report = with(&world, &author(), scope, text, &options).await;
            assert_eq!((counts(&report), report.progress.expired), ([5, 2, 2, 0], 1), "{report:?}");
        }
    }
}

#[tokio::test]
async fn a_circle_that_is_larger_than_a_chunk_is_refused_and_told_why() {
    let scope = tenant(HERE);
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let circle = |name: usize| role(names[name], &[], &[]).requiring([id(names[(name + 1) % names.len()])]);
    let records: Vec<Record> = (0..names.len()).map(|name| circle(name).into()).collect();
    let report = chunked(&World::new(), scope, &lines(&records), 2).await;
    assert_eq!(counts(&report), [7, 0, 0, 7], "{report:?}");
    assert_eq!(
        bad(&report)[0],
        (
            1,
            "requires",
            "role `a` requires `b`, which does not exist; what a row needs stands before it or in the 2 rows after it, and so do rows \
             that need one another in a circle"
        )
    );
    let report = chunked(&World::new(), scope, &lines(&records), 6).await;
    assert_eq!(counts(&report), [7, 7, 0, 0], "{report:?}");
}

#[tokio::test]
async fn a_row_may_stand_a_chunk_before_what_it_needs_and_no_farther() {
    let filler = |number: usize| Record::from(role(&format!("x{number}"), &[], &[]));
    for (between, chunk, written) in [(0, 1, 3), (1, 1, 3), (4, 5, 7), (9, 5, 11), (0, 2, 3)] {
        let mut records: Vec<Record> = vec![Assignment::new(user("a"), id("late")).into()];
        records.extend((0..between).map(filler));
        records.push(role("late", &[], &[]).into());
        records.push(filler(100));
        let report = chunked(&World::new(), tenant(HERE), &lines(&records), chunk).await;
        let rows = u64::try_from(records.len()).unwrap();
        assert_eq!(counts(&report), [rows, written, 0, rows - written], "{between} {chunk} {report:?}");
    }
}

#[tokio::test]
async fn rows_that_wait_when_an_import_ends_are_told_of() {
    let text = r#"{"role":{"id":"clerk","name":"C"}}
{"assignment":{"subject":"user:a","role":"late"}}
not json
{"role":{"id":"late","name":"L"}}"#;
    let options =
        ImportOptions { chunk: 3, bad_rows: BadRows::Report { most: 1 }, ..ImportOptions::default() };
    let report = with(&World::new(), &system(), tenant(HERE), text, &options).await;
    assert_eq!((counts(&report), report.stopped), ([3, 1, 0, 2], true), "{report:?}");
    assert_eq!(bad(&report), [(2, "role", "there is no role `late`")]);
}

#[tokio::test]
async fn a_record_that_is_said_anew_before_what_it_needs_comes_takes_the_place_of_the_one_that_waits() {
    let text = r#"{"assignment":{"subject":"user:a","role":"late"}}
{"assignment":{"subject":"user:a","role":"late","reason":"again"}}
{"role":{"id":"late","name":"L"}}"#;
    let report = chunked(&World::new(), tenant(HERE), text, 10).await;
    assert_eq!(counts(&report), [3, 2, 0, 1], "{report:?}");
    assert_eq!(report.bad[0].line, 1);
}

/// A scope in which one of each that may has expired, and one has not.
async fn with_expired() -> World {
    let (world, scope) = (World::new(), tenant(HERE));
    world.put(scope, role("clerk", &["x:y"], &[])).await;
    for (name, seconds) in [("old", Some(10)), ("new", None)] {
        let until = seconds.map(at);
        let mut held = Assignment::new(user(name), id("clerk"));
        let mut grant = Grant::new(user(name), permission("a:b"));
        let mut member = Membership::new(group("g"), user(name));
        (held.expires_at, grant.expires_at, member.expires_at) = (until, until, until);
        world.give(scope, held).await;
        world.engine.grant(&author(), scope, grant, OverDenial::Refuse).await.unwrap();
        world.engine.add_member(&author(), scope, member).await.unwrap();
        let number = if seconds.is_some() { 1 } else { 2 };
        let session = format!("0192f0c1-2345-7abc-8def-01234567890{number}").parse().unwrap();
        let session =
            Session::new(session, user(name), at(seconds.unwrap_or(600))).with_active([id("clerk")]);
        write_on(&world, scope, vec![RbacChange::put(session)]).await;
    }
    world.advance(10);
    world
}

#[tokio::test]
async fn an_export_with_expired_records_is_imported_into_an_empty_tenant() {
    let world = with_expired().await;
    let records = exported(&world, tenant(HERE), &RecordKind::ALL).await;
    assert_eq!(records.len(), 9, "expired ones are among them");
    for dry_run in [true, false] {
        let options = ImportOptions { dry_run, ..ImportOptions::default() };
        let report = with(&world, &system(), tenant(2), &lines(&records), &options).await;
        assert_eq!(counts(&report), [9, 5, 0, 0], "{report:?}");
        assert_eq!(report.progress.expired, 4);
    }
    let there = exported(&world, tenant(2), &RecordKind::ALL).await;
    let is_new = |record: &&Record| !record.key().to_string().contains("old");
    let counting: Vec<Record> = records.iter().filter(is_new).cloned().collect();
    assert_eq!(there.len(), 5);
    assert!(there.iter().all(|record| counting.contains(record)));
    // Where they stand, they stay.
    let report = import(&world, &system(), tenant(HERE), &lines(&records)).await;
    assert_eq!((counts(&report), report.progress.expired), ([9, 0, 9, 0], 0));
    let csv = "subject,role,expires_at\nuser:old,clerk,2020-01-01T00:00:00Z\nuser:older,ghost,2020-01-01T00:00:00Z\n";
    let report = import(&world, &system(), tenant(2), csv).await;
    assert_eq!((counts(&report), report.progress.expired), ([2, 0, 0, 0], 2));
}

#[tokio::test]
async fn what_still_counts_is_not_ended_by_a_row_that_has_expired_nor_passed_over_in_silence() {
    let (world, scope) = (with_expired().await, tenant(HERE));
    let mut held = Assignment::new(user("new"), id("clerk"));
    let mut grant = Grant::new(user("new"), permission("a:b"));
    let mut member = Membership::new(group("g"), user("new"));
    (held.expires_at, grant.expires_at, member.expires_at) = (Some(at(5)), Some(at(5)), Some(at(10)));
    let session = Session::new("0192f0c1-2345-7abc-8def-012345678902".parse().unwrap(), user("new"), at(5));
    let rows: [Record; 4] = [held.into(), grant.into(), member.into(), session.into()];
    let before = exported(&world, scope, &RecordKind::ALL).await;
    let report = import(&world, &system(), scope, &lines(&rows)).await;
    assert_eq!((counts(&report), report.progress.expired), ([4, 0, 0, 4], 0));
    assert!(
        bad(&report).iter().all(|bad| bad.1 == "expires_at" && bad.2.ends_with("it has expired already"))
    );
    assert_eq!(exported(&world, scope, &RecordKind::ALL).await, before);
    // What has expired there, and is said to have expired otherwise, is history either way.
    let mut held = Assignment::new(user("old"), id("clerk"));
    held.expires_at = Some(at(9));
    let report = import(&world, &system(), scope, &lines(&[held.into()])).await;
    assert_eq!((counts(&report), report.progress.expired), ([1, 0, 0, 0], 1));
    assert_eq!(exported(&world, scope, &RecordKind::ALL).await, before);
}
