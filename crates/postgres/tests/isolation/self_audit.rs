//! Every known way past row-level security, made on purpose, is found.

use stanchion_postgres::{Database, SelfAuditError, self_audit, testing};

use super::{run, urls};

/// Makes a hole and returns what is found.
async fn findings(hole: &str) -> Vec<String> {
    let (url, mut admin) = urls().await;
    run(&mut admin, hole).await;
    match self_audit(&Database::new(&url, testing::config())).await {
        Ok(()) => Vec::new(),
        Err(SelfAuditError::Holes(found)) => found.iter().map(|finding| finding.object.clone()).collect(),
        Err(error) => panic!("{error}"),
    }
}

macro_rules! holes {
    ($($name:ident: $hole:expr => $found:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            assert_eq!(findings($hole).await, $found);
        }
    )+};
}

holes! {
    a_migrated_database_has_none: "SELECT 1" => [""; 0];

    an_unset_scope_that_is_an_error:
        "CREATE OR REPLACE FUNCTION stanchion.scope() RETURNS uuid LANGUAGE sql STABLE
         RETURN current_setting('stanchion.scope', true)::uuid"
        => ["function stanchion.scope()"];

    a_view_that_runs_as_its_owner:
        "CREATE VIEW public.all_roles AS SELECT * FROM stanchion.rbac_role;
         GRANT SELECT ON public.all_roles TO stanchion_tenant"
        => ["view all_roles"];

    a_view_on_a_view_that_runs_as_its_owner:
        "CREATE SCHEMA other; CREATE VIEW other.inner_roles AS SELECT * FROM stanchion.rbac_role;
         CREATE VIEW public.outer_roles AS SELECT * FROM other.inner_roles; GRANT SELECT ON public.outer_roles TO PUBLIC"
        => ["view outer_roles"];

    a_view_that_runs_as_who_asks_is_none:
        "CREATE VIEW public.my_roles WITH (security_invoker = true) AS SELECT * FROM stanchion.rbac_role;
         GRANT SELECT ON public.my_roles TO stanchion_tenant"
        => [""; 0];

    a_materialised_view:
        "CREATE MATERIALIZED VIEW public.roles_once AS SELECT * FROM stanchion.rbac_role;
         GRANT SELECT ON public.roles_once TO stanchion_tenant"
        => ["materialised view roles_once"];

    a_function_that_runs_as_its_owner:
        "CREATE FUNCTION public.roles() RETURNS bigint LANGUAGE sql SECURITY DEFINER
         AS 'SELECT count(*) FROM stanchion.rbac_role'"
        => ["function roles()"];

    a_partition_that_can_be_named:
        "GRANT SELECT ON stanchion.billing_metering_event_default TO stanchion_tenant"
        => ["table stanchion.billing_metering_event_default without its policy",
            "partition stanchion.billing_metering_event_default, for stanchion_tenant"];

    a_partition_without_row_level_security:
        "ALTER TABLE stanchion.billing_metering_event_default NO FORCE ROW LEVEL SECURITY"
        => ["table stanchion.billing_metering_event_default"];

    a_foreign_key_that_leaves_out_the_scope:
        "CREATE TABLE stanchion.note (scope_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (scope_id, id));
         ALTER TABLE stanchion.note OWNER TO stanchion_owner;
         CALL stanchion.isolate('stanchion.note', 'SELECT, INSERT', NULL);
         ALTER TABLE stanchion.identity_key ADD CONSTRAINT once UNIQUE (scope_id, id);
         CREATE UNIQUE INDEX key_of_any_tenant ON stanchion.identity_key (id);
         ALTER TABLE stanchion.note ADD CONSTRAINT of_key FOREIGN KEY (id) REFERENCES stanchion.identity_key (id)"
        => ["foreign key of_key of stanchion.note", "unique index stanchion.key_of_any_tenant"];

    a_unique_key_over_all_tenants:
        "ALTER TABLE stanchion.rbac_role ADD CONSTRAINT one_name UNIQUE (name)"
        => ["unique index stanchion.one_name"];

    a_policy_that_lets_anything_be_written:
        "CREATE POLICY writes ON stanchion.rbac_role FOR INSERT TO stanchion_tenant WITH CHECK (true)"
        => ["policy writes on stanchion.rbac_role"];

    a_policy_of_another_condition:
        "ALTER POLICY tenant ON stanchion.rbac_role USING (true)"
        => ["policy tenant on stanchion.rbac_role"];

    a_policy_that_is_gone:
        "DROP POLICY tenant ON stanchion.rbac_role"
        => ["table stanchion.rbac_role without its policy"];

    row_level_security_that_is_off:
        "ALTER TABLE stanchion.rbac_role DISABLE ROW LEVEL SECURITY"
        => ["table stanchion.rbac_role"];

    row_level_security_that_its_owner_passes_by:
        "ALTER TABLE stanchion.rbac_role NO FORCE ROW LEVEL SECURITY"
        => ["table stanchion.rbac_role"];

    a_table_that_was_never_shut_off:
        "CREATE TABLE stanchion.note (id uuid PRIMARY KEY, body text);
         ALTER TABLE stanchion.note OWNER TO stanchion_owner; GRANT SELECT ON stanchion.note TO stanchion_tenant"
        => ["table stanchion.note", "table stanchion.note, for stanchion_tenant",
            "table stanchion.note without its policy", "unique index stanchion.note_pkey"];

    a_table_for_the_public:
        "GRANT SELECT ON stanchion.rbac_role TO PUBLIC"
        => ["login stanchion_test_app on stanchion.rbac_role", "table stanchion.rbac_role, for PUBLIC"];

    a_table_of_another_owner:
        "ALTER TABLE stanchion.rbac_role OWNER TO postgres"
        => ["table stanchion.rbac_role"];
}

