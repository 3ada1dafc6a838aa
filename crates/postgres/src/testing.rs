//! A database of its own for every test: a copy of one that was migrated once.

#![expect(clippy::expect_used, reason = "a test that has no database fails by panicking")]

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stanchion_core::{Clock as _, IdGen as _, SystemClock, SystemRandom};

use crate::migrate::{MIGRATIONS, migrate_up_to as up_to};
use crate::{Config, Database, MigrateOptions, Url, migrate};

/// The login that the server uses; the tests' cluster trusts it.
pub const LOGIN: &str = "stanchion_test_app";

const MISSING: &str = "STANCHION_TEST_POSTGRES is not set: run through `cargo xtask test`, or `eval \"$(cargo xtask services up)\"`";

/// Names the copies, so that what a killed run left behind can be told from everything else.
const PREFIX: &str = "stanchion_test";

/// The address of a fresh migrated database, for the login of the server.
///
/// # Panics
/// When the tests' Postgres is not there.
pub async fn fresh_url() -> Url {
    fresh_admin_url().await.with_login(LOGIN)
}

/// The same for an administrator of the cluster, who may do everything.
///
/// # Panics
/// When the tests' Postgres is not there.
pub async fn fresh_admin_url() -> Url {
    let admin = admin_url();
    let mut connection = connect(&admin).await;
    let template = template(&admin, &mut connection).await;
    let name = unused_name();
    run(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    connection.close().await.expect("closes");
    admin.with_database(&name)
}

/// A pool on a fresh migrated database.
///
/// # Panics
/// When the tests' Postgres is not there.
pub async fn fresh() -> Database {
    Database::new(&fresh_url().await, config())
}

/// Settings for a machine that is busy with other tests.
#[must_use]
pub fn config() -> Config {
    Config { max_connections: 6, acquire_timeout_ms: 30_000, operation_timeout_ms: 60_000 }
}

/// The text of a URL, for a program that is told by its environment.
#[must_use]
pub fn text(url: &Url) -> String {
    let options = url.options();
    let (login, host, port) = (options.get_username(), options.get_host(), options.get_port());
    format!("postgres://{login}@{host}:{port}/{}", options.get_database().unwrap_or_default())
}

/// The administrator's address of the tests' cluster.
///
/// # Panics
/// When the tests' Postgres is not there.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests are told by their environment where the servers are")]
pub fn admin_url() -> Url {
    std::env::var("STANCHION_TEST_POSTGRES").expect(MISSING).parse().expect("a Postgres URL")
}

/// Connects as whoever a URL says, past every rule of this crate: for looking at what it left behind.
///
/// # Panics
/// When the database cannot be reached.
pub async fn connect(url: &Url) -> PgConnection {
    PgConnection::connect_with(&url.options()).await.expect("the tests' Postgres is reachable")
}

/// Runs statements.
///
/// # Panics
/// When one of them fails.
pub async fn run(connection: &mut PgConnection, statements: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(connection).await.expect("the statement runs");
}

/// Brings an empty database to where a domain was at a version: what an older program has left.
///
/// # Panics
/// When a step fails.
pub async fn migrate_up_to(url: &Url, domain: &str, version: i32) {
    let options = MigrateOptions { grant_to: Some(LOGIN.to_owned()), ..MigrateOptions::default() };
    up_to(url, &options, (domain, version)).await.expect("migrates");
}

/// A name that no database and no login has. Databases of such names are dropped by a later run if this one does not.
#[must_use]
pub fn unused_name() -> String {
    let unique = SystemRandom::default().uuid(SystemClock.now());
    format!("{PREFIX}_{}_{}", SystemClock.now().seconds(), unique.simple())
}

/// Makes the template if this version's is not there, one process at a time, and drops copies that a killed run left behind.
async fn template(admin: &Url, connection: &mut PgConnection) -> String {
    let all: String = MIGRATIONS.iter().map(|step| step.sql()).collect();
    let name = format!("stanchion_template_{}", short_hash(&all));
    let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)";
    let there = |name: String| sqlx::query_scalar::<_, bool>(exists).bind(name);
    if there(name.clone()).fetch_one(&mut *connection).await.expect("reads") {
        return name;
    }
    run(connection, "SELECT pg_advisory_lock(7001)").await;
    if !there(name.clone()).fetch_one(&mut *connection).await.expect("reads") {
        drop_leftovers(connection).await;
        let unfinished = format!("{name}_unfinished");
        run(connection, format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
        run(connection, format!("CREATE DATABASE {unfinished}")).await;
        let login = format!(
            "DO $$ BEGIN CREATE ROLE {LOGIN} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        );
        run(connection, login).await;
        let options = MigrateOptions { grant_to: Some(LOGIN.to_owned()), ..MigrateOptions::default() };
        migrate(&admin.with_database(&unfinished), &options).await.expect("migrates");
        run(connection, format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
        run(connection, format!("ALTER DATABASE {name} IS_TEMPLATE true")).await;
    }
    run(connection, "SELECT pg_advisory_unlock(7001)").await;
    name
}

async fn drop_leftovers(connection: &mut PgConnection) {
    let old = format!(
        "SELECT datname FROM pg_database WHERE datname ~ '^{PREFIX}_[0-9]+_' \
         AND split_part(datname, '_', 3)::bigint < extract(epoch FROM now()) - 3600"
    );
    let old: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(old)).fetch_all(&mut *connection).await.expect("reads");
    for name in old {
        run(connection, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    }
}

fn short_hash(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
