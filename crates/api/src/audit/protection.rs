//! Protected values: opened, searched for, and erased.

mod erasure;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_audit::{
    self as audit, Basis, DataSubject, Exception, FieldPath, Mark, ProtectionError, RetentionClass,
};
use stanchion_core::{Detail, Details, ProblemCode, Slug, Text, Timestamp, Versioned};
use utoipa::{IntoParams, ToSchema};

use super::unseal::{UNSEAL, event, full, opened, tell};
use super::{Entry, READ};
use crate::answer::{Done, Found, List, Written};
use crate::call::{Body, Call, Everything, Nothing, Paged, Query};
use crate::failure::Failure;
use crate::operation::{On, Operation};
use crate::wire::Integer;

const EXCEPT: &str = "audit:except";

pub(crate) fn operations() -> Vec<Operation> {
    let exceptions = "/v1/audit/exceptions";
    let mut operations = vec![
        Operation::new(
            Method::POST,
            "/v1/audit/search",
            "search_audit_events",
            UNSEAL,
            On::Scope,
            "Finds entries by a protected value, newest first.",
            search,
        )
        .note(
            "Finds what was protected as `searchable` in this field, whatever its case, and is not erased. The value is in the body, since \
             addresses end up in logs. A page may have fewer entries than asked for, or none, and still be followed by another. The \
             search is recorded as `audit.searched`, without the value; with `unseal`, what is opened as `audit.unsealed`.",
        )
        .refusing(ProblemCode::Overloaded),
        Operation::new(
            Method::GET,
            exceptions,
            "list_audit_exceptions",
            READ,
            On::Scope,
            "Lists what the law excepts from erasure, also what has ended.",
            list_exceptions,
        ),
        Operation::new(
            Method::POST,
            exceptions,
            "put_audit_exception",
            EXCEPT,
            On::Scope,
            "Excepts something from erasure, until a day and on a ground.",
            put_exception,
        )
        .note(
            "It covers what all of `subject`, `class` and `field` say, at least one of them. One of that name that is there already is \
             replaced; the answer is then 200.",
        ),
        Operation::new(
            Method::DELETE,
            exceptions,
            "lift_audit_exception",
            EXCEPT,
            On::Scope,
            "Ends an exception from erasure before its time.",
            lift_exception,
        ),
    ];
    operations.splice(1..1, erasure::operations());
    operations
}

/// A field of a reported event that is to be protected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = AuditProtect)]
pub(crate) struct Protect {
    /// The field: `details.NAME`, `details.NAME.NAME`, `changes.FIELD`, `source.ip` or `source.user_agent`.
    #[schema(value_type = String, example = "details.email")]
    field: FieldPath,
    /// Whom the value is about; the caller when left out.
    #[schema(value_type = Option<String>, example = "user:alice")]
    subject: Option<DataSubject>,
    /// Whether it can be searched for. After an erasure nothing is found by it, though the keyed hash stays in the entry's own bytes.
    #[serde(default)]
    #[schema(required = false)]
    searchable: bool,
}

impl From<Protect> for Mark {
    fn from(protect: Protect) -> Self {
        Self { field: protect.field, subject: protect.subject, searchable: protect.searchable }
    }
}

/// What to search for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = AuditSearch)]
pub(crate) struct Search {
    /// The field, as it was protected.
    #[schema(value_type = String, example = "details.email")]
    field: FieldPath,
    /// The value: text, a whole number or a boolean.
    #[schema(value_type = String, example = "alice@example.org")]
    value: Detail,
    /// Whether the entries are returned with their protected values opened.
    #[serde(default)]
    #[schema(required = false)]
    unseal: bool,
}

