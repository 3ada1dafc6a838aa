use stanchion_core::{Revision, SubjectRef};
use stanchion_rbac::{Assignment, CheckRequest, Reason};

use crate::world::{PLATFORM, World, at, author, id, permission, role, tenant, user};

#[tokio::test]
async fn a_role_permits_what_it_names_and_what_it_includes() {
    let world = World::new();
    let scope = tenant(1);
    world.put(scope, role("viewer", &["document:read"], &[])).await;
    world.put(scope, role("editor", &["document:write"], &["viewer"])).await;
    world.put(scope, role("chief", &[], &["editor"])).await;
    world.assign(scope, "alice", "chief").await;

    let decision = world.check(scope, "alice", "document:read").await;
    assert!(decision.allowed);
    assert_eq!((decision.reason, decision.role), (Reason::Granted, Some(id("chief"))));
    assert_eq!((decision.revision, decision.valid_until), (Revision::from_number(4), None));
    assert!(world.allows(scope, "alice", "document:write").await);

    let decision = world.check(scope, "alice", "document:delete").await;
    assert_eq!((decision.allowed, decision.reason), (false, Reason::NoMatchingRole));
    assert_eq!(decision.role, None);
}

#[tokio::test]
async fn whoever_holds_nothing_here_may_do_nothing_here() {
    let world = World::new();
    world.put(tenant(1), role("admin", &["*"], &[])).await;
    world.put(tenant(2), role("admin", &["*"], &[])).await;
    world.assign(tenant(1), "user-1", "admin").await;
    assert!(world.allows(tenant(1), "user-1", "document:read").await);
    // Seeds 000 and 001: `user-1` also owned what was of `user-10`, and the administrator of one tenant was one of all.
    for (scope, subject) in
        [(tenant(1), "user-10"), (tenant(1), "user-"), (tenant(2), "user-1"), (PLATFORM, "user-1")]
    {
        let decision = world.check(scope, subject, "document:read").await;
        assert_eq!((decision.allowed, decision.reason), (false, Reason::UnknownSubject), "{scope} {subject}");
    }
    let service = SubjectRef::service("user-1").unwrap();
    let read = permission("document:read");
    let decision = world.engine.check(&CheckRequest::new(tenant(1), &service, &read)).await.unwrap();
    assert_eq!(decision.reason, Reason::UnknownSubject, "a service is not the user of its name");
}

#[tokio::test]
async fn every_spelling_of_everything_permits_everything() {
    // Seed 001 knows only `*`, seed 002 writes `*:*`, and neither matcher understands the other.
    let world = World::new();
    for (number, everything) in ["*", "*:*", "*:*:*", "*:*:organization"].into_iter().enumerate() {
        let name = format!("admin-{number}");
        world.put(tenant(1), role(&name, &[everything], &[])).await;
        world.assign(tenant(1), &name, &name).await;
        assert!(world.allows(tenant(1), &name, "security-incidents:manage").await, "{everything}");
    }
}

#[tokio::test]
async fn another_role_never_takes_anything_away() {
    // Seed 000 combines what roles demand, so that a second role can lose what the first one gives.
    let world = World::new();
    world.put(tenant(1), role("editor", &["document:write"], &[])).await;
    world.put(tenant(1), role("client", &["document:write:own"], &[])).await;
    world.assign(tenant(1), "alice", "client").await;
    let narrow = world.check(tenant(1), "alice", "document:write").await;
    assert_eq!(narrow.reason, Reason::ReachTooNarrow, "whose document it is, nobody has said");
    world.assign(tenant(1), "alice", "editor").await;
    assert!(world.allows(tenant(1), "alice", "document:write").await);
}

#[tokio::test]
async fn an_explicit_denial_wins_over_every_role() {
    let world = World::new();
    world.put(tenant(1), role("admin", &["*"], &[])).await;
    world.assign(tenant(1), "alice", "admin").await;
    world.deny(tenant(1), "alice", "document:de*").await;
    let decision = world.check(tenant(1), "alice", "document:delete").await;
    assert_eq!((decision.allowed, decision.reason), (false, Reason::DeniedExplicitly));
    assert!(world.allows(tenant(1), "alice", "document:read").await);
    assert!(world.allows(tenant(1), "alice", "folder:delete").await);
    world.deny(tenant(1), "bob", "document:delete").await;
    let reason = world.check(tenant(1), "bob", "document:read").await.reason;
    assert_eq!(reason, Reason::NoMatchingRole, "somebody who is denied something is known");

    let (alice, what) = (user("alice"), permission("document:de*"));
    assert!(world.engine.lift_denial(&author(), tenant(1), &alice, &what).await.unwrap().is_some());
    assert!(world.allows(tenant(1), "alice", "document:delete").await);
}

