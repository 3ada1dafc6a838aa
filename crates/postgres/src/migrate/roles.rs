use sqlx::{AssertSqlSafe, PgConnection};

use super::MigrateError;

/// The three roles. None can sign in, none is a superuser, none passes by row-level security.
const ROLES: [&str; 3] = ["stanchion_owner", "stanchion_tenant", "stanchion_system"];

const SCHEMA: &str = "
CREATE SCHEMA IF NOT EXISTS stanchion AUTHORIZATION stanchion_owner;
SET ROLE stanchion_owner;
REVOKE ALL ON SCHEMA stanchion FROM PUBLIC;
GRANT USAGE ON SCHEMA stanchion TO stanchion_tenant, stanchion_system;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE TABLE IF NOT EXISTS stanchion.migration (
    domain text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    PRIMARY KEY (domain, version)
);
GRANT SELECT ON stanchion.migration TO stanchion_system;
RESET ROLE";

/// Makes what is missing of the roles, the schema and the list of steps. What an administrator has made before is taken as it is.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let here = "SELECT quote_ident(current_user), quote_ident(current_database())";
    let here = sqlx::query_as(here).fetch_one(&mut *connection).await;
    let (login, database): (String, String) = here.map_err(MigrateError::Connect)?;
    let grant = format!("GRANT stanchion_owner TO {login}");

    let missing =
        "SELECT name FROM unnest($1::text[]) AS name WHERE name NOT IN (SELECT rolname FROM pg_roles)";
    let missing = sqlx::query_scalar(missing).bind(ROLES.as_slice()).fetch_all(&mut *connection).await;
    let missing: Vec<String> = missing.map_err(MigrateError::Connect)?;
    let create = |role| format!("CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE");
    let create: Vec<String> = missing.iter().map(create).collect();
    for statement in &create {
        let made = run(connection, statement.clone()).await;
        if !made.as_ref().is_err_and(is_there_already) {
            let remedy = format!("{}; {grant}", create.join("; "));
            refused(made, "roles are missing and cannot be made", &remedy)?;
        }
    }
    let member = "SELECT pg_has_role(current_user, 'stanchion_owner', 'MEMBER')";
    let member = sqlx::query_scalar(member).fetch_one(&mut *connection).await;
    if !member.map_err(MigrateError::Connect)? {
        refused(run(connection, grant.clone()).await, "the owner's role is not ours to take", &grant)?;
    }
    let remedy = format!("GRANT CREATE ON DATABASE {database} TO {login}");
    refused(run(connection, SCHEMA.to_owned()).await, "the schema cannot be made", &remedy)
}

/// Tells whether a role was not made because another process has just made it.
fn is_there_already(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("42710" | "23505")))
}

/// Tells whether a login has its two roles, and has their rights only when it takes them.
const GRANTED: &str = "
SELECT EXISTS (
    SELECT FROM pg_roles WHERE rolname = $1
    AND pg_has_role(oid, 'stanchion_tenant', 'MEMBER') AND pg_has_role(oid, 'stanchion_system', 'MEMBER')
    AND NOT pg_has_role(oid, 'stanchion_tenant', 'USAGE') AND NOT pg_has_role(oid, 'stanchion_system', 'USAGE'))";

/// Lets a login take the roles the server works in, but not have their rights outside a transaction of ours.
pub(super) async fn grant(connection: &mut PgConnection, login: &str) -> Result<(), MigrateError> {
    // Roles belong to the whole cluster: what is as it should be is let alone, since another database's migration may be at it.
    let is_granted = sqlx::query_scalar(GRANTED).bind(login).fetch_one(&mut *connection).await;
    if is_granted.map_err(MigrateError::Connect)? {
        return Ok(());
    }
    let quoted = sqlx::query_scalar("SELECT quote_ident($1)").bind(login).fetch_one(&mut *connection).await;
    let quoted: String = quoted.map_err(MigrateError::Connect)?;
    let version = sqlx::query_scalar("SELECT current_setting('server_version_num')::int");
    let version: i32 = version.fetch_one(&mut *connection).await.map_err(MigrateError::Connect)?;
    // Since 16 inheritance belongs to each grant, before that to the login.
    let grant = if version >= 160_000 {
        format!("GRANT stanchion_tenant, stanchion_system TO {quoted} WITH INHERIT FALSE, SET TRUE")
    } else {
        format!("ALTER ROLE {quoted} NOINHERIT; GRANT stanchion_tenant, stanchion_system TO {quoted}")
    };
    let what = "the server's login cannot be given its roles";
    refused(run(connection, grant.clone()).await, what, &grant)
}

async fn run(connection: &mut PgConnection, statements: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.map(drop)
}

fn refused(done: Result<(), sqlx::Error>, what: &'static str, remedy: &str) -> Result<(), MigrateError> {
    done.map_err(|source| MigrateError::Roles { what, remedy: remedy.to_owned(), source })
}
