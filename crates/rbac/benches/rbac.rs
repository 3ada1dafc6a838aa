//! What a check costs against the least work that could do it, and what ten thousand users cost in memory.
//!
//! Times are of the thread's CPU. Both sides of a figure take turns in one run: a ratio is the median over the turns, the parts are
//! the minimum over them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops at whatever goes wrong, and prints"
)]

use std::hint::black_box;
use std::sync::Arc;

use hashbrown::HashMap;
use rustix::time::{ClockId, clock_gettime};
use stanchion_core::{
    Author, Change, Clock, Revision, Scope, SeededRandom, SubjectRef, SystemClock, SystemRandom, TenantId,
};
use stanchion_rbac::{
    Assignment, CheckRequest, Config, Engine, MemoryRbacStore, Permission, RbacChange, RbacStore, Role,
    RoleId,
};

const USERS: usize = 10_000;
const ROLES: usize = 1_000;
const PERMISSIONS_OF_ROLE: usize = 5;
const ROLES_OF_USER: usize = 3;
const REQUESTS: usize = 40_000;

/// Chains of roles, each of which includes the next; users hold the heads of three chains.
struct World {
    engine: Engine,
    scope: Scope,
    /// By number, as the routes that ask for them have them.
    permissions: Vec<Permission>,
    /// Who wants what, as it comes in.
    requests: Vec<(SubjectRef, usize)>,
    floor: Floor,
    store_bytes: usize,
    engine_bytes: usize,
}

/// One string hash and three probes: users by name, permissions already as numbers.
struct Floor {
    requests: Vec<(String, usize)>,
    users: HashMap<String, [usize; ROLES_OF_USER]>,
    /// By role: the permissions it has, with all that it includes.
    roles: Vec<Vec<u64>>,
}

impl World {
    async fn new(depth: usize) -> Self {
        let random = SeededRandom::new(depth as u64);
        let below = |bound: usize| (random.next_u64() % bound as u64) as usize;
        let scope =
            Scope::Tenant(TenantId::from_uuid(stanchion_core::IdGen::uuid(&random, SystemClock.now())));
        let resident = resident_bytes();
        let store = Arc::new(MemoryRbacStore::new(None));

        let permission = |number: usize| format!("resource-{}:action-{}", number / 7, number % 7);
        let role_id = |role: usize| format!("role-{role}").parse::<RoleId>().unwrap();
        let is_last = |role: usize| role % depth == depth - 1 || role == ROLES - 1;
        let role = |number: usize| {
            let own = number * PERMISSIONS_OF_ROLE..(number + 1) * PERMISSIONS_OF_ROLE;
            let role = Role::new(role_id(number), "A role".parse().unwrap())
                .with_permissions(own.map(|number| permission(number).parse().unwrap()));
            if is_last(number) { role } else { role.with_includes([role_id(number + 1)]) }
        };
        let mut parts: Vec<RbacChange> = (0..ROLES).map(|number| RbacChange::put(role(number))).collect();

        let words = (ROLES * PERMISSIONS_OF_ROLE).div_ceil(64);
        let mut roles = vec![vec![0_u64; words]; ROLES];
        for number in (0..ROLES).rev() {
            if !is_last(number) {
                roles[number] = roles[number + 1].clone();
            }
            for own in number * PERMISSIONS_OF_ROLE..(number + 1) * PERMISSIONS_OF_ROLE {
                roles[number][own / 64] |= 1 << (own % 64);
            }
        }

        let mut users = HashMap::new();
        for user in 0..USERS {
            let held = std::array::from_fn(|_| below(ROLES / depth) * depth);
            let subject = SubjectRef::user(format!("user-{user}")).unwrap();
            parts.extend(
                held.iter().map(|role| RbacChange::put(Assignment::new(subject.clone(), role_id(*role)))),
            );
            users.insert(format!("user-{user}"), held);
        }
        let change = Change {
            expected: Revision::ZERO,
            changes: parts,
            at: SystemClock.now(),
            actor: Author::system("bench").actor,
            events: Vec::new(),
        };
        store.apply(scope, change).await.unwrap();
        let store_bytes = resident_bytes().saturating_sub(resident);

        // One request in two is for the last role of a chain that the user holds; the others are for anything.
        let mut requests = Vec::new();
        for turn in 0..REQUESTS {
            let user = below(USERS);
            let wanted = if turn % 2 == 0 {
                let head = users[&format!("user-{user}")][below(ROLES_OF_USER)];
                (head + depth - 1) * PERMISSIONS_OF_ROLE + below(PERMISSIONS_OF_ROLE)
            } else {
                below(ROLES * PERMISSIONS_OF_ROLE)
            };
            requests.push((user, wanted));
        }
        let name = |user: usize| format!("user-{user}");
        let subject = |user: usize| SubjectRef::user(name(user)).unwrap();
        let named = requests.iter().map(|(user, wanted)| (name(*user), *wanted)).collect();
        let requests = requests.iter().map(|(user, wanted)| (subject(*user), *wanted)).collect();
        let permissions: Vec<Permission> =
            (0..ROLES * PERMISSIONS_OF_ROLE).map(|number| permission(number).parse().unwrap()).collect();

        let resident = resident_bytes();
        let config = Config { cached_subjects: 2 * USERS, ..Config::default() };
        let engine = Engine::new(store, Arc::new(SystemClock), Arc::new(SystemRandom::default()), config);
        for user in 0..USERS {
            engine.check(&CheckRequest::new(scope, &subject(user), &permissions[0])).await.unwrap();
        }
        let engine_bytes = resident_bytes().saturating_sub(resident);
        let floor = Floor { requests: named, users, roles };
        Self { engine, scope, permissions, requests, floor, store_bytes, engine_bytes }
    }

