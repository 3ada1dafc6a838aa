use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanchion_audit::{self as audit, WitnessKey};

/// Where checkpoints of the platform's security log are put out of the reach of who owns the database. That log tells the checkpoints of
/// all others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnchorsConfig {
    /// How often they are published, and when somebody is told that they are not.
    pub publish: audit::PublishConfig,
    /// Files that they are appended to, a line each.
    pub files: Vec<PathBuf>,
    /// Directories in which each becomes a file of its own that is never overwritten.
    pub directories: Vec<PathBuf>,
    /// Witnesses that cosign them, as C2SP's tlog-witness says.
    pub witnesses: Vec<WitnessConfig>,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// What `/add-checkpoint` is appended to.
    pub url: String,
    /// What verifies its cosignatures: `NAME+ID+KEY`, as the witness publishes it.
    pub key: String,
    /// The file that cosigned checkpoints are appended to. It has to last: without it the witness is asked where it stands.
    pub kept: PathBuf,
}

impl AnchorsConfig {
    /// Checks that every setting can be used.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.publish.validate().map_err(|error| format!("publish.{error}"))?;
        for witness in &self.witnesses {
            if !(witness.url.starts_with("http://") || witness.url.starts_with("https://")) {
                return Err(format!("witnesses: `{}` is no URL: use http:// or https://", witness.url));
            }
            if witness.key.parse::<WitnessKey>().is_err() {
                return Err(format!(
                    "witnesses: `{}` is no key of a witness: use NAME+ID+KEY, of type 4",
                    witness.key
                ));
            }
        }
        Ok(())
    }
}
