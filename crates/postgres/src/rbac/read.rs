use std::borrow::Cow;
use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use stanchion_core::{
    Page, PageRequest, Revision, Scope, SubjectRef, SystemScope, TenantId, Timestamp, Versioned,
};
use stanchion_rbac::{
    Permission, Record, RecordFilter, RecordKey, RecordKind, RoleId, Snapshot, SubjectRecords,
};
use uuid::Uuid;

use super::{DOMAIN, rows};
use crate::records::{instant, page, page_key, revision, rows_of};
use crate::transaction::scope_id;
use crate::{Database, Error, SystemTx, TenantTx};

/// Reads all roles and separations of a scope.
pub(super) async fn snapshot(database: &Database, scope: Scope) -> Result<Snapshot, Error> {
    let id = scope_id(scope)?;
    let question = format!(
        "{}; \
         SELECT 'role' AS kind, * FROM stanchion.rbac_role WHERE scope_id = '{id}' ORDER BY id; \
         SELECT 'separation' AS kind, * FROM stanchion.rbac_separation WHERE scope_id = '{id}' ORDER BY id",
        revision_of(id)
    );
    let mut found = Snapshot::new(Revision::ZERO, Vec::new(), Vec::new());
    for row in TenantTx::read(database, scope, &question).await? {
        match row.try_get("kind")? {
            "role" => found.roles.push(rows::role(&row)?),
            "separation" => found.separations.push(rows::separation(&row)?),
            _ => found.revision = revision(row.try_get("revision")?),
        }
    }
    Ok(found)
}

/// Reads what is about one subject.
pub(super) async fn subject(
    database: &Database,
    scope: Scope,
    subject: &SubjectRef,
) -> Result<SubjectRecords, Error> {
    let question = about(scope, &format!("= {}", literal(&subject.to_string())))?;
    let mut found = SubjectRecords::none(Revision::ZERO);
    for row in TenantTx::read(database, scope, &question).await? {
        if let Some(revision) = take(&mut found, &row)? {
            found.revision = revision;
        }
    }
    Ok(found)
}

/// Reads what is about each of many subjects, all in one message.
pub(super) async fn subjects(
    database: &Database,
    scope: Scope,
    subjects: &[SubjectRef],
) -> Result<Vec<SubjectRecords>, Error> {
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = subjects.iter().map(ToString::to_string).collect();
    let all = names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
    let question = about(scope, &format!("IN ({all})"))?;
    let mut at = Revision::ZERO;
    let mut found: HashMap<&str, SubjectRecords> = HashMap::new();
    let rows = TenantTx::read(database, scope, &question).await?;
    for row in &rows {
        let of: Option<&str> = row.try_get("about")?;
        let records = found.entry(of.unwrap_or_default()).or_default();
        at = take(records, row)?.unwrap_or(at);
    }
    let of = |name: &String| {
        let mut records = found.get(&**name).cloned().unwrap_or_default();
        records.revision = at;
        records
    };
    Ok(names.iter().map(of).collect())
}

/// The question for what is about the subjects that a condition picks.
fn about(scope: Scope, picks: &str) -> Result<String, Error> {
    let id = scope_id(scope)?;
    Ok(format!(
        "SELECT 'revision' AS kind, NULL::text AS about, revision FROM stanchion.revision \
         WHERE scope_id = '{id}' AND domain = '{DOMAIN}'; \
         SELECT 'assignment' AS kind, subject AS about, * FROM stanchion.rbac_assignment \
         WHERE scope_id = '{id}' AND subject {picks} ORDER BY subject, role, resource; \
         SELECT 'grant' AS kind, subject AS about, * FROM stanchion.rbac_grant \
         WHERE scope_id = '{id}' AND subject {picks} ORDER BY subject, permission, resource; \
         SELECT 'denial' AS kind, subject AS about, * FROM stanchion.rbac_denial \
         WHERE scope_id = '{id}' AND subject {picks} ORDER BY subject, permission, resource; \
         SELECT 'membership' AS kind, member AS about, * FROM stanchion.rbac_membership \
         WHERE scope_id = '{id}' AND member {picks} ORDER BY member, group_subject"
    ))
}

/// Adds a row to what is known of its subject; returns the revision, if it is the row of that.
fn take(found: &mut SubjectRecords, row: &PgRow) -> Result<Option<Revision>, Error> {
    match row.try_get("kind")? {
        "assignment" => found.assignments.push(rows::assignment(row)?),
        "grant" => found.grants.push(rows::grant(row)?),
        "denial" => found.denials.push(rows::denial(row)?),
        "membership" => found.memberships.push(rows::membership(row)?),
        _ => return Ok(Some(revision(row.try_get("revision")?))),
    }
    Ok(None)
}