    fn request<'a>(&'a self, (subject, wanted): &'a (SubjectRef, usize)) -> CheckRequest<'a> {
        CheckRequest::new(self.scope, black_box(subject), black_box(&self.permissions[*wanted]))
    }

    #[inline(never)]
    fn check(&self, request: usize) -> bool {
        black_box(self.engine.try_check(&self.request(&self.requests[request]))).unwrap().allowed
    }

    #[inline(never)]
    fn floor(&self, request: usize) -> bool {
        let (user, wanted) = &self.floor.requests[request];
        let held = self.floor.users[black_box(user.as_str())];
        let wanted = black_box(*wanted);
        let permits = |role: &usize| self.floor.roles[*role][wanted / 64] >> (wanted % 64) & 1 == 1;
        black_box(held.iter().any(permits))
    }

    async fn explain_all(&self) -> usize {
        let mut allowed = 0;
        for request in self.requests.iter().take(REQUESTS / 2) {
            let explanation = self.engine.explain(&self.request(request)).await.unwrap();
            allowed += usize::from(explanation.decision.allowed);
        }
        allowed
    }
}

/// Asks for one thing or another, as the answer before it was: a caller has its answer before it goes on. Without that, the processor
/// works on several requests at once and hides what each of them waits for.
fn one_by_one(check: impl Fn(usize) -> bool) -> usize {
    let (mut count, mut allowed) = (0, false);
    for turn in 0..REQUESTS / 2 {
        allowed = check(2 * turn + usize::from(black_box(allowed)));
        count += usize::from(allowed);
    }
    count
}

/// Asks for everything that is wanted at once, so that only throughput counts.
fn all_at_once(check: impl Fn(usize) -> bool) -> usize {
    (0..REQUESTS / 2).filter(|request| check(*request)).count()
}

/// The least CPU time of one operation on either side, in nanoseconds, and the median of the ratios of the turns.
fn compare(
    turns: usize,
    mut ours: impl FnMut() -> usize,
    mut peer: impl FnMut() -> usize,
) -> (f64, f64, f64) {
    let (mut least_ours, mut least_peer, mut ratios) = (f64::MAX, f64::MAX, Vec::new());
    for _ in 0..turns {
        let (cost_ours, cost_peer) = (cost(&mut ours), cost(&mut peer));
        least_ours = least_ours.min(cost_ours);
        least_peer = least_peer.min(cost_peer);
        ratios.push(cost_ours / cost_peer);
    }
    ratios.sort_by(f64::total_cmp);
    (least_ours, least_peer, ratios[turns / 2])
}

fn cost(work: &mut impl FnMut() -> usize) -> f64 {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    black_box(work());
    let after = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
    nanos as f64 / (REQUESTS / 2) as f64
}

fn report(figure: &str, peer: &str, (ours, theirs, ratio): (f64, f64, f64)) {
    println!(
        "BENCH rbac.{figure} value={ours:.1} unit=ns peer={peer} peer_value={theirs:.1} ratio={ratio:.2}"
    );
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let turns = if quick { 51 } else { 201 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    // First, while the allocator has nothing to give back.
    let flat = runtime.block_on(World::new(4));
    let deep = runtime.block_on(World::new(64));
    for world in [&flat, &deep] {
        assert!(
            (0..REQUESTS).all(|request| world.check(request) == world.floor(request)),
            "both decide alike"
        );
    }

    let ours = || one_by_one(|request| flat.check(request));
    report("check", "floor", compare(turns, ours, || one_by_one(|request| flat.floor(request))));
    let at_once = || all_at_once(|request| flat.check(request));
    report("check_stream", "floor", compare(turns, at_once, || all_at_once(|request| flat.floor(request))));
    report("check_depth64", "check", compare(turns, || one_by_one(|request| deep.check(request)), ours));
    let explain = || runtime.block_on(flat.explain_all());
    report("explain", "check", compare(turns / 10, explain, ours));
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    println!("BENCH rbac.memory_10k_users value={:.2} unit=MB", megabytes(flat.engine_bytes));
    println!("BENCH rbac.memory_10k_users_store value={:.2} unit=MB", megabytes(flat.store_bytes));
}
