use std::path::{Path, PathBuf};

use crate::config::{Backend, Config, Problem, Secrets};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::log::Log;
use crate::server::{Listeners, Server, Taken};
use crate::signals::{Ask, Signals};
use crate::{bootstrap, config};

/// What `stanchion serve` is asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) config: PathBuf,
    pub(crate) storage: Option<Backend>,
}

/// Serves until it is told to stop.
pub(crate) async fn run(options: Options, environment: &Environment) -> Result<(), Failure> {
    let path = options.config.as_path();
    let mut config = load(path, environment)?;
    if let Some(backend) = options.storage.filter(|backend| *backend != config.storage.backend) {
        config.storage.backend = backend;
        config.storage.counters = None;
    }
    let unusable = |why: String| Failure::new(Exit::Input, "the log cannot be started").with_lines([why]);
    let log = Log::start(&config.log).map_err(unusable)?;
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new(Exit::No, "signals cannot be listened to").because(&error))?;
    let key_file = config.admin.first_key_file.as_ref().map(|file| config::directory(path).join(file));
    let starts_empty = !config.storage.backend.is_durable();
    let listeners = Listeners::bind(&config).await.map_err(|taken| cannot_listen(&taken))?;
    let mut server = Server::start(config, path, environment, listeners).await?;
    if starts_empty {
        let engines = server.platform.pipeline.engines();
        let administrator =
            bootstrap::administrator(engines, &bootstrap::subject()?, bootstrap::NAME).await?;
        bootstrap::hand_over(&administrator, key_file.as_deref())?;
    }
    server.open();
    loop {
        tokio::select! {
            failure = server.death() => return Err(failure),
            ask = signals.next() => match ask {
                Ask::Reload => reload(&mut server, &log, path, environment).await,
                Ask::Stop => break,
            },
        }
    }
    tracing::info!("stopping: exchanges may end; a second signal ends at once");
    tokio::select! {
        ended = server.shutdown() => ended,
        () = signals.stop() => {
            Err(Failure::new(Exit::No, "ended at once, as a second signal asked; what was not recorded yet is lost"))
        }
    }
}

/// Reads a configuration, or says everything that is wrong with it.
pub(crate) fn load(path: &Path, environment: &Environment) -> Result<Config, Failure> {
    Config::load(path, environment, Secrets::Required).map_err(|problems| not_valid(path, &problems))
}

pub(crate) fn not_valid(path: &Path, problems: &[Problem]) -> Failure {
    let count = match problems.len() {
        1 => "a problem".to_owned(),
        count => format!("{count} problems"),
    };
    Failure::new(Exit::Input, format!("{} has {count}", path.display())).with_lines(problems)
}

fn cannot_listen(taken: &Taken) -> Failure {
    let variable = format!("STANCHION__{}__LISTEN", taken.section.to_uppercase());
    let way_out = format!("set `listen` of [{}] to another address, or {variable}", taken.section);
    Failure::new(Exit::Input, format!("cannot listen on {}", taken.address))
        .because(&taken.error)
        .with_lines([way_out])
}

/// Puts the configuration in force as it is now. One that is not valid changes nothing.
async fn reload(server: &mut Server, log: &Log, path: &Path, environment: &Environment) {
    let next = match Config::load(path, environment, Secrets::Required) {
        Ok(next) => next,
        Err(problems) => {
            for problem in problems {
                tracing::error!(%problem, "the configuration is not valid and stays as it was");
            }
            return;
        }
    };
    let level = log.set_level(&next.log);
    if let Err(failure) = server.reload(next).await {
        return tracing::error!(%failure, "the configuration could not be put in force");
    }
    match level {
        Ok(()) => tracing::info!("the configuration was put in force"),
        Err(why) => tracing::error!(why, "the level of the log stays as it was"),
    }
}
