//! The `stanchion` program: it composes the crates and adds what a process needs, and holds no rule of any domain.
//!
//! * [`config`]: one TOML file, composed of the crates' own settings, checked as a whole with the line of each problem;
//! * wiring: the engines, put together; workers that run beside the requests; a server that starts, reloads and ends in good order;
//! * quickstart: all of it in one process, with a story that can be checked;
//! * administration: commands over the admin API of a running server.
//!
//! [`run`] is the program: `main` gives it the arguments and the environment and hands its answer to the shell.

mod admin;
mod bootstrap;
mod check;
mod cli;
pub mod config;
mod environment;
mod failure;
mod http_client;
mod json;
mod limits;
mod listener;
mod load;
mod log;
mod migrate;
mod proofs;
mod quickstart;
pub mod reference;
mod serve;
mod server;
mod shared;
mod signals;
mod stores;
mod terminal;
mod timer;
mod wiring;
mod workers;

pub use environment::Environment;
pub use failure::{Exit, Failure};

pub use cli::Cli;

use crate::admin::rbac::Access;
use crate::admin::what::Audit;
use crate::admin::who::Key;
use crate::cli::{Command, Describe};
use crate::config::Secrets;

/// Runs the program as its arguments say.
///
/// # Errors
/// [`Failure`] says what the person and the shell are told.
pub fn run(cli: Cli, environment: &Environment) -> Result<(), Failure> {
    let program = program(cli, environment);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Exit::No, "the runtime cannot be started").because(&error))?;
    let ended = runtime.block_on(program);
    runtime.shutdown_background();
    ended
}

async fn program(cli: Cli, environment: &Environment) -> Result<(), Failure> {
    match cli.command {
        Command::Quickstart(asked) => {
            quickstart::run(quickstart::Options { port: asked.port, once: asked.once }, environment).await
        }
        Command::Serve(asked) => {
            serve::run(serve::Options { config: asked.config, storage: asked.storage }, environment).await
        }
        Command::Check(asked) => {
            let secrets = if asked.without_secrets { Secrets::Elsewhere } else { Secrets::Required };
            check::run(&asked.config, secrets, environment)
        }
        Command::Migrate(asked) => migrate::run(asked, environment).await,
        Command::Config(Describe::Schema) => reference::write(&format!("{:#}\n", reference::config_schema())),
        Command::Config(Describe::Reference) => reference::write(&reference::config_page()),
        Command::Errors => reference::write(&reference::errors_page()),
        Command::Tenant(command) => admin::run(command.into(), environment).await,
        Command::Key(Key::Create {
            administrator: true,
            config: Some(config),
            subject,
            name,
            key_file,
            ..
        }) => {
            let asked = bootstrap::Asked { config, subject, name, key_file };
            bootstrap::run(asked, environment).await
        }
        Command::Key(command) => admin::run(command.into(), environment).await,
        Command::Role(command) => admin::run(command.into(), environment).await,
        Command::Assign(command) => admin::run(command.into(), environment).await,
        Command::Grant(command) => admin::run(command.into(), environment).await,
        Command::Deny(command) => admin::run(command.into(), environment).await,
        Command::Group(command) => admin::run(command.into(), environment).await,
        Command::Separation(command) => admin::run(command.into(), environment).await,
        Command::Session(command) => admin::run(command.into(), environment).await,
        Command::Permission(command) => admin::run(command.into(), environment).await,
        Command::Access(Access::Export(asked)) => admin::rbac::transfer::export(asked, environment).await,
        Command::Access(Access::Import(asked)) => admin::rbac::transfer::import(asked, environment).await,
        Command::Access(command) => admin::run(command.into(), environment).await,
        Command::Limit(command) => admin::run(command.into(), environment).await,
        Command::Usage(command) => {
            admin::run(admin::Plan::usage(command, &timer::this_month()), environment).await
        }
        Command::Audit(Audit::Verify { store: Some(config), anchored, scoped, .. }) => {
            proofs::store::verify(&config, scoped.tenant.as_deref(), &anchored, environment).await
        }
        Command::Audit(Audit::Verify { proofs, verifier_key, mac_keys, anchored, .. })
            if !proofs.is_empty() =>
        {
            proofs::verify(&proofs, &verifier_key, mac_keys.as_deref(), &anchored, environment)
        }
        Command::Audit(Audit::Tail { wanted, follow, lines, scoped }) => {
            let then = if follow { admin::tail::Then::Follow } else { admin::tail::Then::End };
            let plan = Audit::Tail { wanted, follow, lines, scoped }.into();
            admin::tail::run(plan, then, environment).await
        }
        Command::Audit(Audit::Export { wanted, format, job, out, scoped }) => {
            let by = if job { admin::export::By::Job } else { admin::export::By::Stream };
            let plan = Audit::Export { wanted, format, job, out: out.clone(), scoped }.into();
            admin::export::run(plan, format, by, &out, environment).await
        }
        Command::Audit(command) => admin::run(command.into(), environment).await,
    }
}
