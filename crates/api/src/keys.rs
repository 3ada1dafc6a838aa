use std::time::Duration;

use http::Method;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, KeyId, Scope, SubjectRef, Text, Timestamp, Versioned};
use stanchion_identity as identity;
use utoipa::ToSchema;

use crate::answer::{Created, Done, Found, List, Once, Resource};
use crate::call::{Body, Call, Everything, Nothing, Paged, Path};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const READ: &str = "key:read";
const WRITE: &str = "key:write";

pub(crate) fn operations() -> Vec<Operation> {
    let (all, one) = ("/v1/keys", "/v1/keys/{id}");
    vec![
        Operation::new(Method::POST, all, "issue_key", WRITE, On::Scope, "Issues an API key.", issue)
            .note(
                "The secret is in this answer and nowhere else, ever: it is stored as a hash. For the same reason an \
                 `Idempotency-Key` does not bring it back: a repetition is answered with `conflict`, which names the key.",
            )
            .idempotent(),
        Operation::new(Method::GET, all, "list_keys", READ, On::Scope, "Lists API keys, oldest first.", list),
        Operation::new(Method::GET, one, "get_key", READ, On::Scope, "Returns an API key.", get),
        Operation::new(Method::DELETE, one, "revoke_key", WRITE, On::Scope, "Revokes an API key.", revoke)
            .note("All of its secrets are rejected from now on, for good. The record of the key stays."),
        Operation::new(
            Method::POST,
            "/v1/keys/{id}/rotate",
            "rotate_key",
            WRITE,
            On::Scope,
            "Gives an API key a new secret.",
            rotate,
        )
        .note(
            "The secret before is accepted for `grace_seconds` longer, but never beyond the expiry of the key, which stays what \
             it is. The new secret is in this answer and nowhere else.",
        )
        .idempotent(),
    ]
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    /// What records and administration refer to.
    #[schema(value_type = String, format = "uuid")]
    id: KeyId,
    /// The tenant it is bound to, or `platform`.
    #[schema(value_type = String)]
    tenant: Scope,
    /// Whom it authenticates.
    #[schema(value_type = String, example = "user:alice")]
    subject: SubjectRef,
    /// What people call it.
    #[schema(value_type = String)]
    name: DisplayName,
    /// Where it is meant to be used.
    environment: String,
    /// The first characters of its secret, by which people tell it apart.
    #[schema(value_type = String)]
    prefix: Text,
    /// Counts its secrets from 1.
    generation: u32,
    /// `active` or `revoked`.
    status: &'static str,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = "date-time")]
    revoked_at: Option<Timestamp>,
    /// The instant from which it is not accepted; never, if there is none.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// The networks it may be used from; empty for any.
    #[schema(value_type = Vec<String>)]
    cidrs: Vec<IpNet>,
    /// The secret before the current one, once there was a rotation.
    former: Option<FormerSecret>,
    /// The revision of the last change, which is also the entity tag.
    revision: Integer,
    /// When it was issued.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// A secret that was replaced.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FormerSecret {
    /// Its first characters.
    #[schema(value_type = String)]
    prefix: Text,
    /// The instant from which it is not accepted.
    #[schema(value_type = String, format = "date-time")]
    not_after: Timestamp,
}

/// An API key with its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IssuedKey {
    /// The secret: what a caller sends. Keep it now; it is not shown again.
    #[schema(value_type = String)]
    secret: Shown,
    /// The key.
    #[serde(flatten)]
    key: Key,
}

/// A secret on its way to the one answer it is in.
struct Shown(identity::PlainKey);

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("redacted")
    }
}

/// What a key is issued from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct NewKey {
    /// Whom it authenticates: `user:ID` or `service:ID`.
    #[schema(value_type = String, example = "service:etl")]
    subject: SubjectRef,
    /// What people call it: 1 to 128 characters.
    #[schema(value_type = String, example = "nightly import")]
    name: DisplayName,
    /// Where it is meant to be used; it stands in the secret. The server's default when left out.
    #[schema(value_type = Option<String>, example = "live")]
    environment: Option<String>,
    /// The instant from which it is not accepted; never, when left out.
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Timestamp>,
    /// The networks it may be used from, at most 64; any, when left out.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    cidrs: Vec<IpNet>,
}

