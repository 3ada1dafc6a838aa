//! The functions of NIST RBAC (INCITS 359-2012, section 6) by their names, and what the standard asks of each. Users are made and
//! removed where they are known, not here. The functions that need a decision (`CheckAccess`, the review of permissions) are with the
//! tests of decisions.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::disallowed_methods, reason = "a test owns what it spawns")]

use std::collections::BTreeSet;
use std::sync::Arc;

use stanchion_core::{
    Actor, AuthenticationMethod, Author, ManualClock, PageRequest, Scope, SeededRandom, SessionId, Severity,
    Source, SubjectKind, SubjectRef, SystemScope, TenantId, Timestamp,
};
use stanchion_rbac::{
    Approval, Assignment, Config, Denial, Duty, Emergency, Engine, Error, Grant, Guards, Membership,
    MemoryRbacStore, OverDenial, Permission, RecordFilter, RecordKind, Role, RoleId, Separation,
};
use stanchion_replica::{MemoryOutboxStore, OutboxStore};

struct World {
    engine: Arc<Engine>,
    outbox: Arc<MemoryOutboxStore>,
    clock: Arc<ManualClock>,
}

fn scope() -> Scope {
    Scope::Tenant("0192f0c1-2345-7abc-8def-000000000001".parse::<TenantId>().unwrap())
}

fn id(text: &str) -> RoleId {
    text.parse().unwrap()
}

fn ids(names: &[&str]) -> BTreeSet<RoleId> {
    names.iter().map(|name| id(name)).collect()
}

fn permission(text: &str) -> Permission {
    text.parse().unwrap()
}

fn user(name: &str) -> SubjectRef {
    SubjectRef::user(name.to_owned()).unwrap()
}

fn group(name: &str) -> SubjectRef {
    SubjectRef::new(SubjectKind::Group, name.to_owned()).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_772_366_400_000_000 + seconds * 1_000_000)
}

fn system() -> Author {
    Author::system("test")
}

fn by(name: &str) -> Author {
    Author {
        actor: Actor::Subject { subject: user(name), method: AuthenticationMethod::ApiKey, key: None },
        acted_as: None,
        authorization: Vec::new(),
        request: None,
        source: Source::default(),
    }
}

fn role(name: &str, permissions: &[&str], includes: &[&str]) -> Role {
    Role::new(id(name), name.parse().unwrap())
        .with_permissions(permissions.iter().map(|text| permission(text)))
        .with_includes(ids(includes))
}

/// Lets whoever writes give what they do not have; what keeps them from it is tested by itself.
fn giving_freely(mut config: Config) -> Config {
    config.guards.self_elevation = false;
    config
}

fn apart(name: &str, duty: Duty, roles: &[&str]) -> Separation {
    Separation::new(name.parse().unwrap(), name.parse().unwrap(), duty, ids(roles))
}

impl World {
    fn new() -> Self {
        Self::with(giving_freely(Config::default()))
    }

    fn with(config: Config) -> Self {
        let outbox = Arc::new(MemoryOutboxStore::default());
        let store = Arc::new(MemoryRbacStore::new(Some(Arc::clone(&outbox))));
        let clock = Arc::new(ManualClock::at(at(0)));
        let ids = Arc::new(SeededRandom::new(1));
        let engine = Arc::new(Engine::new(store, Arc::clone(&clock) as _, ids, config));
        Self { engine, outbox, clock }
    }

    async fn put(&self, role: Role) -> Result<(), Error> {
        self.engine.put_role(&system(), scope(), role, None).await.map(drop)
    }

    async fn roles(&self, names: &[&str]) {
        for name in names {
            self.put(role(name, &[&format!("{name}:use")], &[])).await.unwrap();
        }
    }

    async fn assign(&self, subject: SubjectRef, name: &str) -> Result<(), Error> {
        self.engine.assign(&system(), scope(), Assignment::new(subject, id(name))).await.map(drop)
    }

