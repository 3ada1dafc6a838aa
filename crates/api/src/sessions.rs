use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_core::{SessionId, SubjectRef, Timestamp, Versioned};
use stanchion_rbac::{self as rbac, RoleId};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::answer::{Done, Found, Written};
use crate::call::{Body, Call, Nothing, Path, PathParameter, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "assignment:read";
const WRITE: &str = "assignment:write";

pub(crate) fn operations() -> Vec<Operation> {
    let (all, one) = ("/v1/sessions", "/v1/sessions/{id}");
    vec![
        Operation::new(
            Method::POST,
            all,
            "create_session",
            WRITE,
            On::Scope,
            "Starts a session in which a subject uses some of its roles.",
            create,
        )
        .idempotent(),
        Operation::new(Method::GET, all, "list_sessions", READ, On::Scope, "Lists the sessions of a subject.", list),
        Operation::new(Method::GET, one, "get_session", READ, On::Scope, "Returns a session.", get),
        Operation::new(Method::DELETE, one, "delete_session", WRITE, On::Scope, "Ends a session.", delete),
        Operation::new(
            Method::POST,
            "/v1/sessions/{id}/roles",
            "activate_role",
            WRITE,
            On::Scope,
            "Activates a role in a session.",
            activate,
        )
        .note("The subject has to hold it, and roles that are kept apart by a dynamic separation are not active together."),
        Operation::new(
            Method::DELETE,
            "/v1/sessions/{id}/roles",
            "drop_role",
            WRITE,
            On::Scope,
            "Does not use a role in a session any more.",
            drop_role,
        ),
    ]
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// What it is known by.
    #[schema(value_type = String, format = "uuid")]
    id: SessionId,
    /// Whose it is.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// The roles that are active.
    #[schema(value_type = Vec<String>)]
    active: BTreeSet<RoleId>,
    /// The first instant at which nothing is permitted in it any more.
    #[schema(value_type = String, format = "date-time")]
    expires_at: Timestamp,
    /// The revision of the last change.
    revision: Integer,
    /// When it began.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
}

/// All sessions of a subject.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sessions {
    /// The sessions.
    items: Vec<Session>,
}

/// The session that a subject is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewSession {
    /// Whose it is to be.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// The roles that are active from the beginning.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    roles: BTreeSet<RoleId>,
    /// After how many minutes it ends; as long as it may last, when left out.
    minutes: Option<u32>,
}

/// Whose sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whose {
    /// The subject.
    #[param(value_type = String, example = "user:alice")]
    subject: SubjectRef,
}

/// Which role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NamedRole {
    /// The role.
    #[schema(value_type = String)]
    role: RoleId,
}

/// Which role.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleName {
    /// The role.
    #[param(value_type = String)]
    role: RoleId,
}

impl From<Versioned<rbac::Session>> for Session {
    fn from(session: Versioned<rbac::Session>) -> Self {
        let Versioned { value: session, revision, created_at, .. } = session;
        let rbac::Session { id, subject, active, expires_at, .. } = session;
        Self { id, subject, active, expires_at, revision: revision.into(), created_at }
    }
}

impl PathParameter for SessionId {
    const DESCRIPTION: &'static str = "The id of the session.";

    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

async fn create(call: Call, Body(new): Body<NewSession>) -> Result<Written<Session>, Failure> {
    let lasting = new.minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes)));
    let (engine, author) = (&call.engines().rbac, call.author());
    let session = engine.create_session(&author, call.scope, &new.subject, new.roles, lasting).await?;
    let revision = session.revision;
    Ok(Written { created: true, body: session.into(), revision })
}

async fn list(call: Call, Query(Whose { subject }): Query<Whose>) -> Result<Found<Sessions>, Failure> {
    let sessions = call.engines().rbac.sessions_of(call.scope, &subject).await?;
    Ok(Found(Sessions { items: sessions.into_iter().map(Into::into).collect() }))
}

async fn get(call: Call, (Path(id), Nothing): (Path<SessionId>, Nothing)) -> Result<Found<Session>, Failure> {
    let session = call.engines().rbac.session(call.scope, id).await?;
    session.map(|session| Found(session.into())).ok_or_else(|| rbac::Error::UnknownSession(id).into())
}

async fn delete(call: Call, (Path(id), Nothing): (Path<SessionId>, Nothing)) -> Result<Done, Failure> {
    let deleted = call.engines().rbac.delete_session(&call.author(), call.scope, id).await?;
    deleted.map(|_| Done).ok_or_else(|| rbac::Error::UnknownSession(id).into())
}

async fn activate(
    call: Call,
    (Path(id), Body(NamedRole { role })): (Path<SessionId>, Body<NamedRole>),
) -> Result<Found<Session>, Failure> {
    Ok(Found(call.engines().rbac.activate_role(&call.author(), call.scope, id, &role).await?.into()))
}

async fn drop_role(
    call: Call,
    (Path(id), Query(RoleName { role })): (Path<SessionId>, Query<RoleName>),
) -> Result<Found<Session>, Failure> {
    Ok(Found(call.engines().rbac.drop_role(&call.author(), call.scope, id, &role).await?.into()))
}