/// How a key's secret is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct Rotation {
    /// How many seconds longer the present secret is accepted; 0 ends it and any older one at once.
    #[schema(example = 3600)]
    grace_seconds: u32,
}

impl From<Versioned<identity::ApiKey>> for Key {
    fn from(key: Versioned<identity::ApiKey>) -> Self {
        let Versioned { value: key, revision, created_at, updated_at } = key;
        let (status, revoked_at) = match key.status {
            identity::KeyStatus::Active => ("active", None),
            identity::KeyStatus::Revoked { at } => ("revoked", Some(at)),
        };
        let former = |former: identity::Former| FormerSecret {
            prefix: former.generation.prefix,
            not_after: former.not_after,
        };
        Self {
            id: key.id,
            tenant: key.scope,
            subject: key.subject,
            name: key.name,
            environment: key.environment.to_string(),
            prefix: key.current.prefix,
            generation: key.current.number,
            status,
            revoked_at,
            expires_at: key.expires_at,
            cidrs: key.cidrs,
            former: key.former.map(former),
            revision: revision.into(),
            created_at,
            updated_at,
        }
    }
}

async fn issue(call: Call, Body(new): Body<NewKey>) -> Result<Once<Created<IssuedKey>>, Failure> {
    let environment = new.environment.map(identity::Environment::new).transpose();
    let new = identity::NewKey {
        scope: call.scope,
        subject: new.subject,
        name: new.name,
        environment: environment
            .map_err(|error| Failure::invalid(format!("field `environment`: {error}")))?,
        expires_at: new.expires_at,
        cidrs: new.cidrs,
    };
    let (key, plain) = call.engines().identity.issue(&call.author(), new).await?;
    let (id, revision) = (key.value.id, key.revision);
    let body = IssuedKey { secret: Shown(plain), key: key.into() };
    let told = format!(
        "the first request with this idempotency key issued the key {id}; its secret is not shown again"
    );
    Ok(Once { answer: Created { location: format!("/v1/keys/{id}"), body, revision }, told })
}

async fn list(call: Call, paged: Paged<Everything>) -> Result<Found<List<Key>>, Failure> {
    let page = call.engines().identity.list(call.scope, &paged.page).await?;
    Ok(paged.answer(&call, page))
}

async fn get(call: Call, (Path(id), Nothing): (Path<KeyId>, Nothing)) -> Result<Resource<Key>, Failure> {
    let key = call.engines().identity.get(call.scope, id).await?;
    let key = key.ok_or(identity::Error::UnknownKey(id))?;
    let revision = key.revision;
    Ok(Resource(key.into(), revision))
}

async fn revoke(call: Call, (Path(id), Nothing): (Path<KeyId>, Nothing)) -> Result<Done, Failure> {
    call.engines().identity.revoke(&call.author(), call.scope, id).await?;
    Ok(Done)
}

async fn rotate(
    call: Call,
    (Path(id), Body(rotation)): (Path<KeyId>, Body<Rotation>),
) -> Result<Once<Resource<IssuedKey>>, Failure> {
    let grace = Duration::from_secs(rotation.grace_seconds.into());
    let (key, plain) = call.engines().identity.rotate(&call.author(), call.scope, id, grace).await?;
    let revision = key.revision;
    let body = IssuedKey { secret: Shown(plain), key: key.into() };
    let told = format!(
        "the first request with this idempotency key rotated the key {id}; its secret is not shown again"
    );
    Ok(Once { answer: Resource(body, revision), told })
}

impl From<identity::Error> for Failure {
    fn from(error: identity::Error) -> Self {
        match error {
            identity::Error::Store(error) => error.into(),
            identity::Error::UnknownKey(_) => Self::not_found(error.to_string()),
            identity::Error::Revoked(_) | identity::Error::Expired(_) | identity::Error::InGrace { .. } => {
                Self::conflict(error.to_string())
            }
            identity::Error::ExpiryPassed => Self::invalid(format!("field `expires_at`: {error}")),
            identity::Error::TooManyCidrs => Self::invalid(format!("field `cidrs`: {error}")),
            error => Self::internal(error),
        }
    }
}
