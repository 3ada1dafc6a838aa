//! How long an answer holds, against the answers that are given later.
//!
//! Small worlds of whatever begins and ends, each of one subject, are asked at every instant at which something in them may change. The
//! first later instant at which the answer is another is the one that `valid_until` has to name.

use std::collections::BTreeSet;
use std::fmt::Debug;

use stanchion_core::{SessionId, SubjectRef, Timestamp};
use stanchion_rbac::{
    Approval, Assignment, CheckRequest, Config, Constraint, Denial, Explanation, Grant, Membership, Missing,
    Reason, Record, Resource, Rule, Session,
};

use crate::access::document;
use crate::random::{group, write};
use crate::world::{World, at, id, permission, role, tenant, user};

type Span = (Option<i64>, Option<i64>);

/// In minutes. They overlap, touch, lie within each other, and one is empty.
const SPANS: [Span; 9] = [
    (None, None),
    (None, Some(2)),
    (None, Some(3)),
    (Some(1), None),
    (Some(1), Some(3)),
    (Some(2), Some(4)),
    (Some(3), None),
    (Some(4), Some(5)),
    (Some(2), Some(2)),
];

/// What a subject can have, once in a span: one of these roles, a permission, or a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Held(&'static str),
    HeldElsewhere(&'static str),
    Granted,
    GrantedForHours,
    Awaiting,
    Member(&'static str),
}

use Kind::{Awaiting, Granted, GrantedForHours, Held, HeldElsewhere, Member};

const KINDS: [Kind; 17] = [
    Held("can"),
    Held("bound"),
    Held("off"),
    Held("hours"),
    Held("both-hours"),
    Held("narrow"),
    HeldElsewhere("can"),
    HeldElsewhere("off"),
    Granted,
    GrantedForHours,
    Awaiting,
    Member("holding"),
    Member("holding-late"),
    Member("holding-bound"),
    Member("barred"),
    Member("barred-too"),
    Member("off"),
];

type Thing = (Kind, Span);

impl Kind {
    fn minds_hours(self) -> bool {
        matches!(self, Held("hours" | "both-hours") | GrantedForHours)
    }
}

/// The session in which it is asked, if any: when it ends, and whether all roles are active in it or none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Nothing,
    Everything { until: i64 },
    NoRole { until: i64 },
}

const ROLES: [&str; 6] = ["both-hours", "bound", "can", "hours", "narrow", "off"];

fn minute(minute: i64) -> Timestamp {
    at(60 * minute)
}

fn hours(text: &str) -> Constraint {
    Constraint::new(Rule::Time(text.parse().unwrap()))
}

/// What all worlds have in common.
fn common() -> Vec<Record> {
    let mut off = role("off", &["document:read"], &[]);
    off.active = false;
    let hours_of = |name, text| role(name, &["document:read"], &[]).constrained(hours(text));
    vec![
        role("can", &["document:read"], &[]).into(),
        role("narrow", &["document:read:own"], &[]).into(),
        role("bound", &["document:read"], &[]).constrained(Constraint::new(Rule::OwnerOnly)).into(),
        off.into(),
        hours_of("hours", "12:01-12:03 UTC").into(),
        hours_of("both-hours", "12:02-12:04 UTC").constrained(hours("12:00-12:03 UTC")).into(),
        Assignment::new(group("holding"), id("can")).into(),
        Assignment::new(group("holding-late"), id("can")).starting(minute(2)).expiring(minute(3)).into(),
        Assignment::new(group("holding-bound"), id("bound")).into(),
        Denial::new(group("barred"), permission("document:*")).into(),
        Denial::new(group("barred-too"), permission("*:read")).into(),
        Assignment::new(group("off"), id("off")).into(),
    ]
}

