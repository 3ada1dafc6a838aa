mod args;
pub(crate) mod export;
mod plan;
pub(crate) mod protection;
pub(crate) mod rbac;
mod table;
pub(crate) mod tail;
mod view;
pub(crate) mod what;
pub(crate) mod who;

use std::io::{self, Write};

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use stanchion_core::TenantId;

pub(crate) use plan::Plan;

use crate::admin::args::Output;
use crate::admin::plan::{Guard, Request, Segment};
use crate::admin::view::Says;
use crate::config::SecretRef;
use crate::environment::Environment;
use crate::failure::{Exit, Failure};
use crate::http_client::{Answer, Ask, Download, HttpClient, NoAnswer};
use crate::json::{at, list, text};
use crate::terminal::cut;

const DEFAULT_SERVER: &str = "http://127.0.0.1:8081";
/// The most items of one page, as the API has it.
const PAGE: usize = 1_000;

/// Asks a running server what a command wants to know, or to do, and writes the answer.
pub(crate) async fn run(plan: Plan, environment: &Environment) -> Result<(), Failure> {
    let connection = Connection::new(&plan, environment)?;
    let tenant = match &plan.tenant {
        Some(named) => Some(connection.tenant(named).await?),
        None => None,
    };
    let answer = match plan.items {
        Some(items) => connection.list(&plan.request, tenant.as_deref(), items).await?,
        None => connection.send(&plan.request, tenant.as_deref()).await?,
    };
    let text = match plan.session.output {
        Output::Json if answer.is_null() => String::new(),
        Output::Json => format!("{answer:#}\n"),
        Output::Table => plan.view.text(&answer),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever read the first lines has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::new(Exit::No, "cannot write the answer").because(&error));
        }
        _ => {}
    }
    match plan.view.says(&answer) {
        Says::Yes => Ok(()),
        Says::No => Err(Failure::told(Exit::No)),
    }
}

struct Connection {
    client: HttpClient,
    server: String,
    authorization: HeaderValue,
}

impl Connection {
    fn new(plan: &Plan, environment: &Environment) -> Result<Self, Failure> {
        let server = plan.session.server.as_deref().or_else(|| environment.get("STANCHION_SERVER"));
        let server = server.unwrap_or(DEFAULT_SERVER).trim_end_matches('/').to_owned();
        if !server.starts_with("http://") {
            let why = "only http is spoken here: reach a remote server through a tunnel";
            return Err(
                Failure::new(Exit::Input, format!("`{server}` is not http://HOST:PORT")).with_lines([why])
            );
        }
        let missing = |why: String| {
            let way_out = "say --key env:NAME or --key file:PATH, or set STANCHION_KEY";
            Failure::new(Exit::Input, "there is no API key to ask with").with_lines([why, way_out.to_owned()])
        };
        let reference = match &plan.session.key {
            Some(place) => place.reference().map_err(|why| missing(why.to_owned()))?,
            None => SecretRef::Variable("STANCHION_KEY".to_owned()),
        };
        let key = reference.resolve(environment, std::path::Path::new("")).map_err(missing)?;
        let bearer = [b"Bearer ", key.expose()].concat();
        let mut authorization =
            HeaderValue::from_bytes(&bearer).map_err(|_| missing(format!("`{reference}` is no API key")))?;
        authorization.set_sensitive(true);
        Ok(Self { client: HttpClient::default(), server, authorization })
    }

    /// Finds the id of a tenant that is named by its slug.
    async fn tenant(&self, named: &str) -> Result<String, Failure> {
        if named == "platform" || named.parse::<TenantId>().is_ok() {
            return Ok(named.to_owned());
        }
        let all = Request {
            method: Method::GET,
            path: vec![Segment::Fixed("tenants")],
            query: Vec::new(),
            body: None,
            guard: Guard::None,
        };
        let tenants = self.list(&all, None, usize::MAX).await?;
        let found = list(&tenants, "/items").iter().find(|tenant| text(tenant, "/slug") == named);
        let id = found.map(|tenant| text(tenant, "/id").to_owned());
        id.ok_or_else(|| Failure::new(Exit::No, format!("there is no tenant `{named}`")))
    }

    /// Follows a list until it has as many items as are wanted.
    async fn list(&self, request: &Request, tenant: Option<&str>, wanted: usize) -> Result<Value, Failure> {
        let (mut items, mut checkpoints, mut page) = (Vec::new(), Vec::new(), None);
        loop {
            let mut request = request.clone();
            let missing = wanted.saturating_sub(items.len());
            request.query.push(("limit", missing.clamp(1, PAGE).to_string()));
            request.query.extend(page.map(|page: String| ("page", page)));
            let mut answer = self.send(&request, tenant).await?;
            if let Some(Value::Array(more)) = answer.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            if let Some(Value::Array(more)) = answer.get_mut("checkpoints").map(Value::take) {
                checkpoints.extend(more);
            }
            page = at(&answer, "/next_page").as_str().map(str::to_owned);
            if page.is_none() || items.len() >= wanted {
                let mut whole = json!({ "items": items, "next_page": page });
                if let Some(whole) = whole.as_object_mut().filter(|_| !checkpoints.is_empty()) {
                    // Those of a page go with the proofs on it; the pages may have been covered by several.
                    whole.insert("checkpoints".to_owned(), Value::Array(checkpoints));
                }
                return Ok(whole);
            }
        }
    }

