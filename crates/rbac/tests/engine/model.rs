//! The engine against the obvious way to decide: walk the roles, compare every permission.

use std::collections::BTreeSet;

use stanchion_core::{Scope, SeededRandom, SubjectRef, Timestamp};
use stanchion_rbac::{Assignment, CheckRequest, Denial, Permission, PermissionScope, Role, RoleId};

use crate::world::{PLATFORM, World, at, author, permission, role, tenant, user};

const WORLDS: u64 = 60;
const ROLES: usize = 9;
const PATTERNS: [&str; 13] = [
    "*",
    "a:*",
    "a:x",
    "a:y",
    "ab:x",
    "a*:x",
    "ab*:x*",
    "*:xy",
    "b:x",
    "b:xy",
    "a:x:own",
    "*:*:team",
    "b:*:department",
];
const WANTED: [&str; 8] = ["a:x", "a:y", "a:xy", "ab:x", "ab:xy", "abc:xyz", "b:x", "c:z"];
const SUBJECTS: [&str; 3] = ["alice", "bob", "carol"];

#[derive(Default)]
struct Naive {
    /// With the scope they belong to.
    roles: Vec<(Scope, Role)>,
    assignments: Vec<Assignment>,
    denials: Vec<Denial>,
}

impl Naive {
    fn find(&self, home: Scope, id: &RoleId) -> Option<&(Scope, Role)> {
        let of = |scope: Scope| self.roles.iter().find(|(home, role)| *home == scope && role.id == *id);
        of(home).or_else(|| of(PLATFORM))
    }

    fn permits(
        &self,
        home: Scope,
        id: &RoleId,
        wanted: &Permission,
        seen: &mut BTreeSet<(Scope, RoleId)>,
    ) -> bool {
        let Some((home, role)) = self.find(home, id) else { return false };
        if !role.active || !seen.insert((*home, id.clone())) {
            return false;
        }
        let wide = |permission: &&Permission| permission.scope() >= PermissionScope::Tenant;
        role.permissions.iter().filter(wide).any(|permission| permission.covers(wanted))
            || role.includes.iter().any(|junior| self.permits(*home, junior, wanted, seen))
    }

    fn allows(&self, subject: &SubjectRef, wanted: &Permission, now: Timestamp) -> bool {
        let denies = |denial: &Denial| {
            let unscoped = format!("{}:{}", denial.permission.resource(), denial.permission.action());
            denial.subject == *subject && permission(&unscoped).covers(wanted)
        };
        let counts = |held: &&Assignment| {
            held.subject == *subject
                && held.not_before.is_none_or(|from| from <= now)
                && held.expires_at.is_none_or(|until| now < until)
        };
        let grants = |held: &Assignment| self.permits(tenant(1), &held.role, wanted, &mut BTreeSet::new());
        !self.denials.iter().any(denies) && self.assignments.iter().filter(counts).any(grants)
    }
}

#[tokio::test]
async fn the_engine_decides_as_the_obvious_way_does() {
    let (mut allowed, mut asked) = (0, 0);
    for seed in 0..WORLDS {
        let random = SeededRandom::new(seed);
        let below =
            |bound: usize| usize::try_from(random.next_u64() % u64::try_from(bound).unwrap()).unwrap();
        let (world, mut naive) = (World::new(), Naive::default());

        for number in 0..ROLES {
            // The first of them are the platform's; each includes some of those before it that it can know.
            let scope = if number < ROLES / 3 { PLATFORM } else { tenant(1) };
            let patterns: Vec<&str> = (0..below(3)).map(|_| PATTERNS[below(PATTERNS.len())]).collect();
            let names: Vec<String> =
                (0..number).filter(|_| below(4) == 0).map(|junior| format!("r{junior}")).collect();
            let includes: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut one = role(&format!("r{number}"), &patterns, &includes);
            one.active = below(5) > 0;
            world.put(scope, one.clone()).await;
            naive.roles.push((scope, one));
        }
        for subject in SUBJECTS {
            for _ in 0..below(4) {
                let mut held = Assignment::new(user(subject), format!("r{}", below(ROLES)).parse().unwrap());
                if below(2) == 0 {
                    held = held.starting(at(i64::try_from(below(30)).unwrap()));
                }
                if below(2) == 0 {
                    held = held.expiring(at(i64::try_from(30 + below(30)).unwrap()));
                }
                naive
                    .assignments
                    .retain(|other| (&other.subject, &other.role) != (&held.subject, &held.role));
                naive.assignments.push(held.clone());
                world.give(tenant(1), held).await;
            }
            if below(3) == 0 {
                let denial = Denial::new(user(subject), permission(PATTERNS[1 + below(PATTERNS.len() - 1)]));
                naive.denials.push(denial.clone());
                world.engine.deny(&author(), tenant(1), denial).await.unwrap();
            }
        }
        for seconds in [0, 10, 29, 30, 45, 60] {
            world.clock.set(at(seconds));
            for subject in SUBJECTS.map(user) {
                for wanted in WANTED.map(permission) {
                    let request = CheckRequest::new(tenant(1), &subject, &wanted);
                    let explanation = world.engine.explain(&request).await.unwrap();
                    let decision = explanation.decision;
                    assert_eq!(world.engine.try_check(&request), Some(decision.clone()));
                    let expected = naive.allows(&subject, &wanted, at(seconds));
                    assert_eq!(
                        decision.allowed, expected,
                        "seed {seed}: {subject} {wanted} after {seconds} s"
                    );
                    // Just before the instant that it names, or at the end of time, the answer is still the same.
                    let until = decision.valid_until.unwrap_or(Timestamp::MAX);
                    let last = Timestamp::from_micros(until.micros() - 1);
                    assert_eq!(naive.allows(&subject, &wanted, last), expected, "seed {seed}: until {until}");
                    if decision.allowed {
                        let matched = explanation.matched.expect("is shown");
                        assert!(
                            matched.covers(&wanted) && explanation.path.first() == decision.role.as_ref()
                        );
                    }
                    allowed += usize::from(decision.allowed);
                    asked += 1;
                }
            }
        }
    }
    assert!(allowed * 5 > asked && allowed * 5 < asked * 4, "both answers are common: {allowed} of {asked}");
}
