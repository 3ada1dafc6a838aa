//! The engine against the definition, on worlds at random.

use stanchion_core::Timestamp;
use stanchion_rbac::{CheckRequest, Reason};

use crate::random::{Both, SUBJECTS, WANTED};
use crate::reference::Question;
use crate::world::{at, permission, tenant, user};

const WORLDS: u64 = 2_000;

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
