//! An engine, and short names for what the tests ask of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use stanchion_core::{
    Actor, AuthenticationMethod, Author, ManualClock, PageRequest, Scope, SeededRandom, SessionId, Severity,
    Source, SubjectKind, SubjectRef, SystemScope, TenantId, Timestamp,
};
use stanchion_rbac::{
    Assignment, CheckRequest, Config, Duty, Engine, Error, Membership, MemoryRbacStore, Permission,
    RecordFilter, RecordKind, Role, RoleId, Separation,
};
use stanchion_replica::{MemoryOutboxStore, OutboxStore};

pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) outbox: Arc<MemoryOutboxStore>,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) fn scope() -> Scope {
    Scope::Tenant("0192f0c1-2345-7abc-8def-000000000001".parse::<TenantId>().unwrap())
}

pub(crate) fn id(text: &str) -> RoleId {
    text.parse().unwrap()
}

pub(crate) fn ids(names: &[&str]) -> BTreeSet<RoleId> {
    names.iter().map(|name| id(name)).collect()
}

pub(crate) fn permission(text: &str) -> Permission {
    text.parse().unwrap()
}

pub(crate) fn user(name: &str) -> SubjectRef {
    SubjectRef::user(name.to_owned()).unwrap()
}

pub(crate) fn group(name: &str) -> SubjectRef {
    SubjectRef::new(SubjectKind::Group, name.to_owned()).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_772_366_400_000_000 + seconds * 1_000_000)
}

pub(crate) fn system() -> Author {
    Author::system("test")
}

pub(crate) fn by(name: &str) -> Author {
    Author {
        actor: Actor::Subject { subject: user(name), method: AuthenticationMethod::ApiKey, key: None },
        acted_as: None,
        authorization: Vec::new(),
        request: None,
        source: Source::default(),
    }
}

pub(crate) fn role(name: &str, permissions: &[&str], includes: &[&str]) -> Role {
    Role::new(id(name), name.parse().unwrap())
        .with_permissions(permissions.iter().map(|text| permission(text)))
        .with_includes(ids(includes))
}

/// Lets whoever writes give what they do not have; what keeps them from it is tested by itself.
pub(crate) fn giving_freely(mut config: Config) -> Config {
    config.guards.self_elevation = false;
    config
}

pub(crate) fn apart(name: &str, duty: Duty, roles: &[&str]) -> Separation {
    Separation::new(name.parse().unwrap(), name.parse().unwrap(), duty, ids(roles))
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(giving_freely(Config::default()))
    }

    pub(crate) fn with(config: Config) -> Self {
        let outbox = Arc::new(MemoryOutboxStore::default());
        let store = Arc::new(MemoryRbacStore::new(Some(Arc::clone(&outbox))));
        let clock = Arc::new(ManualClock::at(at(0)));
        let ids = Arc::new(SeededRandom::new(1));
        let engine = Arc::new(Engine::new(store, Arc::clone(&clock) as _, ids, config));
        Self { engine, outbox, clock }
    }

    pub(crate) async fn put(&self, role: Role) -> Result<(), Error> {
        self.engine.put_role(&system(), scope(), role, None).await.map(drop)
    }

    pub(crate) async fn roles(&self, names: &[&str]) {
        for name in names {
            self.put(role(name, &[&format!("{name}:use")], &[])).await.unwrap();
        }
    }

    pub(crate) async fn assign(&self, subject: SubjectRef, name: &str) -> Result<(), Error> {
        self.engine.assign(&system(), scope(), Assignment::new(subject, id(name))).await.map(drop)
    }

    pub(crate) async fn give(
        &self,
        subject: SubjectRef,
        name: &str,
        from: Timestamp,
        until: Option<Timestamp>,
    ) {
        let mut held = Assignment::new(subject, id(name)).starting(from);
        held.expires_at = until;
        self.engine.assign(&system(), scope(), held).await.unwrap();
    }

    pub(crate) async fn check_access(&self, subject: &str, what: &str) -> bool {
        let (subject, what) = (user(subject), permission(what));
        self.engine.check(&CheckRequest::new(scope(), &subject, &what)).await.unwrap().allowed
    }

    /// What a role permits, without how it comes to.
    pub(crate) async fn role_permissions(&self, name: &str) -> Vec<String> {
        let found = self.engine.role_permissions(scope(), &id(name)).await.unwrap();
        let all: BTreeSet<String> = found.iter().map(|one| one.permission.to_string()).collect();
        all.into_iter().collect()
    }

    pub(crate) async fn assigned_roles(&self, subject: &str) -> Vec<String> {
        let filter = RecordFilter::all(RecordKind::Assignment).of_subject(user(subject));
        let page = self.engine.list::<Assignment>(scope(), &filter, &PageRequest::default()).await.unwrap();
        page.items.iter().map(|held| held.value.role.to_string()).collect()
    }

    pub(crate) async fn assigned_users(&self, name: &str) -> Vec<String> {
        let filter = RecordFilter::all(RecordKind::Assignment).of_role(id(name));
        let page = self.engine.list::<Assignment>(scope(), &filter, &PageRequest::default()).await.unwrap();
        page.items.iter().map(|held| held.value.subject.to_string()).collect()
    }

    pub(crate) async fn join(&self, group: SubjectRef, member: &str) -> Result<(), Error> {
        self.engine.add_member(&system(), scope(), Membership::new(group, user(member))).await.map(drop)
    }

    pub(crate) async fn separate(&self, separation: Separation) -> Result<(), Error> {
        self.engine.put_separation(&system(), scope(), separation).await.map(drop)
    }

    pub(crate) async fn session(&self, name: &str, roles: &[&str]) -> Result<SessionId, Error> {
        let made = self.engine.create_session(&system(), scope(), &user(name), ids(roles), None).await;
        made.map(|session| session.value.id)
    }

    pub(crate) async fn actions(&self) -> Vec<(String, Severity)> {
        let pending = self.outbox.pending(SystemScope::new("test"), 100).await.unwrap();
        pending.iter().map(|record| (record.event.action.to_string(), record.event.severity)).collect()
    }
}

pub(crate) fn text<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    outcome.unwrap_err().to_string()
}
