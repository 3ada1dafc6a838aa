//! What the database refuses is refused to who wrote it, and whole.

use stanchion_core::{Author, Change, Revision, Timestamp};
use stanchion_postgres::PgRbacStore;
use stanchion_rbac::{RbacChange, RbacStore, Role};

use super::{database, run, tenant};

fn role(id: &str) -> RbacChange {
    RbacChange::put(Role::new(id.parse().unwrap(), id.parse().unwrap()))
}

#[tokio::test]
async fn a_change_of_which_one_part_is_refused_leaves_nothing() {
    let (database, mut admin) = database().await;
    run(&mut admin, "ALTER TABLE stanchion.rbac_role ADD CONSTRAINT room CHECK (id <> 'second')").await;
    let store = PgRbacStore::new(database);
    let change = |parts: &[&str]| Change {
        expected: Revision::from_number(0),
        changes: parts.iter().map(|id| role(id)).collect(),
        at: Timestamp::EPOCH,
        actor: Author::system("test").actor,
        events: Vec::new(),
    };
    assert!(store.apply(tenant(1), change(&["first", "second", "third"])).await.is_err());
    let left = store.load(tenant(1)).await.unwrap();
    assert_eq!((left.revision.number(), left.roles.len()), (0, 0));
    assert_eq!(store.apply(tenant(1), change(&["first", "third"])).await.unwrap().number(), 1);
}
