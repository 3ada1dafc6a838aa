use std::error::Error;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use stanchion_core::{Problem, ProblemCode, RequestId, StoreError, StoreErrorKind, Text};

/// Why an operation was not done: what the caller is told, and what only the log is.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) problem: Problem,
    pub(crate) retry_after: Option<u32>,
    /// Whether nobody knows if the change was made all the same.
    pub(crate) is_uncertain: bool,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<Text>) -> Self {
        Problem::new(code, detail).into()
    }

    /// A field, a parameter or a header of the request is wrong.
    pub(crate) fn invalid(detail: impl Into<Text>) -> Self {
        Self::new(ProblemCode::InvalidRequest, detail)
    }

    pub(crate) fn not_found(detail: impl Into<Text>) -> Self {
        Self::new(ProblemCode::NotFound, detail)
    }

    pub(crate) fn conflict(detail: impl Into<Text>) -> Self {
        Self::new(ProblemCode::Conflict, detail)
    }

    /// Something is wrong here. The caller learns that and no more.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..Problem::from(ProblemCode::Internal).into() }
    }

    /// Nobody knows whether it was done.
    pub(crate) fn uncertain(self) -> Self {
        Self { is_uncertain: true, ..self }
    }

    /// Says something to the caller all the same.
    pub(crate) fn with_detail(mut self, detail: impl Into<Text>) -> Self {
        self.problem.detail = Some(detail.into());
        self
    }

    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Writes the cause to the log. It never reaches the caller.
    pub(crate) fn log(&self, operation: &'static str, request: RequestId) {
        if let Some(cause) = &self.cause {
            let code = self.problem.code.as_str();
            tracing::error!(%request, operation, code, error = %Chain(&**cause), "an admin request failed");
        }
    }

    pub(crate) fn into_response(self, request: RequestId) -> http::Response<Bytes> {
        let mut response = stanchion_tower::problem_response(&self.problem, Some(request));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem, retry_after: None, is_uncertain: false, cause: None }
    }
}

impl From<ProblemCode> for Failure {
    fn from(code: ProblemCode) -> Self {
        Problem::from(code).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let problem = match error.kind() {
            StoreErrorKind::Conflict => {
                return Self::conflict("others keep changing this; send the request again").retry_after(1);
            }
            StoreErrorKind::AlreadyExists => {
                return Self::conflict("something with this name exists already");
            }
            StoreErrorKind::Unavailable => Problem::new(
                ProblemCode::BackendUnavailable,
                "a store cannot be reached; send the request again later",
            ),
            StoreErrorKind::Timeout => {
                let detail =
                    "no answer in time; a change may have been made all the same, look before you repeat it";
                Problem::new(ProblemCode::BackendUnavailable, detail)
            }
            _ => Problem::from(ProblemCode::Internal),
        };
        let is_uncertain = error.kind() == StoreErrorKind::Timeout;
        Self { problem, retry_after: None, is_uncertain, cause: Some(Box::new(error)) }
    }
}

/// An error with its causes, for the log.
struct Chain<'a>(&'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
