use std::sync::Arc;

use stanchion_core::{Author, Change, ManualClock, Revision, Scope, SeededRandom};
use stanchion_rbac::{CheckRequest, Config, Decision, Engine, MemoryRbacStore, RbacChange, RbacStore};
use tokio::runtime::{Builder, Runtime};

use crate::draw::{Drawn, NOW, Question, scope};

/// Our engine, with a drawn world in its store.
pub(crate) struct Ours {
    engine: Engine,
    runtime: Runtime,
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

impl Ours {
    pub(crate) fn new(drawn: &Drawn) -> Self {
        let store = Arc::new(MemoryRbacStore::new(None));
        let runtime = runtime();
        let put = |scope: Scope, changes: Vec<RbacChange>| {
            let actor = Author::system("test").actor;
            let change = Change { expected: Revision::ZERO, changes, at: NOW, actor, events: Vec::new() };
            runtime.block_on(store.apply(scope, change)).unwrap();
        };
        put(Scope::Platform, drawn.platform.iter().cloned().map(RbacChange::put).collect());
        for (number, tenant) in drawn.tenants.iter().enumerate() {
            let mut changes: Vec<_> = tenant.roles.iter().cloned().map(RbacChange::put).collect();
            changes.extend(tenant.assignments.iter().cloned().map(RbacChange::put));
            changes.extend(tenant.grants.iter().cloned().map(RbacChange::put));
            changes.extend(tenant.denials.iter().cloned().map(RbacChange::put));
            changes.extend(tenant.memberships.iter().cloned().map(RbacChange::put));
            put(scope(number), changes);
        }
        let random = Arc::new(SeededRandom::new(drawn.seed()));
        let engine = Engine::new(store, Arc::new(ManualClock::at(NOW)), random, Config::default());
        Self { engine, runtime }
    }

    pub(crate) fn check(&self, question: &Question<'_>) -> Decision {
        let request = CheckRequest::new(scope(question.tenant), question.user, &question.permission)
            .with_profile(question.profile);
        let request = question.resource.map_or(request, |resource| request.on(resource));
        self.runtime.block_on(self.engine.check(&request)).unwrap()
    }
}
