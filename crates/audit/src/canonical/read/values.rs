//! Values of any kind, as details and changes have them.

use stanchion_core::{Detail, Details, Text};

use super::super::{MAX_DEPTH, MAX_INTEGER, name_order};
use super::Reader;
use crate::Error;

impl Reader<'_> {
    pub(super) fn non_empty_map(&mut self) -> Result<Details, Error> {
        if self.rest.starts_with('}') {
            return self.refuse("a detail");
        }
        self.map(1)
    }

    /// Reads a map after its opening brace.
    fn map(&mut self, depth: usize) -> Result<Details, Error> {
        let mut members: Vec<(Text, Detail)> = Vec::new();
        if self.takes("}") {
            return Ok(Details::default());
        }
        loop {
            let before = self.rest;
            let name = self.text()?;
            if members.last().is_some_and(|(last, _)| name_order(last.as_str(), name.as_str()).is_ge()) {
                self.rest = before;
                return self.refuse("a later name");
            }
            self.expect(":", "a value")?;
            members.push((name, self.value(depth)?));
            if self.takes("}") {
                return Ok(members.into_iter().collect());
            }
            self.expect(",", "the next name")?;
        }
    }

    pub(super) fn value(&mut self, depth: usize) -> Result<Detail, Error> {
        let nested = self.rest.starts_with(['[', '{']);
        if nested && depth == MAX_DEPTH {
            return self.refuse("no deeper nesting");
        }
        if self.takes("null") {
            Ok(Detail::Null)
        } else if self.takes("true") {
            Ok(Detail::Bool(true))
        } else if self.takes("false") {
            Ok(Detail::Bool(false))
        } else if self.takes("{") {
            self.map(depth + 1).map(Detail::Map)
        } else if self.takes("[") {
            self.list(depth + 1).map(Detail::List)
        } else if self.rest.starts_with('"') {
            self.text().map(Detail::Text)
        } else {
            self.integer().map(Detail::Integer)
        }
    }

    /// Reads a list after its opening bracket.
    fn list(&mut self, depth: usize) -> Result<Vec<Detail>, Error> {
        let mut items = Vec::new();
        if self.takes("]") {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth)?);
            if self.takes("]") {
                return Ok(items);
            }
            self.expect(",", "the next item")?;
        }
    }

    fn integer(&mut self) -> Result<i64, Error> {
        let digits = self.rest.trim_start_matches(|char: char| char == '-' || char.is_ascii_digit());
        let length = self.rest.len() - digits.len();
        let value = self.rest.get(..length).and_then(|text| {
            let value: i64 = text.parse().ok()?;
            (value.to_string() == text && (-MAX_INTEGER..=MAX_INTEGER).contains(&value)).then_some(value)
        });
        match value {
            Some(value) if self.take(length).is_some() => Ok(value),
            _ => self.refuse("a value"),
        }
    }
}
