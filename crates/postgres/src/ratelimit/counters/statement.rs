//! How the database is asked. A statement is called by its name in a text, so that it can go out in one message with the beginning or
//! the end of a transaction; in transactions of others it has parameters. The texts hold numbers and hexadecimal digits only.

use std::fmt::{self, Write as _};

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use super::prepared::Prepared;

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
    /// Beyond what the database's own numbers hold, so its digits are sent.
    Amount(u128),
    Amounts(Vec<Option<u128>>),
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
            Argument::Amount(amount) => query.bind(amount.to_string()),
            Argument::Amounts(amounts) => {
                query.bind(amounts.iter().map(|amount| Some((*amount)?.to_string())).collect::<Vec<_>>())
            }
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
            Self::Amount(amount) => append(text, format_args!("'{amount}'")),
            Self::Amounts(amounts) => list(text, amounts, |text, amount| match amount {
                Some(amount) => append(text, format_args!("{amount}")),
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
    use crate::ratelimit::counters::prepared::{FORGET, TAKE};

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
                    Argument::Amount(7),
                    Argument::Amounts(vec![None, Some(u128::MAX)]),
                ],
            },
        ];
        let expected = "EXECUTE stanchion_take (true,\
                        '{\"\\\\x\",\"\\\\x27293b2044524f50205441424c4520783b202d2d\",\"\\\\x00ff5c22\"}'); \
                        EXECUTE stanchion_forget ('\\x2778',-7,NULL,'{NULL,-9223372036854775808}','7',\
                        '{NULL,340282366920938463463374607431768211455}')";
        assert_eq!(Statement::text(&statements), expected);
    }
}
