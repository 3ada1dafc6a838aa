//! The secrets that entries are signed with, in a file.

use std::path::Path;

use stanchion_audit::with_evolved;
use stanchion_core::KeyRing;

use crate::config::{KeyVersions, directory};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};

/// Reads a file that says where each version is, as `[audit.signing_keys]` of a configuration does. With `evolves = true` beside them they
/// are roots, from which the keys of all epochs follow.
pub(crate) fn read(path: &Path, environment: &Environment) -> Result<KeyRing, Failure> {
    let invalid = || Failure::new(Exit::Input, format!("`{}` has no keys", path.display()));
    let example = "say where each version is: 1 = \"env:LEDGER_1\", or \"file:PATH\"";
    let text = std::fs::read_to_string(path).map_err(|error| super::unreadable(path, &error))?;
    // An error of the parser shows the text, and what is no reference may be the secret itself.
    let mut table: toml::Table = toml::from_str(&text).map_err(|_| invalid().with_lines([example]))?;
    let evolves = match table.remove("evolves") {
        None => false,
        Some(toml::Value::Boolean(evolves)) => evolves,
        Some(_) => return Err(invalid().with_lines(["`evolves` is true or false"])),
    };
    let versions: KeyVersions =
        toml::from_str(&table.to_string()).map_err(|_| invalid().with_lines([example]))?;
    let found = versions.resolve(environment, directory(path)).map_err(|problems| {
        invalid().with_lines(problems.into_iter().map(|(version, why)| format!("version {version}: {why}")))
    })?;
    let found = found.ok_or_else(|| invalid().with_lines([example]))?;
    Ok(if evolves { with_evolved(&found) } else { found })
}
