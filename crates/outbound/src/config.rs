use std::fmt;
#[cfg(feature = "audit")]
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_core::Secret;

/// A bucket of a service that speaks S3, and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BucketConfig {
    /// The bucket. It has to exist.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Where the service is, such as `https://minio.internal:9000`; left out, AWS in the region. Plain `http://` is for the loopback
    /// and networks of your own.
    pub endpoint: Option<String>,
    /// Whether the bucket is named in the host instead of the path.
    pub virtual_hosts: bool,
    /// The class that objects are stored in, such as `STANDARD_IA` or `GLACIER_IR`; left out, the bucket's. Objects must stay readable
    /// at once: `GLACIER` and `DEEP_ARCHIVE` are not.
    pub storage_class: Option<String>,
    /// Whether objects are locked until the time their entries are to be kept is over. The bucket needs Object Lock.
    pub object_lock: Option<ObjectLock>,
    /// How long a connection may take, in milliseconds, 1 to 600,000.
    pub connect_timeout_ms: u64,
    /// How long an operation may take with all its attempts, in milliseconds, 1 to 600,000.
    pub timeout_ms: u64,
}

impl Default for BucketConfig {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            virtual_hosts: false,
            storage_class: None,
            object_lock: None,
            connect_timeout_ms: 5_000,
            timeout_ms: 60_000,
        }
    }
}

impl BucketConfig {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// The setting, and what it has to be.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let milliseconds = 1..=600_000;
        let is_address = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if self.bucket.is_empty() || self.bucket.contains('/') {
            Err(("bucket", "name a bucket"))
        } else if self.region.is_empty() {
            Err(("region", "name a region"))
        } else if !self.endpoint.as_ref().is_none_or(is_address) {
            Err(("endpoint", "use http:// or https://"))
        } else if !milliseconds.contains(&self.connect_timeout_ms) {
            Err(("connect_timeout_ms", "use 1 to 600000"))
        } else if !milliseconds.contains(&self.timeout_ms) {
            Err(("timeout_ms", "use 1 to 600000"))
        } else {
            Ok(())
        }
    }

    #[cfg(feature = "audit")]
    pub(crate) const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    #[cfg(feature = "audit")]
    pub(crate) const fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

/// How objects are locked until their time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ObjectLock {
    /// Who has the permission for it may lift the lock.
    Governance,
    /// Nobody may, the account's owner neither.
    Compliance,
}

/// Who asks: the two halves of an access key, and the token of a temporary one.
#[derive(Clone)]
pub struct BucketCredentials {
    /// The public half.
    pub access_key: Secret,
    /// The secret half.
    pub secret_key: Secret,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
}

impl fmt::Debug for BucketCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketCredentials").finish_non_exhaustive()
    }
}
