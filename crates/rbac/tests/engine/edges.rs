//! Rules at their edges: each case here is one that a small mistake in a rule would get wrong unseen.

use stanchion_core::{Actor, Author};
use stanchion_rbac::{
    Approval, Assignment, Config, Constraint, Denial, Duty, Emergency, Error, Grant, Guards, Limits,
    Membership, OverDenial, PermissionScope, RbacChange, Record, Role, Rule, Separation, Warning,
};

use crate::random::{group, write, write_on};
use crate::world::{PLATFORM, World, at, author, id, permission, role, tenant, user};

fn system() -> Author {
    Author::system("test")
}

fn by(name: &str) -> Author {
    let mut author = author();
    author.actor = Actor::Subject {
        subject: user(name),
        method: stanchion_core::AuthenticationMethod::ApiKey,
        key: None,
    };
    author
}

fn held(subject: &str, role: &str) -> Assignment {
    Assignment::new(user(subject), id(role))
}

fn apart(duty: Duty, roles: [&str; 2]) -> Separation {
    Separation::new("apart".parse().unwrap(), "Apart".parse().unwrap(), duty, roles.map(id))
}

async fn roles(world: &World, names: &[&str]) {
    for name in names {
        world.put(tenant(1), role(name, &[&format!("{name}:use")], &[])).await;
    }
}

async fn try_assign(world: &World, assignment: Assignment) -> Result<(), Error> {
    world.engine.assign(&author(), tenant(1), assignment).await.map(drop)
}

#[tokio::test]
async fn what_was_together_before_may_stay_so_and_no_more_comes_to_it() {
    let world = World::new();
    let records: Vec<Record> = vec![
        role("a", &[], &[]).into(),
        role("b", &[], &[]).into(),
        role("c", &[], &[]).into(),
        role("few", &[], &[]).held_by_at_most(1).into(),
        apart(Duty::Static, ["a", "b"]).into(),
        held("ada", "a").into(),
        held("ada", "b").into(),
        held("ada", "few").into(),
        held("bob", "few").into(),
    ];
    write(&world, tenant(1), records).await;
    try_assign(&world, held("ada", "c")).await.expect("it becomes no worse");
    let again = held("ada", "few").because("as before".parse().unwrap());
    try_assign(&world, again).await.expect("as many as before");
    assert!(matches!(try_assign(&world, held("cid", "few")).await, Err(Error::TooManyHolders { .. })));
    // Static separations say nothing about sessions.
    let session = [id("a"), id("b")].into();
    world.engine.create_session(&author(), tenant(1), &user("ada"), session, None).await.unwrap();
}

#[tokio::test]
async fn what_is_required_has_to_be_held_now() {
    let world = World::new();
    roles(&world, &["engineer"]).await;
    world.put(tenant(1), role("lead", &[], &[]).requiring([id("engineer")])).await;
    let missing = async |name: &str| {
        matches!(try_assign(&world, held(name, "lead")).await, Err(Error::MissingPrerequisite { .. }))
    };
    world.give(tenant(1), held("ada", "engineer").expiring(at(10))).await;
    world.give(tenant(1), held("bob", "engineer").starting(at(100))).await;
    world.give(tenant(1), Assignment::new(group("tech"), id("engineer"))).await;
    let member = Membership::new(group("tech"), user("cid")).expiring(at(10));
    world.engine.add_member(&author(), tenant(1), member).await.unwrap();
    world.clock.set(at(10));
    assert!(missing("ada").await, "it has just expired");
    assert!(missing("bob").await, "it has not begun");
    assert!(missing("cid").await, "the group is not theirs any more");
    world.clock.set(at(100));
    assert!(!missing("bob").await);
}

#[tokio::test]
async fn members_beyond_the_first_few_are_looked_at_too() {
    let world = World::new();
    roles(&world, &["clerk", "approver"]).await;
    world
        .engine
        .put_separation(&author(), tenant(1), apart(Duty::Static, ["clerk", "approver"]))
        .await
        .unwrap();
    for number in 0..40 {
        let member = Membership::new(group("all"), user(&format!("u{number:02}")));
        world.engine.add_member(&author(), tenant(1), member).await.unwrap();
    }
    world.assign(tenant(1), "u39", "clerk").await;
    let refused = try_assign(&world, Assignment::new(group("all"), id("approver"))).await.unwrap_err();
    assert!(refused.to_string().ends_with("user:u39 would have approver, clerk"), "{refused}");
}

