//! gRPC: which method a request is for, and whether the process should be sent any.

mod health;

use std::error::Error;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body::Body;
use stanchion_core::BoxFuture;
use tonic::Status;
use tonic::server::UnaryService;
use tonic_prost::ProstCodec;

use crate::envoy::{EnvoyRateLimits, RateLimitRequest, RateLimitResponse};
use crate::readiness::Readiness;

use self::health::{HealthCheckRequest, HealthCheckResponse};

/// The service that answers rate-limit requests, by the name that health checks ask for.
const RATE_LIMITS: &str = "envoy.service.ratelimit.v3.RateLimitService";
const SHOULD_RATE_LIMIT: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// The largest message, in bytes: more than descriptors can be made of by the headers that a proxy takes from a client.
const MESSAGE: usize = 4 * 1024 * 1024;

/// Answers gRPC requests: rate limits for Envoy, and health checks (`grpc.health.v1`). Clones share everything.
///
/// The owner of a listener hands it requests of HTTP/2. It asks nobody who they are.
#[derive(Clone, Debug)]
pub struct Grpc {
    limits: EnvoyRateLimits,
    readiness: Readiness,
}

impl Grpc {
    /// Puts the services together.
    #[must_use]
    pub fn new(limits: EnvoyRateLimits, readiness: Readiness) -> Self {
        Self { limits, readiness }
    }

    /// Answers a request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<tonic::body::Body>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    {
        let is_grpc = |value: &http::HeaderValue| value.as_bytes().starts_with(b"application/grpc");
        if !request.headers().get(CONTENT_TYPE).is_some_and(is_grpc) {
            let mut answer = Response::new(tonic::body::Body::empty());
            *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return answer;
        }
        match request.uri().path() {
            SHOULD_RATE_LIMIT => {
                let limits = self.limits.clone();
                let method = move |request: RateLimitRequest| {
                    let limits = limits.clone();
                    async move { limits.should_rate_limit(request).await }
                };
                codec::<RateLimitResponse, RateLimitRequest>().unary(Method(method), request).await
            }
            HEALTH_CHECK => {
                let readiness = self.readiness.clone();
                let method = move |request: HealthCheckRequest| {
                    std::future::ready(health::check(&readiness, &request))
                };
                codec::<HealthCheckResponse, HealthCheckRequest>().unary(Method(method), request).await
            }
            path => {
                let path: String = path.chars().take(200).collect();
                Status::unimplemented(format!("there is no method `{path}`")).into_http()
            }
        }
    }
}

fn codec<E, D>() -> tonic::server::Grpc<ProstCodec<E, D>>
where
    E: prost::Message + 'static,
    D: prost::Message + Default + 'static,
{
    tonic::server::Grpc::new(ProstCodec::default()).max_decoding_message_size(MESSAGE)
}

/// A method, as a function from its request to the outcome.
struct Method<F>(F);

impl<F, Q, R, O> UnaryService<Q> for Method<F>
where
    F: FnMut(Q) -> O,
    O: Future<Output = Result<R, Status>> + Send + 'static,
{
    type Response = R;
    type Future = BoxFuture<'static, Result<tonic::Response<R>, Status>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        Box::pin(async move { answer.await.map(tonic::Response::new) })
    }
}

#[cfg(test)]
mod tests;
