use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use stanchion_core::{Problem, RequestId};

use crate::REQUEST_ID;

const GRPC: &str = "application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Tells whether a request is a gRPC call, by its content type: `application/grpc`, `application/grpc+proto`,
/// `application/grpc-web` and the like.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    call_type(headers).is_some()
}

/// Answers a gRPC call with a problem as its clients expect it: HTTP status 200, the gRPC status in the head, and no body
/// ("Trailers-Only").
///
/// A limit is `RESOURCE_EXHAUSTED`, a missing permission `PERMISSION_DENIED`, a backend that is away `UNAVAILABLE`; the message
/// begins with the stable code.
#[must_use]
pub fn grpc_response(
    problem: &Problem,
    request: Option<RequestId>,
    request_headers: &HeaderMap,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    let content_type = call_type(request_headers).and_then(|kind| HeaderValue::try_from(kind).ok());
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static(GRPC)));
    headers.insert(GRPC_STATUS, status(problem).into());
    if let Ok(message) = HeaderValue::try_from(message(problem)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if let Some(request) = request.and_then(|request| HeaderValue::try_from(request.to_string()).ok()) {
        headers.insert(REQUEST_ID, request);
    }
    response
}

/// The status that a call ended with, from the head or the trailers of its answer.
#[cfg(feature = "ratelimit")]
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The media type of a call, without parameters.
fn call_type(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim_ascii();
    let start = kind.get(..GRPC.len())?;
    let is_call = start.eq_ignore_ascii_case(GRPC)
        && matches!(kind.as_bytes().get(GRPC.len()), None | Some(b'+' | b'-'));
    is_call.then_some(kind)
}

/// The number of the gRPC status.
fn status(problem: &Problem) -> u16 {
    match problem.code.status() {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        408 | 504 => 4,
        429 => 8,
        503 => 14,
        500..=599 => 13,
        _ => 2,
    }
}

/// What a developer reads: percent-encoded, as the protocol asks.
fn message(problem: &Problem) -> String {
    let code = problem.code;
    let text = problem.detail.as_ref().map_or_else(|| code.title(), AsRef::as_ref);
    let mut message = format!("{code}: ");
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => message.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(message, "%{byte:02X}")),
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use stanchion_core::ProblemCode;

    use super::*;

    fn headers(content_type: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())])
    }

    #[test]
    fn calls_are_known_by_their_content_type() {
        for call in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC; a=b",
            "application/grpc-web-text",
        ] {
            assert!(is_grpc(&headers(call)), "{call}");
        }
        for other in ["application/json", "application/grpcish", "text/application/grpc", "grpc", ""] {
            assert!(!is_grpc(&headers(other)), "{other}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn an_answer_is_all_head_and_in_the_type_of_the_call() {
        let problem = Problem::new(ProblemCode::RateLimited, "the limit `a` is 100% used up:\u{e9}\n");
        let response = grpc_response(&problem, None, &headers("application/grpc-web+proto;x=y"));
        assert_eq!((response.status(), response.body().len()), (StatusCode::OK, 0));
        assert_eq!(response.headers()["content-type"], "application/grpc-web+proto");
        assert_eq!(response.headers()["grpc-status"], "8");
        let message = "rate_limited: the limit `a` is 100%25 used up:%C3%A9%0A";
        assert_eq!(response.headers()["grpc-message"], message);
    }

    #[test]
    fn problems_have_the_status_that_clients_act_on() {
        for (code, status) in [
            (ProblemCode::RateLimited, "8"),
            (ProblemCode::QuotaExceeded, "8"),
            (ProblemCode::Forbidden, "7"),
            (ProblemCode::ChallengeRequired, "7"),
            (ProblemCode::Quarantined, "7"),
            (ProblemCode::Unauthenticated, "16"),
            (ProblemCode::BackendUnavailable, "14"),
            (ProblemCode::Overloaded, "14"),
        ] {
            let response = grpc_response(&code.into(), None, &headers("application/grpc"));
            assert_eq!(response.headers()["grpc-status"], status, "{code}");
            assert_eq!(response.headers()["content-type"], "application/grpc");
        }
    }
}
