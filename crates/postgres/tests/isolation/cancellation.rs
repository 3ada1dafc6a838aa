//! Whatever is dropped at whatever point, the next borrower of the connection is nobody's.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use sqlx::Row;
use stanchion_core::{Scope, SystemScope};
use stanchion_postgres::{Config, Database, PgRbacStore, SystemTx, TenantTx, testing};
use stanchion_rbac::RbacStore;

use super::{change, tenant, urls};

/// Lets a future be polled so often, and then drops it.
struct Polls<F> {
    work: Pin<Box<F>>,
    left: u32,
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.work.as_mut().poll(context).map(Some)
    }
}

async fn after<F: Future>(polls: u32, work: F) -> Option<F::Output> {
    Polls { work: Box::pin(work), left: polls }.await
}

/// Borrows every connection that there is and looks what its transaction is in.
async fn nobody_is_left_inside(database: &Database) {
    let mut borrowed = Vec::new();
    for _ in 0..database.config().max_connections {
        borrowed.push(SystemTx::begin(database, SystemScope::new("look")).await.unwrap());
    }
    for mut tx in borrowed {
        let state = "SELECT current_user::text AS role, coalesce(current_setting('stanchion.scope', true), '') AS scope, \
                     transaction_timestamp() = statement_timestamp() AS is_new";
        let row = sqlx::query(state).fetch_one(tx.connection().unwrap()).await.unwrap();
        assert_eq!((row.get::<&str, _>("role"), row.get::<&str, _>("scope")), ("stanchion_system", ""));
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_write_that_is_dropped_at_any_await_leaves_nothing_behind() {
    let (url, mut admin) = urls().await;
    let database = Database::new(&url, Config { max_connections: 2, ..testing::config() });
    let store = PgRbacStore::new(database.clone());
    let (mut polls, mut expected) = (1, 0);
    loop {
        let done = after(polls, store.apply(tenant(1), change(expected, "admin"))).await;
        nobody_is_left_inside(&database).await;
        // The next borrower is another tenant: what it writes is durable, and its own.
        let (other, role) = (tenant(2), format!("role-{polls}"));
        let revision = store.load(other).await.unwrap().revision.number();
        store.apply(other, change(revision, &role)).await.unwrap();
        let seen = "SELECT count(*) FROM stanchion.rbac_role WHERE id = $1 AND scope_id <> $2";
        let elsewhere: i64 = sqlx::query_scalar(seen)
            .bind(&role)
            .bind(stanchion_postgres::scope_id(other).unwrap())
            .fetch_one(&mut admin)
            .await
            .unwrap();
        let durable: i64 = sqlx::query_scalar("SELECT count(*) FROM stanchion.rbac_role WHERE id = $1")
            .bind(&role)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        assert_eq!((elsewhere, durable), (0, 1), "after {polls} polls");
        // A write that was dropped during its commit may have happened, whole.
        let snapshot = store.load(tenant(1)).await.unwrap();
        assert!(snapshot.revision.number() - expected <= 1);
        assert_eq!(snapshot.revision.number() > 0, !snapshot.roles.is_empty());
        expected = snapshot.revision.number();
        if let Some(done) = done {
            assert!(done.is_ok());
            break;
        }
        polls += 1;
    }
    // An answer that is there at once is not waited for, so how often it waits depends on the machine.
    assert!(polls > 1, "a write waits for the database");
}

#[tokio::test]
async fn a_begin_that_is_dropped_lends_its_scope_to_nobody() {
    let (url, _admin) = urls().await;
    let database = Database::new(&url, Config { max_connections: 2, ..testing::config() });
    for polls in 1..40 {
        let begun = after(polls, TenantTx::begin(&database, tenant(1))).await;
        let is_done = begun.is_some();
        drop(begun);
        nobody_is_left_inside(&database).await;
        let begun = after(polls, SystemTx::begin(&database, SystemScope::new("test"))).await;
        drop(begun);
        nobody_is_left_inside(&database).await;
        if is_done {
            return;
        }
    }
    panic!("it never began");
}

/// A cursor that is held beyond its transaction would show one tenant's rows to the next.
#[tokio::test]
async fn a_held_cursor_does_not_outlive_its_transaction() {
    let (url, _admin) = urls().await;
    let database = Database::new(&url, Config { max_connections: 2, ..testing::config() });
    PgRbacStore::new(database.clone()).apply(tenant(1), change(0, "admin")).await.unwrap();
    for is_committed in [false, true] {
        let mut tx = TenantTx::begin(&database, tenant(1)).await.unwrap();
        let hold = "DECLARE leak CURSOR WITH HOLD FOR SELECT * FROM stanchion.rbac_role";
        sqlx::raw_sql(hold).execute(tx.connection().unwrap()).await.unwrap();
        if is_committed {
            tx.commit().await.unwrap();
        } else {
            drop(tx);
        }
        for _ in 0..4 {
            let mut tx = TenantTx::begin(&database, Scope::Platform).await.unwrap();
            let shown = sqlx::raw_sql("FETCH ALL FROM leak").execute(tx.connection().unwrap()).await;
            assert!(shown.is_err(), "committed: {is_committed}");
            tx.rollback().await.unwrap();
        }
    }
}
