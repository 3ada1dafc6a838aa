//! The engine against the definition, on worlds at random.

use std::collections::BTreeSet;

use stanchion_core::Timestamp;
use stanchion_rbac::{CheckRequest, Filter, Permission, RbacChange, Reason, Record, Resource};
use stanchion_replica::Follow as _;

use crate::random::{Both, SUBJECTS, WANTED, write_on};
use crate::reference::Question;
use crate::world::{at, permission, user};

const WORLDS: u64 = 1_000;

#[tokio::test]
async fn the_engine_decides_as_the_definition_says() {
    let (mut allowed, mut asked) = (0, 0);
    let mut reasons = std::collections::BTreeMap::new();
    for seed in 0..WORLDS {
        let both = Both::new(seed).await;
        for seconds in [0, 29, 45, 60] {
            both.world.clock.set(at(seconds));
            for subject in SUBJECTS.map(user) {
                for wanted in WANTED.map(permission) {
                    let resource = (!both.random.one_in(4)).then(|| both.random.resource(wanted.resource()));
                    let session = both.session();
                    let mut request = CheckRequest::new(both.home, &subject, &wanted);
                    request.resource = resource.as_ref();
                    request.session = session.map(|session| session.id);
                    let question = both.question(&request, session, at(seconds));
                    let explanation = both.world.engine.explain(&request).await.unwrap();
                    let decision = &explanation.decision;
                    let told =
                        || format!("seed {seed}, {seconds} s: {request:?} {session:?}: {explanation:?}");
                    assert_eq!(decision.allowed, both.reference.allows(question), "{}", told());
                    assert_eq!(both.world.engine.check(&request).await.unwrap(), *decision);
                    // Until the instant that it names, or the end of time, the answer stays.
                    let until = decision.valid_until.unwrap_or(Timestamp::MAX);
                    assert!(until > at(seconds), "{}", told());
                    let last = Timestamp::from_micros(until.micros() - 1);
                    let between = (seconds..61).step_by(7).map(at).filter(|now| *now < until);
                    for now in between.chain([last]) {
                        let later = both.reference.allows(Question { now, ..question });
                        assert_eq!(later, decision.allowed, "at {now}: {}", told());
                    }
                    if decision.allowed {
                        let matched = explanation.matched.as_ref().expect("is shown");
                        assert!(explanation.path.first() == decision.role.as_ref(), "{matched} {}", told());
                    } else {
                        assert!(explanation.missing.is_some(), "{}", told());
                    }
                    *reasons.entry(decision.reason.as_str()).or_insert(0) += 1;
                    allowed += usize::from(decision.allowed);
                    asked += 1;
                }
            }
        }
    }
    assert!(allowed * 8 > asked && allowed * 8 < asked * 7, "both answers are common: {allowed} of {asked}");
    for reason in Reason::ALL {
        let expected = !matches!(reason, Reason::PermissionNotExact | Reason::InactiveSubject);
        assert_eq!(reasons.contains_key(reason.as_str()), expected, "{reason} among {reasons:?}");
    }
}

#[tokio::test]
async fn a_plan_passes_what_a_check_permits() {
    let (mut passed, mut asked, mut conditional) = (0, 0, 0);
    for seed in 0..WORLDS {
        let both = Both::new(seed).await;
        for seconds in [0, 45] {
            both.world.clock.set(at(seconds));
            for subject in SUBJECTS.map(user) {
                for wanted in WANTED.map(permission) {
                    let session = both.session();
                    let mut request = CheckRequest::new(both.home, &subject, &wanted);
                    request.session = session.map(|session| session.id);
                    let plan = both.world.engine.plan(&request).await.unwrap();
                    conditional += usize::from(matches!(plan.filter, Filter::When(_)));
                    let until = plan.valid_until.unwrap_or(Timestamp::MAX);
                    assert!(until > at(seconds));
                    for _ in 0..4 {
                        let resource = both.random.resource(wanted.resource());
                        if resource.id.is_none() {
                            continue;
                        }
                        let mut request = request;
                        request.resource = Some(&resource);
                        let decision = both.world.engine.check(&request).await.unwrap();
                        let passes = plan.filter.passes(&resource);
                        assert_eq!(
                            passes, decision.allowed,
                            "seed {seed}: {request:?} {decision:?} {plan:?}"
                        );
                        let question =
                            both.question(&request, session, Timestamp::from_micros(until.micros() - 1));
                        assert_eq!(
                            passes,
                            both.reference.allows(question),
                            "seed {seed}: {request:?} {plan:?}"
                        );
                        passed += usize::from(passes);
                        asked += 1;
                    }
                }
            }
        }
    }
    assert!(passed * 8 > asked && passed * 8 < asked * 7, "both are common: {passed} of {asked}");
    assert!(conditional > 5_000, "many depend on the resource: {conditional}");
}