#[tokio::test]
async fn a_denial_of_ones_own_counts_where_the_owner_is_not_known() {
    let world = World::new();
    world.put(tenant(1), role("admin", &["*"], &[])).await;
    world.assign(tenant(1), "alice", "admin").await;
    world.deny(tenant(1), "alice", "document:delete:own").await;
    assert!(!world.allows(tenant(1), "alice", "document:delete").await);
}

#[tokio::test]
async fn an_assignment_counts_from_its_first_instant_to_just_before_its_last() {
    let world = World::new();
    world.put(tenant(1), role("operator", &["job:run"], &[])).await;
    let assignment = Assignment::new(user("alice"), id("operator")).starting(at(10)).expiring(at(20));
    world.give(tenant(1), assignment).await;

    for (seconds, allowed, reason, valid_until) in [
        (0, false, Reason::AssignmentNotYetValid, Some(at(10))),
        (9, false, Reason::AssignmentNotYetValid, Some(at(10))),
        (10, true, Reason::Granted, Some(at(20))),
        (19, true, Reason::Granted, Some(at(20))),
        (20, false, Reason::AssignmentExpired, None),
    ] {
        world.clock.set(at(seconds));
        let decision = world.check(tenant(1), "alice", "job:run").await;
        let seen = (decision.allowed, decision.reason, decision.valid_until);
        assert_eq!(seen, (allowed, reason, valid_until), "after {seconds} s");
        assert_eq!(decision.role, Some(id("operator")));
    }
    world.clock.set(at(19));
    assert_eq!(world.check(tenant(1), "alice", "job:stop").await.reason, Reason::NoMatchingRole);
}

#[tokio::test]
async fn of_several_roles_that_permit_it_the_one_that_lasts_decides() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.put(tenant(1), role(name, &["job:run"], &[])).await;
    }
    world.give(tenant(1), Assignment::new(user("alice"), id("a")).expiring(at(10))).await;
    world.give(tenant(1), Assignment::new(user("alice"), id("b")).expiring(at(30))).await;
    world.give(tenant(1), Assignment::new(user("alice"), id("c")).starting(at(40))).await;
    let decision = world.check(tenant(1), "alice", "job:run").await;
    assert_eq!((decision.role, decision.valid_until), (Some(id("b")), Some(at(30))));
    world.clock.set(at(35));
    let decision = world.check(tenant(1), "alice", "job:run").await;
    assert_eq!((decision.reason, decision.valid_until), (Reason::AssignmentNotYetValid, Some(at(40))));
    world.clock.set(at(40));
    let decision = world.check(tenant(1), "alice", "job:run").await;
    assert_eq!((decision.role, decision.valid_until), (Some(id("c")), None));
}

#[tokio::test]
async fn an_inactive_role_is_named_where_it_would_have_permitted() {
    let world = World::new();
    world.put(tenant(1), role("viewer", &["document:read"], &[])).await;
    let mut editor = role("editor", &["document:write"], &["viewer"]);
    editor.active = false;
    world.put(tenant(1), editor.clone()).await;
    world.assign(tenant(1), "alice", "editor").await;
    for what in ["document:write", "document:read"] {
        let decision = world.check(tenant(1), "alice", what).await;
        assert_eq!((decision.allowed, decision.reason), (false, Reason::RoleInactive), "{what}");
        assert_eq!(decision.role, Some(id("editor")));
    }
    assert_eq!(world.check(tenant(1), "alice", "document:delete").await.reason, Reason::NoMatchingRole);
    editor.active = true;
    world.put(tenant(1), editor).await;
    assert!(world.allows(tenant(1), "alice", "document:read").await);
}

#[tokio::test]
async fn what_is_not_exact_cannot_be_asked() {
    let world = World::new();
    world.put(tenant(1), role("admin", &["*"], &[])).await;
    world.assign(tenant(1), "alice", "admin").await;
    for what in ["*", "document:*", "document:read:own", "document:read:platform"] {
        let decision = world.check(tenant(1), "alice", what).await;
        assert_eq!((decision.allowed, decision.reason), (false, Reason::PermissionNotExact), "{what}");
    }
}

