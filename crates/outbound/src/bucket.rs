use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, AwsCredentialProvider, Checksum};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutOptions, PutPayload, RetryConfig, StaticCredentialProvider,
};
use stanchion_audit::{ObjectName, ObjectStore, PutOutcome};
use stanchion_core::{Secret, StoreError, StoreErrorKind, Timestamp};

use crate::lock::{KeepUntil, Locking};
use crate::{BucketConfig, BucketCredentials};

const BACKEND: &str = "s3";

/// Why a bucket cannot be talked to as it is configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBucket {
    /// A setting is out of its range.
    #[error("`{setting}`: {rule}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// A half of the access key is no text.
    #[error("the access key is no text")]
    Credentials,
    /// The client does not take it.
    #[error("the bucket cannot be used")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Objects in a bucket of a service that speaks S3. It has to take conditional puts: AWS, Cloudflare R2, `MinIO`, Ceph and Garage of these
/// years do. A service that ignores `If-None-Match` would let objects be overwritten; [`check`](Self::check) finds that out.
pub struct S3ObjectStore {
    client: AmazonS3,
    config: BucketConfig,
}

impl S3ObjectStore {
    /// Prepares to talk to a bucket; nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidBucket`] when the configuration is not one.
    pub fn new(config: BucketConfig, credentials: &BucketCredentials) -> Result<Self, InvalidBucket> {
        config.validate().map_err(|(setting, rule)| InvalidBucket::Setting { setting, rule })?;
        // Another part of the process may have chosen already; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = |secret: &Secret| {
            std::str::from_utf8(secret.expose()).map(str::to_owned).map_err(|_| InvalidBucket::Credentials)
        };
        let credential = AwsCredential {
            key_id: text(&credentials.access_key)?,
            secret_key: text(&credentials.secret_key)?,
            token: credentials.session_token.as_ref().map(text).transpose()?,
        };
        let provider: AwsCredentialProvider = Arc::new(StaticCredentialProvider::new(credential));
        let options = ClientOptions::new()
            .with_connect_timeout(config.connect_timeout())
            .with_timeout(config.timeout())
            .with_allow_http(config.endpoint.as_ref().is_some_and(|url| url.starts_with("http://")));
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.,
            },
            max_retries: 4,
            retry_timeout: config.timeout(),
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_virtual_hosted_style_request(config.virtual_hosts)
            .with_credentials(Arc::clone(&provider))
            .with_client_options(options)
            .with_retry(retry)
            // A lock needs one, and a byte that is lost on the way is noticed.
            .with_checksum_algorithm(Checksum::SHA256);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(lock) = config.object_lock {
            let region = config.region.clone();
            builder = builder.with_http_connector(Locking { lock, region, credentials: provider });
        }
        let client = builder.build().map_err(|error| InvalidBucket::Client(error.into()))?;
        Ok(Self { client, config })
    }

    /// Checks that the bucket can be written, read and listed, and that it does not overwrite: the object `name` is there afterwards.
    ///
    /// # Errors
    /// As the operations; `Corrupt` when the service overwrites what is there, or answers otherwise than it was asked.
    pub async fn check(&self, name: &ObjectName) -> Result<(), StoreError> {
        const PROBE: &[u8] = b"written to see whether this bucket overwrites\n";
        self.put_new(name, PROBE.to_vec(), None).await?;
        let second = self.put_new(name, b"it does\n".to_vec(), None).await?;
        let read = self.get(name).await?;
        if second == PutOutcome::Exists && read.as_deref() == Some(PROBE) {
            return Ok(());
        }
        let error = StoreError::new(StoreErrorKind::Corrupt, BACKEND, "check");
        Err(error.with_source("the service does not know `If-None-Match: *`, so it overwrites objects"))
    }

    async fn within<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = object_store::Result<T>> + Send,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.config.timeout(), work).await {
            Ok(done) => done.map_err(|error| failed(operation, error)),
            Err(late) => Err(StoreError::new(StoreErrorKind::Timeout, BACKEND, operation).with_source(late)),
        }
    }
}

fn failed(operation: &'static str, error: object_store::Error) -> StoreError {
    use object_store::Error::{NotImplemented, PermissionDenied, Unauthenticated};
    let kind = match &error {
        PermissionDenied { .. } | Unauthenticated { .. } | NotImplemented { .. } => {
            StoreErrorKind::Unavailable
        }
        // A request whose answer was lost may have been done.
        _ if operation == "put_new" => StoreErrorKind::Timeout,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, BACKEND, operation).with_source(error)
}

#[async_trait]
impl ObjectStore for S3ObjectStore {
    async fn put_new(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        keep_until: Option<Timestamp>,
    ) -> Result<PutOutcome, StoreError> {
        let mut attributes = Attributes::new();
        if let Some(class) = &self.config.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let mut options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        if let Some(until) = keep_until {
            options.extensions.insert(KeepUntil(until));
        }
        let path = Path::from(name.as_str());
        let put = async {
            match self.client.put_opts(&path, PutPayload::from(bytes), options).await {
                Ok(_) => Ok(PutOutcome::Written),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(PutOutcome::Exists),
                Err(error) => Err(error),
            }
        };
        self.within("put_new", put).await
    }

    async fn get(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, StoreError> {
        let path = Path::from(name.as_str());
        let get = async {
            match self.client.get(&path).await {
                Ok(found) => Ok(Some(found.bytes().await?.into())),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.within("get", get).await
    }

    async fn list(
        &self,
        prefix: &ObjectName,
        after: Option<&ObjectName>,
        limit: usize,
    ) -> Result<Vec<ObjectName>, StoreError> {
        let path = Path::from(prefix.as_str());
        let list = async {
            let found = match after {
                Some(after) => self.client.list_with_offset(Some(&path), &Path::from(after.as_str())),
                None => self.client.list(Some(&path)),
            };
            // What no name can be was put there by somebody else. Not every service sorts.
            let names = found.try_filter_map(async |object| Ok(object.location.as_ref().parse().ok()));
            let mut names: Vec<ObjectName> = names.try_collect().await?;
            names.retain(|name| name.is_below(prefix) && after.is_none_or(|after| name > after));
            names.sort_unstable();
            names.truncate(limit);
            Ok(names)
        };
        self.within("list", list).await
    }
}

impl fmt::Debug for S3ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3ObjectStore")
            .field("bucket", &self.config.bucket)
            .field("endpoint", &self.config.endpoint)
            .finish_non_exhaustive()
    }
}
