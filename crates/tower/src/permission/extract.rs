use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequestParts};
use axum_core::response::Response;
use http::request::Parts;
use stanchion_core::{InvalidId, Principal, ProblemCode};
use stanchion_rbac::{Decision, Engine, Permission};

use super::decide;
use crate::problem_response;

/// Names a permission by a type; made by [`required_permission!`](crate::required_permission).
pub trait RequiredPermission {
    /// Returns the permission.
    ///
    /// # Errors
    /// [`InvalidId`] when it breaks the grammar. Then it is permitted to nobody.
    fn permission() -> Result<&'static Permission, &'static InvalidId>;
}

/// Declares a type that stands for a permission: `required_permission!(pub DeleteReport = "report:delete");`.
#[macro_export]
macro_rules! required_permission {
    ($(#[$doc:meta])* $visibility:vis $name:ident = $permission:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        $visibility enum $name {}

        impl $crate::RequiredPermission for $name {
            fn permission() -> ::core::result::Result<&'static $crate::Permission, &'static $crate::InvalidId> {
                static PERMISSION: ::std::sync::LazyLock<::core::result::Result<$crate::Permission, $crate::InvalidId>> =
                    ::std::sync::LazyLock::new(|| $permission.parse());
                PERMISSION.as_ref()
            }
        }
    };
}

/// Proof, as an argument of an axum handler, that whoever calls has the permission `P`. Without it the handler is not run: the caller is
/// refused as by [`RequirePermission`](crate::RequirePermission).
///
/// The state of the router has to give an `Arc<Engine>` ([`FromRef`]).
pub struct Permitted<P> {
    /// Who calls.
    pub principal: Arc<Principal>,
    /// What the engine said.
    pub decision: Decision,
    permission: PhantomData<fn() -> P>,
}

impl<P> fmt::Debug for Permitted<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permitted")
            .field("principal", &self.principal)
            .field("decision", &self.decision)
            .finish_non_exhaustive()
    }
}

impl<S, P> FromRequestParts<S> for Permitted<P>
where
    S: Send + Sync,
    P: RequiredPermission,
    Arc<Engine>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let refusal = |problem| problem_response(&problem, None).map(Body::from);
        let Ok(permission) = P::permission() else {
            return Err(refusal(ProblemCode::Internal.into()));
        };
        let engine = Arc::<Engine>::from_ref(state);
        match decide(&engine, &parts.extensions, permission).await {
            Ok((principal, decision)) => Ok(Self { principal, decision, permission: PhantomData }),
            Err(problem) => Err(refusal(problem)),
        }
    }
}
