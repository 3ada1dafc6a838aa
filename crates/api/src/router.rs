use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use stanchion_core::{ProblemCode, RequestId, Source, Text};
use stanchion_tower::PeerAddress;

use crate::answer::Reply;
use crate::authorize::{Attempt, Authorized};
use crate::call::{Call, Parameters};
use crate::failure::Failure;
use crate::idempotency::{Begun, Key, fingerprint};
use crate::operation::{Access, Handler, Idempotency, Operation, Run};
use crate::state::{Api, ApiState};
use crate::{operations, system};

/// The largest body, in bytes, of operations that do not say otherwise.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Sent with every answer to a write, and back with a read that has to see it, wherever that arrives.
const CONSISTENCY: HeaderName = HeaderName::from_static("stanchion-consistency");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Makes the admin API: a service that the owner of a listener serves.
///
/// Whoever accepts connections puts a [`PeerAddress`] into the extensions of each request; without one the caller counts as `0.0.0.0`,
/// and a key that is bound to networks is not accepted from there. Nothing here runs beside the requests.
pub fn router(state: ApiState) -> Router {
    let api = Arc::new(Api::new(state, operations::all()));
    let mut router = Router::new();
    for (index, operation) in api.operations.iter().enumerate() {
        // Every operation's method is one that can be filtered by.
        let Ok(method) = MethodFilter::try_from(operation.method.clone()) else { continue };
        let api = Arc::clone(&api);
        let handler = move |path: Result<RawPathParams, RawPathParamsRejection>, request: Request| {
            let api = Arc::clone(&api);
            async move { serve(api, index, path, request).await }
        };
        router = router.route(operation.path, on(method, handler));
    }
    let (unknown, other) = (Arc::clone(&api), api);
    router
        .fallback(move || {
            refuse(unknown, Failure::not_found("no operation has this path; see /openapi.json"))
        })
        .method_not_allowed_fallback(move || {
            refuse(
                other,
                Failure::new(ProblemCode::MethodNotAllowed, "`allow` says which methods this path takes"),
            )
        })
}

async fn refuse(api: Arc<Api>, failure: Failure) -> Response {
    let request = api.state.ids.request_id(api.state.clock.now());
    failure.into_response(request).map(Body::from)
}

async fn serve(
    api: Arc<Api>,
    index: usize,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let Some(operation) = api.operations.get(index) else {
        return refuse(Arc::clone(&api), ProblemCode::NotFound.into()).await;
    };
    let id = api.state.ids.request_id(api.state.clock.now());
    let response = match &operation.run {
        Run::Open(run) => run(&api).map(Body::from),
        Run::Guarded(access, handler) => {
            let exchange = Exchange { api: &api, operation, access, handler, id };
            match exchange.run(path, request).await {
                Ok(reply) => reply.into_response(),
                Err(failure) => {
                    failure.log(operation.id, id);
                    failure.into_response(id).map(Body::from)
                }
            }
        }
    };
    operation.stats.answered(response.status());
    system::with_request_id(response, id)
}

/// One request to a guarded operation.
struct Exchange<'a> {
    api: &'a Arc<Api>,
    operation: &'a Operation,
    access: &'a Access,
    handler: &'a Handler,
    id: RequestId,
}

impl Exchange<'_> {
    async fn run(
        &self,
        path: Result<RawPathParams, RawPathParamsRejection>,
        request: Request,
    ) -> Result<Reply, Failure> {
        let state = &self.api.state;
        let (head, body) = request.into_parts();
        let path = path.map_err(|_| Failure::invalid("the path is not UTF-8"))?;
        let path: Vec<(String, String)> =
            path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut query = Parameters::parse(head.uri.query())?;
        let peer =
            head.extensions.get::<PeerAddress>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        let ip = state.client.resolve(peer, &head.headers);
        let at = state.clock.now();
        let attempt = Attempt {
            api: self.api,
            operation: self.operation.id,
            access: self.access,
            request: self.id,
            at,
            ip,
            method: &head.method,
            uri_path: head.uri.path(),
        };
        let Authorized { principal, scope, authorization } =
            attempt.authorize(&head.headers, &path, &mut query).await?;
        // Whatever the token says, the look that it causes sees every write that was answered before it was sent.
        if head.headers.contains_key(CONSISTENCY) && !state.refresh.run().await {
            return Err(Failure::new(
                ProblemCode::BackendUnavailable,
                "the writes before `stanchion-consistency` could not be seen in time; try again",
            ));
        }
        let body = read(&head.headers, body, self.operation.max_body).await?;
        let user_agent = head.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
        let user_agent = user_agent.map(|text| Text::from(text.chars().take(200).collect::<String>()));
        let call = Call {
            api: Arc::clone(self.api),
            operation: self.operation.id,
            principal,
            authorization,
            scope,
            request: self.id,
            at,
            source: Source { ip: Some(ip), user_agent },
            path,
            query,
            headers: head.headers,
            body,
        };
        let mut reply = match (self.operation.idempotency, idempotency_key(&call.headers)?) {
            (Idempotency::Key, Some(key)) => self.once(call, key).await?,
            _ => (self.handler)(call).await?,
        };
        if !self.operation.method.is_safe() {
            let token = HeaderValue::try_from(self.id.to_string()).map_err(Failure::internal)?;
            reply.headers.push((CONSISTENCY, token));
        }
        Ok(reply)
    }

    /// Does what is asked, unless it was done before under the same idempotency key.
    async fn once(&self, call: Call, key: String) -> Result<Reply, Failure> {
        let scope = call.scope.to_string();
        let path = call.path.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let request =
            [call.operation.as_bytes(), scope.as_bytes()].into_iter().chain(path).chain([&*call.body]);
        let request = fingerprint(request);
        let key = Key { scope: call.principal.scope, subject: call.principal.subject.clone(), key };
        let ticket = match self.api.replays.begin(key, request, call.at)? {
            Begun::First(ticket) => ticket,
            Begun::Again(mut reply) => {
                reply.headers.push((IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true")));
                return Ok(*reply);
            }
        };
        let answer = (self.handler)(call).await;
        match &answer {
            Ok(reply) => ticket.answered(reply),
            Err(failure) if failure.is_uncertain => drop(ticket),
            Err(_) => ticket.failed(),
        }
        answer
    }
}

/// Reads the body whole, up to its bound.
async fn read(headers: &http::HeaderMap, body: Body, most: usize) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(ProblemCode::PayloadTooLarge, format!("a body has at most {most} bytes"));
    let stated = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Failure::invalid("the body broke off")),
    }
}

fn idempotency_key(headers: &http::HeaderMap) -> Result<Option<String>, Failure> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_key =
        |text: &&str| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = value.to_str().ok().filter(is_key);
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => {
            Err(Failure::invalid("header `idempotency-key`: send one, of 1 to 255 visible ASCII characters"))
        }
    }
}
