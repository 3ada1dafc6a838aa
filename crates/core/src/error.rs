use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What went wrong in a store, for branching. The message is for people; this is for code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The scope has moved on since the revision the write was checked against.
    Conflict,
    /// Something with this key is there already.
    AlreadyExists,
    /// The backend cannot be reached, or refuses work just now.
    Unavailable,
    /// The backend did not answer in time; the write may have happened.
    Timeout,
    /// What was read breaks the format.
    Corrupt,
    /// The adapter cannot do this; see its capabilities.
    Unsupported,
    /// Anything else.
    Internal,
}

impl StoreErrorKind {
    /// Returns the name that logs and metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::AlreadyExists => "already_exists",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

/// A storage adapter's failure: kind, backend, operation and cause. Clones share the cause, so that callers who waited for one
/// load can all be told why it failed.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    backend: &'static str,
    operation: &'static str,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// Describes a failure of `operation` in `backend`.
    #[must_use]
    pub const fn new(kind: StoreErrorKind, backend: &'static str, operation: &'static str) -> Self {
        Self { kind, backend, operation, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Returns what went wrong.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns which backend failed: `memory`, `postgres`, `redis`.
    #[must_use]
    pub const fn backend(&self) -> &'static str {
        self.backend
    }

    /// Returns what it was doing.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// Tells whether the same call may succeed later. A conflict needs a fresh read first.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Conflict | StoreErrorKind::Unavailable | StoreErrorKind::Timeout)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed in {}: {}", self.operation, self.backend, self.kind.as_str())
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