/// The names on whose resources no selector picks all of a type.
fn apart() -> Vec<Permission> {
    let all = WANTED.map(permission).into_iter();
    all.filter(|wanted| !matches!(wanted.resource(), "a" | "b")).collect()
}

/// Who may do what of these to what belongs to nobody they know and what no record names.
async fn allowed(both: &Both) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for subject in SUBJECTS.map(user) {
        for wanted in apart() {
            let somebodys = Resource::new(wanted.resource().parse().unwrap(), "elsewhere");
            let somebodys = somebodys.owned_by(user("somebody")).of_team("theirs").of_department("theirs");
            let request = CheckRequest::new(both.home, &subject, &wanted).on(&somebodys);
            if both.world.engine.check(&request).await.unwrap().allowed {
                all.insert((subject.to_string(), wanted.to_string()));
            }
        }
    }
    all
}

#[tokio::test]
async fn a_preview_tells_what_checks_answer_afterwards() {
    let (mut gains, mut losses) = (0, 0);
    for seed in 0..400 {
        let (both, other) = (Both::plain(seed).await, Both::plain(seed + 1_000_000).await);
        let random = &both.random;
        let of = |both: &Both| -> Vec<Record> {
            let own = |(scope, role): &(_, stanchion_rbac::Role)| {
                (*scope == both.home).then(|| role.clone().into())
            };
            let reference = &both.reference;
            let roles = reference.roles.iter().filter_map(own);
            let held = reference.assignments.iter().cloned().map(Record::from);
            let grants = reference.grants.iter().cloned().map(Record::from);
            let denials = reference.denials.iter().cloned().map(Record::from);
            let members = reference.memberships.iter().cloned().map(Record::from);
            roles.chain(held).chain(grants).chain(denials).chain(members).collect()
        };
        let put = of(&other).into_iter().filter(|_| random.one_in(6)).map(RbacChange::Put);
        let gone =
            of(&both).into_iter().filter(|_| random.one_in(6)).map(|record| RbacChange::Delete(record.key()));
        let changes: Vec<RbacChange> = gone.chain(put).collect();
        let before = allowed(&both).await;
        let preview = both.world.engine.preview(both.home, &changes, WANTED.map(permission)).await.unwrap();
        write_on(&both.world, both.home, changes.clone()).await;
        // What is written past the engine is not heard of.
        both.world.engine.reset().await.unwrap();
        let after = allowed(&both).await;
        let names = apart();
        let told = |side: &[stanchion_rbac::Access]| -> BTreeSet<(String, String)> {
            let everywhere = side.iter().filter(|access| access.resource.is_none() && !access.conditional);
            let exact = everywhere.filter(|access| names.contains(&access.permission));
            exact.map(|access| (access.subject.to_string(), access.permission.to_string())).collect()
        };
        let (gained, lost): (BTreeSet<_>, BTreeSet<_>) =
            (after.difference(&before).cloned().collect(), before.difference(&after).cloned().collect());
        assert_eq!(told(&preview.gained), gained, "seed {seed}: gained by {changes:?}");
        assert_eq!(told(&preview.lost), lost, "seed {seed}: lost by {changes:?}");
        gains += gained.len();
        losses += lost.len();
    }
    assert!(gains > 100 && losses > 100, "both are common: {gains}, {losses}");
}
