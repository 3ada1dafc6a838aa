//! What the rules have to say to records that come by the thousand.

use stanchion_core::{Actor, SubjectRef};
use stanchion_rbac::{
    Approval, Assignment, BulkFormat, Config, Duty, Emergency, Grant, Guards, ImportOptions, ImportProgress,
    Limits, Membership, Record, RecordFilter, RecordKind, Role, Separation, Session,
};

use crate::bulk::{bad, counts, exported, import, lines, system};
use crate::random::{Random, group};
use crate::world::{PLATFORM, World, at, author, id, permission, role, tenant, user};

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
    let expected = [
        "3 role `loop` includes `pool`, which does not exist",
        "4 role `pool` would include itself: pool → loop → pool",
        "10 separation `apart` allows 1 of its roles: user:a would have few, over",
        "11 too many roles held by a subject: at most 3",
        "12 role `few` may be held by 1 at most, and 2 would hold it: user:a, user:b",
        "14 role `few` requires `junior`, which user:c does not hold: assign `junior` first",
        "16 user:c is denied `a:*`: ask for it to be lifted with the grant, or leave it",
        "17 role `few` may be held by 1 at most, and 2 would hold it: user:a, user:d",
    ];
    assert_eq!(texts, expected);
    let held = exported(&world, tenant(1), &[RecordKind::Assignment]).await;
    let keys: Vec<String> = held.iter().map(|record| record.key().to_string()).collect();
    assert_eq!(keys, ["user:a junior", "user:b senior", "user:d junior", "user:a few"]);
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
    assert_eq!((counts(&report), report.progress.expired), ([5, 1, 0, 3], 1));
    let fields: Vec<_> = bad(&report).iter().map(|bad| (bad.0, bad.1)).collect();
    assert_eq!(fields, [(2, "active"), (3, "expires_at"), (4, "subject")]);
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

/// Rows by which people come to hold a role that three may hold: by it, by one that includes it, by groups, some of them for a while.
fn bounded(random: &Random) -> Vec<Record> {
    let people = ["a", "b", "c", "d", "e", "f"];
    let mut rows = Vec::new();
    // What stands there already.
    let mut keys =
        std::collections::BTreeSet::from([Record::from(Assignment::new(user("f"), id("senior"))).key()]);
    for _ in 0..30 {
        let until = random.one_in(3).then(|| at(i64::try_from(5 + random.below(60)).unwrap()));
        let of = ["g", "h"][random.below(2)];
        let row = if random.one_in(3) {
            let mut one = Membership::new(group(of), user(people[random.below(6)]));
            one.expires_at = until;
            Record::from(one)
        } else {
            let who = if random.one_in(5) { group(of) } else { user(people[random.below(6)]) };
            let mut one = Assignment::new(who, id(["few", "senior", "other"][random.below(3)]));
            one.expires_at = until;
            Record::from(one)
        };
        if keys.insert(row.key()) {
            rows.push(row);
        }
    }
    rows
}

#[tokio::test]
async fn a_bounded_role_is_counted_on_from_chunk_to_chunk_as_by_single_writes() {
    let (mut written, mut refused) = (0, 0);
    for seed in 0..120 {
        let random = Random::new(seed);
        let (one, many, dry) = (World::new(), World::new(), World::new());
        for world in [&one, &many, &dry] {
            world.put(tenant(1), role("few", &["x:y"], &[]).held_by_at_most(3)).await;
            world.put(tenant(1), role("senior", &[], &["few"])).await;
            world.put(tenant(1), role("other", &["x:z"], &[])).await;
            world.assign(tenant(1), "f", "senior").await;
        }
        let (rows, chunk) = (bounded(&random), 1 + random.below(5));
        let (mut expected, mut expired) = (Vec::new(), 0);
        for (number, row) in (0_u64..).zip(&rows) {
            if number > 0 && number.is_multiple_of(u64::try_from(chunk).unwrap()) {
                one.advance(4);
            }
            let outcome = match row.clone() {
                Record::Assignment(held) => one.engine.assign(&author(), tenant(1), held).await.err(),
                Record::Membership(member) => one.engine.add_member(&author(), tenant(1), member).await.err(),
                _ => unreachable!(),
            };
            match outcome.map(|error| error.to_string()) {
                Some(why) if why.ends_with("it has expired already") => expired += 1,
                why => expected.extend(why.map(|why| (number + 1, why))),
            }
        }
        for (world, dry_run) in [(&many, false), (&dry, true)] {
            let options = ImportOptions { chunk, dry_run, ..ImportOptions::default() };
            let text = lines(&rows);
            let read = BulkFormat::JsonLines.read(text.as_bytes()).unwrap();
            let mut wait = |_: &ImportProgress| world.advance(4);
            let report = world.engine.import(&author(), tenant(1), read, &options, &mut wait).await.unwrap();
            let told: Vec<_> = report.bad.iter().map(|bad| (bad.line, bad.why.clone())).collect();
            assert_eq!(told, expected, "seed {seed}, chunks of {chunk}, {dry_run}");
            assert_eq!(report.progress.expired, expired);
        }
        written += rows.len() - expected.len();
        refused += expected.len();
    }
    assert!(written > 400 && refused > 400, "both are common: {written} and {refused}");
}
