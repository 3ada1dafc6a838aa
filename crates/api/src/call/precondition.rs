//! What a caller asks of the state that a change meets.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use stanchion_core::{ProblemCode, Revision};
use utoipa::PartialSchema as _;
use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;

use super::{Call, Everything, Input};
use crate::document::Document;
use crate::failure::Failure;

/// What the caller believes the resource to be (RFC 9110 §13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// It says nothing.
    None,
    /// `If-None-Match: *`: it does not exist.
    Absent,
    /// `If-Match`: it is at this revision.
    Revision(Revision),
}

impl Precondition {
    /// Returns the revision the resource has to be at, zero when it must not exist. Nothing said is the latter: nothing is replaced
    /// unseen.
    pub(crate) const fn expected(self) -> Revision {
        match self {
            Self::None | Self::Absent => Revision::ZERO,
            Self::Revision(revision) => revision,
        }
    }
}

/// `If-Match` or `If-None-Match: *`, for an operation that creates or replaces.
pub(crate) struct Guard(pub(crate) Precondition);

/// `If-Match`, for an operation that changes what exists.
pub(crate) struct IfMatch(pub(crate) Revision);

/// `If-Match` if the caller cares, for an operation that deletes.
pub(crate) struct IfMatchIfSent(pub(crate) Option<Revision>);

impl Input for Guard {
    fn document(document: &mut Document) {
        let tag = "The `etag` of the answer in which the resource was read. Required to replace what exists.";
        document.parameter(ParameterIn::Header, "if-match", tag, Required::False, String::schema());
        let absent = "`*` to create and not to replace.";
        document.parameter(ParameterIn::Header, "if-none-match", absent, Required::False, String::schema());
        document.problems([ProblemCode::PreconditionFailed, ProblemCode::PreconditionRequired]);
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        let if_match = revision(&call.headers)?;
        match (if_match, call.headers.get(IF_NONE_MATCH)) {
            (Some(_), Some(_)) => Err(Failure::invalid("send either `if-match` or `if-none-match`")),
            (Some(revision), None) => Ok(Self(Precondition::Revision(revision))),
            (None, Some(value)) if value == "*" => Ok(Self(Precondition::Absent)),
            (None, Some(_)) => Err(Failure::invalid("header `if-none-match`: only `*` has a meaning here")),
            (None, None) => Ok(Self(Precondition::None)),
        }
    }
}

impl Input for IfMatch {
    fn document(document: &mut Document) {
        let tag = "The `etag` of the answer in which the resource was read.";
        document.parameter(ParameterIn::Header, "if-match", tag, Required::True, String::schema());
        document.problems([ProblemCode::PreconditionFailed, ProblemCode::PreconditionRequired]);
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        revision(&call.headers)?.map(Self).ok_or_else(precondition_required)
    }
}

impl Input for IfMatchIfSent {
    fn document(document: &mut Document) {
        let tag = "The `etag` of the answer in which the resource was read, to do it only if nothing has changed since.";
        document.parameter(ParameterIn::Header, "if-match", tag, Required::False, String::schema());
        document.problems([ProblemCode::PreconditionFailed]);
    }

    fn read(call: &Call) -> Result<Self, Failure> {
        call.query.read::<Everything>()?;
        revision(&call.headers).map(Self)
    }
}

pub(crate) fn precondition_required() -> Failure {
    let detail = "read the resource first and send its `etag` as `if-match`, so that nobody's change is overwritten unseen";
    Failure::new(ProblemCode::PreconditionRequired, detail)
}

/// Reads the revision in `If-Match`. A weak tag never matches (RFC 9110 §13.1.1), and a tag that is none of ours matches nothing that
/// exists.
fn revision(headers: &HeaderMap) -> Result<Option<Revision>, Failure> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or("");
    if values.next().is_some() || text == "*" || text.contains(',') {
        return Err(Failure::invalid(
            "header `if-match`: send the one `etag` that the resource was read with",
        ));
    }
    let number =
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    // Nothing that exists is at revision zero.
    let number = number.filter(|number| *number != 0);
    let unmatched =
        || Failure::new(ProblemCode::PreconditionFailed, "`if-match` is no `etag` of this resource");
    number.map(|number| Some(Revision::from_number(number))).ok_or_else(unmatched)
}
