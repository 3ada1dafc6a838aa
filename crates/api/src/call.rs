mod precondition;

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use stanchion_core::{
    Actor, Author, Authorization, Page, PageRequest, Principal, ProblemCode, RequestId, Scope, Source,
    Timestamp,
};
use stanchion_pipeline::Engines;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, Required};
use utoipa::{IntoParams, PartialSchema, ToSchema};

pub(crate) use self::precondition::{Guard, IfMatch, IfMatchIfSent, Precondition, precondition_required};
use crate::answer::{Found, List};
use crate::document::Document;
use crate::failure::Failure;
use crate::mistake;
use crate::page_token::ListId;
use crate::state::Api;

/// A request that may be done: who asks for what, in which scope.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) api: Arc<Api>,
    pub(crate) operation: &'static str,
    pub(crate) principal: Arc<Principal>,
    /// The permission that let it in.
    pub(crate) authorization: Authorization,
    /// The scope the operation works in, which the principal has been let into.
    pub(crate) scope: Scope,
    pub(crate) request: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) source: Source,
    pub(crate) path: Vec<(String, String)>,
    pub(crate) query: Parameters,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn engines(&self) -> &Engines {
        self.api.state.pipeline.engines()
    }

    /// Whom the events of a change name.
    pub(crate) fn author(&self) -> Author {
        Author {
            actor: Actor::from(&*self.principal),
            acted_as: None,
            authorization: vec![self.authorization.clone()],
            request: Some(self.request),
            source: self.source.clone(),
        }
    }
}

/// The parameters of a query, apart from those that the frame reads itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Failure> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Failure::invalid(format!("the parameter `{name}` is given twice")));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let values: Map<String, Value> =
            self.0.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
        serde_path_to_error::deserialize(Value::Object(values)).map_err(|error| mistake::in_parameter(&error))
    }
}

/// What a handler takes from a call, and how it looks in the API's document.
pub(crate) trait Input: Sized + Send + 'static {
    fn document(document: &mut Document);
    fn read(call: &Call) -> Result<Self, Failure>;
}

/// Nothing but the call; a query with parameters is refused.
pub(crate) struct Nothing;

/// The parameter of the path.
pub(crate) struct Path<T>(pub(crate) T);

/// The parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

/// A page of a list that the query's other parameters filter.
pub(crate) struct Paged<T> {
    pub(crate) filter: T,
    pub(crate) page: PageRequest,
    list: ListId,
}

/// Parameters of the query beside those of a filter, which several operations share and which refuses what it does not know.
pub(crate) struct Beside<P, I>(pub(crate) P, pub(crate) I);

/// What stands beside a filter.
pub(crate) trait Parameter: Sized + Send + 'static {
    fn document(document: &mut Document);
    /// Takes the parameters out of those of the query.
    fn take(parameters: &mut Parameters) -> Result<Self, Failure>;
}

impl<A: Parameter, B: Parameter> Parameter for (A, B) {
    fn document(document: &mut Document) {
        A::document(document);
        B::document(document);
    }

    fn take(parameters: &mut Parameters) -> Result<Self, Failure> {
        Ok((A::take(parameters)?, B::take(parameters)?))
    }
}

/// A filter that lets everything pass.
#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Everything {}

/// The body, as JSON.
pub(crate) struct Body<T>(pub(crate) T);

/// What stands in a path.
pub(crate) trait PathParameter: FromStr<Err: std::fmt::Display> + Send + 'static {
    const DESCRIPTION: &'static str;
    fn schema() -> RefOr<Schema>;
}

impl Input for Nothing {
    fn document(_: &mut Document) {}

    fn read(call: &Call) -> Result<Self, Failure> {
        call.query.read::<Everything>().map(|_| Self)
    }
}

impl<T: PathParameter> Input for Path<T> {
    fn document(document: &mut Document) {
        document.parameter(ParameterIn::Path, "id", T::DESCRIPTION, Required::True, T::schema());
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        let text = call.path.iter().find(|(name, _)| name == "id").map_or("", |(_, value)| value);
        text.parse().map(Self).map_err(|error: T::Err| Failure::invalid(error.to_string()))
    }
}

