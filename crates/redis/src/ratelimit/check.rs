use redis::{FromRedisValue as _, Value};
use stanchion_core::StoreError;

/// The least version: the scripts need nothing newer, and older ones are out of support.
const LEAST_VERSION: (u32, u32) = (6, 2);

/// Why servers are not fit to count on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// They cannot be asked.
    #[error("Redis cannot be asked: {0}")]
    Unreachable(#[source] StoreError),
    /// They are too old.
    #[error("Redis {0} is too old: {least}.{minor} or later is needed", least = LEAST_VERSION.0, minor = LEAST_VERSION.1)]
    Version(String),
    /// They forget keys that are in use.
    #[error("maxmemory-policy is {0}, which forgets counters that are in use: set it to noeviction")]
    Evicts(String),
}

/// Goes through what servers say of themselves.
pub(super) fn judge_all(said: &Value) -> Result<(), CheckError> {
    texts(said).iter().try_for_each(|info| judge(info))
}

/// Goes through the texts of an answer, one for each node that was asked.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Map(nodes) => nodes.iter().flat_map(|(_, said)| texts(said)).collect(),
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        other => String::from_redis_value_ref(other).into_iter().collect(),
    }
}

fn judge(info: &str) -> Result<(), CheckError> {
    let find = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    if let Some(version) = find("redis_version") {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < LEAST_VERSION {
            return Err(CheckError::Version(version.to_owned()));
        }
    }
    match find("maxmemory_policy") {
        Some(policy) if policy != "noeviction" => Err(CheckError::Evicts(policy.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_forgets_or_is_too_old_is_refused() {
        let info = |version: &str, policy: &str| {
            judge(&format!(
                "# Server\r\nredis_version:{version}\r\n\r\n# Memory\r\nmaxmemory_policy:{policy}\r\n"
            ))
        };
        assert!(info("6.2.0", "noeviction").is_ok() && info("8.0.1", "noeviction").is_ok());
        assert!(matches!(info("6.0.9", "noeviction"), Err(CheckError::Version(_))));
        assert!(matches!(info("7.2.4", "allkeys-lru"), Err(CheckError::Evicts(_))));
    }
}
