use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::postgres::PgRow;
use stanchion_core::Versioned;
use stanchion_rbac::{
    Assignment, Denial, Duty, Grant, Membership, Record, RecordKind, ResourceSelector, Role, Separation,
    Session,
};

use crate::Error;
use crate::records::{parsed, parsed_all, parsed_option, time, time_option, versioned};

/// Reads a record of a kind.
pub(super) fn record(kind: RecordKind, row: &PgRow) -> Result<Versioned<Record>, Error> {
    match kind {
        RecordKind::Role => Ok(role(row)?.map(Record::from)),
        RecordKind::Assignment => Ok(assignment(row)?.map(Record::from)),
        RecordKind::Grant => Ok(grant(row)?.map(Record::from)),
        RecordKind::Denial => Ok(denial(row)?.map(Record::from)),
        RecordKind::Membership => Ok(membership(row)?.map(Record::from)),
        RecordKind::Separation => Ok(separation(row)?.map(Record::from)),
        RecordKind::Session => Ok(session(row)?.map(Record::from)),
        _ => Err(Error::Unsupported("a kind of record that this adapter does not know")),
    }
}

pub(super) fn role(row: &PgRow) -> Result<Versioned<Role>, Error> {
    let mut role = Role::new(parsed(row, "id")?, parsed(row, "name")?);
    role.description = parsed_option(row, "description")?;
    role.permissions = parsed_all(row, "permissions")?;
    role.includes = parsed_all(row, "includes")?;
    role.excludes = parsed_all(row, "excludes")?;
    role.ceiling = parsed_option(row, "ceiling")?;
    role.constraints = from_json(row.try_get("constraints")?, "constraints")?;
    role.requires = parsed_all(row, "requires")?;
    let most = row.try_get::<Option<i64>, _>("max_holders")?.map(u32::try_from).transpose();
    role.max_holders = most.map_err(|error| Error::corrupt("max_holders", error))?;
    role.metadata = from_json(row.try_get("metadata")?, "metadata")?;
    role.active = row.try_get("active")?;
    role.system = row.try_get("system")?;
    versioned(row, role)
}

pub(super) fn assignment(row: &PgRow) -> Result<Versioned<Assignment>, Error> {
    let mut assignment = Assignment::new(parsed(row, "subject")?, parsed(row, "role")?);
    assignment.resource = resource(row)?;
    assignment.not_before = time_option(row, "not_before")?;
    assignment.expires_at = time_option(row, "expires_at")?;
    assignment.reason = parsed_option(row, "reason")?;
    assignment.granted_by = json_option(row, "granted_by")?;
    versioned(row, assignment)
}

pub(super) fn grant(row: &PgRow) -> Result<Versioned<Grant>, Error> {
    let mut grant = Grant::new(parsed(row, "subject")?, parsed(row, "permission")?);
    grant.resource = resource(row)?;
    grant.not_before = time_option(row, "not_before")?;
    grant.expires_at = time_option(row, "expires_at")?;
    grant.constraints = from_json(row.try_get("constraints")?, "constraints")?;
    grant.reason = parsed_option(row, "reason")?;
    grant.granted_by = json_option(row, "granted_by")?;
    grant.emergency = json_option(row, "emergency")?;
    versioned(row, grant)
}

pub(super) fn denial(row: &PgRow) -> Result<Versioned<Denial>, Error> {
    let mut denial = Denial::new(parsed(row, "subject")?, parsed(row, "permission")?);
    denial.resource = resource(row)?;
    denial.reason = parsed_option(row, "reason")?;
    versioned(row, denial)
}

pub(super) fn membership(row: &PgRow) -> Result<Versioned<Membership>, Error> {
    let mut membership = Membership::new(parsed(row, "group_subject")?, parsed(row, "member")?);
    membership.not_before = time_option(row, "not_before")?;
    membership.expires_at = time_option(row, "expires_at")?;
    versioned(row, membership)
}

pub(super) fn separation(row: &PgRow) -> Result<Versioned<Separation>, Error> {
    let duty: &str = row.try_get("duty")?;
    let duty =
        Duty::from_name(duty).ok_or_else(|| Error::corrupt("duty", format!("there is no `{duty}`")))?;
    let roles: Vec<_> = parsed_all(row, "roles")?;
    let separation = Separation::new(parsed(row, "id")?, parsed(row, "name")?, duty, roles);
    let most = u32::try_from(row.try_get::<i64, _>("at_most")?);
    versioned(row, separation.allowing(most.map_err(|error| Error::corrupt("at_most", error))?))
}

pub(super) fn session(row: &PgRow) -> Result<Versioned<Session>, Error> {
    let mut session = Session::new(parsed(row, "id")?, parsed(row, "subject")?, time(row, "expires_at")?);
    session.active = parsed_all(row, "active")?;
    versioned(row, session)
}

/// Which resources a record is about; the column has '' for none, since it stands in keys.
fn resource(row: &PgRow) -> Result<Option<ResourceSelector>, Error> {
    match row.try_get("resource")? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error| Error::corrupt("resource", error)),
    }
}

/// Returns the column value of which resources a record is about.
pub(super) fn resource_text(resource: Option<&ResourceSelector>) -> String {
    resource.map(ToString::to_string).unwrap_or_default()
}

/// Returns the column value of what is kept as JSON.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T, column: &'static str) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::corrupt(column, error))
}

fn from_json<T: DeserializeOwned>(text: &str, column: &'static str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::corrupt(column, error))
}

fn json_option<T: DeserializeOwned>(row: &PgRow, column: &'static str) -> Result<Option<T>, Error> {
    row.try_get::<Option<&str>, _>(column)?.map(|text| from_json(text, column)).transpose()
}
