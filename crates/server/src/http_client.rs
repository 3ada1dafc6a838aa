use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long an answer may take, and how large it may be.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A small HTTP client for the program's own commands.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    inner: Client<HttpConnector, Full<Bytes>>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug)]
pub(crate) struct NoAnswer(Box<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no answer came")
    }
}

impl std::error::Error for NoAnswer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self { inner: Client::builder(TokioExecutor::new()).build_http() }
    }
}

impl HttpClient {
    pub(crate) async fn send(&self, ask: Ask) -> Result<Answer, NoAnswer> {
        in_time(async { whole(self.request(ask).await?).await }).await
    }

    /// Asks for something whose length has no bound, to be read as it comes. An answer that is no success is read whole.
    pub(crate) async fn open(&self, ask: Ask) -> Result<Result<Download, Answer>, NoAnswer> {
        in_time(async {
            let response = self.request(ask).await?;
            if response.status().is_success() {
                return Ok(Ok(Download(response.into_body())));
            }
            Ok(Err(whole(response).await?))
        })
        .await
    }

    async fn request(&self, ask: Ask) -> Result<Response<Incoming>, NoAnswer> {
        let mut request = Request::new(Full::new(ask.body));
        *request.method_mut() = ask.method;
        *request.uri_mut() = ask.uri;
        *request.headers_mut() = ask.headers;
        self.inner.request(request).await.map_err(|error| NoAnswer(error.into()))
    }
}

async fn whole(response: Response<Incoming>) -> Result<Answer, NoAnswer> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(NoAnswer)?;
    Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
}

async fn in_time<T>(work: impl Future<Output = Result<T, NoAnswer>>) -> Result<T, NoAnswer> {
    let late = |_| Err(NoAnswer(format!("it took longer than {} s", PATIENCE.as_secs()).into()));
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(late)
}

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Download(Incoming);

impl Download {
    /// Returns the next part of the body; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, NoAnswer> {
        in_time(async {
            while let Some(frame) = self.0.frame().await {
                if let Ok(part) = frame.map_err(|error| NoAnswer(error.into()))?.into_data() {
                    return Ok(Some(part));
                }
            }
            Ok(None)
        })
        .await
    }
}

impl Ask {
    pub(crate) fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: HeaderMap::new(), body: Bytes::new() }
    }
}

impl Answer {
    /// Returns a field of the head, when it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the body as JSON, null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
