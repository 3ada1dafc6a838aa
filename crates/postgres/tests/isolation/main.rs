//! Tenants stay apart: whatever is cut off, left open, or tried.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod cancellation;
mod feed;
mod leaks;
mod migrations;
mod refusals;
mod self_audit;

use sqlx::{AssertSqlSafe, PgConnection};
use stanchion_core::{Author, Change, IdGen as _, Revision, Scope, SeededRandom, Timestamp};
use stanchion_postgres::{Database, Url, testing};
use stanchion_rbac::{Assignment, RbacChange, Role};

/// A fresh database, and an administrator's connection to it.
async fn database() -> (Database, PgConnection) {
    let (url, admin) = urls().await;
    (Database::new(&url, testing::config()), admin)
}

async fn urls() -> (Url, PgConnection) {
    let admin = testing::fresh_admin_url().await;
    (admin.with_login(testing::LOGIN), testing::connect(&admin).await)
}

async fn run(admin: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(admin).await.unwrap();
}

fn tenant(number: u64) -> Scope {
    Scope::Tenant(SeededRandom::new(number).tenant_id(Timestamp::EPOCH))
}

/// A change that writes a role and gives it to alice.
fn change(expected: u64, role: &str) -> Change<RbacChange> {
    let id: stanchion_rbac::RoleId = role.parse().unwrap();
    let assignment = Assignment::new("user:alice".parse().unwrap(), id.clone());
    Change {
        expected: Revision::from_number(expected),
        changes: vec![RbacChange::put(Role::new(id, role.parse().unwrap())), RbacChange::put(assignment)],
        at: Timestamp::EPOCH,
        actor: Author::system("test").actor,
        events: Vec::new(),
    }
}
