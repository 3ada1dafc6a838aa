//! Permissions in front of a service, and of single handlers.

#[cfg(feature = "axum")]
mod extract;

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body_util::{Either, Full};
use stanchion_core::{BoxFuture, Principal, Problem, ProblemCode};
use stanchion_rbac::{CheckRequest, Decision, Engine, Permission, Resource};
use tower_layer::Layer;
use tower_service::Service;

#[cfg(feature = "axum")]
pub use extract::{Permitted, RequiredPermission};

use crate::problem_response;

/// Lets nobody through to a service who does not have a permission.
///
/// Who calls is the [`Principal`] in the request's extensions, itself or in an `Arc`, which whoever authenticates has put there; the
/// permission is looked for in the scope that its credential is bound to. What the request is about is the [`Resource`] in the extensions,
/// if somebody who knows has put one there; without one the permission is needed everywhere in the scope. The service finds the
/// [`Decision`] in the extensions.
///
/// A request without a principal is refused as unauthenticated (401), one whose principal may not do it as forbidden (403). Where roles
/// cannot be read there is no answer, so the request is refused as well (503).
#[derive(Clone, Debug)]
pub struct RequirePermission {
    engine: Arc<Engine>,
    permission: Permission,
}

impl RequirePermission {
    /// Asks `engine` for `permission`, which has to be [exact](Permission::is_exact): anything else is permitted to nobody.
    #[must_use]
    pub const fn new(engine: Arc<Engine>, permission: Permission) -> Self {
        Self { engine, permission }
    }
}

impl<S> Layer<S> for RequirePermission {
    type Service = PermissionRequired<S>;

    fn layer(&self, inner: S) -> PermissionRequired<S> {
        PermissionRequired { required: self.clone(), inner }
    }
}

/// A service that asks for a permission; made by a [`RequirePermission`].
#[derive(Clone, Debug)]
pub struct PermissionRequired<S> {
    required: RequirePermission,
    inner: S,
}

impl<S, I, O> Service<Request<I>> for PermissionRequired<S>
where
    S: Service<Request<I>, Response = Response<O>> + Clone + Send + 'static,
    S::Future: Send,
    I: Send + 'static,
{
    type Response = Response<Either<O, Full<Bytes>>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // A request may be refused; the inner service is asked for readiness when it is needed.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<I>) -> Self::Future {
        let RequirePermission { engine, permission } = self.required.clone();
        let mut inner = self.inner.clone();
        Box::pin(async move {
            match decide(&engine, request.extensions(), &permission).await {
                Ok((_, decision)) => drop(request.extensions_mut().insert(decision)),
                Err(problem) => {
                    return Ok(problem_response(&problem, None).map(|body| Either::Right(Full::from(body))));
                }
            }
            std::future::poll_fn(|context| inner.poll_ready(context)).await?;
            Ok(inner.call(request).await?.map(Either::Left))
        })
    }
}

/// Finds out whether whoever calls has a permission.
async fn decide(
    engine: &Engine,
    extensions: &Extensions,
    permission: &Permission,
) -> Result<(Arc<Principal>, Decision), Problem> {
    let shared = extensions.get::<Arc<Principal>>().cloned();
    let principal = shared.or_else(|| extensions.get::<Principal>().cloned().map(Arc::new));
    let Some(principal) = principal else {
        return Err(Problem::new(ProblemCode::Unauthenticated, "nobody has said who calls"));
    };
    let mut request = CheckRequest::new(principal.scope, &principal.subject, permission);
    request.resource = extensions.get::<Resource>();
    match engine.check(&request).await {
        Ok(decision) if decision.allowed => Ok((principal, decision)),
        // The reason tells how roles are built; it is for the records, not for whoever was refused.
        Ok(_) => {
            Err(Problem::new(ProblemCode::Forbidden, format!("this takes the permission `{permission}`")))
        }
        Err(_) => Err(ProblemCode::BackendUnavailable.into()),
    }
}
