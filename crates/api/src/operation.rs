use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, StatusCode};
use stanchion_core::{BoxFuture, ProblemCode};
use stanchion_rbac::Permission;

use crate::answer::{Output, Reply};
use crate::call::{Call, Input};
use crate::document::Document;
use crate::failure::Failure;
use crate::router::MAX_BODY;
use crate::state::Api;

/// One operation of the API. The router, the authorization and the OpenAPI document are all made from it, so they cannot disagree.
pub(crate) struct Operation {
    pub(crate) id: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: Option<&'static str>,
    pub(crate) run: Run,
    pub(crate) idempotency: Idempotency,
    /// The largest body, in bytes.
    pub(crate) max_body: usize,
    pub(crate) document: Document,
    pub(crate) stats: OperationStats,
}

/// How an operation is run.
pub(crate) enum Run {
    /// For everybody who reaches the listener.
    Open(fn(&Arc<Api>) -> http::Response<bytes::Bytes>),
    /// For whom the access allows it.
    Guarded(Access, Handler),
}

pub(crate) type Handler = Box<dyn Fn(Call) -> BoxFuture<'static, Result<Reply, Failure>> + Send + Sync>;

/// Who may use an operation, and in which scope it works.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) permission: Permission,
    pub(crate) on: On,
}

/// Which scope an operation works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The platform's own: tenants' principals are refused.
    Platform,
    /// The tenant that the path names: a tenant's principal reaches its own only.
    PathTenant,
    /// The tenant's of the credential, or the one that `?tenant=` names to a principal of the platform.
    Scope,
}

/// Whether an operation takes an `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idempotency {
    /// It does not; repeating it is harmless, or guarded otherwise.
    None,
    /// It does.
    Key,
}

impl Operation {
    /// Declares an operation for everybody who reaches the listener.
    pub(crate) fn open(
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        run: fn(&Arc<Api>) -> http::Response<bytes::Bytes>,
        describe: fn(&mut Document),
    ) -> Self {
        let mut document = Document::default();
        describe(&mut document);
        Self::with(Method::GET, path, id, summary, Run::Open(run), document)
    }

    /// Declares an operation that `permission` lets a principal do. What it takes and answers is told by the handler's types.
    pub(crate) fn new<I, O, H, F>(
        method: Method,
        path: &'static str,
        id: &'static str,
        permission: &'static str,
        on: On,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        I: Input,
        O: Output,
        H: Fn(Call, I) -> F + Send + Sync + 'static,
        F: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        let mut document = Document::default();
        I::document(&mut document);
        O::document(&mut document);
        document.problems([
            ProblemCode::InvalidRequest,
            ProblemCode::Unauthenticated,
            ProblemCode::Forbidden,
            ProblemCode::Internal,
            ProblemCode::BackendUnavailable,
        ]);
        if on != On::Platform || path.contains('{') {
            document.problems([ProblemCode::NotFound]);
        }
        if method != Method::GET {
            // Also of what cannot clash by itself: others may keep changing the scope.
            document.problems([ProblemCode::Conflict]);
        }
        let handler: Handler = Box::new(move |call| match I::read(&call) {
            Ok(input) => {
                let answer = handler(call, input);
                Box::pin(async move { answer.await?.into_reply() })
            }
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
        });
        #[expect(
            clippy::expect_used,
            reason = "a literal of this crate; the router's test walks all of them"
        )]
        let permission = permission.parse().expect("permissions of operations are well-formed");
        Self::with(method, path, id, summary, Run::Guarded(Access { permission, on }, handler), document)
    }

    fn with(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        run: Run,
        document: Document,
    ) -> Self {
        let stats = OperationStats::default();
        let idempotency = Idempotency::None;
        let max_body = MAX_BODY;
        Self { id, method, path, summary, description: None, run, idempotency, max_body, document, stats }
    }

    /// Takes an `Idempotency-Key`.
    pub(crate) fn idempotent(mut self) -> Self {
        self.document.problems([
            ProblemCode::Conflict,
            ProblemCode::IdempotencyKeyReused,
            ProblemCode::Overloaded,
        ]);
        Self { idempotency: Idempotency::Key, ..self }
    }

    /// Can also be refused for this.
    pub(crate) fn refusing(mut self, code: ProblemCode) -> Self {
        self.document.problems([code]);
        self
    }

    /// Takes a body of so many bytes.
    pub(crate) const fn taking(mut self, max_body: usize) -> Self {
        self.max_body = max_body;
        self
    }

    /// Says more than the summary.
    pub(crate) const fn note(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// The group it belongs to in the document.
    pub(crate) fn tag(&self) -> &'static str {
        let mut segments = self.path.split('/').skip(1);
        match (segments.next(), segments.next()) {
            (Some("v1"), Some(group)) => group,
            _ => "system",
        }
    }
}

/// What has been counted of an operation since the process started.
#[derive(Debug, Default)]
pub(crate) struct OperationStats([AtomicU64; 6]);

impl OperationStats {
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(count) = self.0.get(usize::from(status.as_u16() / 100)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Goes through the status classes that occurred.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = (0..).zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0)
    }
}