/// Reads one row by its id.
pub(super) async fn one(
    database: &Database,
    scope: Scope,
    table: &str,
    id: &str,
) -> Result<Option<PgRow>, Error> {
    let (scope_id, id) = (scope_id(scope)?, literal(id));
    let question = format!("SELECT * FROM stanchion.{table} WHERE scope_id = '{scope_id}' AND id = {id}");
    Ok(TenantTx::read(database, scope, &question).await?.pop())
}

fn revision_of(scope: Uuid) -> String {
    format!(
        "SELECT 'revision' AS kind, revision FROM stanchion.revision \
         WHERE scope_id = '{scope}' AND domain = '{DOMAIN}'"
    )
}

/// Writes a text as SQL does, whatever the database takes a backslash for.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// How records of a kind are kept: in which table, by which columns of their key, and which of those a filter may ask for.
struct Kept {
    table: &'static str,
    key: &'static [&'static str],
    subject: Option<&'static str>,
}

const fn kept(kind: RecordKind) -> Option<Kept> {
    let (table, key, subject): (_, &[&str], _) = match kind {
        RecordKind::Role => ("rbac_role", &["id"], None),
        RecordKind::Assignment => ("rbac_assignment", &["subject", "role", "resource"], Some("subject")),
        RecordKind::Grant => ("rbac_grant", &["subject", "permission", "resource"], Some("subject")),
        RecordKind::Denial => ("rbac_denial", &["subject", "permission", "resource"], Some("subject")),
        RecordKind::Membership => ("rbac_membership", &["group_subject", "member"], Some("member")),
        RecordKind::Separation => ("rbac_separation", &["id"], None),
        RecordKind::Session => ("rbac_session", &["id"], Some("subject")),
        _ => return None,
    };
    Some(Kept { table, key, subject })
}

/// Lists records of one kind.
pub(super) async fn list(
    database: &Database,
    scope: Scope,
    filter: &RecordFilter,
    request: &PageRequest,
) -> Result<Page<Versioned<Record>>, Error> {
    let kind = filter.kind;
    let kept = kept(kind).ok_or(Error::Unsupported("a kind of record that this adapter does not know"))?;
    let role = (kind == RecordKind::Assignment).then_some("role");
    let group = (kind == RecordKind::Membership).then_some("group_subject");
    let wanted = [
        (kept.subject, filter.subject.as_ref().map(ToString::to_string)),
        (role, filter.role.as_ref().map(ToString::to_string)),
        (group, filter.group.as_ref().map(ToString::to_string)),
    ];
    if filter.covering.is_some() && kind != RecordKind::Grant {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let (mut picked, mut texts) = (String::new(), Vec::new());
    let mut place = |text: String| {
        texts.push(text);
        format!("${}", texts.len() + 2)
    };
    for (column, text) in wanted {
        match (column, text) {
            (_, None) => {}
            (Some(column), Some(text)) => picked.push_str(&format!(" AND {column} = {}", place(text))),
            // What has no such thing has none that is asked for.
            (None, Some(_)) => return Ok(Page { items: Vec::new(), next: None }),
        }
    }
    let key = kept.key.join(", ");
    if let Some(after) = page_key(request) {
        let after: Vec<String> =
            columns_of(after, kept.key.len()).into_iter().map(|text| place(text.into_owned())).collect();
        picked.push_str(&format!(" AND ({key}) > ({})", after.join(", ")));
    }
    let of = |picked: &str| {
        format!("SELECT * FROM stanchion.{} WHERE scope_id = $1{picked} ORDER BY {key} LIMIT $2", kept.table)
    };
    let covering = filter.covering.as_ref().map(Permission::covering);
    let statement = match &covering {
        None => of(&picked),
        // Each permission by itself, so that no more is read of one than a page shows, and nothing of what does not cover it.
        Some(_) => format!(
            "SELECT one.* FROM unnest(${}::text[]) AS name CROSS JOIN LATERAL ({}) AS one ORDER BY {key} LIMIT $2",
            texts.len() + 3,
            of(&format!("{picked} AND permission = name COLLATE \"C\""))
        ),
    };
    let mut query = sqlx::query(AssertSqlSafe(statement)).bind(scope_id(scope)?).bind(rows_of(request));
    for text in texts {
        query = query.bind(text);
    }
    if let Some(covering) = covering {
        query = query.bind(covering);
    }
    let mut tx = TenantTx::begin_read(database, scope).await?;
    let found = query.fetch_all(tx.connection()?).await?;
    tx.commit().await?;
    page(&found, request, |row| rows::record(kind, row), |record| record.value.key().to_string())
}

/// Cuts a page key into as many texts as a record's key has columns, so that what comes after it as a text comes after them as a row,
/// and an index on the columns finds the place.
///
/// The texts of a key are of letters beyond the blank, and stand in it with blanks between.
fn columns_of(key: &str, columns: usize) -> Vec<Cow<'_, str>> {
    let mut rest = key;
    let mut cut = Vec::with_capacity(columns);
    while cut.len() + 1 < columns {
        let end = rest.find(|letter| letter <= ' ').unwrap_or(rest.len());
        let (text, more) = rest.split_at_checked(end).unwrap_or((rest, ""));
        cut.push(text.into());
        // A letter before the blank is before all that may follow, as nothing is.
        rest = more.strip_prefix(' ').unwrap_or_default();
    }
    cut.push(rest.into());
    cut
}