#[tokio::test]
async fn roles_of_the_platform_count_in_every_tenant_and_never_the_reverse() {
    let world = World::new();
    world.put(PLATFORM, role("viewer", &["document:read", "audit:read:platform"], &[])).await;
    world.put(PLATFORM, role("operator", &["tenant:create"], &["viewer"])).await;
    world.put(tenant(1), role("editor", &["document:write"], &["viewer"])).await;
    world.assign(tenant(1), "alice", "editor").await;
    world.assign(tenant(1), "bob", "operator").await;
    world.assign(PLATFORM, "root", "operator").await;

    let decision = world.check(tenant(1), "alice", "document:read").await;
    assert_eq!((decision.allowed, decision.role), (true, Some(id("editor"))));
    assert!(world.allows(tenant(1), "alice", "audit:read").await, "as far as the tenant reaches");
    assert!(!world.allows(tenant(1), "alice", "tenant:create").await);
    assert!(world.allows(tenant(1), "bob", "tenant:create").await, "in this tenant alone");
    assert!(world.allows(PLATFORM, "root", "tenant:create").await);
    // What one holds on the platform is no key to its tenants, and the other way round.
    assert_eq!(world.check(tenant(1), "root", "document:read").await.reason, Reason::UnknownSubject);
    assert_eq!(world.check(PLATFORM, "alice", "document:read").await.reason, Reason::UnknownSubject);
    assert_eq!(world.check(tenant(2), "alice", "document:read").await.reason, Reason::UnknownSubject);

    let editor = Assignment::new(user("root"), id("editor"));
    let assigned = world.engine.assign(&author(), PLATFORM, editor).await;
    assert_eq!(assigned.unwrap_err().to_string(), "there is no role `editor`");
    let included = world.try_put(PLATFORM, role("chief", &[], &["editor"])).await;
    assert_eq!(included.unwrap_err().to_string(), "role `chief` includes `editor`, which does not exist");
}

#[tokio::test]
async fn a_name_that_the_platform_takes_later_keeps_its_meaning_in_the_tenant() {
    let world = World::new();
    world.put(tenant(1), role("support", &["ticket:read"], &[])).await;
    world.put(tenant(1), role("chief", &[], &["support"])).await;
    world.assign(tenant(1), "alice", "chief").await;
    world.put(PLATFORM, role("support", &["*"], &[])).await;
    assert!(world.allows(tenant(1), "alice", "ticket:read").await);
    assert!(!world.allows(tenant(1), "alice", "ticket:delete").await);
    // The tenant may go on changing its own, and other tenants may use the platform's.
    world.put(tenant(1), role("support", &["ticket:list"], &[])).await;
    assert!(!world.allows(tenant(1), "alice", "ticket:read").await);
    world.assign(tenant(2), "bob", "support").await;
    assert!(world.allows(tenant(2), "bob", "ticket:delete").await);
}

#[tokio::test]
async fn an_explanation_shows_the_way_and_the_permission() {
    let world = World::new();
    world.put(PLATFORM, role("base", &["document:re*"], &[])).await;
    world.put(PLATFORM, role("viewer", &["note:read"], &["base"])).await;
    world.put(tenant(1), role("editor", &["document:write", "secret:read:own"], &["viewer"])).await;
    world.put(tenant(1), role("chief", &["*:approve"], &["editor"])).await;
    world.assign(tenant(1), "alice", "chief").await;
    world.deny(tenant(1), "alice", "note:*").await;
    let explain = async |what: &str| {
        let (subject, what) = (user("alice"), permission(what));
        world.engine.explain(&CheckRequest::new(tenant(1), &subject, &what)).await.unwrap()
    };

    let explanation = explain("document:read").await;
    assert!(explanation.decision.allowed);
    assert_eq!(explanation.path, ["chief", "editor", "viewer", "base"].map(id));
    assert_eq!(explanation.matched, Some(permission("document:re*")));
    let explanation = explain("invoice:approve").await;
    assert_eq!((explanation.path, explanation.matched), (vec![id("chief")], Some(permission("*:approve"))));

    let explanation = explain("note:read").await;
    assert_eq!(explanation.decision.reason, Reason::DeniedExplicitly);
    assert_eq!((explanation.path, explanation.matched), (Vec::new(), Some(permission("note:*"))));
    assert_eq!(explanation.candidates, []);

    world.put(tenant(1), role("warden", &[], &[])).await;
    world.put(PLATFORM, role("warden", &["secret:*"], &[])).await;
    world.put(PLATFORM, role("keeper", &["secret:*"], &[])).await;
    world.put(tenant(1), role("deputy", &[], &["keeper"])).await;
    let explanation = explain("secret:read").await;
    assert_eq!(explanation.decision.reason, Reason::ReachTooNarrow);
    assert_eq!(explanation.candidates, ["deputy", "keeper"].map(id));
    assert_eq!(explain("secret:*").await.decision.reason, Reason::PermissionNotExact);
}

#[tokio::test]
async fn codes_are_stable_and_told_apart() {
    let codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(
        codes,
        [
            "granted",
            "denied_explicitly",
            "no_matching_role",
            "unknown_subject",
            "role_inactive",
            "assignment_expired",
            "assignment_not_yet_valid",
            "permission_not_exact",
            "inactive_subject",
            "session_not_active",
            "role_not_in_session",
            "constraint_unmet",
            "attribute_missing",
            "approval_awaited",
            "other_resource",
            "reach_too_narrow",
        ]
    );
}
