use std::io::{self, Write};
use std::path::Path;

use crate::config::{Config, Secrets};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::serve;

/// Checks a configuration and says what is in it.
pub(crate) fn run(path: &Path, secrets: Secrets, environment: &Environment) -> Result<(), Failure> {
    let config =
        Config::load(path, environment, secrets).map_err(|problems| serve::not_valid(path, &problems))?;
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut parts = vec![
        count(config.routes.len(), "route"),
        count(config.upstreams.len(), "upstream"),
        count(config.limits.len(), "limit"),
        count(config.metering.meters.len(), "meter"),
    ];
    if config.envoy.enabled {
        parts.push(count(config.envoy.domains.len(), "Envoy domain"));
    }
    writeln!(io::stdout(), "{}: ok, {}", path.display(), parts.join(", "))
        .map_err(|error| Failure::new(Exit::No, "cannot write to standard output").because(&error))
}