async fn shown(world: &World, changes: &[RbacChange]) -> (Vec<String>, Vec<String>) {
    let preview = world.engine.preview(tenant(1), changes, []).await.unwrap();
    let texts = |all: &[stanchion_rbac::Access]| {
        let on = |one: &stanchion_rbac::Access| {
            one.resource.as_ref().map(|on| format!(" on {on}")).unwrap_or_default()
        };
        all.iter()
            .map(|one| format!("{}{}{}", one.permission, on(one), if one.conditional { " if" } else { "" }))
            .collect()
    };
    (texts(&preview.gained), texts(&preview.lost))
}

#[tokio::test]
async fn a_preview_knows_ceilings_exclusions_constraints_and_what_counts_later() {
    let world = World::new();
    let scope = tenant(1);
    world.put(scope, role("near", &["x:y"], &[]).reaching(PermissionScope::Team)).await;
    let put = |assignment| [RbacChange::put(assignment)];
    assert_eq!(shown(&world, &put(held("ada", "near"))).await.0, ["x:y:own", "x:y:team"]);
    world.put(scope, role("junior", &["x:y:own", "x:z:own"], &[])).await;
    world.put(scope, role("senior", &[], &["junior"]).with_excludes([permission("x:z")])).await;
    assert_eq!(shown(&world, &put(held("ada", "senior"))).await.0, ["x:y:own"]);
    let bound = role("bound", &["x:y:own"], &[]).constrained(Constraint::new(Rule::OwnerOnly));
    world.put(scope, bound).await;
    assert_eq!(shown(&world, &put(held("ada", "bound"))).await.0, ["x:y:own if"]);
    assert_eq!(shown(&world, &put(held("ada", "senior").starting(at(100)))).await.0, ["x:y:own"]);
    assert_eq!(shown(&world, &put(held("ada", "senior").expiring(at(0)))).await.0, [] as [&str; 0]);
    let mut waiting = Grant::new(user("ada"), permission("q:r:own"));
    waiting.emergency = Some(Approval::Awaited);
    assert_eq!(shown(&world, &[RbacChange::put(waiting)]).await.0, [] as [&str; 0]);
    world.give(scope, held("ada", "senior").on("d/1".parse().unwrap())).await;
    let denial = Denial::new(user("ada"), permission("x:*")).on("d/1".parse().unwrap());
    assert_eq!(shown(&world, &[RbacChange::put(denial)]).await.1, ["x:y:own on d/1"]);
    let elsewhere = Denial::new(user("ada"), permission("x:*")).on("d/2".parse().unwrap());
    assert_eq!(shown(&world, &[RbacChange::put(elsewhere)]).await.1, [] as [&str; 0]);
    // A circle in what is stored does not go on for ever.
    let circle = ["p", "q"]
        .map(|name| RbacChange::put(role(name, &["c:c:own"], &[if name == "p" { "q" } else { "p" }])));
    write_on(&world, scope, circle.to_vec()).await;
    assert_eq!(shown(&world, &put(held("bob", "p"))).await.0, ["c:c:own"]);
}