    async fn assigned_users(&self, name: &str) -> Vec<String> {
        let filter = RecordFilter::all(RecordKind::Assignment).of_role(id(name));
        let page = self.engine.list::<Assignment>(scope(), &filter, &PageRequest::default()).await.unwrap();
        page.items.iter().map(|held| held.value.subject.to_string()).collect()
    }

    async fn join(&self, group: SubjectRef, member: &str) -> Result<(), Error> {
        self.engine.add_member(&system(), scope(), Membership::new(group, user(member))).await.map(drop)
    }

    async fn separate(&self, separation: Separation) -> Result<(), Error> {
        self.engine.put_separation(&system(), scope(), separation).await.map(drop)
    }

    async fn session(&self, name: &str, roles: &[&str]) -> Result<SessionId, Error> {
        let made = self.engine.create_session(&system(), scope(), &user(name), ids(roles), None).await;
        made.map(|session| session.value.id)
    }

    async fn actions(&self) -> Vec<(String, Severity)> {
        let pending = self.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
        pending.iter().map(|record| (record.event.action.to_string(), record.event.severity)).collect()
    }
}

fn text<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    outcome.unwrap_err().to_string()
}

mod core {
    use super::*;

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
        let not_held =
            "user:ada does not hold role `guest` now, so it cannot be active in a session of theirs";
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
        let all = world.engine.list::<stanchion_rbac::Session>(scope(), &filter, &page).await.unwrap().items;
        assert_eq!(all.iter().map(|session| session.value.id).collect::<Vec<_>>(), [second]);
    }
}

mod hierarchical {
    use super::*;

    #[tokio::test]
    async fn add_inheritance_delete_inheritance_add_ascendant_add_descendant() {
        let world = World::new();
        world.roles(&["junior"]).await;
        world.put(role("senior", &[], &["junior"])).await.unwrap();
        assert!(matches!(world.put(role("junior", &[], &["senior"])).await, Err(Error::Cycle { .. })));
        world.put(role("senior", &[], &[])).await.unwrap();
        world.put(role("junior", &[], &["senior"])).await.unwrap();
    }

    #[tokio::test]
    async fn prerequisites_and_cardinality_count_what_is_included_and_groups() {
        let world = World::new();
        world.roles(&["engineer"]).await;
        world.put(role("lead", &[], &[]).requiring(ids(&["engineer"])).held_by_at_most(1)).await.unwrap();
        world.put(role("director", &[], &["lead"])).await.unwrap();
        let missing =
            "role `lead` requires `engineer`, which user:ada does not hold: assign `engineer` first";
        assert_eq!(text(world.assign(user("ada"), "director").await), missing);
        world.join(group("tech"), "ada").await.unwrap();
        world.join(group("tech"), "bob").await.unwrap();
        world.assign(group("tech"), "engineer").await.unwrap();
        world.assign(user("ada"), "director").await.unwrap();
        let many = text(world.assign(user("bob"), "lead").await);
        assert_eq!(many, "role `lead` may be held by 1 at most, and 2 would hold it: user:ada, user:bob");
        assert!(matches!(world.assign(group("tech"), "lead").await, Err(Error::TooManyHolders { .. })));
    }
}

mod static_separation {
    use super::*;

    async fn kept_apart() -> World {
        let world = World::new();
        world.roles(&["clerk", "approver"]).await;
        world.put(role("chief", &[], &["approver"])).await.unwrap();
        world.separate(apart("payments", Duty::Static, &["clerk", "approver"])).await.unwrap();
        world
    }

    const ADA: &str = "separation `payments` allows 1 of its roles: user:ada would have approver, clerk";

    #[tokio::test]
    async fn create_ssd_set_and_set_cardinality_refuse_what_they_cannot_mean() {
        let world = kept_apart().await;
        let refused = world.separate(apart("x", Duty::Static, &["clerk"])).await;
        assert_eq!(text(refused), "`roles` of separation `x` names two roles or more");
        let refused = world.separate(apart("x", Duty::Static, &["clerk", "approver"]).allowing(2)).await;
        let rule = "`at_most` of separation `x` is at least 1 and less than the number of its roles";
        assert_eq!(text(refused), rule);
        let refused = world.separate(apart("x", Duty::Static, &["clerk", "ghost"])).await;
        assert_eq!(text(refused), "there is no role `ghost`");
    }

