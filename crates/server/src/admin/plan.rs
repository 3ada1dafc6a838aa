mod audit;
mod keys;
mod limits;
mod protection;
mod tenants;
mod usage;

use http::Method;
use serde_json::{Map, Value};

use crate::admin::args::{Scoped, Session};
use crate::admin::view::View;

/// What a command asks of the admin API. Making it takes no server, so that what each command asks can be read and tested.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) session: Session,
    /// The tenant that is meant, by slug or id.
    pub(crate) tenant: Option<String>,
    pub(crate) request: Request,
    /// How many items of a list are wanted; none for what is no list.
    pub(crate) items: Option<usize>,
    pub(crate) view: View,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The segments of the path after `/v1`.
    pub(crate) path: Vec<Segment>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) guard: Guard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Part of the API.
    Fixed(&'static str),
    /// What somebody has typed.
    Given(String),
    /// The id of the tenant that is meant.
    Tenant,
}

/// What must be known of the resource before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing.
    None,
    /// That it is still what was read just before.
    Unchanged,
    /// The same, or that it is still not there.
    UnchangedOrAbsent,
}

impl Request {
    pub(in crate::admin) fn new(method: Method, path: impl Into<Vec<Segment>>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None, guard: Guard::None }
    }

    /// Reads what a path names.
    pub(in crate::admin) fn get(path: impl Into<Vec<Segment>>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(in crate::admin) fn all(method: Method, group: &'static str) -> Self {
        Self::new(method, [Segment::Fixed(group)])
    }

    pub(in crate::admin) fn one(method: Method, group: &'static str, id: String) -> Self {
        Self::new(method, [Segment::Fixed(group), Segment::Given(id)])
    }

    pub(in crate::admin) fn asking(mut self, name: &'static str, value: Option<String>) -> Self {
        self.query.extend(value.map(|value| (name, value)));
        self
    }

    /// Adds a body; what is null was not given and is left out.
    pub(in crate::admin) fn with(self, body: Value) -> Self {
        let given =
            |fields: Map<String, Value>| fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let body = match body {
            Value::Object(fields) => Value::Object(given(fields)),
            other => other,
        };
        Self { body: Some(body), ..self }
    }

    pub(in crate::admin) fn guarded(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    pub(in crate::admin) fn shown(self, scoped: Scoped, view: View) -> Plan {
        Plan { session: scoped.session, tenant: scoped.tenant, request: self, items: None, view }
    }

    pub(in crate::admin) fn listed(self, scoped: Scoped, limit: usize, view: View) -> Plan {
        Plan { session: scoped.session, tenant: scoped.tenant, request: self, items: Some(limit), view }
    }
}

pub(in crate::admin) fn platform(session: Session) -> Scoped {
    Scoped { tenant: None, session }
}

pub(in crate::admin) fn one_tenant(session: Session, tenant: String) -> Scoped {
    Scoped { tenant: Some(tenant), session }
}
