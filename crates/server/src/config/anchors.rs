use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanchion_audit::{self as audit, ObjectName, WitnessKey};
use stanchion_outbound::{BucketConfig, BucketCredentials};

use crate::config::SecretRef;
use crate::environment::Environment;

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
    /// Buckets in which each becomes an object that is never overwritten. Let the server put, read and list there, and delete nothing.
    pub buckets: Vec<AnchorBucketConfig>,
    /// Witnesses that cosign them, as C2SP's tlog-witness says.
    pub witnesses: Vec<WitnessConfig>,
}

/// A bucket for checkpoints, of a service that heeds `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnchorBucketConfig {
    /// The bucket.
    pub bucket: BucketConfig,
    /// What the names of the objects begin with: names of `a-z 0-9 . _ = -`, with slashes between.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// For how many days each is locked, if `bucket.object_lock` is set, 1 to 36,500.
    pub keep_days: Option<u32>,
    /// The public half of the key to the bucket.
    pub access_key: SecretRef,
    /// The secret half of the key to the bucket.
    pub secret_key: SecretRef,
    /// The token that belongs to a temporary key.
    pub session_token: Option<SecretRef>,
}

fn prefix() -> String {
    "checkpoints".to_owned()
}

impl AnchorBucketConfig {
    fn validate(&self) -> Result<(), String> {
        self.bucket.validate().map_err(|(setting, rule)| format!("buckets: `bucket.{setting}`: {rule}"))?;
        if self.prefix.parse::<ObjectName>().is_err() {
            return Err(format!("buckets: `{}` is no beginning of a name", self.prefix));
        }
        match self.keep_days {
            Some(days) if !(1..=36_500).contains(&days) => {
                Err("buckets: `keep_days` must be 1 to 36500".to_owned())
            }
            None if self.bucket.object_lock.is_some() => {
                Err("buckets: `bucket.object_lock` needs `keep_days`: say for how long".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Fetches the key to the bucket.
    ///
    /// # Errors
    /// The setting and one sentence for each secret that cannot be fetched.
    pub(crate) fn credentials(
        &self,
        environment: &Environment,
        directory: &Path,
    ) -> Result<BucketCredentials, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let mut secret = |key, reference: &SecretRef| {
            reference.resolve(environment, directory).map_err(|why| problems.push((key, why))).ok()
        };
        let access_key = secret("access_key", &self.access_key);
        let secret_key = secret("secret_key", &self.secret_key);
        let session_token =
            self.session_token.as_ref().and_then(|reference| secret("session_token", reference));
        match (access_key, secret_key) {
            (Some(access_key), Some(secret_key)) if problems.is_empty() => {
                Ok(BucketCredentials { access_key, secret_key, session_token })
            }
            _ => Err(problems),
        }
    }
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
        self.buckets.iter().try_for_each(AnchorBucketConfig::validate)?;
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
