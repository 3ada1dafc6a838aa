//! What one tenant has, another neither sees nor changes, in any table there is.

use sqlx::{AssertSqlSafe, PgConnection, Row};
use stanchion_core::Scope;
use stanchion_postgres::{PgRbacStore, TenantTx, scope_id, testing};
use stanchion_rbac::RbacStore;

use super::{change, database, run, tenant};

/// Every table that a tenant's transaction may touch, as the catalogs know them.
async fn tables(admin: &mut PgConnection) -> Vec<String> {
    let all = "SELECT c.oid::regclass::text FROM pg_class AS c WHERE relnamespace = 'stanchion'::regnamespace \
               AND relkind IN ('r', 'p') AND has_table_privilege('stanchion_tenant', c.oid, 'SELECT, INSERT, UPDATE, DELETE')";
    sqlx::query_scalar(all).fetch_all(admin).await.unwrap()
}

/// Fills a table with one row of a scope: defaults where there are any, else something of the column's type.
async fn fill(admin: &mut PgConnection, table: &str, scope: Scope) {
    let columns = "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute \
        WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef \
        AND attidentity = '' ORDER BY attnum";
    let rows = sqlx::query(columns).bind(table).fetch_all(&mut *admin).await.unwrap();
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for row in &rows {
        let (name, kind): (String, String) = (row.get("name"), row.get("type"));
        values.push(match (name.as_str(), kind.as_str()) {
            ("scope_id", _) => format!("'{}'", scope_id(scope).unwrap()),
            ("digest", "bytea") => "decode(repeat('ab', 32), 'hex')".to_owned(),
            ("key_id" | "id", "uuid") => "'0192f0c1-2345-7abc-8def-0123456789ab'".to_owned(),
            (_, "uuid") => "gen_random_uuid()".to_owned(),
            ("part", "integer") => "to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')::integer".to_owned(),
            (_, "text[]" | "bigint[]") => "'{}'".to_owned(),
            (_, "jsonb") => "'{}'".to_owned(),
            (_, "bytea") => "'x'".to_owned(),
            (_, "boolean") => "true".to_owned(),
            (_, "timestamp with time zone") => "now()".to_owned(),
            (_, "text") => "'x'".to_owned(),
            _ => "1".to_owned(),
        });
        names.push(format!("\"{name}\""));
    }
    run(admin, &format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "))).await;
}

async fn count(connection: &mut PgConnection, table: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(connection).await
}

/// Tells whether a statement is refused, or changes nothing.
async fn is_harmless(tx: &mut TenantTx<'_>, statement: String) -> bool {
    let connection = tx.connection().unwrap();
    sqlx::raw_sql("SAVEPOINT before").execute(&mut *connection).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await;
    sqlx::raw_sql("ROLLBACK TO SAVEPOINT before").execute(connection).await.unwrap();
    match done {
        Ok(done) => done.rows_affected() == 0,
        Err(sqlx::Error::Database(_)) => true,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn no_table_shows_or_gives_one_tenant_s_rows_to_another() {
    let (database, mut admin) = database().await;
    let (mine, other) = (tenant(1), tenant(2));
    let mut tables = tables(&mut admin).await;
    // Keys come before their hashes, which refer to them.
    tables.sort();
    assert!(tables.len() >= 15, "{tables:?}");
    for counted in ["stanchion.ratelimit_counter", "stanchion.ratelimit_entry", "stanchion.ratelimit_hold"] {
        assert!(tables.iter().any(|table| table == counted), "{tables:?}");
    }
    for table in &tables {
        fill(&mut admin, table, mine).await;
        let held =
            format!("SELECT '{table}' WHERE has_table_privilege('stanchion_tenant', '{table}', 'SELECT')");
        let may_read = !sqlx::query(AssertSqlSafe(held)).fetch_all(&mut admin).await.unwrap().is_empty();
        for (scope, visible) in [(mine, 1), (other, 0), (Scope::Platform, 0)] {
            let mut tx = TenantTx::begin(&database, scope).await.unwrap();
            if may_read {
                assert_eq!(
                    count(tx.connection().unwrap(), table).await.unwrap(),
                    visible,
                    "{table} as {scope}"
                );
            }
            if scope != mine {
                let id = scope_id(scope).unwrap();
                for statement in [
                    format!("DELETE FROM {table}"),
                    format!("UPDATE {table} SET scope_id = '{id}'"),
                    format!("INSERT INTO {table} SELECT * FROM {table}"),
                    format!("TRUNCATE {table}"),
                ] {
                    assert!(is_harmless(&mut tx, statement.clone()).await, "{statement} as {scope}");
                }
            }
            tx.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_row_cannot_be_written_for_another_tenant() {
    let (database, _admin) = database().await;
    let mut tx = TenantTx::begin(&database, tenant(2)).await.unwrap();
    let theirs = scope_id(tenant(1)).unwrap();
    let refused =
        format!("INSERT INTO stanchion.revision (scope_id, domain, revision) VALUES ('{theirs}', 'rbac', 1)");
    let error = sqlx::raw_sql(AssertSqlSafe(refused)).execute(tx.connection().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("row-level security"), "{error}");
}

#[tokio::test]
async fn the_login_alone_reads_nothing() {
    let (_database, mut admin) = database().await;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut admin).await.unwrap();
    let url = testing::admin_url().with_database(&name).with_login(testing::LOGIN);
    let mut login = testing::connect(&url).await;
    for table in tables(&mut admin).await {
        let error = count(&mut login, &table).await.unwrap_err();
        assert!(error.to_string().contains("permission denied"), "{table}: {error}");
    }
    run(&mut login, "SET ROLE stanchion_tenant").await;
    assert_eq!(count(&mut login, "stanchion.rbac_role").await.unwrap(), 0, "no scope is no tenant");
}

#[tokio::test]
async fn the_platform_s_number_is_no_tenant() {
    let (database, _admin) = database().await;
    let store = PgRbacStore::new(database);
    store.apply(Scope::Platform, change(0, "admin")).await.unwrap();
    let nil = Scope::Tenant(stanchion_core::TenantId::from_uuid(uuid::Uuid::nil()));
    assert!(store.load(nil).await.is_err());
    assert!(store.apply(nil, change(1, "other")).await.is_err());
}

/// A transaction of the caller's is confined to the scope, and is the caller's again afterwards.
#[tokio::test]
async fn a_joined_transaction_commits_and_rolls_back_with_its_owner() {
    let (database, mut admin) = database().await;
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut admin).await.unwrap();
    run(&mut admin, "CREATE TABLE public.orders (id int); GRANT ALL ON public.orders TO PUBLIC").await;
    let url = testing::admin_url().with_database(&name).with_login(testing::LOGIN);
    let mut own = testing::connect(&url).await;
    let store = PgRbacStore::new(database);
    assert!(TenantTx::join(&mut own, tenant(1)).await.is_err(), "there is no transaction to join");
    for (end, orders, roles) in [("ROLLBACK", 0, 0), ("COMMIT", 1, 1)] {
        run(&mut own, "BEGIN; INSERT INTO public.orders VALUES (1)").await;
        let mut tx = TenantTx::join(&mut own, tenant(1)).await.unwrap();
        PgRbacStore::apply_on(&mut tx, &change(0, "admin")).await.unwrap();
        tx.commit().await.unwrap();
        let user: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut own).await.unwrap();
        assert_eq!(user, testing::LOGIN);
        run(&mut own, end).await;
        assert_eq!(count(&mut admin, "public.orders").await.unwrap(), orders);
        assert_eq!(store.load(tenant(1)).await.unwrap().roles.len(), roles);
    }
}
