use std::fmt;
use std::sync::Arc;

use stanchion_core::{KeyId, Principal, Problem, ProblemCode, Scope};

/// What became of a presented credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is good: this is who calls.
    Authenticated(Arc<Principal>),
    /// It is not; nobody is known to call.
    Rejected(Rejection),
}

impl Outcome {
    /// Returns who calls, if anybody is known to.
    #[must_use]
    pub const fn principal(&self) -> Option<&Arc<Principal>> {
        match self {
            Self::Authenticated(principal) => Some(principal),
            Self::Rejected(_) => None,
        }
    }

    /// Returns why the credential was rejected, if it was.
    #[must_use]
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Authenticated(_) => None,
            Self::Rejected(rejection) => Some(rejection),
        }
    }
}

/// Why a credential was rejected, and whose it was. This is for the audit record: callers are all told the same, `unauthenticated`,
/// which is what a rejection becomes as a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// The reason.
    pub reason: RejectionReason,
    /// The key that was presented, when it is a known one.
    pub key: Option<KeyId>,
    /// The scope of that key.
    pub scope: Option<Scope>,
}

impl Rejection {
    pub(crate) const fn of_nobody(reason: RejectionReason) -> Self {
        Self { reason, key: None, scope: None }
    }
}

impl From<Rejection> for Problem {
    fn from(_: Rejection) -> Self {
        ProblemCode::Unauthenticated.into()
    }
}

/// The reason of a [`Rejection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionReason {
    /// The text has not the form of a key, or its checksum is wrong. Nothing was looked up.
    Malformed,
    /// It has the form of a key, but is none.
    Unknown,
    /// The key was revoked.
    Revoked,
    /// The key, or the time that was left to its former secret, is over.
    Expired,
    /// The key may not be used from this address, or the address is not known and the key is bound to some.
    IpNotAllowed,
}

impl RejectionReason {
    /// Every reason.
    pub const ALL: &'static [Self] =
        &[Self::Malformed, Self::Unknown, Self::Revoked, Self::Expired, Self::IpNotAllowed];

    /// Returns the stable code that records and metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::IpNotAllowed => "ip_not_allowed",
        }
    }
}

impl fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_look_the_same_from_outside() {
        for reason in RejectionReason::ALL {
            let problem = Problem::from(Rejection::of_nobody(*reason));
            assert_eq!(problem, Problem::from(ProblemCode::Unauthenticated));
        }
    }
}
