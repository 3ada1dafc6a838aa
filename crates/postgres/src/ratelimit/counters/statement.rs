//! What is asked of the database. Each statement is prepared once per connection and then called by its name in a text, so that it can
//! go out in one message with the beginning or the end of a transaction; in transactions of others it has parameters. The texts hold
//! numbers and hexadecimal digits only.

use std::fmt::{self, Write as _};

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

/// A statement as a connection knows it.
#[derive(Debug)]
pub(super) struct Prepared {
    name: &'static str,
    types: &'static str,
    sql: &'static str,
}

/// The present, in microseconds.
macro_rules! clock {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

/// Locks counters in the order of their keys, and reads each when nobody else has it. The last row has no key, but the time after that.
///
/// Whatever the planner believes of the table, there is one way to do this: key by key, by the primary key.
pub(super) static TAKE: Prepared = Prepared {
    name: "stanchion_take",
    types: "uuid, boolean, bytea[]",
    sql: concat!(
        "SELECT c.key, c.at, c.used, c.entries, NULL::bigint AS clock \
         FROM (SELECT asked.key FROM unnest($3) AS asked (key) ORDER BY asked.key) AS k \
         CROSS JOIN LATERAL (\
             SELECT r.key, r.at, r.used, r.entries FROM stanchion.ratelimit_counter AS r \
             WHERE r.scope_id = $1 AND r.edge = $2 AND r.key = k.key FOR NO KEY UPDATE) AS c \
         UNION ALL SELECT NULL, NULL, NULL, NULL, ",
        clock!()
    ),
};

/// Reads counters as they are at one moment, and the time.
pub(super) static LOOK: Prepared = Prepared {
    name: "stanchion_look",
    types: "uuid, boolean, bytea[]",
    sql: concat!(
        "SELECT c.key, c.at, c.used, c.entries, NULL::bigint AS clock \
         FROM unnest($3) AS k (key) \
         CROSS JOIN LATERAL (\
             SELECT r.key, r.at, r.used, r.entries FROM stanchion.ratelimit_counter AS r \
             WHERE r.scope_id = $1 AND r.edge = $2 AND r.key = k.key OFFSET 0) AS c \
         UNION ALL SELECT NULL, NULL, NULL, NULL, ",
        clock!()
    ),
};

/// Writes counters that were taken. It never makes one, but says so in the way that has one plan only.
pub(super) static WRITE: Prepared = Prepared {
    name: "stanchion_write",
    types: "uuid, boolean, bytea[], bigint[], bigint[], bytea[], bigint[]",
    sql: "INSERT INTO stanchion.ratelimit_counter AS c (scope_id, edge, key, at, used, entries, fresh_at) \
          SELECT $1, $2, w.* FROM unnest($3, $4, $5, $6, $7) AS w (key, at, used, entries, fresh_at) \
          ON CONFLICT (scope_id, edge, key) DO UPDATE SET \
          at = excluded.at, used = excluded.used, entries = excluded.entries, fresh_at = excluded.fresh_at",
};

/// Makes counters that were not there, in the order of their keys, or fails when one is there by now.
pub(super) static MAKE: Prepared = Prepared {
    name: "stanchion_make",
    types: "uuid, boolean, bytea[], bigint[], bigint[], bytea[], bigint[]",
    sql: "INSERT INTO stanchion.ratelimit_counter (scope_id, edge, key, at, used, entries, fresh_at) \
          SELECT $1, $2, w.* FROM unnest($3, $4, $5, $6, $7) AS w (key, at, used, entries, fresh_at) ORDER BY w.key",
};

/// Forgets a counter.
pub(super) static FORGET: Prepared = Prepared {
    name: "stanchion_forget",
    types: "uuid, boolean, bytea",
    sql: "DELETE FROM stanchion.ratelimit_counter WHERE scope_id = $1 AND edge = $2 AND key = $3",
};

/// Remembers a call.
pub(super) static HOLD: Prepared = Prepared {
    name: "stanchion_hold",
    types: "uuid, boolean, uuid, bigint, bigint",
    sql: "INSERT INTO stanchion.ratelimit_hold (scope_id, edge, id, until, ends_at) VALUES ($1, $2, $3, $4, $5) \
          ON CONFLICT (scope_id, edge, id) DO UPDATE SET until = excluded.until, ends_at = excluded.ends_at",
};

/// Forgets a call that is remembered still, and returns a row of one column if it was.
pub(super) static RELEASE: Prepared = Prepared {
    name: "stanchion_release",
    types: "uuid, boolean, uuid, bigint",
    sql: concat!(
        "DELETE FROM stanchion.ratelimit_hold WHERE scope_id = $1 AND edge = $2 AND id = $3 AND until > coalesce($4, ",
        clock!(),
        ") RETURNING true AS released"
    ),
};

/// Prepares all of them on a connection, as the role that will call them.
pub(super) fn preparing() -> String {
    let all = [&TAKE, &LOOK, &WRITE, &MAKE, &FORGET, &HOLD, &RELEASE];
    let mut text = String::from("SET ROLE stanchion_tenant; ");
    for Prepared { name, types, sql } in all {
        append(&mut text, format_args!("PREPARE {name} ({types}) AS {sql}; "));
    }
    text + "RESET ROLE"
}

/// A statement with what it is about.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) prepared: &'static Prepared,
    pub(super) arguments: Vec<Argument<'a>>,
}

