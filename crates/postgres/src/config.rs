use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// How the database is reached and how long anything there may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The most connections of this process, 2 to 1,000, its one listening connection not counted. Two per core of the database server
    /// is plenty: requests are decided from memory.
    pub max_connections: u32,
    /// The longest wait for a free or new connection, 10 to 60,000 ms. A new one takes about six ways there and back; what takes longer
    /// than the wait, up to five seconds, is made for who comes next.
    pub acquire_timeout_ms: u32,
    /// The longest time an operation may take, connection included, 10 to 600,000 ms. A write that takes longer may have happened.
    pub operation_timeout_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_connections: 16, acquire_timeout_ms: 100, operation_timeout_ms: 5_000 }
    }
}

impl Config {
    /// Checks the ranges and returns everything that is wrong, as `field: problem`.
    ///
    /// # Errors
    /// One line per field out of range.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let fields = [
            ("max_connections", self.max_connections, 2, 1_000),
            ("acquire_timeout_ms", self.acquire_timeout_ms, 10, 60_000),
            ("operation_timeout_ms", self.operation_timeout_ms, 10, 600_000),
        ];
        let wrong = fields.iter().filter(|(_, value, least, most)| value < least || value > most);
        let lines: Vec<String> = wrong
            .map(|(field, value, least, most)| format!("{field}: {value} is not within {least} to {most}"))
            .collect();
        if lines.is_empty() { Ok(()) } else { Err(lines) }
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms.into())
    }

    pub(crate) fn operation_timeout(&self) -> Duration {
        Duration::from_millis(self.operation_timeout_ms.into())
    }
}

/// The address of a database and who signs in there, as `postgres://login:password@host:5432/database?sslmode=verify-full`.
///
/// Neither `Debug` nor an error shows it: it may hold a password.
#[derive(Clone)]
pub struct Url(PgConnectOptions);

/// The text is not the URL of a Postgres database. It is not repeated, since it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a Postgres URL: write postgres://login:password@host:5432/database, special characters in the password percent-encoded"
)]
pub struct InvalidUrl;

impl Url {
    /// Returns what the driver connects with.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.0.clone()
    }

    /// Returns who signs in.
    #[must_use]
    pub fn login(&self) -> &str {
        self.0.get_username()
    }

    /// Returns the same address and login with another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self(self.0.clone().database(database))
    }

    /// Returns the same address and database with another login.
    #[must_use]
    pub fn with_login(&self, login: &str) -> Self {
        Self(self.0.clone().username(login))
    }
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidUrl);
        }
        PgConnectOptions::from_str(text).map(Self).map_err(|_| InvalidUrl)
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Url({}:{}, …)", self.0.get_host(), self.0.get_port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let config = Config { max_connections: 1, acquire_timeout_ms: 0, ..Config::default() };
        let lines =
            ["max_connections: 1 is not within 2 to 1000", "acquire_timeout_ms: 0 is not within 10 to 60000"];
        assert_eq!(config.validate().unwrap_err(), lines);
    }

    #[test]
    fn a_password_is_not_shown() {
        let url: Url = "postgres://app:hunter2@db.example:5433/stanchion".parse().unwrap();
        assert_eq!(format!("{url:?}"), "Url(db.example:5433, …)");
        assert_eq!(url.login(), "app");
        for bad in ["", "mysql://app:hunter2@db/x", "postgres://app:hunter2@db:port/x"] {
            let error = bad.parse::<Url>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
