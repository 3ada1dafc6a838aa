//! Roles of a preset, all together or not at all.

use stanchion_core::{Author, Revision};
use stanchion_rbac::{
    AppliedPreset, ApplyOptions, Config, Error, Guards, Limits, OverRole, Preset, Role, RoleId,
};
use stanchion_replica::OutboxStore as _;

use crate::world::{PLATFORM, World, author, id, role, tenant};

const DRY: ApplyOptions = ApplyOptions { over: OverRole::Refuse, dry_run: true };
const WET: ApplyOptions = ApplyOptions { over: OverRole::Refuse, dry_run: false };
const REPLACE: ApplyOptions = ApplyOptions { over: OverRole::Replace, dry_run: false };

fn preset() -> Preset {
    Preset::named("back-office").unwrap()
}

async fn apply(world: &World, preset: &Preset, options: ApplyOptions) -> Result<AppliedPreset, Error> {
    world.engine.apply_preset(&author(), tenant(1), preset, options).await
}

async fn standing(world: &World) -> Vec<Role> {
    let filter = stanchion_rbac::RecordFilter::all(stanchion_rbac::RecordKind::Role);
    let page = stanchion_core::PageRequest::default();
    let found = world.engine.list::<Role>(tenant(1), &filter, &page).await.unwrap().items;
    found.into_iter().map(|role| role.value).collect()
}

#[tokio::test]
async fn a_preset_is_one_change_and_a_trial_of_it_says_the_same_and_writes_nothing() {
    let world = World::new();
    let all = preset().roles().len();
    let tried = apply(&world, &preset(), DRY).await.unwrap();
    assert_eq!((tried.written.len(), standing(&world).await), (all, vec![]));
    let applied = apply(&world, &preset(), WET).await.unwrap();
    assert_eq!(applied, tried);
    assert_eq!(standing(&world).await.len(), all);
    let one = world.engine.get_role(tenant(1), &applied.written[0]).await.unwrap().unwrap();
    assert_eq!(one.revision, Revision::ZERO.next(), "all of it is the first change of the scope");
    let events = world.outbox.pending(stanchion_core::SystemScope::new("test"), 100).await.unwrap();
    assert_eq!(events.iter().filter(|one| one.event.action.as_str() == "role.put").count(), all);
    let place = |role: &RoleId| applied.written.iter().position(|one| one == role).unwrap();
    for made in preset().roles() {
        assert!(made.includes.iter().all(|junior| place(junior) < place(&made.id)), "juniors first");
    }
    let again = apply(&world, &preset(), WET).await.unwrap();
    assert_eq!((again.written.len(), again.unchanged.len()), (0, all));
    assert_eq!(
        world.engine.get_role(tenant(1), &applied.written[0]).await.unwrap().unwrap().revision,
        one.revision
    );
}

#[tokio::test]
async fn where_one_role_may_not_be_written_none_is() {
    let limits = Limits { roles: preset().roles().len() - 1, ..Limits::default() };
    let world = World::with(Config { limits, ..Config::default() });
    for options in [DRY, WET] {
        let refused = apply(&world, &preset(), options).await.unwrap_err();
        assert!(matches!(refused, Error::TooMany { what: "roles", .. }), "{refused}");
    }
    // Nobody gives by a preset what they do not have.
    let guards = Guards { self_elevation: true, last_administrator: false, ..Guards::default() };
    let guarded = World::guarded(Config { guards, ..Config::default() });
    for options in [DRY, WET] {
        let refused = apply(&guarded, &preset(), options).await.unwrap_err();
        assert!(matches!(refused, Error::SelfElevation { .. }), "{refused}");
    }
    assert_eq!((standing(&world).await, standing(&guarded).await), (vec![], vec![]));
    let system = Author::system("test");
    guarded.engine.apply_preset(&system, tenant(1), &preset(), WET).await.unwrap();
}

#[tokio::test]
async fn roles_that_differ_stay_unless_they_may_be_replaced() {
    let world = World::new();
    world.put(tenant(1), role("accountant", &["mine:read"], &[])).await;
    let refused = apply(&world, &preset(), WET).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "a role is there already and not as the preset has it: `accountant`; replace it, or apply the preset with a prefix for its roles"
    );
    assert_eq!(standing(&world).await.len(), 1);
    let applied = apply(&world, &preset(), REPLACE).await.unwrap();
    assert_eq!(applied.written.len(), preset().roles().len());
    let accountant = world.engine.get_role(tenant(1), &id("accountant")).await.unwrap().unwrap();
    assert!(preset().roles().contains(&accountant.value));
}

#[tokio::test]
async fn a_prefix_lets_roles_stand_beside_the_platforms_of_the_same_names() {
    let world = World::new();
    world.put(PLATFORM, role("admin", &["*"], &[])).await;
    world.put(PLATFORM, role("accountant", &["x:y"], &[])).await;
    for options in [DRY, WET, REPLACE] {
        let refused = apply(&world, &preset(), options).await.unwrap_err();
        let Error::ReservedRoles { roles } = &refused else { panic!("{refused}") };
        assert_eq!(roles.len(), 2);
        assert!(refused.to_string().ends_with("apply the preset with a prefix for its roles"), "{refused}");
    }
    assert_eq!(standing(&world).await, vec![]);
    let prefixed = preset().prefixed("shop-").unwrap();
    let applied = apply(&world, &prefixed, WET).await.unwrap();
    assert!(applied.written.iter().all(|role| role.as_str().starts_with("shop-")));
    let there = standing(&world).await;
    assert_eq!(there.len(), preset().roles().len());
    for (own, made) in preset().roles().iter().zip(prefixed.roles()) {
        let names = |roles: &std::collections::BTreeSet<RoleId>| {
            roles.iter().map(|role| role.as_str().trim_start_matches("shop-").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&own.includes), names(&made.includes));
        assert!(made.includes.iter().all(|role| role.as_str().starts_with("shop-")));
        assert_eq!((&own.permissions, &own.name), (&made.permissions, &made.name));
    }
    for prefix in ["Shop-", "-", &"x".repeat(60)] {
        assert!(preset().prefixed(prefix).is_err(), "{prefix}");
    }
}
