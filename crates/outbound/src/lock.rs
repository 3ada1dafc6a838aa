//! Object Lock: two headers of a put, which the client of S3 that we use does not know. They are added to a request that it has signed,
//! which then is signed anew.

use std::fmt;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use stanchion_core::Timestamp;

use crate::ObjectLock;

const MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const UNTIL: HeaderName = HeaderName::from_static("x-amz-object-lock-retain-until-date");
const DIGEST: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Stands in the extensions of a request whose object is to be locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepUntil(pub(crate) Timestamp);

#[derive(Debug)]
pub(crate) struct Locking {
    pub(crate) lock: ObjectLock,
    pub(crate) region: String,
    pub(crate) credentials: AwsCredentialProvider,
}

impl HttpConnector for Locking {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        let Self { lock, region, credentials } = self;
        let credentials = AwsCredentialProvider::clone(credentials);
        Ok(HttpClient::new(LockingService { inner, lock: *lock, region: region.clone(), credentials }))
    }
}

struct LockingService {
    inner: HttpClient,
    lock: ObjectLock,
    region: String,
    credentials: AwsCredentialProvider,
}

#[async_trait]
impl HttpService for LockingService {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let until = request.extensions().get::<KeepUntil>().and_then(|KeepUntil(until)| date(*until));
        if let Some(until) = until {
            let failed = |error| HttpError::new(HttpErrorKind::Request, error);
            let credential = self.credentials.get_credential().await.map_err(failed)?;
            let headers = request.headers_mut();
            headers.remove(AUTHORIZATION);
            headers.insert(MODE, HeaderValue::from_static(mode(self.lock)));
            headers.insert(UNTIL, until);
            // Of the body, which may be in pieces here.
            let digest = headers.get(DIGEST).and_then(|value| bytes(value.as_bytes()));
            AwsAuthorizer::new(&credential, "s3", &self.region)
                .try_authorize(&mut request, digest.as_deref())
                .map_err(failed)?;
        }
        self.inner.execute(request).await
    }
}

const fn mode(lock: ObjectLock) -> &'static str {
    match lock {
        ObjectLock::Governance => "GOVERNANCE",
        ObjectLock::Compliance => "COMPLIANCE",
    }
}

/// Writes an instant as S3 takes it, rounded up to a second.
fn date(until: Timestamp) -> Option<HeaderValue> {
    let seconds = until.micros().div_euclid(1_000_000).saturating_add(1);
    let date = chrono::DateTime::from_timestamp(seconds, 0)?;
    HeaderValue::from_str(&date.format("%Y-%m-%dT%H:%M:%SZ").to_string()).ok()
}

/// Reads hexadecimal digits.
fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(value(*high)? * 16 + value(*low)?)).collect()
}

impl fmt::Debug for LockingService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockingService").field("lock", &self.lock).finish_non_exhaustive()
    }
}