fn record(subject: &SubjectRef, (kind, (from, until)): Thing) -> Record {
    let (from, until) = (from.map(minute), until.map(minute));
    let assigned = |role: &str, on: Option<&str>| {
        let mut held = Assignment::new(subject.clone(), id(role));
        held.resource = on.map(|on| on.parse().unwrap());
        (held.not_before, held.expires_at) = (from, until);
        Record::from(held)
    };
    let granted = |what: &str| {
        let mut grant = Grant::new(subject.clone(), permission(what));
        (grant.not_before, grant.expires_at) = (from, until);
        grant
    };
    match kind {
        Held(role) => assigned(role, None),
        HeldElsewhere(role) => assigned(role, Some("document/2")),
        Granted => granted("document:read").into(),
        GrantedForHours => granted("document:r*").constrained(hours("12:02-12:04 UTC")).into(),
        Awaiting => {
            let mut grant = granted("document:*");
            grant.emergency = Some(Approval::Awaited);
            grant.into()
        }
        Member(name) => {
            let mut membership = Membership::new(group(name), subject.clone());
            (membership.not_before, membership.expires_at) = (from, until);
            membership.into()
        }
    }
}

fn session(number: usize, within: Within) -> Option<SessionId> {
    (within != Within::Nothing).then(|| format!("0192f0c1-2345-7abc-8def-{number:012}").parse().unwrap())
}

type Answer = (bool, Reason);

/// Answers, and until when they are said to hold, by instant.
type Asked = Vec<(Timestamp, Answer, Option<Timestamp>)>;

/// Asks about every world at every instant. The hours come again on the day after, so it is asked then too.
async fn ask(worlds: &[(Vec<Thing>, Within)]) -> Vec<Asked> {
    let world = World::with(Config { cached_subjects: 100_000, ..Config::default() });
    let subject = |number: usize| user(&format!("u{number}"));
    let mut records = common();
    for (number, (things, within)) in worlds.iter().enumerate() {
        records.extend(things.iter().map(|thing| record(&subject(number), *thing)));
        if let Some(session) = session(number, *within) {
            let (until, active) = match *within {
                Within::Everything { until } => (until, &ROLES[..]),
                Within::NoRole { until } => (until, &[][..]),
                Within::Nothing => unreachable!("is no session"),
            };
            let active = active.iter().map(|role| id(role));
            records.push(Session::new(session, subject(number), minute(until)).with_active(active).into());
        }
    }
    write(&world, tenant(1), records).await;
    let mut asked: Vec<Asked> = vec![Vec::new(); worlds.len()];
    let (what, resource) = (permission("document:read"), document("1").owned_by(user("somebody")));
    for now in (0..=6).chain(1_440..=1_446).map(minute) {
        world.clock.set(now);
        for (number, (_, within)) in worlds.iter().enumerate() {
            let subject = subject(number);
            let mut request = CheckRequest::new(tenant(1), &subject, &what).on(&resource);
            request.session = session(number, *within);
            let decision = world.engine.check(&request).await.unwrap();
            asked[number].push((now, (decision.allowed, decision.reason), decision.valid_until));
        }
    }
    asked
}

/// Checks that no answer is said to hold longer than it does, and where `is_exact`, that it is said to hold as long.
fn judge(asked: &Asked, is_exact: bool, world: &dyn Debug) {
    for (index, (now, answer, until)) in asked.iter().enumerate().take(7) {
        let turn = asked[index..].iter().find(|(_, later, _)| later != answer).map(|(at, ..)| *at);
        let told = || format!("{world:?} at {now}: {asked:?}");
        match (*until, turn) {
            (Some(until), Some(turn)) => {
                assert!(*now < until && until <= turn, "too late: {}", told());
                assert!(!is_exact || until == turn, "too early: {}", told());
            }
            (Some(until), None) => assert!(!is_exact && *now < until, "there is no turn: {}", told()),
            (None, turn) => assert_eq!(turn, None, "{}", told()),
        }
    }
}

fn things() -> Vec<Thing> {
    KINDS.into_iter().flat_map(|kind| SPANS.map(|span| (kind, span))).collect()
}

