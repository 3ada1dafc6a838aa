use std::io;

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Registry, fmt};

/// What the process says of itself, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// The least level that is written: `error`, `warn`, `info`, `debug` or `trace`, or a list of directives such as
    /// `info,stanchion_gateway=debug`. It is put in force by a reload.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned() }
    }
}

impl LogConfig {
    /// Checks the level.
    ///
    /// # Errors
    /// One sentence when it is no level and no list of directives.
    pub fn validate(&self) -> Result<(), String> {
        self.filter().map(drop)
    }

    fn filter(&self) -> Result<EnvFilter, String> {
        let levels = || {
            format!(
                "`level` is `{}`; use error, warn, info, debug, trace or directives such as `info,stanchion_gateway=debug`",
                self.level
            )
        };
        if self.level.trim().is_empty() {
            return Err(levels());
        }
        EnvFilter::builder().parse(&self.level).map_err(|_| levels())
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// The log of the process, for whoever reloads its level.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    level: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Begins to log.
    pub(crate) fn start(config: &LogConfig) -> Result<Self, String> {
        let (filter, level) = reload::Layer::new(config.filter()?);
        let registry = tracing_subscriber::registry().with(filter);
        let started = match config.format {
            LogFormat::Text => {
                registry.with(fmt::layer().with_writer(io::stderr).with_ansi(is_terminal())).try_init()
            }
            LogFormat::Json => {
                registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init()
            }
        };
        started.map_err(|error: TryInitError| error.to_string())?;
        Ok(Self { level })
    }

    /// Puts another level in force. The format stays.
    pub(crate) fn set_level(&self, config: &LogConfig) -> Result<(), String> {
        self.level.reload(config.filter()?).map_err(|error| error.to_string())
    }
}

fn is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_directives() {
        for good in ["info", "WARN", "off", "info,stanchion_gateway=debug"] {
            assert_eq!(
                LogConfig { level: good.to_owned(), ..LogConfig::default() }.validate(),
                Ok(()),
                "{good}"
            );
        }
        for bad in ["", "loud=very", "info,stanchion=loud"] {
            assert!(LogConfig { level: bad.to_owned(), ..LogConfig::default() }.validate().is_err(), "{bad}");
        }
    }
}
