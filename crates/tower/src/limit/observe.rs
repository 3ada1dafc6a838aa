use std::fmt;

use http::StatusCode;
use stanchion_ratelimit::{Decision, Error};

use crate::{CountedRequest, Ending};

/// Learns what a [`RateLimitLayer`](crate::RateLimitLayer) does, for metrics and logs. It must not block.
pub trait Observe: fmt::Debug + Send + Sync + 'static {
    /// A request was refused.
    fn refused(&self, request: &CountedRequest, decision: &Decision) {
        let _ = (request, decision);
    }

    /// The limits could not be asked, and the request was answered with 503.
    fn failed(&self, request: &CountedRequest, error: &Error) {
        let _ = (request, error);
    }

    /// An admitted request has ended; told once for each, also when its caller went away.
    fn ended(&self, ended: &Ended<'_>) {
        let _ = ended;
    }
}

/// How an admitted request ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// What was known of it.
    pub request: &'a CountedRequest,
    /// What the limits before authentication said, if they were asked.
    pub edge: Option<&'a Decision>,
    /// What all other limits said, if they were asked.
    pub inner: Option<&'a Decision>,
    /// The status it was answered with, if it came so far.
    pub status: Option<StatusCode>,
    /// Bytes of the response's body that the client was given.
    pub response_bytes: u64,
    /// The way it ended.
    pub ending: Ending,
    /// Whether it did what was asked: answered to the end, with a status below 400, and a gRPC call with the status 0.
    pub success: bool,
}
