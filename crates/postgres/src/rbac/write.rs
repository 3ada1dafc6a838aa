use std::collections::HashSet;
use std::mem::discriminant;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};
use stanchion_core::{Revision, Scope, Timestamp};
use stanchion_rbac::{
    Assignment, Denial, Grant, Membership, RbacChange, Record, RecordKey, RecordKind, Role, Separation,
    Session,
};
use uuid::Uuid;

use super::rows::{resource_text, to_json};
use crate::Error;
use crate::records::{instant, number};
use crate::transaction::scope_id;

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// How many records one statement writes at most.
const AT_ONCE: usize = 10_000;

const UNKNOWN: Error = Error::Unsupported("a change of roles that this adapter does not know");

/// What all parts of a change are written with.
pub(super) struct Write {
    scope: Uuid,
    revision: i64,
    at: DateTime<Utc>,
}

impl Write {
    pub(super) fn new(scope: Scope, revision: Revision, at: Timestamp) -> Result<Self, Error> {
        Ok(Self { scope: scope_id(scope)?, revision: number(revision), at: instant(at) })
    }

    /// Writes all parts as if one after the other.
    pub(super) async fn all(&self, connection: &mut PgConnection, parts: &[RbacChange]) -> Result<(), Error> {
        let mut rest = parts;
        while !rest.is_empty() {
            let (run, more) = rest.split_at_checked(run(rest)).unwrap_or((rest, &[]));
            match run.first() {
                Some(RbacChange::Put(record)) => self.put(connection, record.kind(), run).await?,
                Some(RbacChange::Delete(key)) => self.delete(connection, key.kind(), run).await?,
                _ => return Err(UNKNOWN),
            }
            rest = more;
        }
        Ok(())
    }

    async fn put(
        &self,
        connection: &mut PgConnection,
        kind: RecordKind,
        run: &[RbacChange],
    ) -> Result<(), Error> {
        macro_rules! records {
            ($kind:ident) => {
                run.iter().filter_map(|part| match part {
                    RbacChange::Put(Record::$kind(record)) => Some(record),
                    _ => None,
                })
            };
        }
        let one_by_one: Vec<Statement<'_>> = match kind {
            RecordKind::Assignment => vec![self.assignments(records!(Assignment))?],
            RecordKind::Grant => vec![self.grants(records!(Grant))?],
            RecordKind::Denial => vec![self.denials(records!(Denial))],
            RecordKind::Membership => vec![self.memberships(records!(Membership))],
            RecordKind::Role => records!(Role).map(|role| self.role(role)).collect::<Result<_, _>>()?,
            RecordKind::Separation => {
                records!(Separation).map(|separation| self.separation(separation)).collect()
            }
            RecordKind::Session => records!(Session).map(|session| self.session(session)).collect(),
            _ => return Err(UNKNOWN),
        };
        for statement in one_by_one {
            statement.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Starts a statement with what every record is written with.
    fn begin(&self, statement: &'static str) -> Statement<'static> {
        sqlx::query(statement).bind(self.scope).bind(self.revision).bind(self.at)
    }

    fn role<'q>(&self, role: &'q Role) -> Result<Statement<'q>, Error> {
        Ok(self
            .begin(PUT_ROLE)
            .bind(role.id.as_str())
            .bind(role.name.as_str())
            .bind(role.description.as_ref().map(|note| note.as_str()))
            .bind(texts(&role.permissions))
            .bind(texts(&role.includes))
            .bind(texts(&role.excludes))
            .bind(role.ceiling.map(|ceiling| ceiling.to_string()))
            .bind(to_json(&role.constraints, "constraints")?)
            .bind(texts(&role.requires))
            .bind(role.max_holders.map(i64::from))
            .bind(to_json(&role.metadata, "metadata")?)
            .bind(role.active)
            .bind(role.system))
    }

