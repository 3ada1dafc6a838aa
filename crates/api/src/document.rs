use std::collections::BTreeSet;

use http::StatusCode;
use stanchion_core::ProblemCode;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::{ContentBuilder, Header, HeaderBuilder, RefOr, Required, Response, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

/// The name of the schema of problem documents.
pub(crate) const PROBLEM: &str = "Problem";

/// What an operation takes and answers, gathered from the types of its handler.
#[derive(Default)]
pub(crate) struct Document {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) request: Option<RequestBody>,
    pub(crate) answers: Vec<(StatusCode, Response)>,
    pub(crate) problems: BTreeSet<u16>,
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
}

impl Document {
    pub(crate) fn parameter(
        &mut self,
        place: ParameterIn,
        name: &str,
        description: &str,
        required: Required,
        schema: impl Into<RefOr<Schema>>,
    ) {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(description))
            .schema(Some(schema));
        self.parameters.push(parameter.build());
    }

    pub(crate) fn takes<T: ToSchema>(&mut self, media_type: &str) {
        let schema = self.refer::<T>();
        self.takes_content([(media_type, schema)]);
    }

    /// Takes one of something as one media type, and a list of it as another.
    pub(crate) fn takes_one_or_list<T: ToSchema>(&mut self, one: &str, list: &str) {
        let schema = self.refer::<T>();
        let items = ArrayBuilder::new().items(schema.clone()).into();
        self.takes_content([(one, schema), (list, items)]);
    }

    /// Takes a text that has no schema of its own, as one of some media types.
    pub(crate) fn takes_text<const N: usize>(&mut self, media_types: [&str; N]) {
        let schema = || RefOr::T(ObjectBuilder::new().schema_type(Type::String).into());
        self.takes_content(media_types.map(|media_type| (media_type, schema())));
    }

    fn takes_content<const N: usize>(&mut self, content: [(&str, RefOr<Schema>); N]) {
        self.problems([ProblemCode::PayloadTooLarge, ProblemCode::UnsupportedMediaType]);
        let mut request = RequestBodyBuilder::new().required(Some(Required::True));
        for (media_type, schema) in content {
            request = request.content(media_type, ContentBuilder::new().schema(Some(schema)).build());
        }
        self.request = Some(request.build());
    }

    pub(crate) fn answers<T: ToSchema>(&mut self, status: StatusCode, description: &str, headers: &[&str]) {
        let schema = self.refer::<T>();
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let mut response =
            ResponseBuilder::new().description(description).content("application/json", content);
        for name in headers {
            response = response.header(*name, header(name));
        }
        self.answers.push((status, response.build()));
    }

    /// Answers with something that has no schema of its own.
    pub(crate) fn answers_as(
        &mut self,
        status: StatusCode,
        description: &str,
        media_type: &str,
        r#type: Type,
    ) {
        let schema = ObjectBuilder::new().schema_type(r#type);
        let content = ContentBuilder::new().schema(Some(schema)).build();
        self.answers.push((
            status,
            ResponseBuilder::new().description(description).content(media_type, content).build(),
        ));
    }

    pub(crate) fn answers_nothing(&mut self, status: StatusCode, description: &str) {
        self.answers.push((status, ResponseBuilder::new().description(description).build()));
    }

    pub(crate) fn problems(&mut self, codes: impl IntoIterator<Item = ProblemCode>) {
        self.problems.extend(codes.into_iter().map(ProblemCode::status));
    }

    /// Takes a schema into the document's components and refers to it.
    fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }
}

fn header(name: &str) -> Header {
    let description = match name {
        "etag" => "The revision of the resource, for `If-Match`.",
        "location" => "Where the resource is.",
        _ => "",
    };
    HeaderBuilder::new().schema(Some(String::schema())).description(Some(description)).build()
}

/// Describes a problem answer: every code of this status that the API knows.
pub(crate) fn problem_response(status: u16) -> Response {
    let codes = ProblemCode::ALL.iter().filter(|code| code.status() == status && is_ours(**code));
    let lines: Vec<String> = codes.map(|code| format!("`{code}`: {}.", code.title())).collect();
    let schema = RefOr::<Schema>::Ref(Ref::from_schema_name(PROBLEM));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let mut response = ResponseBuilder::new()
        .description(lines.join(" "))
        .content("application/problem+json", content)
        .header("x-request-id", HeaderBuilder::new().schema(Some(String::schema())).build());
    if status == ProblemCode::Unauthenticated.status() {
        response =
            response.header("www-authenticate", HeaderBuilder::new().schema(Some(String::schema())).build());
    }
    response.build()
}

/// Tells whether the admin API answers with a code; the others belong to the data plane.
pub(crate) const fn is_ours(code: ProblemCode) -> bool {
    matches!(
        code,
        ProblemCode::RequestRejected
            | ProblemCode::InvalidRequest
            | ProblemCode::Unauthenticated
            | ProblemCode::Forbidden
            | ProblemCode::TenantInactive
            | ProblemCode::NotFound
            | ProblemCode::MethodNotAllowed
            | ProblemCode::Conflict
            | ProblemCode::IdempotencyKeyReused
            | ProblemCode::PreconditionFailed
            | ProblemCode::PayloadTooLarge
            | ProblemCode::UnsupportedMediaType
            | ProblemCode::PreconditionRequired
            | ProblemCode::Internal
            | ProblemCode::BackendUnavailable
            | ProblemCode::Overloaded
    )
}
