//! A database comes to its schema from wherever it is.

use sqlx::PgConnection;
use stanchion_postgres::{Database, MigrateError, MigrateOptions, Url, check, migrate, testing};

use super::run;

/// An empty database, and an administrator's connection to it.
async fn empty() -> (Url, PgConnection) {
    let admin = testing::admin_url();
    let name = testing::unused_name();
    let mut connection = testing::connect(&admin).await;
    run(&mut connection, &format!("CREATE DATABASE {name}")).await;
    let login = format!(
        "DO $$ BEGIN CREATE ROLE {} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        testing::LOGIN
    );
    run(&mut connection, &login).await;
    let url = admin.with_database(&name);
    let connection = testing::connect(&url).await;
    (url, connection)
}

async fn applied(admin: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM stanchion.migration").fetch_one(admin).await.unwrap()
}

fn options() -> MigrateOptions {
    MigrateOptions { grant_to: Some(testing::LOGIN.to_owned()), ..MigrateOptions::default() }
}

async fn state(url: &Url) -> Result<(), MigrateError> {
    check(&Database::new(&url.with_login(testing::LOGIN), testing::config())).await
}

#[tokio::test]
async fn it_is_migrated_once_however_often_and_by_however_many() {
    let (url, mut admin) = empty().await;
    let dry = MigrateOptions { dry_run: true, ..options() };
    let all = migrate(&url, &dry).await.unwrap().len();
    let there: bool = sqlx::query_scalar("SELECT to_regnamespace('stanchion') IS NOT NULL")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!(all >= 7 && !there, "a dry run changes nothing");
    let options = options();
    let (one, other) = tokio::join!(migrate(&url, &options), migrate(&url, &options));
    let mut counts = [one.unwrap().len(), other.unwrap().len()];
    counts.sort_unstable();
    assert_eq!(counts, [0, all]);
    assert_eq!(migrate(&url, &options).await.unwrap(), []);
    assert_eq!(applied(&mut admin).await, i64::try_from(all).unwrap());
    state(&url).await.unwrap();
}

#[tokio::test]
async fn one_domain_comes_with_the_foundation_and_the_rest_later() {
    let (url, _admin) = empty().await;
    let only = MigrateOptions { domain: Some("rbac".to_owned()), ..options() };
    let steps: Vec<String> = migrate(&url, &only).await.unwrap().iter().map(ToString::to_string).collect();
    let (first, rest) = steps.split_first().unwrap();
    assert_eq!(first, "core/0001_create_foundation");
    assert!(!rest.is_empty() && rest.iter().all(|step| step.starts_with("rbac/")), "{rest:?}");
    let error = state(&url).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Pending(steps) if steps.len() >= 5), "{error}");
    migrate(&url, &options()).await.unwrap();
    state(&url).await.unwrap();
    let unknown = MigrateOptions { domain: Some("roles".to_owned()), ..options() };
    assert!(matches!(migrate(&url, &unknown).await, Err(MigrateError::UnknownDomain { .. })));
}

/// A step that fails leaves nothing of itself, and all of those before it.
#[tokio::test]
async fn what_was_cut_off_goes_on_where_it_was() {
    let (url, mut admin) = empty().await;
    let only = MigrateOptions { domain: Some("identity".to_owned()), ..options() };
    migrate(&url, &only).await.unwrap();
    run(&mut admin, "CREATE TABLE stanchion.rbac_denial (in_the_way int)").await;
    let error = migrate(&url, &options()).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Failed { step, .. } if step.domain == "rbac"), "{error}");
    let half: bool = sqlx::query_scalar("SELECT to_regclass('stanchion.rbac_role') IS NOT NULL")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!(!half, "nothing is left of the step that failed");
    run(&mut admin, "DROP TABLE stanchion.rbac_denial").await;
    migrate(&url, &options()).await.unwrap();
    state(&url).await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let (url, mut admin) = empty().await;
    migrate(&url, &options()).await.unwrap();
    run(
        &mut admin,
        "INSERT INTO stanchion.migration (domain, version, name, checksum, finished_at) \
                     VALUES ('rbac', 99, 'later', 'x', now())",
    )
    .await;
    assert!(matches!(migrate(&url, &options()).await, Err(MigrateError::Newer { version: 99, .. })));
    assert!(matches!(state(&url).await, Err(MigrateError::Newer { .. })));
    run(
        &mut admin,
        "DELETE FROM stanchion.migration WHERE version = 99; \
                     UPDATE stanchion.migration SET checksum = 'edited' WHERE domain = 'rbac'",
    )
    .await;
    let error = migrate(&url, &options()).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Changed(step) if step.domain == "rbac"), "{error}");
    run(&mut admin, "UPDATE stanchion.migration SET finished_at = NULL WHERE domain = 'core'").await;
    assert!(state(&url).await.is_err());
}

/// On a managed database the roles are an administrator's to make; whoever runs what is asked for gets there.
#[tokio::test]
async fn what_a_login_may_not_do_is_asked_of_an_administrator_word_for_word() {
    let (url, mut admin) = empty().await;
    let login = testing::unused_name();
    run(&mut admin, &format!("CREATE ROLE {login} LOGIN")).await;
    let own = url.with_login(&login);
    for asked in ["GRANT stanchion_owner TO", "GRANT CREATE ON DATABASE"] {
        let error = migrate(&own, &MigrateOptions::default()).await.unwrap_err();
        assert!(matches!(error, MigrateError::Roles { .. }), "{error}");
        let said = error.to_string();
        let (_, remedy) = said.split_once("let an administrator of the database run: ").unwrap();
        assert!(remedy.starts_with(asked), "{said}");
        run(&mut admin, remedy).await;
    }
    migrate(&own, &MigrateOptions::default()).await.unwrap();
    run(
        &mut admin,
        &format!("REASSIGN OWNED BY {login} TO postgres; DROP OWNED BY {login}; DROP ROLE {login}"),
    )
    .await;
}

#[tokio::test]
async fn an_empty_database_says_what_it_lacks() {
    let (url, _admin) = empty().await;
    let error = state(&url).await.unwrap_err().to_string();
    assert!(error.contains("run `stanchion migrate`"), "{error}");
}
