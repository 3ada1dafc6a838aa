//! Worlds at random, in the engine's store and as the reference has them.

use std::sync::Arc;

use stanchion_core::{Change, Revision, Scope, SeededRandom, SubjectKind, SubjectRef, Timestamp};
use stanchion_rbac::{
    Approval, Assignment, CheckRequest, Constraint, Denial, Equality, Grant, Membership,
    MemorySubjectDirectory, Operand, Permission, PermissionScope, RbacChange, RbacStore, Record, Resource,
    ResourceSelector, Role, Rule, Session, SubjectProfile,
};

use crate::reference::{Question, Reference};
use crate::world::{PLATFORM, World, at, author, id, permission, role, tenant, user};

const ROLES: usize = 9;
const PATTERNS: [&str; 18] = [
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
    "a:*:own",
    "ab:x:team",
    "*:x:own",
    "a:*:platform",
    "*:xy:global",
];
pub(crate) const WANTED: [&str; 8] = ["a:x", "a:y", "a:xy", "ab:x", "ab:xy", "abc:xyz", "b:x", "c:z"];
pub(crate) const SUBJECTS: [&str; 3] = ["alice", "bob", "carol"];
const GROUPS: [&str; 2] = ["g0", "g1"];
const HOURS: [&str; 4] = ["12:00-12:01 UTC", "mon UTC", "12:01-12:00 UTC", "11:00-13:00 sun UTC"];
const SELECTORS: [&str; 5] = ["a/1", "a/*", "folder/7", "ab/2", "b/*"];

pub(crate) struct Random {
    numbers: SeededRandom,
    /// Whether what is made counts for good and without conditions.
    plain: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { numbers: SeededRandom::new(seed), plain: false }
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        usize::try_from(self.numbers.next_u64() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<'a>(&self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn some(&self, of: &[&str], most: usize) -> Vec<Permission> {
        (0..self.below(most + 1)).map(|_| permission(self.pick(of))).collect()
    }

    fn selector(&self) -> Option<ResourceSelector> {
        self.one_in(3).then(|| self.pick(&SELECTORS).parse().unwrap())
    }

    fn from(&self) -> Option<Timestamp> {
        (self.one_in(4) && !self.plain).then(|| at(i64::try_from(self.below(30)).unwrap()))
    }

    fn until(&self) -> Option<Timestamp> {
        (self.one_in(4) && !self.plain).then(|| at(i64::try_from(30 + self.below(30)).unwrap()))
    }

    fn constraint(&self) -> Constraint {
        let name = "region".parse().unwrap();
        let rule = match self.below(5) {
            // The tests begin on a Sunday at noon.
            3 => Rule::Time(self.pick(&HOURS).parse().unwrap()),
            0 => Rule::OwnerOnly,
            1 => Rule::OrganizationOnly,
            2 => Rule::Equals(Equality { attribute: name, to: Operand::Value("eu".into()) }),
            _ => Rule::Equals(Equality { attribute: name.clone(), to: Operand::Subject(name) }),
        };
        let constraint = Constraint::new(rule);
        if self.one_in(3) { constraint.on(self.pick(&["a", "a*", "b"]).parse().unwrap()) } else { constraint }
    }

    fn role(&self, number: usize) -> Role {
        let names: Vec<String> =
            (0..number).filter(|_| self.one_in(4)).map(|junior| format!("r{junior}")).collect();
        let mut role = role(&format!("r{number}"), &[], &[])
            .with_permissions(self.some(&PATTERNS, 2))
            .with_includes(names.iter().map(|name| id(name)));
        role.active = !self.one_in(8);
        if self.one_in(4) {
            role = role.with_excludes(self.some(&PATTERNS, 2));
        }
        if self.one_in(6) {
            role = role.reaching(PermissionScope::ALL[self.below(5)]);
        }
        if self.one_in(5) && !self.plain {
            role = role.constrained(self.constraint());
        }
        role
    }

