use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::{Serialize, Serializer};
use stanchion_core::{Problem, ProblemCode, RequestId, Text};

use crate::REQUEST_ID;

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
    #[serde(flatten)]
    members: Members<'a>,
}

/// Further members, in their order.
struct Members<'a>(&'a [(Text, Text)]);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

/// Writes a problem document (RFC 9457): `type`, `title`, `status`, the stable `code`, `detail` and `request_id` where known, and the
/// problem's further members.
#[must_use]
pub fn problem_body(problem: &Problem, request: Option<RequestId>) -> Bytes {
    let document = Document {
        r#type: "about:blank",
        title: problem.code.title(),
        status: problem.code.status(),
        code: problem.code.as_str(),
        detail: problem.detail.as_ref().map(AsRef::as_ref),
        request_id: request,
        members: Members(&problem.members),
    };
    // Strings and a number always serialize; an empty body would still carry the status.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

/// Answers with a problem document, never to be cached.
#[must_use]
pub fn problem_response(problem: &Problem, request: Option<RequestId>) -> Response<Bytes> {
    let mut response = Response::new(problem_body(problem, request));
    *response.status_mut() =
        StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(request) = request.and_then(|request| HeaderValue::try_from(request.to_string()).ok()) {
        headers.insert(REQUEST_ID, request);
    }
    if problem.code == ProblemCode::Unauthenticated {
        headers
            .insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stanchion\""));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_what_where_and_which_request() {
        let request: RequestId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
        let response = problem_response(&ProblemCode::Unauthenticated.into(), Some(request));
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"stanchion\"");
        assert_eq!(response.headers()["x-request-id"], "0192f0c1-2345-7abc-8def-0123456789ab");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank",
                "title": "A valid credential is required",
                "status": 401,
                "code": "unauthenticated",
                "request_id": "0192f0c1-2345-7abc-8def-0123456789ab",
            })
        );
    }
}
