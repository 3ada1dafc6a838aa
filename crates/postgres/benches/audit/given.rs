use stanchion_audit::canonical;
use stanchion_core::{
    Actor, AuthenticationMethod, Category, Clock as _, Event, IdGen as _, KeyRing, ResourceRef, Scope,
    Secret, SeededRandom, SubjectRef, SystemClock, SystemRandom, Timestamp,
};

/// What is recorded: the end of a typical request, of a tenant drawn anew for each.
pub(crate) struct Given {
    scopes: Vec<Scope>,
    ids: SystemRandom,
    draw: SeededRandom,
}

impl Given {
    pub(crate) fn new() -> Self {
        let tenants = SeededRandom::new(1);
        let scopes = (0..64).map(|_| Scope::Tenant(tenants.tenant_id(Timestamp::EPOCH))).collect();
        Self { scopes, ids: SystemRandom::default(), draw: SeededRandom::new(2) }
    }

    /// How many bytes an event has in its canonical form.
    pub(crate) fn size(&self) -> usize {
        canonical(&self.event()).unwrap().len()
    }

    pub(crate) fn events(&self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.event()).collect()
    }

    fn event(&self) -> Event {
        let (ids, at) = (&self.ids, SystemClock.now());
        let scope = self.scopes[(self.draw.next_u64() % 64) as usize];
        let subject = SubjectRef::user("alice").unwrap();
        let actor =
            Actor::Subject { subject, method: AuthenticationMethod::ApiKey, key: Some(ids.key_id(at)) };
        let mut event = Event::new(ids.event_id(at), at, scope, actor, "request.decided", Category::Access)
            .with_target(ResourceRef::new("route", "orders.list").unwrap())
            .with_detail("bytes_in", 312_i64)
            .with_detail("bytes_out", 48_211_i64)
            .with_detail("duration_us", 1_834_i64)
            .with_detail("method", "GET")
            .with_detail("status", 200_i64)
            .with_detail("upstream", "orders");
        event.correlation.request = Some(ids.request_id(at));
        event.source.ip = Some([203, 0, 113, 7].into());
        event
    }
}

pub(crate) fn keys() -> KeyRing {
    KeyRing::new([(1, Secret::new([7; 32]))]).unwrap()
}
