//! Users, roles and questions, which the comparisons with peers use too.

use std::hint::black_box;
use std::sync::Arc;

use hashbrown::HashMap;
use stanchion_core::{
    Author, Change, Clock, IdGen, Revision, Scope, SeededRandom, SubjectRef, SystemClock, SystemRandom,
    TenantId,
};
use stanchion_rbac::{
    Assignment, CheckRequest, Config, Engine, MemoryRbacStore, Permission, RbacChange, RbacStore, Role,
    RoleId,
};

use crate::measure::resident_bytes;

pub(crate) const PERMISSIONS_OF_ROLE: usize = 5;
pub(crate) const ROLES_OF_USER: usize = 3;
pub(crate) const REQUESTS: usize = 40_000;

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) users: usize,
    pub(crate) roles: usize,
    /// How many roles a chain has, each of which includes the next.
    pub(crate) depth: usize,
}

impl Size {
    pub(crate) const USUAL: Self = Self { users: 10_000, roles: 1_000, depth: 4 };

    pub(crate) const fn permissions(self) -> usize {
        self.roles * PERMISSIONS_OF_ROLE
    }

    /// The role that a role includes.
    pub(crate) const fn included(self, role: usize) -> Option<usize> {
        let is_last = role % self.depth == self.depth - 1 || role == self.roles - 1;
        if is_last { None } else { Some(role + 1) }
    }

    /// Draws the heads of chains that each user holds, the same ones each time.
    pub(crate) fn draw(self, roles_of_user: usize) -> Vec<Vec<usize>> {
        let random = SeededRandom::new(self.depth as u64);
        let head = || below(&random, self.roles / self.depth) * self.depth;
        (0..self.users).map(|_| (0..roles_of_user).map(|_| head()).collect()).collect()
    }
}

pub(crate) fn below(random: &SeededRandom, bound: usize) -> usize {
    (random.next_u64() % bound as u64) as usize
}

pub(crate) fn permission(number: usize) -> String {
    format!("resource-{}:action-{}", number / 7, number % 7)
}

pub(crate) fn role_name(role: usize) -> String {
    format!("role-{role}")
}

pub(crate) fn user_name(user: usize) -> String {
    format!("user-{user}")
}

/// The permissions that a role names by itself.
pub(crate) const fn own_permissions(role: usize) -> std::ops::Range<usize> {
    role * PERMISSIONS_OF_ROLE..(role + 1) * PERMISSIONS_OF_ROLE
}

/// An engine that has read what all users hold, over a store in memory.
pub(crate) struct Filled {
    pub(crate) engine: Engine,
    pub(crate) scope: Scope,
    pub(crate) store_bytes: usize,
    pub(crate) engine_bytes: usize,
}

impl Filled {
    /// Fills an engine with chains of roles, and with users who hold the heads of chains.
    pub(crate) async fn new(size: Size, held: &[Vec<usize>]) -> Self {
        let random = SeededRandom::new(1);
        let scope = Scope::Tenant(TenantId::from_uuid(random.uuid(SystemClock.now())));
        let resident = resident_bytes();
        let store = Arc::new(MemoryRbacStore::new(None));
        let mut revision = Revision::ZERO;
        let mut put = async |parts: Vec<RbacChange>| {
            let actor = Author::system("bench").actor;
            let change = Change {
                expected: revision,
                changes: parts,
                at: SystemClock.now(),
                actor,
                events: Vec::new(),
            };
            revision = store.apply(scope, change).await.unwrap();
        };
        let role_id = |role: usize| role_name(role).parse::<RoleId>().unwrap();
        let role = |number: usize| {
            let own = own_permissions(number).map(|number| permission(number).parse().unwrap());
            let role = Role::new(role_id(number), "A role".parse().unwrap()).with_permissions(own);
            match size.included(number) {
                Some(junior) => role.with_includes([role_id(junior)]),
                None => role,
            }
        };
        put((0..size.roles).map(|number| RbacChange::put(role(number))).collect()).await;
        for (part, held) in held.chunks(10_000).enumerate() {
            let assignments = held.iter().enumerate().flat_map(|(user, held)| {
                let subject = subject(part * 10_000 + user);
                held.iter().map(move |role| RbacChange::put(Assignment::new(subject.clone(), role_id(*role))))
            });
            put(assignments.collect()).await;
        }
        let store_bytes = resident_bytes().saturating_sub(resident);

        let resident = resident_bytes();
        let config = Config { cached_subjects: 2 * size.users, ..Config::default() };
        let engine = Engine::new(store, Arc::new(SystemClock), Arc::new(SystemRandom::default()), config);
        let any = permission(0).parse().unwrap();
        for user in 0..held.len() {
            engine.check(&CheckRequest::new(scope, &subject(user), &any)).await.unwrap();
        }
        let engine_bytes = resident_bytes().saturating_sub(resident);
        Self { engine, scope, store_bytes, engine_bytes }
    }
}

