use std::fmt;

use serde_json::Value;

use crate::json::at;
use crate::terminal::{WIDTH, cut};

/// The blanks between two columns.
const GAP: usize = 2;
/// What a column is not cut below.
const LEAST: usize = 6;

/// A column of a table: its heading, and where its values stand in an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    heading: &'static str,
    pointer: &'static str,
    may_be_cut: bool,
}

impl Column {
    /// A column that is shown whole, since somebody will copy it.
    pub(crate) const fn whole(heading: &'static str, pointer: &'static str) -> Self {
        Self { heading, pointer, may_be_cut: false }
    }

    /// A column that gives way when the line gets too long.
    pub(crate) const fn cut(heading: &'static str, pointer: &'static str) -> Self {
        Self { heading, pointer, may_be_cut: true }
    }
}

/// Items in columns, within the width of a terminal as far as columns may be cut.
#[derive(Debug)]
pub(crate) struct Table {
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[Column], items: &[Value]) -> Self {
        let heading = columns.iter().map(|column| column.heading.to_owned()).collect();
        let row = |item: &Value| {
            let cell = |column: &Column| item.pointer(column.pointer).map_or_else(String::new, plain);
            columns.iter().map(cell).collect::<Vec<_>>()
        };
        let mut rows: Vec<Vec<String>> = vec![heading];
        rows.extend(items.iter().map(row));
        // A column that says nothing takes no room.
        let is_used =
            |index: usize| rows.iter().skip(1).any(|row| row.get(index).is_some_and(|cell| !cell.is_empty()));
        let used: Vec<bool> = (0..columns.len()).map(|index| items.is_empty() || is_used(index)).collect();
        let keep = |row: Vec<String>| {
            row.into_iter().zip(&used).filter(|(_, used)| **used).map(|(cell, _)| cell).collect()
        };
        let rows: Vec<Vec<String>> = rows.into_iter().map(keep).collect();
        let may_be_cut: Vec<bool> = columns
            .iter()
            .zip(&used)
            .filter(|(_, used)| **used)
            .map(|(column, _)| column.may_be_cut)
            .collect();
        let widest = |index: usize| {
            rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max()
        };
        let widths = (0..may_be_cut.len()).map(|index| widest(index).unwrap_or(0)).collect();
        Self { widths: fitted(widths, &may_be_cut), rows }
    }
}

/// Takes from the widest column that may be cut, until all of them fit.
fn fitted(mut widths: Vec<usize>, may_be_cut: &[bool]) -> Vec<usize> {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        let cuttable = widths.iter_mut().zip(may_be_cut).filter(|(width, cut)| **cut && **width > LEAST);
        let Some((widest, _)) = cuttable.max_by_key(|(width, _)| **width) else { break };
        *widest -= 1;
    }
    widths
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&self.widths) {
                let cell = cut(cell, *width);
                line.push_str(&format!("{cell:width$}{:GAP$}", "", width = *width));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes a value as people read it: lists with commas, times to the second, actors by their name.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => cut(&to_the_second(text), usize::MAX),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match fields.iter().next() {
            Some((kind, inner)) if kind == "subject" && fields.len() == 1 => plain(at(inner, "/subject")),
            Some((kind, Value::String(name))) if kind == "system" && fields.len() == 1 => {
                format!("system:{name}")
            }
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// Drops the fraction of a time: `2026-11-22T14:00:00.123456Z`.
fn to_the_second(text: &str) -> String {
    let is_time = text.len() == 27 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
    match text.split_once('.') {
        Some((seconds, _)) if is_time => format!("{seconds}Z"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    const COLUMNS: &[Column] = &[
        Column::whole("ID", "/id"),
        Column::cut("NAME", "/name"),
        Column::cut("ROLES", "/roles"),
        Column::whole("SINCE", "/since"),
    ];

    #[test]
    fn a_table_fits_a_terminal_and_cuts_what_may_be_cut() {
        let id = "0192f0c1-2345-7abc-8def-0123456789ab";
        let items = [
            json!({"id": id, "name": "a name that is much longer than there is room for", "roles": ["viewer", "editor"], "since": "2026-11-22T14:00:00.123456Z"}),
            json!({"id": id, "name": "short", "roles": [], "since": null}),
        ];
        insta::assert_snapshot!(Table::new(COLUMNS, &items), @r"
        ID                                    NAME       ROLES      SINCE
        0192f0c1-2345-7abc-8def-0123456789ab  a name t…  viewer, …  2026-11-22T14:00:00Z
        0192f0c1-2345-7abc-8def-0123456789ab  short
        ");
    }

    #[test]
    fn a_column_that_says_nothing_is_left_out_and_actors_have_names() {
        let items = [
            json!({"id": {"subject": {"subject": "user:alice", "method": "api_key"}}}),
            json!({"id": {"system": "seed"}}),
            json!({"id": "anonymous\u{1b}[2J"}),
        ];
        insta::assert_snapshot!(Table::new(COLUMNS, &items), @r"
        ID
        user:alice
        system:seed
        anonymous [2J
        ");
    }
}
