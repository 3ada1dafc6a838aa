use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stanchion_core::{Revision, SessionId, SubjectRef, Timestamp};
use stanchion_rbac::{CheckRequest, Expression, Field, Filter, Permission, SubjectProfile};
use utoipa::ToSchema;

use super::CHECK;
use crate::answer::Found;
use crate::call::{Body, Call};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

pub(crate) fn operations() -> Vec<Operation> {
    let summary = "Tells on which resources a subject may do something: what a list is to be filtered by.";
    vec![
        Operation::new(Method::POST, "/v1/access/plan", "plan_access", CHECK, On::Scope, summary, plan).note(
            "A resource of the permission's type passes the filter where a check of it would permit it. `when` is one of \
             `{\"all\": [..]}`, `{\"any\": [..]}`, `{\"not\": ..}`, `{\"is\": {\"field\", \"value\"}}`, `{\"among\": {\"field\", \
             \"values\"}}`, `{\"missing\": field}` and `{\"within\": selector}`. A field is `owner`, `team`, `department`, \
             `organization` or `attributes.NAME`; one that a resource does not say is equal to nothing.",
        ),
    ]
}

/// Who is to have a list filtered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct PlanQuestion {
    /// Who.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What, without wildcards: `resource:action`.
    #[schema(value_type = String, example = "document:read")]
    permission: Permission,
    /// What is known of the subject: `organization`, `teams`, `departments`, `attributes`, and `active`.
    #[schema(value_type = Option<Object>)]
    profile: Option<SubjectProfile>,
    /// The session in which only the roles count that are active.
    #[schema(value_type = Option<String>, format = "uuid")]
    session: Option<SessionId>,
    /// A revision that must be taken into account.
    #[schema(value_type = Option<String>)]
    at_least: Option<Integer>,
}

/// On which resources it is permitted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessPlan)]
pub(crate) struct Planned {
    /// `always`: on all; `never`: on none; `when`: on those of which `when` is true.
    filter: &'static str,
    /// What has to be true of a resource.
    #[schema(value_type = Option<Object>)]
    when: Option<Value>,
    /// The type of the resources.
    r#type: String,
    /// When time alone may change the filter; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    valid_until: Option<Timestamp>,
    /// Every change up to this revision was taken into account.
    revision: Integer,
}

async fn plan(call: Call, Body(asked): Body<PlanQuestion>) -> Result<Found<Planned>, Failure> {
    let mut request = CheckRequest::new(call.scope, &asked.subject, &asked.permission);
    request.profile = asked.profile.as_ref();
    request.session = asked.session;
    request.at_least = asked.at_least.map(|Integer(number)| Revision::from_number(number));
    let plan = call.engines().rbac.plan(&request).await?;
    let (filter, when) = match &plan.filter {
        Filter::Always => ("always", None),
        Filter::Never => ("never", None),
        Filter::When(expression) => ("when", Some(written(expression))),
    };
    let (r#type, valid_until, revision) = (plan.kind.to_string(), plan.valid_until, plan.revision.into());
    Ok(Found(Planned { filter, when, r#type, valid_until, revision }))
}

fn written(expression: &Expression) -> Value {
    let each = |parts: &[Expression]| parts.iter().map(written).collect::<Vec<_>>();
    match expression {
        Expression::Always => json!({ "all": [] }),
        Expression::All(parts) => json!({ "all": each(parts) }),
        Expression::Any(parts) => json!({ "any": each(parts) }),
        Expression::Not(part) => json!({ "not": written(part) }),
        Expression::Is(field, value) => json!({ "is": { "field": named(field), "value": value } }),
        Expression::Among(field, values) => json!({ "among": { "field": named(field), "values": values } }),
        Expression::Missing(field) => json!({ "missing": named(field) }),
        Expression::Within(selector) => json!({ "within": selector }),
        // What is not known here permits nothing.
        _ => json!({ "any": [] }),
    }
}

/// A field, told from an attribute of the same name.
fn named(field: &Field) -> String {
    match field {
        Field::Attribute(name) => format!("attributes.{name}"),
        field => field.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_told_from_a_field_of_its_name() {
        let owner = Expression::Missing(Field::Owner);
        let attribute = Expression::Missing(Field::Attribute("owner".parse().unwrap()));
        let both = Expression::Any(vec![owner, Expression::Not(Box::new(attribute))]);
        let expected = json!({"any": [{"missing": "owner"}, {"not": {"missing": "attributes.owner"}}]});
        assert_eq!(written(&both), expected);
    }

    #[test]
    fn what_is_never_true_is_written_as_a_choice_of_nothing() {
        assert_eq!(written(&Expression::Never), json!({"any": []}));
        assert_eq!(written(&Expression::Always), json!({"all": []}));
    }
}