/// Finds tenants that assign or include the platform's role of a name.
pub(super) async fn tenants_using(
    database: &Database,
    system: SystemScope,
    role: &RoleId,
    limit: usize,
) -> Result<Vec<TenantId>, Error> {
    const USING: &str = "SELECT scope_id FROM ( \
            SELECT scope_id FROM stanchion.rbac_assignment WHERE role = $1 \
            UNION SELECT scope_id FROM stanchion.rbac_role WHERE includes @> ARRAY[$1] \
        ) AS used \
        WHERE scope_id <> $2 AND NOT EXISTS ( \
            SELECT FROM stanchion.rbac_role AS own WHERE own.scope_id = used.scope_id AND own.id = $1) \
        ORDER BY scope_id LIMIT $3";
    let mut tx = SystemTx::begin_read(database, system).await?;
    let query = sqlx::query_scalar::<_, Uuid>(USING).bind(role.as_str()).bind(Uuid::nil());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let tenants = query.bind(limit).fetch_all(tx.connection()?).await?;
    tx.commit().await?;
    Ok(tenants.into_iter().map(TenantId::from_uuid).collect())
}

/// Finds records that have expired, in whatever scope.
pub(super) async fn expired(
    database: &Database,
    system: SystemScope,
    kind: RecordKind,
    at: Timestamp,
    limit: usize,
) -> Result<Vec<(Scope, RecordKey)>, Error> {
    let table = match kind {
        RecordKind::Session => "rbac_session",
        RecordKind::Assignment => "rbac_assignment",
        RecordKind::Grant => "rbac_grant",
        RecordKind::Membership => "rbac_membership",
        _ => return Ok(Vec::new()),
    };
    let statement =
        format!("SELECT * FROM stanchion.{table} WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2");
    let mut tx = SystemTx::begin_read(database, system).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = sqlx::query(AssertSqlSafe(statement)).bind(instant(at)).bind(limit);
    let found = query.fetch_all(tx.connection()?).await?;
    tx.commit().await?;
    let key = |row: &PgRow| {
        let scope: Uuid = row.try_get("scope_id")?;
        let scope = if scope.is_nil() { Scope::Platform } else { Scope::Tenant(TenantId::from_uuid(scope)) };
        Ok((scope, rows::record(kind, row)?.value.key()))
    };
    found.iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_key_as_a_text_comes_after_its_columns_as_a_row() {
        let names = ["a", "a!", "ab", "b"];
        let rows: Vec<[&str; 3]> = names
            .iter()
            .flat_map(|one| {
                names.iter().flat_map(move |two| ["", "a", "a!", "b"].map(|last| [*one, *two, last]))
            })
            .collect();
        let keys = [
            "", " ", "a", "a ", "a  ", "a a", "a a ", "a a a", "a a a ", "a a  a", "a\u{1}", "a\u{1}b",
            "a a\u{1}", "a a!\tz", "a! ab", "ab b b", "b b b", "zz", "ü", " a", "\n",
        ];
        for key in keys {
            let cut = columns_of(key, 3);
            let cut: Vec<&str> = cut.iter().map(AsRef::as_ref).collect();
            for row in &rows {
                let [one, two, last] = row;
                let text =
                    if last.is_empty() { format!("{one} {two}") } else { format!("{one} {two} {last}") };
                assert_eq!(row.as_slice() > cut.as_slice(), text.as_str() > key, "{text:?} after {key:?}");
            }
        }
    }

    #[test]
    fn a_literal_ends_where_its_text_ends() {
        assert_eq!(literal(r"user:o'neil\'; --"), r"E'user:o''neil\\''; --'");
    }
}