    pub(crate) fn profile(&self) -> SubjectProfile {
        let mut profile = SubjectProfile::default();
        if !self.one_in(3) {
            profile.organization = Some(self.pick(&["acme", "globex"]).to_owned().into());
        }
        if !self.one_in(3) {
            profile.teams.insert(self.pick(&["red", "blue"]).to_owned().into());
        }
        if !self.one_in(3) {
            profile.departments.insert(self.pick(&["sales", "law"]).to_owned().into());
        }
        if self.one_in(2) {
            profile
                .attributes
                .insert("region".parse().unwrap(), self.pick(&["eu", "us"]).to_owned().into_value());
        }
        profile
    }

    pub(crate) fn resource(&self, kind: &str) -> Resource {
        let kind = kind.parse().unwrap();
        let mut resource = if self.one_in(6) {
            Resource::of_type(kind)
        } else {
            Resource::new(kind, self.pick(&["1", "2"]).to_owned())
        };
        resource = self.described(resource);
        if self.one_in(3) {
            let folder = Resource::new("folder".parse().unwrap(), self.pick(&["7", "8"]).to_owned());
            resource = resource.inside(self.described(folder));
        }
        resource
    }

    fn described(&self, mut resource: Resource) -> Resource {
        if self.one_in(2) {
            resource = resource.owned_by(user(self.pick(&SUBJECTS)));
        }
        if self.one_in(3) {
            resource = resource.of_team(self.pick(&["red", "blue"]).to_owned());
        }
        if self.one_in(3) {
            resource = resource.of_department(self.pick(&["sales", "law"]).to_owned());
        }
        if self.one_in(2) {
            resource = resource.of_organization(self.pick(&["acme", "globex"]).to_owned());
        }
        if self.one_in(2) {
            let region = self.pick(&["eu", "us"]).to_owned().into_value();
            resource = resource.with_attribute("region".parse().unwrap(), region);
        }
        if self.one_in(5) {
            let tenant = "0192f0c1".to_owned().into_value();
            resource = resource.with_attribute("tenant".parse().unwrap(), tenant);
        }
        resource
    }
}

trait IntoValue {
    fn into_value(self) -> stanchion_rbac::Value;
}

impl IntoValue for String {
    fn into_value(self) -> stanchion_rbac::Value {
        stanchion_core::Text::from(self).into()
    }
}

pub(crate) fn group(name: &str) -> SubjectRef {
    SubjectRef::new(SubjectKind::Group, name.to_owned()).unwrap()
}

/// One world in both forms.
pub(crate) struct Both {
    /// Whose records they are.
    pub(crate) home: Scope,
    pub(crate) world: World,
    pub(crate) reference: Reference,
    pub(crate) sessions: Vec<Session>,
    pub(crate) random: Random,
}

impl Both {
    /// Most are a tenant's, with roles of the platform; some are the platform's own.
    pub(crate) async fn new(seed: u64) -> Self {
        Self::make(Random::new(seed), if seed.is_multiple_of(3) { PLATFORM } else { tenant(1) }).await
    }

    /// One in which everything counts for good and without conditions, and nobody is in a team.
    pub(crate) async fn plain(seed: u64) -> Self {
        Self::make(Random { plain: true, ..Random::new(seed) }, tenant(1)).await
    }

