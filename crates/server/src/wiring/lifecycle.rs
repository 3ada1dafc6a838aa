//! What the audit records about this process: its start, its stop, and settings that were changed meanwhile.

use std::error::Error;

use serde::Serialize;
use serde_json::Value;
use stanchion_audit::Process;
use stanchion_core::{Actor, Detail, FieldChange, IdGen, Recorded, Text, Timestamp};

use super::{Evolves, Platform, Work};
use crate::config::Config;
use crate::failure::{Exit, Failure};

/// Names this run of the process.
pub(super) fn process(config: &Config, ids: &dyn IdGen, now: Timestamp) -> Process {
    let deployment = config.audit.deployment.clone();
    Process {
        boot: ids.uuid(now),
        version: Text::Static(env!("CARGO_PKG_VERSION")),
        deployment,
        producer: Text::Static("stanchion"),
    }
}

impl Platform {
    /// Records that the process begins to write, before anything else is recorded.
    pub(crate) async fn begin(&self, work: &mut Work) -> Result<(), Failure> {
        // Before it is looked which keys are new: from here on there are no others.
        work.evolving = match std::mem::replace(&mut work.evolving, Evolves::Not) {
            Evolves::Found(evolving) => Evolves::Begun(Box::new(evolving.begin(&self.prover))),
            begun => begun,
        };
        let failed = |error: &(dyn Error + 'static)| {
            Failure::new(Exit::Unreachable, "the ledger cannot record that it begins").because(error)
        };
        let changes = self.prover.key_changes().await.map_err(|error| failed(&error))?;
        let audit = &self.pipeline.engines().audit;
        audit.begin(&self.process, changes).map_err(|error| failed(&error))
    }

    /// Records that the process has ended in good order, after everything else. If that cannot be recorded, its absence will say so.
    pub(crate) async fn finish(&self) {
        if let Err(error) = self.pipeline.engines().audit.finish(&self.process).await {
            tracing::warn!(error = &error as &dyn Error, "the end of this process could not be recorded");
        }
    }

    /// Records what a reload changes of how the audit works. Settings of its own are in force after a restart only.
    pub(crate) fn record_settings(&self, before: &Config, next: &Config) {
        let audit = &self.pipeline.engines().audit;
        for (changes, in_force) in [(settings(before, next), false), (routes(before, next), true)] {
            if audit.configured(Actor::System("operator".into()), changes, in_force).is_err() {
                tracing::warn!("the audit has other settings, which could not be recorded");
            }
        }
    }
}

/// The most differences that are recorded one by one; more are cut off.
const MOST: usize = 100;

/// Returns what is set otherwise in `[audit]`. Where secrets are is not recorded, only that it is another place.
fn settings(before: &Config, next: &Config) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    differences("audit", &json(&before.audit), &json(&next.audit), &mut changes);
    changes.truncate(MOST);
    changes
}

/// Returns which routes record otherwise than before, or are no longer there to record.
fn routes(before: &Config, next: &Config) -> Vec<FieldChange> {
    let of = |config: &Config| {
        let route = |route: &stanchion_pipeline::RouteConfig| {
            let recorded = serde_json::json!({"audit": json(&route.audit), "ack": json(&route.ack)});
            (route.id.to_string(), recorded)
        };
        Value::Object(config.routes.iter().map(route).collect())
    };
    let mut changes = Vec::new();
    differences("routes", &of(before), &of(next), &mut changes);
    changes.truncate(MOST);
    changes
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Goes through two values side by side and lists the leaves that differ.
fn differences(path: &str, before: &Value, after: &Value, found: &mut Vec<FieldChange>) {
    if before == after {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let added = new.keys().filter(|name| !old.contains_key(*name));
        for name in old.keys().chain(added) {
            let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
            differences(&format!("{path}.{name}"), &of(old), &of(new), found);
        }
        return;
    }
    let is_secret = path.contains("_keys.");
    let recorded = |value: &Value| match value {
        Value::Null => None,
        _ if is_secret => Some(Recorded::Redacted),
        Value::Bool(value) => Some(Recorded::Value(Detail::Bool(*value))),
        Value::String(text) => Some(Recorded::Value(text.clone().into())),
        other => Some(Recorded::Value(other.to_string().into())),
    };
    found.push(FieldChange {
        field: path.to_owned().into(),
        before: recorded(before),
        after: recorded(after),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    use crate::config::Secrets;
    use crate::environment::Environment;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("test.toml"), text, &Environment::default(), Secrets::Elsewhere).unwrap()
    }

    #[test]
    fn what_is_set_otherwise_is_told_and_where_secrets_are_is_not() {
        let before = config("[audit.signing_keys]\n1 = \"env:A\"");
        let next = config(
            "[audit.signing_keys]\n1 = \"env:A\"\n2 = \"env:B\"\n[audit.ledger]\nlinger_ms = 9\nwriters = \"exclusive\"",
        );
        let mut changes = settings(&before, &next);
        changes.sort_by(|a, b| a.field.as_str().cmp(b.field.as_str()));
        let told = |change: &FieldChange| format!("{} {:?} {:?}", change.field, change.before, change.after);
        let expected = [
            FieldChange {
                field: "audit.ledger.linger_ms".into(),
                before: Some(Recorded::Value("2".into())),
                after: Some(Recorded::Value("9".into())),
            },
            FieldChange {
                field: "audit.ledger.writers".into(),
                before: Some(Recorded::Value("shared".into())),
                after: Some(Recorded::Value("exclusive".into())),
            },
            FieldChange {
                field: "audit.signing_keys.2".into(),
                before: None,
                after: Some(Recorded::Redacted),
            },
        ];
        let all = |changes: &[FieldChange]| changes.iter().map(told).collect::<Vec<_>>();
        assert_eq!(all(&changes), all(&expected));
        assert!(settings(&before, &before).is_empty());
    }
}
