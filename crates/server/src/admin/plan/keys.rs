use http::Method;
use serde_json::json;

use super::{Plan, Request, Segment};
use crate::admin::view::{self, View};
use crate::admin::who::Key;

impl From<Key> for Plan {
    fn from(command: Key) -> Self {
        match command {
            Key::List { listed, scoped } => {
                Request::all(Method::GET, "keys").listed(scoped, listed.limit, View::Table(view::KEYS))
            }
            Key::Show { id, scoped } => Request::one(Method::GET, "keys", id).shown(scoped, View::Fields),
            Key::Create { subject, name, environment, expires_at, cidr, scoped, .. } => {
                Request::all(Method::POST, "keys")
                    .with(json!({
                        "subject": subject,
                        "name": name,
                        "environment": environment,
                        "expires_at": expires_at,
                        "cidrs": cidr,
                    }))
                    .shown(scoped, View::Fields)
            }
            Key::Rotate { id, grace, scoped } => {
                let path = [Segment::Fixed("keys"), Segment::Given(id), Segment::Fixed("rotate")];
                Request::new(Method::POST, path)
                    .with(json!({ "grace_seconds": grace }))
                    .shown(scoped, View::Fields)
            }
            Key::Revoke { id, scoped } => {
                Request::one(Method::DELETE, "keys", id).shown(scoped, View::Done("revoked"))
            }
        }
    }
}