    async fn make(random: Random, home: Scope) -> Self {
        let mut reference = Reference::default();
        let (mut platform, mut own): (Vec<Record>, Vec<Record>) = (Vec::new(), Vec::new());
        for number in 0..ROLES {
            // The first of them are the platform's; each includes some of those before it that it can know.
            let role = random.role(number);
            let (scope, records) =
                if number < ROLES / 3 { (PLATFORM, &mut platform) } else { (home, &mut own) };
            records.push(role.clone().into());
            reference.roles.push((scope, role));
        }
        let holders: Vec<SubjectRef> = SUBJECTS.map(user).into_iter().chain(GROUPS.map(group)).collect();
        for subject in &holders {
            for _ in 0..random.below(3) {
                let mut held = Assignment::new(subject.clone(), id(&format!("r{}", random.below(ROLES))));
                held.resource = random.selector();
                (held.not_before, held.expires_at) = (random.from(), random.until());
                reference.assignments.retain(|other| {
                    (&other.subject, &other.role, &other.resource)
                        != (&held.subject, &held.role, &held.resource)
                });
                reference.assignments.push(held);
            }
            if random.one_in(3) {
                let mut grant = Grant::new(subject.clone(), permission(random.pick(&PATTERNS)));
                grant.resource = random.selector();
                (grant.not_before, grant.expires_at) = (random.from(), random.until());
                if random.one_in(3) && !random.plain {
                    grant = grant.constrained(random.constraint());
                }
                if random.one_in(4) {
                    grant.emergency = Some([Approval::Awaited, Approval::NotNeeded][random.below(2)].clone());
                }
                reference.grants.push(grant);
            }
            if random.one_in(4) {
                let mut denial = Denial::new(subject.clone(), permission(PATTERNS[1 + random.below(17)]));
                denial.resource = random.selector();
                reference.denials.push(denial);
            }
        }
        for member in SUBJECTS {
            for name in GROUPS.into_iter().filter(|_| random.one_in(3)) {
                let mut membership = Membership::new(group(name), user(member));
                (membership.not_before, membership.expires_at) = (random.from(), random.until());
                reference.memberships.push(membership);
            }
        }
        let sessions = SUBJECTS.iter().map(|subject| {
            let number = format!("0192f0c1-2345-7abc-8def-{:012}", random.below(1_000_000));
            let active: Vec<_> =
                (0..ROLES).filter(|_| random.one_in(3)).map(|role| id(&format!("r{role}"))).collect();
            Session::new(number.parse().unwrap(), user(subject), at(50)).with_active(active)
        });
        let sessions: Vec<Session> = sessions.collect();
        own.extend(reference.assignments.iter().cloned().map(Record::from));
        own.extend(reference.grants.iter().cloned().map(Record::from));
        own.extend(reference.denials.iter().cloned().map(Record::from));
        own.extend(reference.memberships.iter().cloned().map(Record::from));
        own.extend(sessions.iter().cloned().map(Record::from));
        let world = if random.one_in(4) && !random.plain {
            World::new()
        } else {
            let directory = MemorySubjectDirectory::default();
            for subject in SUBJECTS.map(user) {
                let profile = if random.plain { SubjectProfile::default() } else { random.profile() };
                reference.profiles.insert(subject.to_string(), profile.clone());
                directory.put(home, subject, profile);
            }
            World::knowing(Arc::new(directory))
        };
        if home == PLATFORM {
            platform.append(&mut own);
        }
        write(&world, PLATFORM, platform).await;
        if home != PLATFORM {
            write(&world, home, own).await;
        }
        Self { home, world, reference, sessions, random }
    }

    pub(crate) fn question<'a>(
        &self,
        request: &CheckRequest<'a>,
        session: Option<&'a Session>,
        now: Timestamp,
    ) -> Question<'a> {
        let CheckRequest { scope: home, subject, permission: wanted, resource, .. } = *request;
        Question { home, subject, wanted, resource, session, now }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.random.one_in(4).then(|| &self.sessions[self.random.below(self.sessions.len())])
    }
}

/// Writes what comes next past the rules.
pub(crate) async fn write_on(world: &World, scope: Scope, changes: Vec<RbacChange>) {
    let expected = world.store.load(scope).await.unwrap().revision;
    let change = Change { expected, changes, at: at(0), actor: author().actor, events: Vec::new() };
    world.store.apply(scope, change).await.unwrap();
}

/// Writes past the rules, which are not what is tested here.
pub(crate) async fn write(world: &World, scope: Scope, records: Vec<Record>) {
    let change = Change {
        expected: Revision::ZERO,
        changes: records.into_iter().map(RbacChange::Put).collect(),
        at: at(0),
        actor: author().actor,
        events: Vec::new(),
    };
    world.store.apply(scope, change).await.unwrap();
}
