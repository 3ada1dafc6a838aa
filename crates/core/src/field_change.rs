use serde::{Deserialize, Serialize};

use crate::{Detail, Details, Text};

/// What a change has made of one field of what it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// The path of the field: `permissions`, `address.street`.
    pub field: Text,
    /// What stood there before; nothing, if nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Recorded>,
    /// What stands there now; nothing, if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Recorded>,
}

/// A value as a record may have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// What it is.
    Value(Detail),
    /// That it is something, and not what: secrets, and whatever must be possible to forget. It is not hashed either, since a hash of
    /// what can be guessed tells what it is.
    Redacted,
}

impl FieldChange {
    /// Compares the fields of something before and after a change, and names those that differ: what stood there before in its order,
    /// then what is new.
    #[must_use]
    pub fn between(before: &Details, after: &Details) -> Vec<Self> {
        let value = |fields: &Details, name: &Text| fields.get(name.as_str()).cloned().map(Recorded::Value);
        let new = after.iter().filter(|(name, _)| before.get(name.as_str()).is_none());
        let names = before.iter().chain(new).map(|(name, _)| name);
        let all = names.map(|name| Self {
            field: name.clone(),
            before: value(before, name),
            after: value(after, name),
        });
        all.filter(|change| change.before != change.after).collect()
    }

    /// Leaves of the values only that they are there.
    #[must_use]
    pub fn redacted(self) -> Self {
        let redacted = |_| Recorded::Redacted;
        Self { field: self.field, before: self.before.map(redacted), after: self.after.map(redacted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(json: &str) -> Details {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn only_what_differs_is_a_change_and_a_secret_keeps_only_that_it_is_there() {
        let before = details(r#"{"name":"a","tier":"basic","note":null,"secret":"x"}"#);
        let after = details(r#"{"tier":"basic","secret":"y","name":"b","labels":["l"]}"#);
        let redacted = |change: FieldChange| match change.field.as_str() {
            "secret" | "labels" => change.redacted(),
            _ => change,
        };
        let changes: Vec<_> = FieldChange::between(&before, &after).into_iter().map(redacted).collect();
        let json = serde_json::to_string(&changes).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"[{"field":"name","before":{"value":"a"},"after":{"value":"b"}},{"field":"note","before":{"value":null}},"#,
                r#"{"field":"secret","before":"redacted","after":"redacted"},{"field":"labels","after":"redacted"}]"#
            )
        );
        assert_eq!(serde_json::from_str::<Vec<FieldChange>>(&json).unwrap(), changes);
        assert_eq!(FieldChange::between(&before, &before), []);
    }
}
