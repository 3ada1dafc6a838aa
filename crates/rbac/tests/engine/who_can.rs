//! Who may do something, a few at a time.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use stanchion_core::SubjectRef;
use stanchion_rbac::{
    Assignment, BulkFormat, CheckRequest, Denial, Grant, Membership, OverDenial, Record, WhoCan,
};

use crate::bulk::{lines, system};
use crate::random::{Random, group};
use crate::world::{PLATFORM, World, author, id, permission, role, tenant, user};

fn names(found: &WhoCan) -> Vec<String> {
    found.subjects.iter().map(|(subject, _)| subject.to_string()).collect()
}

fn someone(random: &Random) -> SubjectRef {
    let name = ["a", "a!", "a-b", "ab", "b", "B", "z~"][random.below(7)];
    match random.below(5) {
        0 => SubjectRef::service(name).unwrap(),
        1 => group(["g", "h", "~"][random.below(3)]),
        _ => user(name),
    }
}

async fn fill(world: &World, random: &Random) {
    let scope = tenant(1);
    world.put(PLATFORM, role("shared", &["doc:read"], &[])).await;
    world.put(PLATFORM, role("hidden", &["doc:*"], &[])).await;
    world.put(scope, role("reader", &["doc:*"], &[])).await;
    world.put(scope, role("senior", &["other:x"], &["reader"])).await;
    world.put(scope, role("other", &["other:x"], &[])).await;
    world.put(scope, role("outward", &[], &["shared"])).await;
    for _ in 0..30 {
        let subject = someone(random);
        match random.below(6) {
            0 | 1 => {
                let name = ["reader", "senior", "other", "shared", "outward"][random.below(5)];
                let mut held = Assignment::new(subject, id(name));
                held.resource =
                    random.one_in(3).then(|| ["doc/1", "doc/2"][random.below(2)].parse().unwrap());
                world.give(scope, held).await;
            }
            2 | 3 => {
                let what = ["*:*", "d*:re*", "doc:read:own", "doc:write", "docs:read"][random.below(5)];
                let mut grant = Grant::new(subject, permission(what));
                grant.resource = random.one_in(3).then(|| "doc/1".parse().unwrap());
                let _ = world.engine.grant(&author(), scope, grant, OverDenial::Refuse).await;
            }
            4 => {
                let denial = Denial::new(subject, permission(["doc:read", "doc:write"][random.below(2)]));
                world.engine.deny(&author(), scope, denial).await.unwrap();
            }
            _ => {
                let of = group(["g", "h", "~"][random.below(3)]);
                let _ = world.engine.add_member(&author(), scope, Membership::new(of, subject)).await;
            }
        }
    }
}

#[tokio::test]
async fn whoever_a_check_permits_is_found_once_in_pages_of_any_size() {
    let mut seen = 0;
    for seed in 0..80 {
        let (world, random) = (World::new(), Random::new(seed));
        fill(&world, &random).await;
        let wanted = permission("doc:read");
        let mut expected = BTreeSet::new();
        for name in ["a", "a!", "a-b", "ab", "b", "B", "z~"] {
            for subject in [user(name), SubjectRef::service(name).unwrap()] {
                let request = CheckRequest::new(tenant(1), &subject, &wanted);
                if world.engine.check(&request).await.unwrap().allowed {
                    expected.insert(subject.to_string());
                }
            }
        }
        seen += expected.len();
        let expected: Vec<String> = expected.into_iter().collect();
        let whole = world.engine.who_can(tenant(1), &wanted, None, 100).await.unwrap();
        assert_eq!(
            (names(&whole), whole.complete, whole.next.clone()),
            (expected.clone(), true, None),
            "seed {seed}"
        );
        for most in [1, 2, 5] {
            let (mut all, mut page) =
                (Vec::new(), world.engine.who_can(tenant(1), &wanted, None, most).await.unwrap());
            loop {
                assert!(page.subjects.len() <= most);
                all.extend(names(&page));
                assert_eq!(page.complete, page.next.is_none());
                let Some(after) = page.next.clone() else { break };
                page = world.engine.who_can_after(tenant(1), &wanted, None, &after, most).await.unwrap();
            }
            assert_eq!(all, expected, "seed {seed}, {most} at a time");
        }
    }
    assert!(seen > 300, "somebody may: {seen}");
}

#[tokio::test]
async fn what_is_asked_costs_what_its_answer_costs() {
    let (world, scope) = (World::new(), tenant(1));
    world.put(scope, role("many", &["x:y"], &[])).await;
    let held =
        (0..5_000).map(|number| Record::from(Assignment::new(user(&format!("u{number:04}")), id("many"))));
    let granted = (0..5_000).map(|number| {
        let what = if number % 1_000 == 0 { "rare:read" } else { "other:read" };
        Record::from(Grant::new(user(&format!("u{number:04}")), permission(what)))
    });
    let text = lines(&held.chain(granted).collect::<Vec<_>>());
    let rows = BulkFormat::JsonLines.read(text.as_bytes()).unwrap();
    world.engine.import(&system(), scope, rows, &Default::default(), &mut |_| {}).await.unwrap();
    let lists = || world.store.by.lists.swap(0, Ordering::SeqCst);
    lists();
    let found = world.engine.who_can(scope, &permission("rare:read"), None, 100).await.unwrap();
    assert_eq!(
        (names(&found).len(), found.complete, lists()),
        (5, true, 1),
        "grants that cover it, in one page"
    );
    let found = world.engine.who_can(scope, &permission("x:y"), None, 10).await.unwrap();
    assert_eq!(
        (names(&found).len(), found.complete, lists()),
        (10, false, 2),
        "as many holders as are looked at"
    );
    assert_eq!(found.next, Some(user("u0009")));
    let found =
        world.engine.who_can_after(scope, &permission("x:y"), None, &user("u4995"), 10).await.unwrap();
    assert_eq!((names(&found).len(), found.complete), (4, true));
    assert!(lists() <= 4, "nobody before them is read again");
}