    async fn send(&self, request: &Request, tenant: Option<&str>) -> Result<Value, Failure> {
        let uri = self.uri(request, tenant)?;
        let mut ask = Ask::new(request.method.clone(), uri.clone());
        if let Some((name, value)) = self.precondition(request.guard, &uri).await? {
            ask.headers.insert(name, value);
        }
        if let Some(body) = &request.body {
            ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            ask.body = Bytes::from(body.to_string());
        }
        let answer = self.ask(ask).await?;
        if answer.status.is_success() { Ok(answer.json()) } else { Err(refused(&answer)) }
    }

    /// Reads a resource to be written, so that nobody's change is overwritten unseen.
    async fn precondition(
        &self,
        guard: Guard,
        uri: &Uri,
    ) -> Result<Option<(HeaderName, HeaderValue)>, Failure> {
        if guard == Guard::None {
            return Ok(None);
        }
        let answer = self.ask(Ask::new(Method::GET, uri.clone())).await?;
        match (answer.headers.get(ETAG), answer.status) {
            (Some(tag), status) if status.is_success() => Ok(Some((IF_MATCH, tag.clone()))),
            (_, StatusCode::NOT_FOUND) if guard == Guard::UnchangedOrAbsent => {
                Ok(Some((IF_NONE_MATCH, HeaderValue::from_static("*"))))
            }
            _ => Err(refused(&answer)),
        }
    }

    async fn ask(&self, mut ask: Ask) -> Result<Answer, Failure> {
        ask.headers.insert(AUTHORIZATION, self.authorization.clone());
        ask.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        self.client.send(ask).await.map_err(|error| self.unreachable(&error))
    }

    /// Asks for something, whatever comes of it.
    async fn fetch(&self, request: &Request, tenant: Option<&str>) -> Result<Answer, Failure> {
        self.ask(Ask::new(request.method.clone(), self.uri(request, tenant)?)).await
    }

    /// Asks for what is too long to be held.
    async fn open(&self, request: &Request, tenant: Option<&str>) -> Result<Download, Failure> {
        let mut ask = Ask::new(request.method.clone(), self.uri(request, tenant)?);
        ask.headers.insert(AUTHORIZATION, self.authorization.clone());
        match self.client.open(ask).await.map_err(|error| self.unreachable(&error))? {
            Ok(download) => Ok(download),
            Err(answer) => Err(refused(&answer)),
        }
    }

    fn unreachable(&self, error: &NoAnswer) -> Failure {
        Failure::new(Exit::Unreachable, format!("{} cannot be reached", self.server)).because(error)
    }

    fn uri(&self, request: &Request, tenant: Option<&str>) -> Result<Uri, Failure> {
        let mut text = format!("{}/v1", self.server);
        let mut is_in_path = false;
        for segment in &request.path {
            text.push('/');
            match segment {
                Segment::Fixed(name) => text.push_str(name),
                Segment::Given(id) => text.push_str(&encoded(id)),
                Segment::Tenant => {
                    is_in_path = true;
                    text.push_str(&encoded(tenant.unwrap_or_default()));
                }
            }
        }
        let scope = tenant.filter(|_| !is_in_path).map(|tenant| ("tenant", tenant));
        let query = request.query.iter().map(|(name, value)| (*name, value.as_str())).chain(scope);
        for (index, (name, value)) in query.enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            text.push_str(&format!("{mark}{name}={}", encoded(value)));
        }
        let invalid = |_| Failure::new(Exit::Input, format!("`{}` is not http://HOST:PORT", self.server));
        text.parse().map_err(invalid)
    }
}

/// Writes everything but unreserved characters (RFC 3986 §2.3) as percent signs and digits.
fn encoded(text: &str) -> String {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let write =
        |byte: u8| if is_unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(write).collect()
}

/// Puts a problem document into words.
fn refused(answer: &Answer) -> Failure {
    let exit = match answer.status.as_u16() {
        400 | 405 | 409 | 412..=415 | 428 => Exit::Input,
        502..=504 => Exit::Unreachable,
        _ => Exit::No,
    };
    let problem = answer.json();
    let part = |pointer| at(&problem, pointer).as_str().map(|text| cut(text, 500));
    let title = part("/title").unwrap_or_else(|| answer.status.to_string());
    let code = part("/code").map(|code| format!(" ({code})")).unwrap_or_default();
    let lines = part("/detail").into_iter().chain(part("/request_id").map(|id| format!("request {id}")));
    Failure::new(exit, format!("{title}{code}")).with_lines(lines)
}

#[cfg(test)]
mod tests;
