use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanchion_audit::ObjectStore;
use stanchion_outbound::{BucketConfig, BucketCredentials, FileObjectStore, S3ObjectStore};

use crate::config::SecretRef;
use crate::environment::Environment;

/// Where entries of the audit ledger are archived: below a directory or in a bucket. Left out, nothing is archived, and what is dropped
/// is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveConfig {
    /// The directory. A relative path begins at the directory of the configuration. Replicas have to share it.
    pub directory: Option<PathBuf>,
    /// The bucket.
    pub bucket: Option<BucketConfig>,
    /// The public half of the key to the bucket.
    pub access_key: Option<SecretRef>,
    /// The secret half of the key to the bucket.
    pub secret_key: Option<SecretRef>,
    /// The token that belongs to a temporary key.
    pub session_token: Option<SecretRef>,
}

impl ArchiveConfig {
    /// Tells whether entries are archived.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.directory.is_some() || self.bucket.is_some()
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        if self.directory.is_some() {
            return Err("`bucket` and `directory` cannot both be set: an archive is in one place".to_owned());
        }
        bucket.validate().map_err(|(setting, rule)| format!("`bucket.{setting}`: {rule}"))?;
        match (&self.access_key, &self.secret_key) {
            (Some(_), Some(_)) => Ok(()),
            (None, _) => {
                Err("`access_key` is missing: say where it is, as `env:NAME` or `file:PATH`".to_owned())
            }
            (_, None) => {
                Err("`secret_key` is missing: say where it is, as `env:NAME` or `file:PATH`".to_owned())
            }
        }
    }

    /// Prepares to write there; `None` when nothing is archived.
    ///
    /// # Errors
    /// One sentence when a secret cannot be fetched, or the bucket cannot be used as it is configured.
    pub(crate) fn open(
        &self,
        environment: &Environment,
        directory: &Path,
    ) -> Result<Option<Arc<dyn ObjectStore>>, String> {
        if let Some(files) = &self.directory {
            return Ok(Some(Arc::new(FileObjectStore::new(directory.join(files)))));
        }
        let Some(bucket) = &self.bucket else { return Ok(None) };
        let secret = |reference: &Option<SecretRef>| {
            reference.as_ref().map(|reference| reference.resolve(environment, directory)).transpose()
        };
        let (Some(access_key), Some(secret_key)) = (secret(&self.access_key)?, secret(&self.secret_key)?)
        else {
            return Err("the key to the bucket is missing".to_owned());
        };
        let session_token = secret(&self.session_token)?;
        let credentials = BucketCredentials { access_key, secret_key, session_token };
        let store = S3ObjectStore::new(bucket.clone(), &credentials).map_err(|error| error.to_string())?;
        Ok(Some(Arc::new(store)))
    }
}
