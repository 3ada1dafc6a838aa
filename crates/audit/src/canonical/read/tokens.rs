//! Literals and strings.

use std::borrow::Cow;

use stanchion_core::Text;

use super::Reader;
use crate::Error;

impl<'a> Reader<'a> {
    pub(super) fn refuse<T>(&self, expected: &'static str) -> Result<T, Error> {
        Err(Error::NotCanonical { offset: self.length - self.rest.len(), expected })
    }

    pub(super) fn takes(&mut self, literal: &str) -> bool {
        self.rest.strip_prefix(literal).map(|rest| self.rest = rest).is_some()
    }

    pub(super) fn expect(&mut self, literal: &str, expected: &'static str) -> Result<(), Error> {
        if self.takes(literal) { Ok(()) } else { self.refuse(expected) }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads a string; every escape must be the one that the writer uses.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.expect("\"", "a string")?;
        let mut decoded = String::new();
        loop {
            let special = self.rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
            let Some(literal) = special.and_then(|length| self.take(length)) else {
                return self.refuse("the end of a string");
            };
            if self.takes("\"") {
                if decoded.is_empty() {
                    return Ok(Cow::Borrowed(literal));
                }
                decoded.push_str(literal);
                return Ok(Cow::Owned(decoded));
            }
            decoded.push_str(literal);
            decoded.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        const SHORT: [(&str, char); 7] = [
            ("\\\"", '"'),
            ("\\\\", '\\'),
            ("\\b", '\u{8}'),
            ("\\t", '\t'),
            ("\\n", '\n'),
            ("\\f", '\u{c}'),
            ("\\r", '\r'),
        ];
        if let Some((_, char)) = SHORT.iter().find(|(escape, _)| self.takes(escape)) {
            return Ok(*char);
        }
        let code = self.rest.strip_prefix("\\u00").and_then(|rest| rest.get(..2));
        let code = code.filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        let control = code
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|code| *code < 0x20 && !matches!(code, 0x08 | b'\t' | b'\n' | 0x0c | b'\r'));
        match control {
            Some(code) if self.take("\\u0000".len()).is_some() => Ok(char::from(code)),
            _ => self.refuse("the shortest escape"),
        }
    }

    pub(super) fn text(&mut self) -> Result<Text, Error> {
        Ok(self.string()?.into_owned().into())
    }

    pub(super) fn optional(&mut self, field: &str) -> Result<Option<Text>, Error> {
        if self.takes(field) { self.text().map(Some) } else { Ok(None) }
    }

    /// Reads a string that `known` has a value for.
    pub(super) fn named<T>(
        &mut self,
        expected: &'static str,
        known: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Error> {
        let before = self.rest;
        if let Some(value) = known(&self.string()?) {
            return Ok(value);
        }
        self.rest = before;
        self.refuse(expected)
    }
}
