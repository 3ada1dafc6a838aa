use std::fmt;

use crate::Text;

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)+) => {
        /// The stable codes of everything that can go wrong at the edge (RFC 9457). A code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemCode { $($(#[$doc])* $variant),+ }

        impl ProblemCode {
            /// Every code, for the reference page.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the code as it stands in a problem document.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// Returns the HTTP status it is answered with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// Returns the short title, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

problem_codes! {
    /// The request is malformed, ambiguous or not allowed by the listener's rules.
    RequestRejected = "request_rejected", 400, "The request is not acceptable";
    /// A field of an admin request is wrong; the detail says which.
    InvalidRequest = "invalid_request", 400, "The request is not valid";
    /// No credential, or none that is valid.
    Unauthenticated = "unauthenticated", 401, "A valid credential is required";
    /// The principal may not do this.
    Forbidden = "forbidden", 403, "This is not permitted";
    /// Whatever the credential says, the tenant is not active.
    TenantInactive = "tenant_inactive", 403, "The tenant is not active";
    /// A challenge must be solved first.
    ChallengeRequired = "challenge_required", 403, "A challenge must be solved first";
    /// The caller is shut out for a while.
    Quarantined = "quarantined", 403, "The caller is quarantined";
    /// No route takes this request.
    NoRoute = "no_route", 404, "No route takes this request";
    /// The thing named does not exist, or not for this caller.
    NotFound = "not_found", 404, "Not found";
    /// The route exists, but not for this method.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// The client took too long to send the request.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// It exists already, or has changed meanwhile.
    Conflict = "conflict", 409, "The request conflicts with the present state";
    /// The same idempotency key came with another request.
    IdempotencyKeyReused = "idempotency_key_reused", 409, "The idempotency key was used for another request";
    /// The resource has changed since it was read (`If-Match`).
    PreconditionFailed = "precondition_failed", 412, "The resource has changed";
    /// The body is larger than the route takes.
    PayloadTooLarge = "payload_too_large", 413, "The body is too large";
    /// The target is longer than the listener takes.
    UriTooLong = "uri_too_long", 414, "The target is too long";
    /// The body is of a type the route does not read.
    UnsupportedMediaType = "unsupported_media_type", 415, "The media type is not supported";
    /// An update needs `If-Match`.
    PreconditionRequired = "precondition_required", 428, "If-Match is required";
    /// A rate limit is exhausted.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// A quota is exhausted.
    QuotaExceeded = "quota_exceeded", 429, "The quota is used up";
    /// The request's head is larger than the listener takes.
    HeadersTooLarge = "headers_too_large", 431, "The header fields are too large";
    /// Something failed here.
    Internal = "internal", 500, "Something went wrong here";
    /// The upstream answered with something that is not HTTP, or broke off.
    UpstreamInvalid = "upstream_invalid", 502, "The upstream gave no valid answer";
    /// A store that the decision needs cannot be reached.
    BackendUnavailable = "backend_unavailable", 503, "A backend is unavailable";
    /// More work is queued than can be done.
    Overloaded = "overloaded", 503, "The service is overloaded";
    /// No endpoint of the upstream can be reached.
    UpstreamUnavailable = "upstream_unavailable", 503, "The upstream is unavailable";
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout", 504, "The upstream did not answer in time";
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a caller is told when something is refused or has failed. The detail is written for that caller and holds nothing internal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The stable code.
    pub code: ProblemCode,
    /// One sentence on this occurrence: what, where, and how to fix it.
    pub detail: Option<Text>,
    /// Further members of the document, for the caller's program.
    pub members: Vec<(Text, Text)>,
}

impl Problem {
    /// States a problem and what to do about it.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<Text>) -> Self {
        Self { code, detail: Some(detail.into()), members: Vec::new() }
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self { code, detail: None, members: Vec::new() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.code),
            None => f.write_str(self.code.title()),
        }
    }
}

impl std::error::Error for Problem {}