#[tokio::test]
async fn a_grant_is_held_against_denials_of_its_resource_and_approved_by_somebody_else() {
    let emergency = Emergency { max_minutes: 30, second_approver: true };
    let world = World::with(Config { emergency, ..Config::default() });
    let scope = tenant(1);
    let denial = Denial::new(user("ada"), permission("x:*")).on("d/1".parse().unwrap());
    world.engine.deny(&author(), scope, denial).await.unwrap();
    let grant = async |grant| world.engine.grant(&author(), scope, grant, OverDenial::Refuse).await;
    let on =
        |number: &str| Grant::new(user("ada"), permission("x:y")).on(format!("d/{number}").parse().unwrap());
    assert!(matches!(grant(on("1")).await, Err(Error::DenialStands { .. })));
    grant(on("2")).await.unwrap();
    let fire =
        || Grant::new(group("crew"), permission("safe:open")).because("fire".parse().unwrap()).in_emergency();
    assert!(matches!(grant(fire().expiring(at(1_801))).await, Err(Error::TooLong { .. })));
    grant(fire().expiring(at(1_800))).await.expect("just so long it may last");
    let member = Membership::new(group("crew"), user("eve"));
    world.engine.add_member(&author(), scope, member).await.unwrap();
    let approve = async |author: &Author| {
        world.engine.approve_grant(author, scope, &group("crew"), &permission("safe:open"), None).await
    };
    let nobody = Author { actor: Actor::Anonymous, ..system() };
    let behind = Author { acted_as: Some(user("eve")), ..system() };
    for (author, part) in
        [(&nobody, "cannot be known"), (&by("eve"), "would have it"), (&behind, "would have it")]
    {
        let refused = approve(author).await.unwrap_err();
        assert!(refused.to_string().contains(part), "{refused}");
    }
    approve(&system()).await.unwrap();
}

#[tokio::test]
async fn nobody_prolongs_or_widens_what_they_have_and_the_platform_acts_by_what_it_has_at_home() {
    let guards = Guards { last_administrator: false, ..Guards::default() };
    let world = World::guarded(Config { guards, ..Config::default() });
    let scope = tenant(1);
    let put =
        async |author: &Author, made: Role| world.engine.put_role(author, scope, made, None).await.map(drop);
    let give = async |author: &Author, scope, held| world.engine.assign(author, scope, held).await.map(drop);
    for made in [
        role("reader", &["x:read"], &[]),
        role("granter", &["role:grant"], &[]),
        role("burner", &["x:burn"], &[]),
        role("tamed", &["x:read"], &["burner"]).with_excludes([permission("x:burn")]),
        role("bound", &["x:burn"], &[]).constrained(Constraint::new(Rule::OwnerOnly)),
        role("near", &["x:burn"], &[]).reaching(PermissionScope::Own),
    ] {
        put(&system(), made).await.unwrap();
    }
    let mut off = role("off", &["x:burn"], &[]);
    off.active = false;
    put(&system(), off.clone()).await.unwrap();
    give(&system(), scope, held("ada", "reader").expiring(at(100))).await.unwrap();
    give(&system(), scope, held("ada", "granter")).await.unwrap();
    let longer = give(&by("ada"), scope, held("ada", "reader")).await;
    assert!(matches!(longer, Err(Error::SelfElevation { to_self: true, .. })), "{longer:?}");
    give(&system(), scope, held("bob", "reader")).await.unwrap();
    let refused =
        |outcome: Result<(), Error>| matches!(outcome, Err(Error::SelfElevation { to_self: false, .. }));
    assert!(refused(put(&by("bob"), role("tamed", &["x:read"], &["burner"])).await), "less is left out");
    off.active = true;
    assert!(refused(put(&by("bob"), off).await), "it is switched on");
    assert!(refused(put(&by("bob"), role("bound", &["x:burn"], &[])).await), "a constraint is gone");
    let wider = role("near", &["x:burn"], &[]).reaching(PermissionScope::Team);
    assert!(refused(put(&by("bob"), wider).await), "it reaches further");
    put(&by("bob"), role("burner", &[], &[])).await.expect("less is nobody's harm");
    // What a group will have is given with it.
    world
        .engine
        .assign(&system(), scope, Assignment::new(group("later"), id("granter")).starting(at(500)))
        .await
        .unwrap();
    let join = world.engine.add_member(&by("bob"), scope, Membership::new(group("later"), user("cid"))).await;
    assert!(matches!(join, Err(Error::SelfElevation { .. })), "{join:?}");
    world.engine.put_role(&system(), PLATFORM, role("root", &["*"], &[]), None).await.unwrap();
    give(&system(), PLATFORM, held("chief", "root")).await.unwrap();
    give(&by("chief"), scope, held("dan", "reader")).await.expect("has it at home");
    give(&by("chief"), scope, held("chief", "reader")).await.expect("and comes in so");
}