    fn separation<'q>(&self, separation: &'q Separation) -> Statement<'q> {
        self.begin(PUT_SEPARATION)
            .bind(separation.id.as_str())
            .bind(separation.name.as_str())
            .bind(separation.duty.as_str())
            .bind(texts(&separation.roles))
            .bind(i64::from(separation.at_most))
    }

    fn session(&self, session: &Session) -> Statement<'static> {
        self.begin(PUT_SESSION)
            .bind(session.id.to_string())
            .bind(session.subject.to_string())
            .bind(texts(&session.active))
            .bind(instant(session.expires_at))
    }

    fn assignments<'q>(
        &self,
        records: impl Iterator<Item = &'q Assignment> + Clone,
    ) -> Result<Statement<'q>, Error> {
        Ok(self
            .begin(PUT_ASSIGNMENTS)
            .bind(texts(records.clone().map(|record| &record.subject)))
            .bind(column(&records, |record| record.role.as_str()))
            .bind(column(&records, |record| resource_text(record.resource.as_ref())))
            .bind(column(&records, |record| record.not_before.map(instant)))
            .bind(column(&records, |record| record.expires_at.map(instant)))
            .bind(column(&records, |record| record.reason.as_ref().map(|note| note.as_str())))
            .bind(json_column(&records, "granted_by", |record| record.granted_by.as_ref())?))
    }

    fn grants<'q>(&self, records: impl Iterator<Item = &'q Grant> + Clone) -> Result<Statement<'q>, Error> {
        Ok(self
            .begin(PUT_GRANTS)
            .bind(texts(records.clone().map(|record| &record.subject)))
            .bind(column(&records, |record| record.permission.as_str()))
            .bind(column(&records, |record| resource_text(record.resource.as_ref())))
            .bind(column(&records, |record| record.not_before.map(instant)))
            .bind(column(&records, |record| record.expires_at.map(instant)))
            .bind(json_column(&records, "constraints", |record| Some(&record.constraints))?)
            .bind(column(&records, |record| record.reason.as_ref().map(|note| note.as_str())))
            .bind(json_column(&records, "granted_by", |record| record.granted_by.as_ref())?)
            .bind(json_column(&records, "emergency", |record| record.emergency.as_ref())?))
    }

    fn denials<'q>(&self, records: impl Iterator<Item = &'q Denial> + Clone) -> Statement<'q> {
        self.begin(PUT_DENIALS)
            .bind(texts(records.clone().map(|record| &record.subject)))
            .bind(column(&records, |record| record.permission.as_str()))
            .bind(column(&records, |record| resource_text(record.resource.as_ref())))
            .bind(column(&records, |record| record.reason.as_ref().map(|note| note.as_str())))
    }

    fn memberships<'q>(&self, records: impl Iterator<Item = &'q Membership> + Clone) -> Statement<'q> {
        self.begin(PUT_MEMBERSHIPS)
            .bind(texts(records.clone().map(|record| &record.group)))
            .bind(texts(records.clone().map(|record| &record.member)))
            .bind(column(&records, |record| record.not_before.map(instant)))
            .bind(column(&records, |record| record.expires_at.map(instant)))
    }

    async fn delete(
        &self,
        connection: &mut PgConnection,
        kind: RecordKind,
        run: &[RbacChange],
    ) -> Result<(), Error> {
        let (table, columns): (_, &[&str]) = match kind {
            RecordKind::Role => ("rbac_role", &["id"]),
            RecordKind::Separation => ("rbac_separation", &["id"]),
            RecordKind::Session => ("rbac_session", &["id"]),
            RecordKind::Assignment => ("rbac_assignment", &["subject", "role", "resource"]),
            RecordKind::Grant => ("rbac_grant", &["subject", "permission", "resource"]),
            RecordKind::Denial => ("rbac_denial", &["subject", "permission", "resource"]),
            RecordKind::Membership => ("rbac_membership", &["group_subject", "member"]),
            _ => return Err(UNKNOWN),
        };
        let keys = run.iter().filter_map(|part| match part {
            RbacChange::Delete(key) => Some(columns_of(key)),
            _ => None,
        });
        let keys: Vec<[String; 3]> = keys.collect::<Result<_, Error>>()?;
        let arrays: Vec<String> = (2..columns.len() + 2).map(|number| format!("${number}::text[]")).collect();
        let same: Vec<String> =
            columns.iter().map(|column| format!("record.{column} = gone.{column}")).collect();
        let statement = format!(
            "DELETE FROM stanchion.{table} AS record USING unnest({}) AS gone ({}) \
             WHERE record.scope_id = $1 AND {}",
            arrays.join(", "),
            columns.join(", "),
            same.join(" AND ")
        );
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(self.scope);
        for place in 0..columns.len() {
            let texts = keys.iter().filter_map(|key| key.get(place).cloned());
            query = query.bind(texts.collect::<Vec<String>>());
        }
        query.execute(connection).await?;
        Ok(())
    }
}

/// Returns how many of the first parts one statement can write, at least one: those that write records of one kind, none of them twice,
/// or remove some.
fn run(parts: &[RbacChange]) -> usize {
    let mut seen = HashSet::new();
    let first = parts.first().map(sort);
    let same = parts.iter().take(AT_ONCE).take_while(|part| {
        first == Some(sort(part))
            && match part {
                RbacChange::Put(record) => seen.insert(record.key()),
                _ => true,
            }
    });
    same.count().max(1)
}

fn sort(part: &RbacChange) -> (std::mem::Discriminant<RbacChange>, Option<RecordKind>) {
    let kind = match part {
        RbacChange::Put(record) => Some(record.kind()),
        RbacChange::Delete(key) => Some(key.kind()),
        _ => None,
    };
    (discriminant(part), kind)
}