/// The number of things in a world is small, so all worlds can be had; those of three are too many and every so many of them do.
fn worlds() -> Vec<Vec<Thing>> {
    let things = things();
    let may_be_together = |all: &[Thing]| {
        let kinds: Vec<Kind> = all.iter().map(|(kind, _)| *kind).collect();
        (1..kinds.len()).all(|index| !kinds[..index].contains(&kinds[index]))
    };
    let mut all: Vec<Vec<Thing>> = std::iter::once(Vec::new()).collect();
    all.extend(things.iter().map(|one| vec![*one]));
    for (index, one) in things.iter().enumerate() {
        all.extend(things[index + 1..].iter().map(|other| vec![*one, *other]));
    }
    let (count, mut number) = (things.len(), 0);
    for _ in 0..2_500 {
        // A step that has no divisor in common with the number of worlds comes to all parts of them.
        number = (number + 1_299_709) % (count * count * count);
        all.push(vec![
            things[number % count],
            things[number / count % count],
            things[number / count / count],
        ]);
    }
    all.retain(|all| may_be_together(all));
    all
}

#[tokio::test]
async fn an_answer_holds_until_the_instant_it_names_and_no_longer() {
    let all = worlds();
    let variants = [
        Within::Nothing,
        Within::Everything { until: 3 },
        Within::NoRole { until: 4 },
        Within::NoRole { until: 6 },
    ];
    let mut reasons = BTreeSet::new();
    let mut turns = 0;
    for part in all.chunks(2_000) {
        for within in variants {
            // What is asked without a session is the most varied; of the others every fifth is looked at.
            let step = if within == Within::Nothing { 1 } else { 5 };
            let part: Vec<_> = part.iter().step_by(step).map(|things| (things.clone(), within)).collect();
            for ((things, within), asked) in part.iter().zip(ask(&part).await) {
                let timed: Vec<_> = things.iter().filter(|(kind, _)| kind.minds_hours()).collect();
                let is_exact = match timed[..] {
                    [] => true,
                    [(kind, _)] => {
                        let is_left_out = matches!(within, Within::NoRole { .. });
                        things.len() == 1 && *kind != Held("both-hours") && !is_left_out
                    }
                    _ => false,
                };
                judge(&asked, is_exact, &(things, within));
                reasons.extend(asked.iter().map(|(_, (_, reason), _)| reason.as_str()));
                turns += asked.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
            }
        }
    }
    let never = ["permission_not_exact", "inactive_subject", "attribute_missing"];
    let expected: BTreeSet<&str> =
        Reason::ALL.iter().map(|reason| reason.as_str()).filter(|reason| !never.contains(reason)).collect();
    assert_eq!(reasons, expected);
    assert!(turns > 10_000, "much happens: {turns}");
}

async fn explained(world: &World, name: &str, resource: &Resource) -> Explanation {
    let (subject, what) = (user(name), permission("document:read"));
    let request = CheckRequest::new(tenant(1), &subject, &what).on(resource);
    world.engine.explain(&request).await.unwrap()
}

#[tokio::test]
async fn what_would_help_is_the_instant_of_the_grant_and_not_of_another_refusal() {
    let world = World::new();
    let mut records = common();
    let things = [
        (Held("can"), (Some(4), None)),
        (Held("hours"), (Some(5), None)),
        (Member("barred"), (Some(2), Some(3))),
    ];
    records.extend(things.map(|thing| record(&user("ada"), thing)));
    write(&world, tenant(1), records).await;
    let explanation = explained(&world, "ada", &document("1")).await;
    assert_eq!(explanation.decision.reason, Reason::AssignmentNotYetValid);
    assert_eq!(
        explanation.decision.valid_until,
        Some(minute(1)),
        "the hours begin, and nothing is known of then"
    );
    assert_eq!(explanation.missing, Some(Missing::Time(minute(4))));
}

#[tokio::test]
async fn a_role_that_is_not_held_now_and_here_is_not_blamed_for_being_switched_off() {
    let world = World::new();
    let mut records = common();
    for (name, thing) in [
        ("over", (Held("off"), (None, Some(1)))),
        ("elsewhere", (HeldElsewhere("off"), (None, None))),
        ("now", (Held("off"), (None, Some(3)))),
    ] {
        records.push(record(&user(name), thing));
    }
    write(&world, tenant(1), records).await;
    world.clock.set(minute(2));
    for (name, reason) in [
        ("over", Reason::NoMatchingRole),
        ("elsewhere", Reason::NoMatchingRole),
        ("now", Reason::RoleInactive),
    ] {
        assert_eq!(explained(&world, name, &document("1")).await.decision.reason, reason, "{name}");
    }
}
