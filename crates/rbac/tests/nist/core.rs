use stanchion_core::{Author, PageRequest, Severity};
use stanchion_rbac::{
    Approval, Config, Denial, Emergency, Error, Grant, OverDenial, RecordFilter, RecordKind, Session,
};

use crate::world::{
    World, at, by, giving_freely, group, id, ids, permission, role, scope, system, text, user,
};

#[tokio::test]
async fn assign_user_deassign_user_assigned_users_assigned_roles() {
    let world = World::new();
    world.roles(&["clerk", "cashier"]).await;
    world.assign(user("ada"), "clerk").await.unwrap();
    world.assign(user("ada"), "cashier").await.unwrap();
    world.assign(user("bob"), "clerk").await.unwrap();
    assert_eq!(world.assigned_users("clerk").await, ["user:ada", "user:bob"]);
    world.engine.revoke(&system(), scope(), &user("ada"), &id("clerk")).await.unwrap().expect("was held");
    assert_eq!(world.assigned_users("clerk").await, ["user:bob"]);
    assert_eq!(text(world.assign(user("ada"), "ghost").await), "there is no role `ghost`");
}

#[tokio::test]
async fn grant_permission_revoke_permission_to_a_subject() {
    let world = World::new();
    let grant = || Grant::new(user("ada"), permission("report:read"));
    let granted = world.engine.grant(&by("root"), scope(), grant(), OverDenial::Refuse).await.unwrap();
    assert_eq!(granted.value.granted_by, Some(by("root").actor));
    let (ada, what) = (user("ada"), permission("report:read"));
    let revoke = async || world.engine.revoke_grant(&system(), scope(), &ada, &what, None).await.unwrap();
    assert_eq!(revoke().await, Some(granted));
    assert_eq!(revoke().await, None);
    let beyond = Grant::new(user("ada"), permission("report:read:platform"));
    let refused = world.engine.grant(&system(), scope(), beyond, OverDenial::Refuse).await;
    assert_eq!(text(refused), "`report:read:platform` reaches beyond the tenant");
}

#[tokio::test]
async fn a_grant_over_a_standing_denial_names_it_or_lifts_it() {
    // Seed 000 lifts the denial in silence.
    let world = World::new();
    let denial = Denial::new(user("ada"), permission("report:*"));
    world.engine.deny(&system(), scope(), denial).await.unwrap();
    let grant = || Grant::new(user("ada"), permission("report:read"));
    let refused = world.engine.grant(&system(), scope(), grant(), OverDenial::Refuse).await;
    let advice = "user:ada is denied `report:*`: ask for it to be lifted with the grant, or leave it";
    assert_eq!(text(refused), advice);
    world.engine.grant(&system(), scope(), grant(), OverDenial::Lift).await.unwrap();
    let events = world.actions().await.into_iter().map(|(action, _)| action).collect::<Vec<_>>();
    assert_eq!(events, ["denial.put", "denial.lift", "grant.put"]);
    let staff = Denial::new(group("staff"), permission("*"));
    world.engine.deny(&system(), scope(), staff).await.unwrap();
    world.join(group("staff"), "ada").await.unwrap();
    let refused = world.engine.grant(&system(), scope(), grant(), OverDenial::Lift).await;
    assert!(text(refused).starts_with("group:staff is denied `*:*`"));
}

#[tokio::test]
async fn an_emergency_has_a_reason_a_near_end_and_a_second_person() {
    let emergency = Emergency { max_minutes: 30, second_approver: true };
    let world = World::with(giving_freely(Config { emergency, ..Config::default() }));
    let grant = || Grant::new(user("ada"), permission("safe:open")).in_emergency();
    let make = async |grant| world.engine.grant(&by("root"), scope(), grant, OverDenial::Refuse).await;
    assert!(matches!(make(grant()).await, Err(Error::ReasonMissing)));
    let reason = || "the vault burns".parse().unwrap();
    let long = make(grant().because(reason()).expiring(at(1_801))).await;
    assert_eq!(text(long), "a grant in an emergency may last 30 minutes at most: let it end earlier");
    let made = make(grant().because(reason())).await.unwrap().value;
    assert_eq!((made.expires_at, made.emergency), (Some(at(1_800)), Some(Approval::Awaited)));
    let (ada, what) = (user("ada"), permission("safe:open"));
    let approve =
        async |author: Author| world.engine.approve_grant(&author, scope(), &ada, &what, None).await;
    assert_eq!(
        text(approve(by("root")).await),
        "user:root granted it: somebody else has to approve the grant"
    );
    assert_eq!(
        text(approve(by("ada")).await),
        "user:ada would have it: somebody else has to approve the grant"
    );
    let approved = approve(by("eve")).await.unwrap().value;
    assert_eq!(approved.emergency, Some(Approval::Given(by("eve").actor)));
    assert!(matches!(approve(by("eve")).await, Err(Error::NothingToApprove { .. })));
    let loud = |action: &str| (action.to_owned(), Severity::High);
    assert_eq!(world.actions().await, [loud("grant.put"), loud("grant.approved")]);
}

#[tokio::test]
async fn create_session_add_active_role_drop_active_role_delete_session() {
    let world = World::new();
    world.roles(&["clerk", "guest"]).await;
    world.put(role("chief", &[], &["clerk"])).await.unwrap();
    world.assign(user("ada"), "chief").await.unwrap();
    let refused = world.session("ada", &["guest"]).await;
    let not_held = "user:ada does not hold role `guest` now, so it cannot be active in a session of theirs";
    assert_eq!(text(refused), not_held);
    let made = world.session("ada", &[]).await.unwrap();
    let activate = async |name| world.engine.activate_role(&by("ada"), scope(), made, &id(name)).await;
    assert_eq!(activate("clerk").await.unwrap().value.active, ids(&["clerk"]), "is held by the chief");
    assert_eq!(text(activate("guest").await), not_held);
    let dropped = world.engine.drop_role(&by("ada"), scope(), made, &id("clerk")).await.unwrap();
    assert_eq!(dropped.value.active, ids(&[]));
    world.engine.delete_session(&by("ada"), scope(), made).await.unwrap().expect("was there");
    assert!(matches!(activate("clerk").await, Err(Error::UnknownSession(_))));
}

#[tokio::test]
async fn expired_sessions_go_when_the_next_is_created() {
    let world = World::new();
    let first = world.session("ada", &[]).await.unwrap();
    world.clock.set(at(720 * 60));
    assert_eq!(world.engine.session(scope(), first).await.unwrap(), None);
    let second = world.session("ada", &[]).await.unwrap();
    let filter = RecordFilter::all(RecordKind::Session);
    let page = PageRequest::default();
    let all = world.engine.list::<Session>(scope(), &filter, &page).await.unwrap().items;
    assert_eq!(all.iter().map(|session| session.value.id).collect::<Vec<_>>(), [second]);
}