    #[tokio::test]
    async fn assign_user_is_refused_through_inclusion_and_in_the_future() {
        let world = kept_apart().await;
        world.assign(user("ada"), "clerk").await.unwrap();
        assert_eq!(text(world.assign(user("ada"), "chief").await), ADA);
        let later = Assignment::new(user("ada"), id("approver")).starting(at(1_000));
        assert_eq!(text(world.engine.assign(&system(), scope(), later).await), ADA);
    }

    #[tokio::test]
    async fn groups_bring_no_roles_together() {
        let world = kept_apart().await;
        world.assign(user("ada"), "clerk").await.unwrap();
        world.assign(group("bosses"), "chief").await.unwrap();
        assert_eq!(text(world.join(group("bosses"), "ada").await), ADA);
        world.join(group("all"), "ada").await.unwrap();
        assert_eq!(text(world.assign(group("all"), "approver").await), ADA);
        let inner = Membership::new(group("all"), group("bosses"));
        let nested = world.engine.add_member(&system(), scope(), inner).await;
        assert_eq!(text(nested), "a group cannot belong to a group; add its members instead");
    }

    #[tokio::test]
    async fn add_inheritance_is_refused_within_a_role_and_for_who_holds_it() {
        let world = kept_apart().await;
        world.roles(&["guest"]).await;
        let refused = world.put(role("guest", &[], &["clerk", "approver"])).await;
        let within = "separation `payments` allows 1 of its roles: role guest would have approver, clerk";
        assert_eq!(text(refused), within);
        world.assign(user("ada"), "clerk").await.unwrap();
        world.assign(user("ada"), "guest").await.unwrap();
        assert_eq!(text(world.put(role("guest", &[], &["approver"])).await), ADA);
    }

    #[tokio::test]
    async fn add_ssd_role_member_names_who_violates_it_and_delete_ssd_set_lets_it_be() {
        let world = World::new();
        world.roles(&["clerk", "approver"]).await;
        for name in ["ada", "bob", "cid", "dan", "eve", "fay", "gus"] {
            world.assign(user(name), "clerk").await.unwrap();
            world.assign(user(name), "approver").await.unwrap();
        }
        let refused = text(world.separate(apart("payments", Duty::Static, &["clerk", "approver"])).await);
        assert!(refused.starts_with(ADA) && refused.ends_with("; and 2 more"), "{refused}");
        let world = kept_apart().await;
        world.assign(user("ada"), "clerk").await.unwrap();
        let payments = "payments".parse().unwrap();
        world.engine.delete_separation(&system(), scope(), &payments).await.unwrap().expect("was there");
        world.assign(user("ada"), "approver").await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_two_administrators_at_once_one_wins() {
        for _ in 0..50 {
            let world = kept_apart().await;
            let give = |name: &'static str| {
                let engine = Arc::clone(&world.engine);
                tokio::spawn(async move {
                    engine.assign(&system(), scope(), Assignment::new(user("ada"), id(name))).await.map(drop)
                })
            };
            let (one, other) = (give("clerk"), give("approver"));
            let outcomes = [one.await.unwrap(), other.await.unwrap()];
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
            assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Separated { .. }))));
        }
    }
}

mod dynamic_separation {
    use super::*;

    #[tokio::test]
    async fn create_session_and_add_active_role_keep_roles_apart_through_inclusion() {
        let world = World::new();
        world.roles(&["clerk", "approver"]).await;
        world.put(role("chief", &[], &["approver"])).await.unwrap();
        world.separate(apart("payments", Duty::Dynamic, &["clerk", "approver"])).await.unwrap();
        world.assign(user("ada"), "clerk").await.unwrap();
        world.assign(user("ada"), "chief").await.unwrap();
        let refused = world.session("ada", &["clerk", "chief"]).await;
        let apart = "separation `payments` allows 1 of its roles: the session of user:ada would have approver, clerk active";
        assert_eq!(text(refused), apart);
        let made = world.session("ada", &["clerk"]).await.unwrap();
        let activate = async || world.engine.activate_role(&by("ada"), scope(), made, &id("chief")).await;
        assert_eq!(text(activate().await), apart);
        world.engine.drop_role(&by("ada"), scope(), made, &id("clerk")).await.unwrap();
        activate().await.unwrap();
    }

