use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use stanchion_core::{RequestId, Text};
use stanchion_tower::REQUEST_ID;
use utoipa::ToSchema;
use utoipa::openapi::schema::Type;

use crate::operation::Operation;
use crate::state::Api;
use crate::{Phase, metrics};

/// A page that renders `/openapi.json`, whole in itself.
const DOCS: &str = include_str!("docs.html");

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::open("/healthz", "health", "Tells that the process is alive.", healthz, |document| {
            document.answers::<Health>(StatusCode::OK, "Alive.", &[]);
        }),
        Operation::open(
            "/readyz",
            "readiness",
            "Tells whether the process should be sent requests.",
            readyz,
            |document| {
                document.answers::<ReadinessReport>(StatusCode::OK, "Ready.", &[]);
                document.answers::<ReadinessReport>(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Not ready; the parts say why.",
                    &[],
                );
            },
        ),
        Operation::open(
            "/metrics",
            "metrics",
            "Returns what was counted, for Prometheus.",
            metrics,
            |document| {
                document.answers_as(StatusCode::OK, "OpenMetrics text.", metrics::MEDIA_TYPE, Type::String);
            },
        ),
        Operation::open("/openapi.json", "openapi", "Returns this document.", openapi, |document| {
            document.answers_as(StatusCode::OK, "OpenAPI 3.1.", "application/json", Type::Object);
        }),
        Operation::open("/docs", "docs", "Shows this document to people.", docs, |document| {
            document.answers_as(
                StatusCode::OK,
                "A page for a browser.",
                "text/html; charset=utf-8",
                Type::String,
            );
        }),
    ]
}

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `alive`.
    status: &'static str,
}

/// Whether the process should be sent requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadinessReport {
    /// Whether it should.
    ready: bool,
    /// `starting`, `serving` or `draining`.
    phase: &'static str,
    /// Each part that must be ready.
    parts: Vec<PartReport>,
}

/// Whether a part is ready.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartReport {
    /// Its name.
    #[schema(value_type = String)]
    name: Text,
    /// Whether it is ready.
    ready: bool,
    /// Why it is not.
    #[schema(value_type = Option<String>)]
    detail: Option<Text>,
}

fn healthz(_: &Arc<Api>) -> Response<Bytes> {
    json(StatusCode::OK, &Health { status: "alive" })
}

fn readyz(api: &Arc<Api>) -> Response<Bytes> {
    let readiness = &api.state.readiness;
    let phase = readiness.phase();
    let part = |part: &crate::Part| {
        let detail = part.probe().err();
        PartReport { name: part.name().clone(), ready: detail.is_none(), detail }
    };
    let parts: Vec<PartReport> = readiness.parts().iter().map(part).collect();
    let ready = phase == Phase::Serving && parts.iter().all(|part| part.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &ReadinessReport { ready, phase: phase.as_str(), parts })
}

fn metrics(api: &Arc<Api>) -> Response<Bytes> {
    match metrics::text(api) {
        Ok(text) => answer(StatusCode::OK, metrics::MEDIA_TYPE, text.into()),
        Err(_) => stanchion_tower::problem_response(&stanchion_core::ProblemCode::Internal.into(), None),
    }
}

fn openapi(api: &Arc<Api>) -> Response<Bytes> {
    answer(StatusCode::OK, "application/json", api.openapi.clone())
}

fn docs(_: &Arc<Api>) -> Response<Bytes> {
    let mut response =
        answer(StatusCode::OK, "text/html; charset=utf-8", Bytes::from_static(DOCS.as_bytes()));
    // The page is whole in itself: nothing comes from elsewhere, and nothing it shows can run.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                  frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    answer(status, "application/json", serde_json::to_vec(body).unwrap_or_default().into())
}

fn answer(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Says which request an answer is for, whatever the answer.
pub(crate) fn with_request_id<B>(mut response: Response<B>, request: RequestId) -> Response<B> {
    if let Ok(request) = HeaderValue::try_from(request.to_string()) {
        response.headers_mut().insert(REQUEST_ID, request);
    }
    response
}