#[tokio::test]
async fn who_administers_under_conditions_is_no_administrator() {
    let world = World::with(Config::default());
    let scope = tenant(1);
    world.put(scope, role("admin", &["*"], &[])).await;
    world.put(scope, role("bound", &["*"], &[]).constrained(Constraint::new(Rule::OwnerOnly))).await;
    world.assign(scope, "ada", "admin").await;
    world.assign(scope, "bob", "bound").await;
    let revoked = world.engine.revoke(&author(), scope, &user("ada"), &id("admin")).await;
    assert!(matches!(revoked, Err(Error::LastAdministrator { .. })));
}

#[tokio::test]
async fn a_role_is_fit_to_be_one_and_stays_while_something_names_it() {
    let world = World::new();
    roles(&world, &["a", "b", "c"]).await;
    let refused = async |made: Role| world.try_put(tenant(1), made).await.unwrap_err().to_string();
    let own = refused(role("own", &[], &[]).requiring([id("own")])).await;
    assert_eq!(own, "role `own` requires `own`, which is the role itself");
    assert!(refused(role("none", &[], &[]).held_by_at_most(0)).await.contains("is at least 1"));
    let with = |length: usize| {
        let mut made = role("long", &[], &[]);
        made.metadata.insert("note".parse().unwrap(), "ä".repeat(length).into());
        made
    };
    world.put(tenant(1), with(1_000)).await;
    assert!(refused(with(1_001)).await.contains("has 1000 characters at most"));
    let deep: Constraint =
        serde_json::from_str(r#"{"rule":"equals","attribute":"region","value":[[[[[["eu"]]]]]]}"#).unwrap();
    assert!(refused(role("deep", &[], &[]).constrained(deep)).await.contains("at most 4 deep"));
    world.put(tenant(1), role("needs", &[], &[]).requiring([id("a")])).await;
    world.engine.put_separation(&author(), tenant(1), apart(Duty::Dynamic, ["b", "c"])).await.unwrap();
    let delete = async |name: &str| {
        world.engine.delete_role(&author(), tenant(1), &id(name), None).await.unwrap_err().to_string()
    };
    assert_eq!(delete("a").await, "role `a` is in use: required by needs");
    assert_eq!(delete("b").await, "role `b` is in use: kept apart by apart");
}

#[tokio::test]
async fn copies_are_spoken_of_from_twenty_roles_on_where_half_of_them_are() {
    let world = World::new();
    let put = async |number: usize, kind: usize| {
        let made = role(&format!("r{number}"), &[&format!("x{kind}:y")], &[]);
        world.engine.put_role(&author(), tenant(1), made, None).await.unwrap().warnings
    };
    for number in 0..19 {
        let many = put(number, number / 2).await;
        assert!(!many.iter().any(|one| matches!(one, Warning::ManyAlike { .. })));
    }
    assert!(put(19, 9).await.contains(&Warning::ManyAlike { roles: 20, distinct: 10 }));
    assert_eq!(put(19, 100).await, [], "eleven differ");
}

#[tokio::test]
async fn sessions_have_what_is_held_now_by_roles_that_are_switched_on() {
    let limits = Limits { sessions: 1, groups: 1, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() });
    let scope = tenant(1);
    roles(&world, &["a", "b", "c"]).await;
    let mut off = role("off", &[], &["a"]);
    off.active = false;
    world.put(scope, off).await;
    world.assign(scope, "ada", "off").await;
    world.give(scope, held("bob", "a").starting(at(100))).await;
    let begin = async |name: &str, roles: &[&str]| {
        let roles = roles.iter().map(|role| id(role)).collect();
        world.engine.create_session(&author(), scope, &user(name), roles, None).await
    };
    assert!(matches!(begin("ada", &["a"]).await, Err(Error::RoleNotHeld { .. })), "by what is switched off");
    assert!(matches!(begin("bob", &["a"]).await, Err(Error::RoleNotHeld { .. })), "not yet");
    for name in ["a", "b", "c"] {
        world.assign(scope, "cid", name).await;
    }
    let made = begin("cid", &["a", "c"]).await.unwrap().value.id;
    assert!(matches!(begin("cid", &[]).await, Err(Error::TooMany { .. })));
    // Of its roles one is among those that are kept apart.
    world.engine.put_separation(&author(), scope, apart(Duty::Dynamic, ["a", "b"])).await.unwrap();
    world.engine.delete_separation(&author(), scope, &"apart".parse().unwrap()).await.unwrap();
    world.engine.activate_role(&author(), scope, made, &id("b")).await.unwrap();
    world.clock.set(at(720 * 60));
    let late = world.engine.activate_role(&author(), scope, made, &id("c")).await;
    assert!(matches!(late, Err(Error::UnknownSession(_))), "it has ended");
    world
        .engine
        .put_separation(&author(), scope, apart(Duty::Dynamic, ["a", "b"]))
        .await
        .expect("and does no harm");
    world.engine.add_member(&author(), scope, Membership::new(group("g"), user("cid"))).await.unwrap();
    let second = world.engine.add_member(&author(), scope, Membership::new(group("h"), user("cid"))).await;
    assert!(matches!(second, Err(Error::TooMany { .. })));
}

