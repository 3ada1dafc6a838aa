use std::io::{self, Write};
use std::path::Path;

use stanchion_postgres::{MigrateError, MigrateOptions, Migration, migrate};

use crate::cli::Migrate;
use crate::config::{Config, directory};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::serve;

/// Brings the database of a configuration to the schema of this program, and says what was done.
pub(crate) async fn run(asked: Migrate, environment: &Environment) -> Result<(), Failure> {
    let path = asked.config.as_path();
    let config = serve::load(path, environment)?;
    let server = address(&config, path, environment)?;
    let postgres = &config.storage.postgres;
    let migrator = match &postgres.migrate_url {
        Some(reference) => reference.postgres(environment, directory(path)).map_err(no_address)?,
        None => server.clone(),
    };
    // Who changes the schema may change everything; the server's login is let into its two roles and no further.
    let grant_to = (migrator.login() != server.login()).then(|| server.login().to_owned());
    let options = MigrateOptions { dry_run: asked.dry_run, domain: asked.domain, grant_to };
    let steps = migrate(&migrator, &options).await.map_err(|error| {
        let exit = if matches!(error, MigrateError::Connect(_)) { Exit::Unreachable } else { Exit::Input };
        Failure::new(exit, "the database was not migrated").because(&error)
    })?;
    told(&steps, asked.dry_run)
        .map_err(|error| Failure::new(Exit::No, "cannot write to standard output").because(&error))
}

fn address(
    config: &Config,
    path: &Path,
    environment: &Environment,
) -> Result<stanchion_postgres::Url, Failure> {
    let missing = || no_address("it is missing".to_owned());
    let reference = config.storage.postgres.url.as_ref().ok_or_else(missing)?;
    reference.postgres(environment, directory(path)).map_err(no_address)
}

fn no_address(why: String) -> Failure {
    Failure::new(Exit::Input, "`[storage.postgres]` does not say where the database is").with_lines([why])
}

fn told(steps: &[Migration], dry_run: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let did = if dry_run { "would apply" } else { "applied" };
    for step in steps {
        writeln!(out, "{did} {step}")?;
    }
    match steps.len() {
        0 => writeln!(out, "nothing to do: the database has the schema of this program"),
        count => writeln!(out, "{did} {count} step{}", if count == 1 { "" } else { "s" }),
    }
}