    #[tokio::test]
    async fn create_dsd_set_names_the_sessions_that_violate_it() {
        let world = World::new();
        world.roles(&["clerk", "approver"]).await;
        world.assign(user("ada"), "clerk").await.unwrap();
        world.assign(user("ada"), "approver").await.unwrap();
        world.session("ada", &["clerk", "approver"]).await.unwrap();
        let refused = world.separate(apart("payments", Duty::Dynamic, &["clerk", "approver"])).await;
        let names =
            "separation `payments` allows 1 of its roles: a session of user:ada has approver, clerk active";
        assert_eq!(text(refused), names);
    }
}

mod guards {
    use super::*;

    fn guarded() -> World {
        World::with(Config::default())
    }

    #[tokio::test]
    async fn nobody_gives_what_they_do_not_have_and_nobody_gives_it_to_themselves() {
        let world = guarded();
        world.put(role("reader", &["report:read"], &[])).await.unwrap();
        world.put(role("writer", &["report:write"], &["reader"])).await.unwrap();
        world.put(role("granter", &["role:grant"], &[])).await.unwrap();
        world.assign(user("ada"), "reader").await.unwrap();
        let give = async |author: &str, subject: &str, name: &str| {
            let assignment = Assignment::new(user(subject), id(name));
            world.engine.assign(&by(author), scope(), assignment).await
        };
        give("ada", "bob", "reader").await.unwrap();
        let refused = text(give("ada", "bob", "writer").await);
        assert!(refused.starts_with("user:ada does not have `report:write"), "{refused}");
        world.assign(user("ada"), "granter").await.unwrap();
        give("ada", "bob", "writer").await.unwrap();
        let refused = text(give("ada", "ada", "writer").await);
        assert!(refused.ends_with("to itself: let somebody else do it"), "{refused}");
        let grant = Grant::new(user("ada"), permission("report:write"));
        let refused = world.engine.grant(&by("ada"), scope(), grant, OverDenial::Refuse).await;
        assert!(matches!(refused, Err(Error::SelfElevation { to_self: true, .. })));
        let wider = role("reader", &["report:read", "report:burn"], &[]);
        let refused = world.engine.put_role(&by("ada"), scope(), wider, None).await;
        assert!(matches!(refused, Err(Error::SelfElevation { to_self: true, .. })));
    }

    #[tokio::test]
    async fn the_last_administrator_stays() {
        let world = World::new();
        world.put(role("admin", &["*"], &[])).await.unwrap();
        world.assign(user("ada"), "admin").await.unwrap();
        let last = "user:ada is the last administrator of ";
        let revoke = async || world.engine.revoke(&system(), scope(), &user("ada"), &id("admin")).await;
        assert!(text(revoke().await).starts_with(last));
        let denial = Denial::new(user("ada"), permission("*"));
        assert!(text(world.engine.deny(&system(), scope(), denial).await).starts_with(last));
        assert!(text(world.put(role("admin", &["report:read"], &[])).await).starts_with(last));
        let shorter = Assignment::new(user("ada"), id("admin")).expiring(at(60));
        assert!(text(world.engine.assign(&system(), scope(), shorter).await).starts_with(last));
        world.join(group("bosses"), "bob").await.unwrap();
        world.assign(group("bosses"), "admin").await.unwrap();
        revoke().await.unwrap().expect("was held");
        let left = world.engine.remove_member(&system(), scope(), &group("bosses"), &user("bob")).await;
        assert!(text(left).starts_with("user:bob is the last administrator of "));
    }
}