#[derive(Debug)]
pub(super) enum Argument<'a> {
    Id(Uuid),
    Flag(bool),
    Number(Option<i64>),
    Key(&'a [u8]),
    Numbers(Vec<Option<i64>>),
    Keys(Vec<&'a [u8]>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl<'a> Statement<'a> {
    /// Returns it with parameters.
    pub(super) fn query(self) -> Query<'a, Postgres, PgArguments> {
        let query = sqlx::query(self.prepared.sql);
        self.arguments.into_iter().fold(query, |query, argument| match argument {
            Argument::Id(id) => query.bind(id),
            Argument::Flag(flag) => query.bind(flag),
            Argument::Number(number) => query.bind(number),
            Argument::Key(key) => query.bind(key),
            Argument::Numbers(numbers) => query.bind(numbers),
            Argument::Keys(keys) => query.bind(keys),
            Argument::Bytes(list) => query.bind(list),
        })
    }

    /// Returns statements as one text, each but the last with what parts it from the next.
    pub(super) fn text(statements: &[Self]) -> String {
        let mut text = String::new();
        for (index, Self { prepared, arguments }) in statements.iter().enumerate() {
            let parting = if index == 0 { "" } else { "; " };
            append(&mut text, format_args!("{parting}EXECUTE {} ", prepared.name));
            for (index, argument) in arguments.iter().enumerate() {
                text.push(if index == 0 { '(' } else { ',' });
                argument.write(&mut text);
            }
            text.push(')');
        }
        text
    }
}

impl Argument<'_> {
    fn write(&self, text: &mut String) {
        match self {
            Self::Id(id) => append(text, format_args!("'{id}'")),
            Self::Flag(flag) => append(text, format_args!("{flag}")),
            Self::Number(Some(number)) => append(text, format_args!("{number}")),
            Self::Number(None) => text.push_str("NULL"),
            Self::Key(key) => {
                text.push_str("'\\x");
                append_bytes(text, key);
                text.push('\'');
            }
            Self::Numbers(numbers) => {
                list(text, numbers, |text, number| Argument::Number(*number).write(text))
            }
            Self::Keys(keys) => list(text, keys, |text, key| element(text, key)),
            Self::Bytes(many) => list(text, many, |text, bytes| match bytes {
                Some(bytes) => element(text, bytes),
                None => text.push_str("NULL"),
            }),
        }
    }
}

fn list<T>(text: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    text.push_str("'{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write(text, item);
    }
    text.push_str("}'");
}

/// Bytes within a list, which is read before they are: what tells that digits follow is written twice.
fn element(text: &mut String, bytes: &[u8]) {
    text.push_str("\"\\\\x");
    append_bytes(text, bytes);
    text.push('"');
}

fn append_bytes(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0').into());
        }
    }
}

fn append(text: &mut String, what: fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_holds_numbers_and_digits_whatever_the_keys_are() {
        let keys: Vec<&[u8]> = vec![b"", b"'); DROP TABLE x; --", &[0, 255, b'\\', b'"']];
        let statements = [
            Statement { prepared: &TAKE, arguments: vec![Argument::Flag(true), Argument::Keys(keys)] },
            Statement {
                prepared: &FORGET,
                arguments: vec![
                    Argument::Key(b"'x"),
                    Argument::Number(Some(-7)),
                    Argument::Number(None),
                    Argument::Numbers(vec![None, Some(i64::MIN)]),
                    Argument::Bytes(vec![None, Some(vec![1])]),
                ],
            },
        ];
        let expected = "EXECUTE stanchion_take (true,\
                        '{\"\\\\x\",\"\\\\x27293b2044524f50205441424c4520783b202d2d\",\"\\\\x00ff5c22\"}'); \
                        EXECUTE stanchion_forget ('\\x2778',-7,NULL,'{NULL,-9223372036854775808}','{NULL,\"\\\\x01\"}')";
        assert_eq!(Statement::text(&statements), expected);
    }
}