/// What is excepted from erasure.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditException)]
pub(crate) struct ExceptionBody {
    /// Its name.
    #[schema(value_type = String)]
    id: Slug,
    /// Only what is about this subject.
    #[schema(value_type = Option<String>)]
    subject: Option<DataSubject>,
    /// Only in records of this class.
    #[schema(value_type = Option<String>)]
    class: Option<RetentionClass>,
    /// Only in this field.
    #[schema(value_type = Option<String>)]
    field: Option<FieldPath>,
    /// On which ground.
    #[schema(value_type = String)]
    basis: Basis,
    /// When it ends.
    #[schema(value_type = String, format = "date-time")]
    until: Timestamp,
    /// Why.
    #[schema(value_type = String)]
    reason: Text,
    /// The revision of the last change.
    revision: Integer,
    /// When it was put.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was last put.
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

/// What is to be excepted from erasure.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(as = NewAuditException)]
pub(crate) struct NewException {
    /// Its name: 1 to 64 of `a-z 0-9 _ - .`.
    #[schema(value_type = String, example = "claim-2026-7")]
    id: Slug,
    /// Only what is about this subject.
    #[schema(value_type = Option<String>, example = "user:alice")]
    subject: Option<DataSubject>,
    /// Only in records of this class: `security`, `data_access` or `standard`.
    #[schema(value_type = Option<String>)]
    class: Option<RetentionClass>,
    /// Only in this field.
    #[schema(value_type = Option<String>, example = "details.email")]
    field: Option<FieldPath>,
    /// On which ground of GDPR article 17(3): `expression` (a), `legal_obligation` (b), `public_health` (c), `archiving` (d) or
    /// `legal_claims` (e).
    #[schema(value_type = String, example = "legal_claims")]
    basis: Basis,
    /// When it ends.
    #[schema(value_type = String, format = "date-time")]
    until: Timestamp,
    /// Why, for whoever reads it later.
    #[schema(value_type = String)]
    reason: Text,
}

/// Which exception is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExceptionName {
    /// Its name.
    #[param(value_type = String)]
    id: Slug,
}

impl From<Versioned<Exception>> for ExceptionBody {
    fn from(stored: Versioned<Exception>) -> Self {
        let Versioned { value, revision, created_at, updated_at } = stored;
        let Exception { id, subject, class, field, basis, until, reason } = value;
        let revision = revision.into();
        Self { id, subject, class, field, basis, until, reason, revision, created_at, updated_at }
    }
}

async fn list_exceptions(call: Call, Nothing: Nothing) -> Result<Found<List<ExceptionBody>>, Failure> {
    let all = call.api.state.protection.exceptions(call.scope).await?;
    Ok(Found(List { items: all.into_iter().map(ExceptionBody::from).collect(), next_page: None }))
}

async fn put_exception(call: Call, Body(new): Body<NewException>) -> Result<Written<ExceptionBody>, Failure> {
    let NewException { id, subject, class, field, basis, until, reason } = new;
    let exception = Exception { id, subject, class, field, basis, until, reason };
    let written = call.api.state.protection.put_exception(&call.author(), call.scope, exception).await?;
    let (created, revision) = (written.created_at == written.updated_at, written.revision);
    Ok(Written { created, body: written.into(), revision })
}

async fn lift_exception(call: Call, Query(named): Query<ExceptionName>) -> Result<Done, Failure> {
    call.api.state.protection.lift_exception(&call.author(), call.scope, &named.id).await?;
    Ok(Done)
}

async fn search(
    call: Call,
    (paged, Body(search)): (Paged<Everything>, Body<Search>),
) -> Result<Found<List<Entry>>, Failure> {
    let Search { field, value, unseal } = search;
    let (protection, ledger) = (&call.api.state.protection, &call.engines().audit);
    let everything = audit::Query::default();
    let record = event(&call, "audit.searched").with_detail("field", field.to_string());
    tell(&call, record).await?;
    let page = protection.find(ledger, call.scope, &everything, (&field, &value), &paged.page).await?;
    let page = if unseal { opened(&call, page, Details::default()).await? } else { page };
    Ok(paged.answer(&call, page))
}

impl From<ProtectionError> for Failure {
    fn from(error: ProtectionError) -> Self {
        match error {
            ProtectionError::Store(error) => error.into(),
            ProtectionError::Ledger(error) => error.into(),
            ProtectionError::Refused(refused) => full(refused),
            ProtectionError::NoValue { .. }
            | ProtectionError::Reserved { .. }
            | ProtectionError::Value { .. } => Self::invalid(format!("field `protect`: {error}")),
            ProtectionError::Exception(rule) => Self::invalid(rule),
            ProtectionError::NoException(_) => Self::not_found(error.to_string()),
            ProtectionError::Busy => Self::conflict(error.to_string()).retry_after(1),
            ProtectionError::Late { .. } => {
                Self::new(ProblemCode::BackendUnavailable, error.to_string()).retry_after(1)
            }
            ProtectionError::Unconfirmed(_) => {
                Self::new(ProblemCode::BackendUnavailable, error.to_string()).uncertain()
            }
            error => Self::internal(error),
        }
    }
}
