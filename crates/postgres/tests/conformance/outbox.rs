use std::sync::Arc;

use stanchion_core::{Author, Change, Event, Revision, Timestamp};
use stanchion_postgres::{PgOutboxStore, PgRbacStore, testing};
use stanchion_rbac::RbacStore as _;
use stanchion_replica::conformance::Fixture;

async fn fixture() -> Fixture {
    let database = testing::fresh().await;
    let records = Arc::new(PgRbacStore::new(database.clone()));
    // Each batch of the suite has one scope; what the change itself writes does not matter.
    let commit = move |events: Vec<Event>| {
        let records = Arc::clone(&records);
        Box::pin(async move {
            let scope = events.first().expect("an event").scope;
            loop {
                let expected: Revision = records.load(scope).await.expect("reads").revision;
                let actor = Author::system("test").actor;
                let at = Timestamp::EPOCH;
                let change = Change { expected, changes: Vec::new(), at, actor, events: events.clone() };
                if records.apply(scope, change).await.is_ok() {
                    return;
                }
            }
        }) as stanchion_core::BoxFuture<'static, ()>
    };
    Fixture { store: Arc::new(PgOutboxStore::new(database)), commit: Arc::new(commit) }
}

stanchion_replica::outbox_store_conformance!(mod postgres_outbox_store, fixture());
