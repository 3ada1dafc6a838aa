//! What is asked about protected values.

use http::Method;
use serde_json::{Value, json};

use super::{Plan, Request, Segment};
use crate::admin::protection::{Erase, ExceptionFromErasure, Find};
use crate::admin::table::Column;
use crate::admin::view::{self, View};

fn path(last: &'static str) -> [Segment; 2] {
    [Segment::Fixed("audit"), Segment::Fixed(last)]
}

impl From<Erase> for Plan {
    fn from(command: Erase) -> Self {
        let Erase { subject, reason, scoped } = command;
        Request::new(Method::POST, path("erasures"))
            .with(json!({ "subject": subject, "reason": reason }))
            .shown(scoped, View::Fields)
    }
}

impl From<Find> for Plan {
    fn from(command: Find) -> Self {
        let Find { field, value, unseal, limit, scoped } = command;
        Request::new(Method::POST, path("search"))
            .asking("limit", Some(limit.to_string()))
            .with(json!({ "field": field, "value": value, "unseal": unseal }))
            .shown(scoped, View::Table(view::ENTRIES))
    }
}

impl From<ExceptionFromErasure> for Plan {
    fn from(command: ExceptionFromErasure) -> Self {
        let all = |method| Request::new(method, path("exceptions"));
        match command {
            ExceptionFromErasure::List { scoped } => all(Method::GET).shown(scoped, View::Table(EXCEPTIONS)),
            ExceptionFromErasure::Put { id, subject, class, field, basis, until, reason, scoped } => {
                let given = |text: Option<String>| text.map_or(Value::Null, Value::from);
                all(Method::POST)
                    .with(json!({
                        "id": id,
                        "subject": given(subject),
                        "class": given(class),
                        "field": given(field),
                        "basis": basis,
                        "until": until,
                        "reason": reason,
                    }))
                    .shown(scoped, View::Fields)
            }
            ExceptionFromErasure::Lift { id, scoped } => {
                all(Method::DELETE).asking("id", Some(id)).shown(scoped, View::Done("lifted"))
            }
        }
    }
}

const EXCEPTIONS: &[Column] = &[
    Column::whole("ID", "/id"),
    Column::cut("SUBJECT", "/subject"),
    Column::whole("CLASS", "/class"),
    Column::cut("FIELD", "/field"),
    Column::whole("BASIS", "/basis"),
    Column::whole("UNTIL", "/until"),
    Column::cut("REASON", "/reason"),
];