/// Returns the column values of a key; those that its kind has no column for are empty.
fn columns_of(key: &RecordKey) -> Result<[String; 3], Error> {
    let none = String::new;
    Ok(match key {
        RecordKey::Role(id) => [id.to_string(), none(), none()],
        RecordKey::Separation(id) => [id.to_string(), none(), none()],
        RecordKey::Session(id) => [id.to_string(), none(), none()],
        RecordKey::Assignment { subject, role, resource } => {
            [subject.to_string(), role.to_string(), resource_text(resource.as_ref())]
        }
        RecordKey::Grant { subject, permission, resource }
        | RecordKey::Denial { subject, permission, resource } => {
            [subject.to_string(), permission.to_string(), resource_text(resource.as_ref())]
        }
        RecordKey::Membership { group, member } => [group.to_string(), member.to_string(), none()],
        _ => return Err(UNKNOWN),
    })
}

fn texts<T: ToString>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

fn column<'q, T: 'q, V>(
    records: &(impl Iterator<Item = &'q T> + Clone),
    value: impl Fn(&'q T) -> V,
) -> Vec<V> {
    records.clone().map(value).collect()
}

fn json_column<'q, T: 'q, V: Serialize + 'q>(
    records: &(impl Iterator<Item = &'q T> + Clone),
    column: &'static str,
    value: impl Fn(&'q T) -> Option<&'q V>,
) -> Result<Vec<Option<String>>, Error> {
    records.clone().map(|record| value(record).map(|value| to_json(value, column)).transpose()).collect()
}

const PUT_ROLE: &str = "
INSERT INTO stanchion.rbac_role
    (scope_id, revision, created_at, updated_at, id, name, description, permissions, includes, excludes, ceiling,
     constraints, requires, max_holders, metadata, active, system)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (scope_id, id) DO UPDATE SET
    (revision, updated_at, name, description, permissions, includes, excludes, ceiling, constraints, requires,
     max_holders, metadata, active, system) =
    (excluded.revision, excluded.updated_at, excluded.name, excluded.description, excluded.permissions,
     excluded.includes, excluded.excludes, excluded.ceiling, excluded.constraints, excluded.requires,
     excluded.max_holders, excluded.metadata, excluded.active, excluded.system)";

const PUT_SEPARATION: &str = "
INSERT INTO stanchion.rbac_separation (scope_id, revision, created_at, updated_at, id, name, duty, roles, at_most)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8)
ON CONFLICT (scope_id, id) DO UPDATE SET
    (revision, updated_at, name, duty, roles, at_most) =
    (excluded.revision, excluded.updated_at, excluded.name, excluded.duty, excluded.roles, excluded.at_most)";

const PUT_SESSION: &str = "
INSERT INTO stanchion.rbac_session (scope_id, revision, created_at, updated_at, id, subject, active, expires_at)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7)
ON CONFLICT (scope_id, id) DO UPDATE SET
    (revision, updated_at, subject, active, expires_at) =
    (excluded.revision, excluded.updated_at, excluded.subject, excluded.active, excluded.expires_at)";

const PUT_ASSIGNMENTS: &str = "
INSERT INTO stanchion.rbac_assignment
    (scope_id, revision, created_at, updated_at, subject, role, resource, not_before, expires_at, reason, granted_by)
SELECT $1, $2, $3, $3, part.*
FROM unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[]) AS part
ON CONFLICT (scope_id, subject, role, resource) DO UPDATE SET
    (revision, updated_at, not_before, expires_at, reason, granted_by) =
    (excluded.revision, excluded.updated_at, excluded.not_before, excluded.expires_at, excluded.reason,
     excluded.granted_by)";

const PUT_GRANTS: &str = "
INSERT INTO stanchion.rbac_grant
    (scope_id, revision, created_at, updated_at, subject, permission, resource, not_before, expires_at, constraints,
     reason, granted_by, emergency)
SELECT $1, $2, $3, $3, part.*
FROM unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[],
            $11::text[], $12::text[]) AS part
ON CONFLICT (scope_id, subject, permission, resource) DO UPDATE SET
    (revision, updated_at, not_before, expires_at, constraints, reason, granted_by, emergency) =
    (excluded.revision, excluded.updated_at, excluded.not_before, excluded.expires_at, excluded.constraints,
     excluded.reason, excluded.granted_by, excluded.emergency)";

const PUT_DENIALS: &str = "
INSERT INTO stanchion.rbac_denial
    (scope_id, revision, created_at, updated_at, subject, permission, resource, reason)
SELECT $1, $2, $3, $3, part.* FROM unnest($4::text[], $5::text[], $6::text[], $7::text[]) AS part
ON CONFLICT (scope_id, subject, permission, resource) DO UPDATE SET
    (revision, updated_at, reason) = (excluded.revision, excluded.updated_at, excluded.reason)";

const PUT_MEMBERSHIPS: &str = "
INSERT INTO stanchion.rbac_membership
    (scope_id, revision, created_at, updated_at, group_subject, member, not_before, expires_at)
SELECT $1, $2, $3, $3, part.* FROM unnest($4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[]) AS part
ON CONFLICT (scope_id, group_subject, member) DO UPDATE SET
    (revision, updated_at, not_before, expires_at) =
    (excluded.revision, excluded.updated_at, excluded.not_before, excluded.expires_at)";
