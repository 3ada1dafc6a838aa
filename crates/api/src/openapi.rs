use bytes::Bytes;
use stanchion_core::ProblemCode;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, Paths};
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Ref, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Required, Response, ResponsesBuilder};
use utoipa::{PartialSchema, ToSchema};

use crate::document::{PROBLEM, problem_response};
use crate::operation::{Access, Idempotency, On, Operation, Run};

const ABOUT: &str = "\
Administration of tenants, API keys, roles, rate limits, usage and audit.

**Authentication.** Send an API key as `Authorization: Bearer …` or `X-API-Key`.

**Scope.** The key of a tenant works on that tenant. The key of the platform names the tenant with `?tenant=<id>`, or \
`?tenant=platform` for what the platform itself has.

**Permissions** are looked for in the scope of the key; each operation names its own in `x-permission`.

**Problems** are documents of RFC 9457 with a stable `code`. Every answer has our own `x-request-id`.

**Lists** come in pages: send `next_page` as `page` until it is null.

**Changes** to what exists take the `etag` it was read with as `If-Match`.

**Creations** take an `Idempotency-Key`: sent again within 24 hours to the same process they are answered as the first time, with \
`idempotency-replayed: true`, and are not done again.

**Writes** are answered with a `stanchion-consistency` token. A request that sends it back is answered by what the write has left, also \
where another replica answers; without it, replicas follow within a second.

**Values.** Times are RFC 3339 in UTC; decimals and 64-bit numbers are text.";

const TAGS: [(&str, &str); 16] = [
    ("tenants", "The customers of the platform."),
    ("keys", "API keys."),
    ("roles", "What somebody may do, under a name that can be assigned."),
    ("assignments", "Who holds which role."),
    ("denials", "What is denied to whom, whatever roles it holds."),
    ("grants", "Single permissions that subjects have besides their roles."),
    ("memberships", "Who belongs to which group."),
    ("separations", "Roles that one subject may not have together."),
    ("sessions", "Times in which subjects use some of their roles."),
    ("permissions", "What there is to permit."),
    ("access", "Who may do what, why, and what a change would do to that; all of it at once, in and out."),
    ("limits", "Rate limits."),
    ("routes", "What the gateway takes."),
    ("usage", "What was used, and what it costs."),
    ("audit", "What was recorded, and the proof of it."),
    ("system", "The process itself, for whoever reaches the listener."),
];

/// A problem document (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of what `stanchion-tower` writes, for the document")]
pub(crate) struct Problem {
    /// `about:blank`: the code says it.
    r#type: String,
    /// The short title of the code.
    title: String,
    /// The status of the answer.
    status: u16,
    /// The stable code.
    #[schema(schema_with = codes)]
    code: (),
    /// What is wrong with this request, and how to mend it.
    detail: Option<String>,
    /// The id of the request, as in `x-request-id`.
    #[schema(format = "uuid")]
    request_id: Option<String>,
}

fn codes() -> ObjectBuilder {
    let codes = ProblemCode::ALL.iter().copied().filter(|code| crate::document::is_ours(*code));
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.map(ProblemCode::as_str)))
}

/// Writes the OpenAPI document of the operations.
pub(crate) fn document(operations: &[Operation]) -> Bytes {
    let json = describe(operations).to_pretty_json().unwrap_or_default();
    Bytes::from(json + "\n")
}

fn describe(operations: &[Operation]) -> OpenApi {
    let mut paths = Paths::new();
    let mut components = ComponentsBuilder::new().schema(PROBLEM, Problem::schema());
    for operation in operations {
        let item = PathItem::new(method(operation), describe_one(operation));
        // The rest of a path is one parameter: a star says so to the router only.
        let path = operation.path.replace("{*", "{");
        match paths.paths.get_mut(&path) {
            Some(known) => known.merge_operations(item),
            None => drop(paths.paths.insert(path, item)),
        }
        components = components.schemas_from_iter(operation.document.schemas.iter().cloned());
        for status in &operation.document.problems {
            components = components.response(problem_name(*status), problem_response(*status));
        }
    }
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key")));
    let components = components.security_scheme("bearer", bearer).security_scheme("api_key", header);
    let info = InfoBuilder::new()
        .title("Stanchion admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT));
    let tags =
        TAGS.map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build());
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

fn method(operation: &Operation) -> HttpMethod {
    match operation.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn describe_one(operation: &Operation) -> utoipa::openapi::path::Operation {
    let mut responses = ResponsesBuilder::new();
    for (status, response) in &operation.document.answers {
        responses = responses.response(status.as_str(), response.clone());
    }
    for status in &operation.document.problems {
        let response = Ref::from_response_name(problem_name(*status));
        responses = responses.response(status.to_string(), RefOr::<Response>::Ref(response));
    }
    let mut built = OperationBuilder::new()
        .operation_id(Some(operation.id))
        .tag(operation.tag())
        .summary(Some(operation.summary))
        .description(operation.description)
        .request_body(operation.document.request.clone())
        .responses(responses.build());
    for parameter in &operation.document.parameters {
        built = built.parameter(parameter.clone());
    }
    if let Run::Guarded(access, _) = &operation.run {
        built = guarded(built, access);
    }
    if operation.idempotency == Idempotency::Key {
        let about =
            "1 to 255 visible ASCII characters. The same request sent again with the same key is done once.";
        built = built.parameter(text(ParameterIn::Header, "idempotency-key", about));
    }
    built.build()
}

fn problem_name(status: u16) -> String {
    format!("{PROBLEM}{status}")
}

fn guarded(built: OperationBuilder, access: &Access) -> OperationBuilder {
    let needs = [("x-permission", access.permission.as_str())];
    let extensions = needs.map(|(name, value)| (name.to_owned(), serde_json::Value::from(value)));
    let built = built
        .security(SecurityRequirement::new::<_, [&str; 0], _>("bearer", []))
        .security(SecurityRequirement::new::<_, [&str; 0], _>("api_key", []))
        .extensions(Some(extensions.into_iter().collect()));
    if access.on == On::Scope {
        let about = "The tenant to work on, or `platform`. Required of a principal of the platform; a tenant's principal works on its own.";
        return built.parameter(text(ParameterIn::Query, "tenant", about));
    }
    built
}

fn text(place: ParameterIn, name: &str, about: &str) -> utoipa::openapi::path::Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(Required::False);
    parameter.description(Some(about)).schema(Some(String::schema())).build()
}
