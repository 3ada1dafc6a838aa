use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, StatusCode, Uri, Version};
use stanchion_core::{Problem, ProblemCode, RequestId};
use stanchion_tower::{
    Completion, Gate, Permit, REQUEST_ID, RateLimitFields, Refusal, SUBJECT_ID, TENANT_ID, UntrustworthyHead,
    check_request_head, clean_request_head, set_forwarded,
};

use crate::{Exchange, NormalPath, Pipeline, RequestHead};

/// What `Allow` says where no route is to be asked; a route may take other methods too.
const EVERY_METHOD: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

impl Gate for Pipeline {
    type Permit = Exchange;

    /// Decides and, if the request may go on, leaves it as the upstream is to see it: the normal path, no connection or identity fields
    /// but ours, and in its extensions the route and the request id.
    async fn admit(&self, head: &mut Parts, peer: IpAddr) -> Result<Exchange, Box<Refusal>> {
        let ip = self.client().resolve(peer, &head.headers);
        let refuse = |problem: Problem| {
            let (request, at) = self.new_request();
            self.stats().refused(problem.code);
            Box::new(Refusal { problem, request, at, rate_limit: RateLimitFields::default(), allow: None })
        };
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            let problem = Problem::new(ProblemCode::MethodNotAllowed, "CONNECT and TRACE are not served");
            let mut refusal = refuse(problem);
            refusal.allow = Some(EVERY_METHOD.to_owned());
            return Err(refusal);
        }
        let untrustworthy = |head: UntrustworthyHead| Problem::new(ProblemCode::RequestRejected, head.detail);
        check_request_head(&head.headers).map_err(untrustworthy).map_err(refuse)?;
        let host = host(head).map_err(refuse)?;
        let name = lower_case(host.as_ref().map_or("", |host| strip_port(host.as_str())));
        let content_length = content_length(&head.headers).map_err(refuse)?;
        let path = NormalPath::new(head.uri.path()).map_err(refuse)?;
        let request = RequestHead {
            method: &head.method,
            host: &name,
            path: &path,
            headers: &head.headers,
            ip,
            content_length,
        };
        let exchange = self.decide(&request).await?;
        let target = forwarded_target(&path, &head.uri);
        let absolute = head.uri.authority().cloned();
        clean_request_head(&mut head.headers);
        if let Some(target) = target {
            head.uri = target;
        }
        if let Some(host) = absolute.and_then(|host| HeaderValue::try_from(host.as_str()).ok()) {
            head.headers.insert(HOST, host);
        }
        let host = head.headers.get(HOST).cloned();
        set_forwarded(&mut head.headers, ip, "http", host.as_ref());
        identify(&mut head.headers, &exchange);
        head.extensions.insert(std::sync::Arc::clone(exchange.route()));
        head.extensions.insert(exchange.request());
        if let Some(principal) = exchange.principal() {
            head.extensions.insert(std::sync::Arc::clone(principal));
        }
        Ok(exchange)
    }
}

impl Permit for Exchange {
    async fn respond(&mut self, status: StatusCode, headers: &mut HeaderMap) -> Result<(), Box<Refusal>> {
        if let Err(problem) = Self::respond(self, status.as_u16()).await {
            let rate_limit = RateLimitFields::default();
            return Err(Box::new(Refusal {
                problem,
                request: self.request(),
                at: self.at(),
                rate_limit,
                allow: None,
            }));
        }
        self.limit_fields().write(headers, self.at());
        if let Ok(id) = HeaderValue::try_from(self.request().to_string()) {
            headers.insert(REQUEST_ID, id);
        }
        Ok(())
    }

    fn finish(self, completion: Completion) {
        Self::finish(self, completion);
    }

    fn request(&self) -> RequestId {
        Self::request(self)
    }
}

fn identify(headers: &mut HeaderMap, exchange: &Exchange) {
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    set(REQUEST_ID, exchange.request().to_string());
    if let Some(principal) = exchange.principal() {
        set(SUBJECT_ID, principal.subject.to_string());
        if let Some(tenant) = principal.tenant() {
            set(TENANT_ID, tenant.to_string());
        }
    }
}

/// Finds the one host a request is for (RFC 9112 §3.2): of an absolute target the target's own, which `Host` then has to repeat.
fn host(head: &Parts) -> Result<Option<Authority>, Problem> {
    let rejected = |detail: &'static str| Problem::new(ProblemCode::RequestRejected, detail);
    let mut fields = head.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(rejected("the request has several Host fields"));
    }
    let field = match field {
        Some(field) if field.is_empty() => None,
        Some(field) => {
            let text = field.to_str().map_err(|_| rejected("Host is not a host"))?;
            let host = Authority::from_str(text).map_err(|_| rejected("Host is not a host"))?;
            if host.as_str().contains('@') {
                return Err(rejected("Host is not a host"));
            }
            Some(host)
        }
        None if head.version == Version::HTTP_11 => return Err(rejected("the request has no Host field")),
        None => None,
    };
    match head.uri.authority() {
        Some(target) if field.as_ref().is_some_and(|field| field != target) => {
            Err(rejected("the target and Host name different hosts"))
        }
        Some(target) => Ok(Some(target.clone())),
        None => Ok(field),
    }
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

fn strip_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(Problem::new(
            ProblemCode::RequestRejected,
            "the request has Content-Length and Transfer-Encoding",
        ));
    }
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    length
        .map(Some)
        .ok_or_else(|| Problem::new(ProblemCode::RequestRejected, "Content-Length is not a number"))
}

/// Returns the target to forward if it differs from the one that came: in origin form, with the normal path.
fn forwarded_target(path: &NormalPath<'_>, uri: &Uri) -> Option<Uri> {
    if uri.path() == path.as_str() && uri.authority().is_none() {
        return None;
    }
    let target = match uri.query() {
        Some(query) => format!("{}?{query}", path.as_str()),
        None => path.as_str().to_owned(),
    };
    PathAndQuery::try_from(target).ok().map(Uri::from)
}
