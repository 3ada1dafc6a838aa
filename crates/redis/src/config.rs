/// How servers are reached and how long they may take.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RedisConfig"))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How the servers work together.
    pub topology: Topology,
    /// The name by which Sentinels know the primary; of use with `topology = "sentinel"` only.
    pub primary: String,
    /// What every key begins with, so that several may share a server: 1 to 64 letters, digits, `:`, `-`, `_` or `.`.
    pub prefix: String,
    /// The longest wait for a connection, 1 to 60,000 ms.
    pub connect_timeout_ms: u32,
    /// The longest wait for an answer, 1 to 60,000 ms.
    pub response_timeout_ms: u32,
    /// How many failures in a row make further calls fail at once, 1 to 1,000.
    pub failures: u32,
}

/// How the servers work together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// One server.
    #[default]
    Single,
    /// A primary with replicas, found by Sentinels; the URLs are those of the Sentinels.
    Sentinel,
    /// A Cluster; the URLs are those of some of its nodes.
    Cluster,
}

/// The settings do not fit. URLs are not repeated: they may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConfig(pub(crate) String);

impl Default for Config {
    fn default() -> Self {
        Self {
            topology: Topology::Single,
            primary: String::new(),
            prefix: "stanchion".to_owned(),
            connect_timeout_ms: 100,
            response_timeout_ms: 50,
            failures: 5,
        }
    }
}

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Every field that is out of its range, as `field: problem`.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let numbers = [
            ("connect_timeout_ms", self.connect_timeout_ms, 60_000),
            ("response_timeout_ms", self.response_timeout_ms, 60_000),
            ("failures", self.failures, 1_000),
        ];
        let wrong = numbers.iter().filter(|(_, value, most)| *value == 0 || value > most);
        let mut problems: Vec<String> =
            wrong.map(|(field, value, most)| format!("{field}: {value} is not within 1 to {most}")).collect();
        let fits = |letter: char| letter.is_ascii_alphanumeric() || ":-_.".contains(letter);
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.chars().all(fits) {
            problems.push("prefix: use 1 to 64 letters, digits, `:`, `-`, `_` or `.`".to_owned());
        }
        if (self.topology == Topology::Sentinel) == self.primary.is_empty() {
            problems.push("primary: name it with `topology = \"sentinel\"`, and only then".to_owned());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let config = Config {
            topology: Topology::Sentinel,
            prefix: "{".to_owned(),
            response_timeout_ms: 0,
            ..Config::default()
        };
        let problems = config.validate().unwrap_err();
        let fields: Vec<&str> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(fields, ["response_timeout_ms", "prefix", "primary"]);
    }
}
