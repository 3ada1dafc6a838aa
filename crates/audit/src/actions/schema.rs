use std::sync::Arc;

use serde_json::Value;

/// What the events of an action have to look like: a JSON Schema, and what checks an event by it.
///
/// The check is a port, so that whoever has no use for schemas carries no library for them.
#[derive(Clone, Debug)]
pub struct ActionSchema {
    document: Arc<Value>,
    check: Arc<dyn SchemaCheck>,
}

/// Checks events by a schema.
pub trait SchemaCheck: std::fmt::Debug + Send + Sync {
    /// Checks a reported event: an object of `outcome`, `reason`, `severity`, `on_behalf_of`, `targets`, `changes` and `details`, without
    /// those that were left out.
    ///
    /// # Errors
    /// The first violation.
    fn check(&self, event: &Value) -> Result<(), Violation>;
}

/// What is wrong with an event, by its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// Where, with dots between names: `details.rows`; empty for the event as a whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl ActionSchema {
    /// Joins a schema and what checks by it.
    #[must_use]
    pub fn new(document: Value, check: Arc<dyn SchemaCheck>) -> Self {
        Self { document: Arc::new(document), check }
    }

    /// Returns the JSON Schema.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Checks a reported event.
    ///
    /// # Errors
    /// As [`SchemaCheck::check`].
    pub fn check(&self, event: &Value) -> Result<(), Violation> {
        self.check.check(event)
    }
}

/// Two that say the same are the same.
impl PartialEq for ActionSchema {
    fn eq(&self, other: &Self) -> bool {
        self.document == other.document
    }
}

impl Eq for ActionSchema {}