fn subject(user: usize) -> SubjectRef {
    SubjectRef::user(user_name(user)).unwrap()
}

/// What the benchmarks ask about.
pub(crate) struct World {
    pub(crate) size: Size,
    pub(crate) filled: Filled,
    /// By number, as the routes that ask for them have them.
    pub(crate) permissions: Vec<Permission>,
    /// Who wants what, as it comes in.
    pub(crate) requests: Vec<(SubjectRef, usize)>,
    pub(crate) floor: Floor,
    /// By user.
    pub(crate) held: Vec<Vec<usize>>,
}

/// One string hash and three probes: users by name, permissions already as numbers.
pub(crate) struct Floor {
    pub(crate) requests: Vec<(String, usize)>,
    users: HashMap<String, [usize; ROLES_OF_USER]>,
    /// By role: the permissions it has, with all that it includes.
    roles: Vec<Vec<u64>>,
}

impl World {
    pub(crate) async fn new(size: Size) -> Self {
        let held = size.draw(ROLES_OF_USER);
        let filled = Filled::new(size, &held).await;
        let words = size.permissions().div_ceil(64);
        let mut roles = vec![vec![0_u64; words]; size.roles];
        for number in (0..size.roles).rev() {
            if let Some(junior) = size.included(number) {
                roles[number] = roles[junior].clone();
            }
            for own in own_permissions(number) {
                roles[number][own / 64] |= 1 << (own % 64);
            }
        }
        let users = held
            .iter()
            .enumerate()
            .map(|(user, held)| (user_name(user), held.as_slice().try_into().unwrap()))
            .collect();
        let drawn = size.questions(&held);
        let requests = drawn.iter().map(|(user, wanted)| (user_name(*user), *wanted)).collect();
        let floor = Floor { requests, users, roles };
        let requests = drawn.iter().map(|(user, wanted)| (subject(*user), *wanted)).collect();
        let permissions = (0..size.permissions()).map(|number| permission(number).parse().unwrap()).collect();
        let world = Self { size, filled, permissions, requests, floor, held };
        assert_eq!(world.held.len(), world.size.users);
        let alike = (0..REQUESTS).all(|request| world.check(request) == world.floor(request));
        assert!(alike, "both decide alike");
        world
    }

    #[inline(never)]
    pub(crate) fn check(&self, request: usize) -> bool {
        let (subject, wanted) = &self.requests[request];
        let request = self.request(subject, *wanted);
        black_box(self.filled.engine.try_check(&request)).unwrap().allowed
    }

    pub(crate) fn request<'a>(&'a self, subject: &'a SubjectRef, wanted: usize) -> CheckRequest<'a> {
        CheckRequest::new(self.filled.scope, black_box(subject), black_box(&self.permissions[wanted]))
    }

    #[inline(never)]
    pub(crate) fn floor(&self, request: usize) -> bool {
        let (user, wanted) = &self.floor.requests[request];
        let held = self.floor.users[black_box(user.as_str())];
        let wanted = black_box(*wanted);
        let permits = |role: &usize| self.floor.roles[*role][wanted / 64] >> (wanted % 64) & 1 == 1;
        black_box(held.iter().any(permits))
    }
}

impl Size {
    /// One in two asks for what the last role of a chain has that the user holds; the others ask for anything.
    fn questions(self, held: &[Vec<usize>]) -> Vec<(usize, usize)> {
        let random = SeededRandom::new(2);
        let question = |turn: usize| {
            let user = below(&random, self.users);
            let wanted = if turn.is_multiple_of(2) {
                let head = held[user][below(&random, ROLES_OF_USER)];
                (head + self.depth - 1) * PERMISSIONS_OF_ROLE + below(&random, PERMISSIONS_OF_ROLE)
            } else {
                below(&random, self.permissions())
            };
            (user, wanted)
        };
        (0..REQUESTS).map(question).collect()
    }
}
