use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use stanchion_core::{Revision, Scope, SessionId, SubjectRef};
use stanchion_rbac::{CheckRequest, Permission, Resource, SubjectProfile};
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Ref};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::wire::Integer;

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = AccessQuestion)]
pub(crate) struct Question {
    /// Who.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What, without wildcards: `resource:action`.
    #[schema(value_type = String, example = "document:read")]
    permission: Permission,
    /// On what: its `type`, which is that of the permission, `id`, `owner`, `team`, `department`, `organization`, `attributes` and
    /// `parent`, as far as they are known. Without it the question is whether it is permitted on every resource.
    #[schema(value_type = Option<Object>, example = json!({"type": "document", "id": "42", "owner": "user:alice"}))]
    resource: Option<Resource>,
    /// What is known of the subject: `organization`, `teams`, `departments`, `attributes`, and `active`.
    #[schema(value_type = Option<Object>)]
    profile: Option<SubjectProfile>,
    /// The session in which only the roles count that are active.
    #[schema(value_type = Option<String>, format = "uuid")]
    session: Option<SessionId>,
    /// A revision that must be taken into account, such as that of a change just made.
    #[schema(value_type = Option<String>)]
    at_least: Option<Integer>,
}

impl Question {
    pub(super) fn request(&self, scope: Scope) -> CheckRequest<'_> {
        let mut request = CheckRequest::new(scope, &self.subject, &self.permission);
        request.resource = self.resource.as_ref();
        request.profile = self.profile.as_ref();
        request.session = self.session;
        request.at_least = self.at_least.map(|Integer(number)| Revision::from_number(number));
        request
    }
}

/// One question, or a list of them.
#[derive(Debug)]
pub(crate) enum Questions {
    One(Box<Question>),
    Many(Vec<Question>),
}

impl<'de> Deserialize<'de> for Questions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Questions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a question, or a list of questions")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Questions, A::Error> {
                let question = Question::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Questions::One(Box::new(question)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Questions, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Questions::Many)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl PartialSchema for Questions {
    fn schema() -> RefOr<Schema> {
        let one = || Ref::from_schema_name(Question::name());
        let many = ArrayBuilder::new().items(one());
        OneOfBuilder::new().item(one()).item(many).description(Some("A question, or a list of them.")).into()
    }
}

impl ToSchema for Questions {
    fn name() -> std::borrow::Cow<'static, str> {
        "AccessQuestions".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Question::name().into_owned(), Question::schema()));
        Question::schemas(schemas);
    }
}