impl<T: DeserializeOwned + IntoParams + Send + 'static> Input for Query<T> {
    fn document(document: &mut Document) {
        document.parameters.extend(T::into_params(|| Some(ParameterIn::Query)));
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        call.query.read().map(Self)
    }
}

impl<T: DeserializeOwned + IntoParams + Send + 'static> Input for Paged<T> {
    fn document(document: &mut Document) {
        Query::<T>::document(document);
        let most = PageRequest::MAX_LIMIT;
        let limit = format!("The most items of the page, 1 to {most}; 100 when left out.");
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(most));
        document.parameter(ParameterIn::Query, "limit", &limit, Required::False, number);
        let page =
            "The `next_page` of the page before. A token is good for the list it came with, and no other.";
        document.parameter(ParameterIn::Query, "page", page, Required::False, String::schema());
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        let mut parameters = call.query.clone();
        let (limit, token) = (parameters.take("limit"), parameters.take("page"));
        let filter = parameters.read()?;
        let list = ListId { operation: call.operation, scope: call.scope, filter: parameters.0 };
        let mut page = PageRequest::default();
        if let Some(limit) = limit {
            let limit = limit.parse().ok().filter(|limit| (1..=PageRequest::MAX_LIMIT).contains(limit));
            let most = PageRequest::MAX_LIMIT;
            page = PageRequest::first(limit.ok_or_else(|| {
                Failure::invalid(format!("parameter `limit`: use a whole number from 1 to {most}"))
            })?);
        }
        if let Some(token) = token {
            let key = call.api.page_tokens.open(&list, &token);
            page = page.after(key.ok_or_else(|| {
                Failure::invalid("parameter `page`: this is no token of this list; begin without one")
            })?);
        }
        Ok(Self { filter, page, list })
    }
}

impl<P: Parameter, I: Input> Input for Beside<P, I> {
    fn document(document: &mut Document) {
        I::document(document);
        P::document(document);
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        let mut rest = call.clone();
        let taken = P::take(&mut rest.query)?;
        Ok(Self(taken, I::read(&rest)?))
    }
}

impl<T> Paged<T> {
    /// Makes the token of the page that follows one.
    pub(crate) fn next<I>(&self, call: &Call, page: &Page<I>) -> Option<String> {
        page.next.as_ref().map(|key| call.api.page_tokens.seal(&self.list, key))
    }

    /// Answers with a page, and with the token of the one that follows.
    pub(crate) fn answer<I, D: From<I> + ToSchema>(&self, call: &Call, page: Page<I>) -> Found<List<D>> {
        let next_page = self.next(call, &page);
        Found(List { items: page.items.into_iter().map(D::from).collect(), next_page })
    }
}

impl<T: DeserializeOwned + ToSchema + Send + 'static> Input for Body<T> {
    fn document(document: &mut Document) {
        document.takes::<T>("application/json");
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        if media_type(&call.headers) != Some("application/json") {
            return Err(Failure::new(
                ProblemCode::UnsupportedMediaType,
                "send `content-type: application/json`",
            ));
        }
        json(&call.body).map(Self)
    }
}

/// Reads a JSON text whole.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| mistake::in_body(&error))?;
    reader.end().map_err(|error| mistake::in_json(&error))?;
    Ok(value)
}

/// Returns the media type of the body without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

impl<A: Input, B: Input> Input for (A, B) {
    fn document(document: &mut Document) {
        A::document(document);
        B::document(document);
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        Ok((A::read(call)?, B::read(call)?))
    }
}

impl<A: Input, B: Input, C: Input> Input for (A, B, C) {
    fn document(document: &mut Document) {
        <(A, B)>::document(document);
        C::document(document);
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        Ok((A::read(call)?, B::read(call)?, C::read(call)?))
    }
}

macro_rules! path_parameters {
    ($($type:ty, $description:literal, $format:expr;)+) => {$(
        impl PathParameter for $type {
            const DESCRIPTION: &'static str = $description;

            fn schema() -> RefOr<Schema> {
                crate::wire::text($format)
            }
        }
    )+};
}

path_parameters! {
    stanchion_core::TenantId, "The tenant.", Some("uuid");
    stanchion_core::KeyId, "The key.", Some("uuid");
    stanchion_rbac::RoleId, "The role.", None;
    stanchion_ratelimit::RuleId, "The limit.", None;
}
