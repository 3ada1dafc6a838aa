use casbin::{
    CachedApi, CachedEnforcer, CoreApi, DefaultCache, DefaultModel, Enforcer, MemoryAdapter, MgmtApi,
};
use tokio::runtime::Runtime;

use crate::measure::{compare, one_by_one, report};
use crate::world::{World, own_permissions, permission, role_name, user_name};

/// Its own example, `rbac_with_domains_model.conf`.
const MODEL: &str = "
[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act
";

/// How many questions: each takes milliseconds, where no answer is kept.
const SLOW: usize = 100;
const KEPT: usize = 2_000;

pub(crate) fn run(turns: usize, world: &World, runtime: &Runtime) {
    let plain: Enforcer = runtime.block_on(filled(world));
    let check = |request: usize| ask(&plain, world, request);
    assert!((0..SLOW).all(|request| check(request) == world.check(request)), "both decide alike");
    let ours = || (SLOW / 2, || one_by_one(SLOW, |request| world.check(request)));
    report("check", "casbin", compare(turns, ours(), (SLOW / 2, || one_by_one(SLOW, check))));
    drop(plain);

    let mut cached: CachedEnforcer = runtime.block_on(filled(world));
    cached.set_cache(Box::new(DefaultCache::new(2 * KEPT)));
    let check = |request: usize| ask(&cached, world, request);
    assert!((0..KEPT).all(|request| check(request) == world.check(request)), "both decide alike");
    let ours = (KEPT / 2, || one_by_one(KEPT, |request| world.check(request)));
    let theirs = (KEPT / 2, || one_by_one(KEPT, check));
    report("check", "casbin_of_kept_answers", compare(4 * turns, ours, theirs));
}

fn ask(enforcer: &impl CoreApi, world: &World, request: usize) -> bool {
    let (user, wanted) = &world.floor.requests[request];
    let wanted = &world.permissions[*wanted];
    enforcer.enforce((user.as_str(), "tenant", wanted.resource(), wanted.action())).unwrap()
}

async fn filled<E: CoreApi + MgmtApi>(world: &World) -> E {
    let size = world.size;
    let texts = |texts: [&str; 3]| texts.map(str::to_owned).to_vec();
    let policies = (0..size.roles).flat_map(|role| {
        own_permissions(role).map(move |number| {
            let permission = permission(number);
            let (resource, action) = permission.split_once(':').unwrap();
            [&role_name(role), "tenant", resource, action].map(str::to_owned).to_vec()
        })
    });
    let included = (0..size.roles).filter_map(|role| Some((role, size.included(role)?)));
    let included = included.map(|(role, junior)| texts([&role_name(role), &role_name(junior), "tenant"]));
    let held = world.held.iter().enumerate().flat_map(|(user, held)| {
        let mut held = held.clone();
        held.sort_unstable();
        held.dedup();
        held.into_iter().map(move |role| texts([&user_name(user), &role_name(role), "tenant"]))
    });
    let model = DefaultModel::from_str(MODEL).await.unwrap();
    let mut enforcer = E::new(model, MemoryAdapter::default()).await.unwrap();
    assert!(enforcer.add_policies(policies.collect()).await.unwrap());
    assert!(enforcer.add_grouping_policies(included.chain(held).collect()).await.unwrap());
    enforcer
}
