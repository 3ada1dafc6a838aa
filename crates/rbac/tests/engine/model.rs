//! The engine against the definition, on worlds at random.

use stanchion_core::Timestamp;
use stanchion_rbac::{CheckRequest, Filter, Reason};

use crate::random::{Both, SUBJECTS, WANTED};
use crate::reference::Question;
use crate::world::{at, permission, tenant, user};

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
                    let mut request = CheckRequest::new(tenant(1), &subject, &wanted);
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
                    let mut request = CheckRequest::new(tenant(1), &subject, &wanted);
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
