use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Filter;
use super::expression::{Expression, Field};
use crate::{ResourceSelector, ResourceType, Value};

/// What the columns are called in which a table keeps what filters ask for. A name is put into the query as it is: it comes from the
/// program, never from whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The id of the resource.
    pub id: Option<String>,
    /// By field; owners are kept as `user:alice`. What a resource has from what it is nested in has to stand in its row.
    pub fields: BTreeMap<Field, String>,
    /// By type, the id of what the resource is nested in.
    pub parents: BTreeMap<ResourceType, String>,
}

/// A condition in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sql {
    /// The condition; no value stands in it.
    pub text: String,
    /// What is to be bound, in the order of the numbers.
    pub parameters: Vec<Value>,
}

/// A filter asks for something that no column was named for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no column is named for {0}")]
pub struct UnmappedColumn(pub String);

pub(super) fn write(
    filter: &Filter,
    kind: &ResourceType,
    columns: &Columns,
    first: usize,
) -> Result<Sql, UnmappedColumn> {
    let mut writer = Writer { kind, columns, first, text: String::new(), parameters: Vec::new() };
    match filter {
        Filter::Always => writer.text.push_str("TRUE"),
        Filter::Never => writer.text.push_str("FALSE"),
        Filter::When(expression) => writer.expression(expression)?,
    }
    Ok(Sql { text: writer.text, parameters: writer.parameters })
}

struct Writer<'a> {
    kind: &'a ResourceType,
    columns: &'a Columns,
    first: usize,
    text: String,
    parameters: Vec<Value>,
}

impl Writer<'_> {
    fn expression(&mut self, expression: &Expression) -> Result<(), UnmappedColumn> {
        match expression {
            Expression::Always => self.text.push_str("TRUE"),
            Expression::Never => self.text.push_str("FALSE"),
            Expression::All(parts) => self.join(" AND ", parts)?,
            Expression::Any(parts) => self.join(" OR ", parts)?,
            Expression::Not(part) => {
                self.text.push_str("NOT (");
                self.expression(part)?;
                self.text.push(')');
            }
            Expression::Is(field, value) => {
                let column = self.field(field)?;
                self.equals(&column, [value.clone()]);
            }
            Expression::Among(field, values) => {
                let column = self.field(field)?;
                self.equals(&column, values.iter().cloned().map(Value::Text));
            }
            Expression::Missing(field) => {
                let column = self.field(field)?;
                self.text.push_str(&column);
                self.text.push_str(" IS NULL");
            }
            Expression::Within(selector) => self.within(selector)?,
        }
        Ok(())
    }

    fn join(&mut self, word: &str, parts: &[Expression]) -> Result<(), UnmappedColumn> {
        self.text.push('(');
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                self.text.push_str(word);
            }
            self.expression(part)?;
        }
        self.text.push(')');
        Ok(())
    }

    fn within(&mut self, selector: &ResourceSelector) -> Result<(), UnmappedColumn> {
        let unmapped = || UnmappedColumn(format!("`{selector}`"));
        let is_own = selector.kind() == self.kind;
        if is_own && selector.id().is_none() {
            self.text.push_str("TRUE");
            return Ok(());
        }
        let own = self.columns.id.clone().filter(|_| is_own);
        let parent = self.columns.parents.get(selector.kind()).cloned();
        let both = own.is_some() && parent.is_some();
        let column = own.clone().or_else(|| parent.clone()).ok_or_else(unmapped)?;
        if is_own && own.is_none() {
            return Err(unmapped());
        }
        let Some(id) = selector.id() else {
            self.text.push_str(&column);
            self.text.push_str(" IS NOT NULL");
            return Ok(());
        };
        if let Some(parent) = parent.filter(|_| both) {
            self.text.push('(');
            self.equals(&column, [Value::Text(id.clone())]);
            self.text.push_str(" OR ");
            self.equals(&parent, [Value::Text(id.clone())]);
            self.text.push(')');
        } else {
            self.equals(&column, [Value::Text(id.clone())]);
        }
        Ok(())
    }

    /// Never null, so that its negation is not either.
    fn equals(&mut self, column: &str, values: impl IntoIterator<Item = Value>) {
        let _ = write!(self.text, "COALESCE({column} IN (");
        for (number, value) in values.into_iter().enumerate() {
            self.parameters.push(value);
            let separator = if number > 0 { ", " } else { "" };
            let _ = write!(self.text, "{separator}${}", self.first + self.parameters.len() - 1);
        }
        self.text.push_str("), FALSE)");
    }

    fn field(&self, field: &Field) -> Result<String, UnmappedColumn> {
        let column = self.columns.fields.get(field).cloned();
        column.ok_or_else(|| UnmappedColumn(format!("`{field}`")))
    }
}
