use std::borrow::Cow;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use stanchion_audit::{Content, Digest, Projection, RetentionClass, Row, SearchRow, parse};
use stanchion_core::{
    Actor, Category, EventId, KeyId, Outcome, RequestId, ResourceRef, Severity, SubjectRef, Text, Timestamp,
};

use super::pack::entries;
use super::{digest_of, seq};
use crate::Error;
use crate::records::time;

/// What is stored of an actor: its kind, and as far as it has them its id, how it proved itself, and with which key.
pub(super) struct ActorColumns<'a> {
    pub(super) kind: &'static str,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) method: Option<&'static str>,
    pub(super) key: Option<uuid::Uuid>,
}

impl<'a> ActorColumns<'a> {
    pub(super) fn of(actor: &'a Actor) -> Self {
        match actor {
            Actor::Subject { subject, method, key } => Self {
                kind: subject.kind().as_str(),
                id: Some(escaped(subject.id().as_str())),
                method: Some(method.as_str()),
                key: key.map(KeyId::uuid),
            },
            Actor::System(name) => {
                Self { kind: "system", id: Some(escaped(name.as_str())), method: None, key: None }
            }
            Actor::Anonymous => Self { kind: "anonymous", id: None, method: None, key: None },
        }
    }
}

fn actor(row: &PgRow) -> Result<Actor, Error> {
    let kind: &str = row.try_get("actor_kind")?;
    let id = row.try_get::<Option<&str>, _>("actor_id")?.map(unescaped).transpose()?;
    match (kind, id) {
        ("anonymous", None) => Ok(Actor::Anonymous),
        ("system", Some(name)) => Ok(Actor::System(name.into())),
        (_, Some(id)) => {
            let subject: SubjectRef =
                format!("{kind}:{id}").parse().map_err(|error| Error::corrupt("actor", error))?;
            let method: Option<&str> = row.try_get("actor_method")?;
            let method =
                serde_json::from_value(method.into()).map_err(|error| Error::corrupt("actor", error))?;
            let key = row.try_get::<Option<uuid::Uuid>, _>("actor_key")?.map(KeyId::from_uuid);
            Ok(Actor::Subject { subject, method, key })
        }
        _ => Err(Error::corrupt("actor", kind)),
    }
}

/// Returns the column value of a class; see the table.
pub(super) const fn class_number(class: RetentionClass) -> i16 {
    match class {
        RetentionClass::Security => 1,
        RetentionClass::DataAccess => 2,
        RetentionClass::Standard => 3,
    }
}

pub(super) fn class_of(number: i16) -> Result<RetentionClass, Error> {
    let class = RetentionClass::ALL.into_iter().find(|class| class_number(*class) == number);
    class.ok_or_else(|| Error::corrupt("class", number))
}

/// Postgres holds no NUL in a text, an event may: it is written `\0`, and `\` is written `\\`.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['\\', '\0']) {
        text.replace('\\', "\\\\").replace('\0', "\\0").into()
    } else {
        text.into()
    }
}

pub(super) fn unescaped(text: &str) -> Result<String, Error> {
    let mut read = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        read.push(match letter {
            '\\' => match letters.next() {
                Some('\\') => '\\',
                Some('0') => '\0',
                _ => return Err(Error::corrupt("text", "a `\\` stands alone")),
            },
            letter => letter,
        });
    }
    Ok(read)
}

/// Targets stand in one text, a line for each: none has a line break.
pub(super) fn lines(targets: &[ResourceRef]) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn targets(row: &PgRow) -> Result<Vec<ResourceRef>, Error> {
    let lines = row.try_get::<&str, _>("targets")?.lines();
    lines.map(|line| line.parse().map_err(|error| Error::corrupt("targets", error))).collect()
}

pub(super) fn digest(row: &PgRow, column: &'static str) -> Result<Digest, Error> {
    digest_of(row.try_get(column)?).ok_or_else(|| Error::corrupt(column, "not 32 bytes"))
}

fn named<T>(row: &PgRow, column: &'static str, find: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    let name: &str = row.try_get(column)?;
    find(name).ok_or_else(|| Error::corrupt(column, name))
}

/// Reads an entry that has a row of its own.
pub(super) fn row(row: &PgRow) -> Result<Row, Error> {
    let only = entries(row, 0, u64::MAX)?.pop();
    only.ok_or_else(|| Error::corrupt("leaf", "no entry"))
}

/// Makes an entry's content. Its projection is made from the bytes: the ledger keeps nothing beside them.
pub(super) fn content(id: uuid::Uuid, leaf: Digest, canonical: &[u8]) -> Content {
    Content {
        id: EventId::from_uuid(id),
        leaf,
        canonical: canonical.into(),
        projection: parse(canonical).map_or_else(|_| nothing(), Projection::from),
    }
}

/// Reads what is kept of an entry for queries, as it stands there.
pub(super) fn search_row(row: &PgRow) -> Result<SearchRow, Error> {
    let optional = |column: &'static str| -> Result<Option<Text>, Error> {
        let text = row.try_get::<Option<&str>, _>(column)?.map(unescaped).transpose()?;
        Ok(text.map(Text::from))
    };
    let projection = Projection {
        occurred_at: time(row, "occurred_at")?,
        actor: actor(row)?,
        action: Text::from(unescaped(row.try_get("action")?)?),
        category: named(row, "category", Category::from_name)?,
        outcome: named(row, "outcome", Outcome::from_name)?,
        severity: named(row, "severity", Severity::from_name)?,
        request: row.try_get::<Option<uuid::Uuid>, _>("request_id")?.map(RequestId::from_uuid),
        targets: targets(row)?,
    };
    let (session, trace) = (optional("session")?, optional("trace")?);
    Ok(SearchRow { seq: seq(row, "seq")?, projection, session, trace, terms: row.try_get("terms")? })
}

/// What is known of bytes that are no event. They are returned as they are, so that verification says what is wrong with them.
fn nothing() -> Projection {
    Projection {
        occurred_at: Timestamp::EPOCH,
        actor: Actor::Anonymous,
        action: Text::from(""),
        category: Category::System,
        outcome: Outcome::Unknown,
        severity: Severity::Info,
        request: None,
        targets: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_reads_back_and_its_beginning_stays_its_beginning() {
        for text in ["", "role.put", "\0", "\\0", "a\\\0b", "\\\\", "☃"] {
            assert_eq!(unescaped(&escaped(text)).unwrap(), text);
            assert!(!escaped(text).contains('\0'));
            assert!(escaped(&format!("{text}.more")).starts_with(&*escaped(text)));
        }
        assert!(unescaped("\\").is_err() && unescaped("\\n").is_err());
    }
}
