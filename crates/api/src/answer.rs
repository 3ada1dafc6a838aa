use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use serde::Serialize;
use stanchion_core::{Problem, ProblemCode, Revision};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Ref, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::document::Document;
use crate::failure::Failure;

/// A finished answer, as it is sent and as a repeated request gets it again.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    /// What a repeated request is told instead, for an answer that holds a secret.
    pub(crate) once: Option<Problem>,
    /// What is sent instead of `body`, made while it is sent.
    pub(crate) stream: Option<Stream>,
}

/// A body that is made while it is sent. Of several clones the first that is sent has it: only operations that are repeated freely
/// answer with one.
#[derive(Clone)]
pub(crate) struct Stream(Arc<Mutex<Option<Body>>>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl From<Body> for Stream {
    fn from(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }
}

impl Stream {
    fn take(&self) -> Body {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

impl Reply {
    fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::internal)?;
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { status, headers: vec![json], body: body.into(), once: None, stream: None })
    }

    fn with_etag(mut self, revision: Revision) -> Self {
        self.headers.extend(HeaderValue::try_from(format!("\"{revision}\"")).ok().map(|tag| (ETAG, tag)));
        self
    }

    fn with_location(mut self, location: &str) -> Self {
        self.headers.extend(HeaderValue::try_from(location).ok().map(|location| (LOCATION, location)));
        self
    }

    pub(crate) fn into_response(self) -> http::Response<Body> {
        let body = self.stream.map_or_else(|| Body::from(self.body), |stream| stream.take());
        let mut response = http::Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
}

/// What an operation answers with: how it looks in the API's document, and how it is written.
pub(crate) trait Output {
    fn document(document: &mut Document);
    fn into_reply(self) -> Result<Reply, Failure>;
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_page: Option<String>,
}

impl<T: ToSchema> PartialSchema for List<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        let token = "The token of the page that follows; null on the last one.";
        let types = SchemaType::from_iter([Type::String, Type::Null]);
        let next_page = ObjectBuilder::new().schema_type(types).description(Some(token));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("A part of a list."))
            .property("items", items)
            .property("next_page", next_page)
            .required("items")
            .required("next_page")
            .into()
    }
}

impl<T: ToSchema> ToSchema for List<T> {
    fn name() -> Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// 200 with a document that has no revision: a list, a result.
pub(crate) struct Found<T>(pub(crate) T);

/// 200 with a resource at a revision, its entity tag.
pub(crate) struct Resource<T>(pub(crate) T, pub(crate) Revision);

/// 201 with a resource that now exists, and where.
pub(crate) struct Created<T> {
    pub(crate) location: String,
    pub(crate) body: T,
    pub(crate) revision: Revision,
}

/// 201 with the receipt of what was recorded.
pub(crate) struct Recorded<T>(pub(crate) T);

/// 201 with a resource that was created by `PUT`, or 200 with one that was replaced.
pub(crate) struct Written<T> {
    pub(crate) created: bool,
    pub(crate) body: T,
    pub(crate) revision: Revision,
}

/// 200 with bytes of a media type.
pub(crate) struct Raw {
    pub(crate) media_type: &'static str,
    pub(crate) body: Bytes,
    /// Whether the same question is answered by the same bytes for ever.
    pub(crate) is_immutable: bool,
}

/// 200 with bytes of a media type that are made while they are sent. If they end before their time, the connection breaks off.
pub(crate) struct Streamed {
    pub(crate) media_type: &'static str,
    pub(crate) body: Body,
}

/// 202: it will be done.
pub(crate) struct Accepted<T>(pub(crate) T);

/// 204: it is done and there is nothing to say.
pub(crate) struct Done;

/// An answer that shows a secret and so is given once. A repeated request is told `told` instead.
pub(crate) struct Once<O> {
    pub(crate) answer: O,
    pub(crate) told: String,
}

impl<T: Serialize + ToSchema> Output for Found<T> {
    fn document(document: &mut Document) {
        document.answers::<T>(StatusCode::OK, "Done.", &[]);
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        Reply::json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize + ToSchema> Output for Resource<T> {
    fn document(document: &mut Document) {
        document.answers::<T>(StatusCode::OK, "The resource.", &["etag"]);
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        Ok(Reply::json(StatusCode::OK, &self.0)?.with_etag(self.1))
    }
}

impl<T: Serialize + ToSchema> Output for Created<T> {
    fn document(document: &mut Document) {
        document.answers::<T>(StatusCode::CREATED, "Created.", &["etag", "location"]);
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        Ok(Reply::json(StatusCode::CREATED, &self.body)?
            .with_etag(self.revision)
            .with_location(&self.location))
    }
}

impl<T: Serialize + ToSchema> Output for Recorded<T> {
    fn document(document: &mut Document) {
        document.answers::<T>(StatusCode::CREATED, "Recorded, durably.", &[]);
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        Reply::json(StatusCode::CREATED, &self.0)
    }
}

impl<T: Serialize + ToSchema> Output for Accepted<T> {
    fn document(document: &mut Document) {
        document.answers::<T>(StatusCode::ACCEPTED, "Taken on.", &[]);
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        Reply::json(StatusCode::ACCEPTED, &self.0)
    }
}

impl<T: Serialize + ToSchema> Output for Written<T> {
    fn document(document: &mut Document) {
        document.answers::<T>(StatusCode::OK, "Replaced.", &["etag"]);
        document.answers::<T>(StatusCode::CREATED, "Created.", &["etag"]);
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        let status = if self.created { StatusCode::CREATED } else { StatusCode::OK };
        Ok(Reply::json(status, &self.body)?.with_etag(self.revision))
    }
}

impl Output for Raw {
    fn document(document: &mut Document) {
        document.answers_as(StatusCode::OK, "The bytes.", "application/octet-stream", Type::String);
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(self.media_type))];
        if self.is_immutable {
            let forever = "private, max-age=31536000, immutable";
            headers.push((CACHE_CONTROL, HeaderValue::from_static(forever)));
        }
        Ok(Reply { status: StatusCode::OK, headers, body: self.body, once: None, stream: None })
    }
}

impl Output for Streamed {
    fn document(document: &mut Document) {
        document.answers_as(
            StatusCode::OK,
            "JSON lines, as they are read.",
            "application/jsonl",
            Type::String,
        );
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(self.media_type))];
        let stream = Some(self.body.into());
        Ok(Reply { status: StatusCode::OK, headers, body: Bytes::new(), once: None, stream })
    }
}

impl Output for Done {
    fn document(document: &mut Document) {
        document.answers_nothing(StatusCode::NO_CONTENT, "Done.");
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        let (headers, body) = (Vec::new(), Bytes::new());
        Ok(Reply { status: StatusCode::NO_CONTENT, headers, body, once: None, stream: None })
    }
}

impl<O: Output> Output for Once<O> {
    fn document(document: &mut Document) {
        O::document(document);
    }

    fn into_reply(self) -> Result<Reply, Failure> {
        let reply = self.answer.into_reply()?;
        Ok(Reply { once: Some(Problem::new(ProblemCode::Conflict, self.told)), ..reply })
    }
}