#[tokio::test]
async fn records_that_differ_in_their_resource_are_taken_back_one_by_one() {
    let world = World::new();
    let scope = tenant(1);
    roles(&world, &["a"]).await;
    let (ada, what) = (user("ada"), permission("x:y"));
    for on in ["d/1", "d/2"] {
        let on: stanchion_rbac::ResourceSelector = on.parse().unwrap();
        world.give(scope, held("ada", "a").on(on.clone())).await;
        let grant = Grant::new(ada.clone(), what.clone()).on(on.clone());
        world.engine.grant(&author(), scope, grant, OverDenial::Refuse).await.unwrap();
    }
    let two: stanchion_rbac::ResourceSelector = "d/2".parse().unwrap();
    let engine = &world.engine;
    let gone = engine.revoke_on(&author(), scope, &ada, &id("a"), Some(&two)).await.unwrap().unwrap();
    assert_eq!(gone.value.resource, Some(two.clone()));
    let gone = engine.revoke_grant(&author(), scope, &ada, &what, Some(&two)).await.unwrap().unwrap();
    assert_eq!(gone.value.resource, Some(two.clone()));
    for on in ["d/1", "d/2"] {
        let denial = Denial::new(ada.clone(), what.clone()).on(on.parse().unwrap());
        engine.deny(&author(), scope, denial).await.unwrap();
    }
    let gone = engine.lift_denial_on(&author(), scope, &ada, &what, Some(&two)).await.unwrap().unwrap();
    assert_eq!(gone.value.resource, Some(two));
}

#[tokio::test]
async fn reviews_leave_out_what_does_not_count_or_counts_on_some_resources_only() {
    let world = World::new();
    let scope = tenant(1);
    roles(&world, &["a"]).await;
    world.give(scope, held("ada", "a").on("d/1".parse().unwrap())).await;
    assert!(!world.engine.has_role(scope, &user("ada"), &id("a")).await.unwrap());
    assert!(world.engine.roles_of(scope, &user("ada")).await.unwrap().is_empty());
    assert!(world.engine.holders(scope, &id("a"), 9).await.unwrap().subjects.is_empty());
    let grant = Grant::new(user("bob"), permission("x:y")).expiring(at(10));
    world.engine.grant(&author(), scope, grant, OverDenial::Refuse).await.unwrap();
    let mut waiting = Grant::new(user("bob"), permission("x:z"));
    waiting.emergency = Some(Approval::Awaited);
    write_on(&world, scope, vec![RbacChange::put(waiting)]).await;
    world.give(scope, Assignment::new(group("crew"), id("a"))).await;
    let member = Membership::new(group("crew"), user("bob")).expiring(at(10));
    world.engine.add_member(&author(), scope, member).await.unwrap();
    let permitted =
        async || world.engine.effective_permissions(scope, &user("bob")).await.unwrap().permitted.len();
    assert_eq!(permitted().await, 2, "the grant that needs no approval, and the group's role");
    let who = world.engine.who_can(scope, &permission("a:use"), None, 2).await.unwrap();
    assert!(who.complete, "just so many are looked at");
    world.clock.set(at(10));
    assert_eq!(permitted().await, 0);
}