/// What a session-wide scope does: it is there before any transaction of ours has set one.
#[tokio::test]
async fn a_scope_that_is_set_for_a_database() {
    let found = findings(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET stanchion.scope = %L', current_database(),
         '00000000-0000-0000-0000-000000000000'); END $$",
    )
    .await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().any(|object| object.starts_with("setting stanchion.scope of stanchion_test_")),
        "{found:?}"
    );
    assert!(found.contains(&"scope of this session".to_owned()), "{found:?}");
}

/// Roles belong to the whole cluster, so these are looked at from a login of the test's own.
async fn of_login(role: &str) -> Vec<String> {
    let (url, mut admin) = urls().await;
    let login = testing::unused_name();
    run(
        &mut admin,
        &format!(
            "CREATE ROLE {login} LOGIN NOINHERIT; GRANT stanchion_tenant, stanchion_system TO {login}; {}",
            role.replace("LOGIN", &login)
        ),
    )
    .await;
    let found = match self_audit(&Database::new(&url.with_login(&login), testing::config())).await {
        Ok(()) => Vec::new(),
        Err(SelfAuditError::Holes(found)) => {
            found.iter().map(|finding| finding.object.replace(&login, "LOGIN")).collect()
        }
        Err(error) => panic!("{error}"),
    };
    run(
        &mut admin,
        &format!("REASSIGN OWNED BY {login} TO postgres; DROP OWNED BY {login}; DROP ROLE {login}"),
    )
    .await;
    found
}

#[tokio::test]
async fn a_login_that_is_more_than_it_should_be() {
    assert_eq!(of_login("SELECT 1").await, [""; 0]);
    assert_eq!(of_login("ALTER ROLE LOGIN BYPASSRLS").await, ["role LOGIN"]);
    assert_eq!(of_login("ALTER ROLE LOGIN SUPERUSER").await, ["role LOGIN"]);
    assert_eq!(of_login("GRANT stanchion_owner TO LOGIN").await, ["role LOGIN, member of stanchion_owner"]);
    assert_eq!(of_login("GRANT postgres TO LOGIN").await, ["role LOGIN, member of postgres"]);
    assert_eq!(
        of_login("GRANT SELECT ON stanchion.rbac_role TO LOGIN").await,
        ["login LOGIN on stanchion.rbac_role"]
    );
    let inherits = of_login("ALTER ROLE LOGIN INHERIT").await;
    assert!(inherits.contains(&"login LOGIN on stanchion.rbac_role".to_owned()), "{inherits:?}");
}
