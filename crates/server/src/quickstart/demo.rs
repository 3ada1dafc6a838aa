use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use stanchion_tower::{REQUEST_ID, SUBJECT_ID, TENANT_ID};

/// Answers as the protected service of the quickstart: with what it was asked, and what the gateway told it of the caller.
pub(crate) async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let told = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let body = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "tenant": told(TENANT_ID),
        "subject": told(SUBJECT_ID),
        "request_id": told(REQUEST_ID),
    });
    let mut response = Response::new(Full::from(format!("{body}\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
