use std::fmt;
use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use stanchion_core::{Problem, RequestId, Timestamp};

use crate::RateLimitFields;

/// Decides whether a request may go on. A [`GovernLayer`](crate::GovernLayer) asks it before the inner service sees the request.
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// What an admitted request carries with it until its exchange has ended.
    type Permit: Permit;

    /// Decides. The head is the client's, as it came; an admitting gate leaves in it what the inner service is to see.
    fn admit(
        &self,
        head: &mut Parts,
        peer: IpAddr,
    ) -> impl Future<Output = Result<Self::Permit, Box<Refusal>>> + Send;
}

/// The right to go on, and the duty to tell how it ended.
///
/// Of an exchange that was admitted, exactly one of these is the last word: [`Permit::finish`], or a refusal in
/// [`Permit::respond`]. Dropping a permit is the same as finishing it as [`Ending::Abandoned`].
pub trait Permit: fmt::Debug + Send + 'static {
    /// Learns the status the exchange will be answered with and writes its own fields into the head. It is asked before a byte of
    /// the answer is sent, so that what must be recorded first can be.
    ///
    /// # Errors
    /// A refusal replaces the answer, for example when the record could not be written.
    fn respond(
        &mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> impl Future<Output = Result<(), Box<Refusal>>> + Send;

    /// Learns how the exchange ended.
    fn finish(self, completion: Completion);

    /// Returns the id of the request.
    fn request(&self) -> RequestId;
}

/// Why a request goes no further, and everything its answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the caller is told.
    pub problem: Problem,
    /// The id of the request.
    pub request: RequestId,
    /// When it was refused.
    pub at: Timestamp,
    /// What to say of rate limits.
    pub rate_limit: RateLimitFields,
    /// The methods the resource takes, for `method_not_allowed`, as the value of `Allow`.
    pub allow: Option<String>,
}

impl Refusal {
    /// Answers with the problem document.
    #[must_use]
    pub fn into_response(self) -> http::Response<bytes::Bytes> {
        let mut response = crate::problem_response(&self.problem, Some(self.request));
        self.rate_limit.write(response.headers_mut(), self.at);
        if let Some(allow) = self.allow.and_then(|allow| allow.try_into().ok()) {
            response.headers_mut().insert(http::header::ALLOW, allow);
        }
        response
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The way it ended.
    pub ending: Ending,
    /// The status it was answered with, if it came so far.
    pub status: Option<u16>,
    /// Bytes of the request's body that the service took.
    pub request_bytes: u64,
    /// Bytes of the response's body that the client was given.
    pub response_bytes: u64,
}

/// The way an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer was sent to its end.
    Complete,
    /// The answer broke off: the service failed after its head was sent.
    Broken,
    /// The client went away before the end.
    Abandoned,
}
