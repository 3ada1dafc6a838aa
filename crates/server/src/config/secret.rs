use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stanchion_core::Secret;
use stanchion_postgres::Url;
use stanchion_redis::{RedisCounterStore, Wake};

use crate::environment::Environment;

/// What was written may be the secret itself, so it is not repeated.
const LITERAL: &str = "a secret does not stand here: put it into a variable and write `env:NAME`, or into a file and write `file:PATH`";

/// Where a secret is: `env:NAME` or `file:PATH`. The secret itself never stands in a configuration.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In a variable of the environment.
    Variable(String),
    /// In a file, from its beginning to the line's end. A relative path begins at the directory of the configuration.
    File(PathBuf),
}

impl SecretRef {
    /// Fetches the secret.
    ///
    /// # Errors
    /// One sentence when the variable is not set, or the file cannot be read, or either is empty.
    pub fn resolve(&self, environment: &Environment, directory: &Path) -> Result<Secret, String> {
        let text = match self {
            Self::Variable(name) => environment
                .get(name)
                .map(|text| text.as_bytes().to_vec())
                .ok_or_else(|| format!("the variable `{name}` is not set"))?,
            Self::File(path) => {
                let path = directory.join(path);
                std::fs::read(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?
            }
        };
        let secret = text.strip_suffix(b"\n").unwrap_or(&text);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.is_empty() { Err(format!("`{self}` is empty")) } else { Ok(Secret::new(secret)) }
    }

    /// Fetches the address of a Postgres database.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and when what is there is no such address; it is not repeated.
    pub fn postgres(&self, environment: &Environment, directory: &Path) -> Result<Url, String> {
        let secret = self.resolve(environment, directory)?;
        let text = std::str::from_utf8(secret.expose()).map_err(|_| format!("`{self}` is no text"))?;
        text.trim().parse().map_err(|error| format!("what `{self}` holds is {error}"))
    }
}

impl SecretRef {
    /// Sets up counters on the servers whose addresses are here.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and when what is there are no such addresses; they are not repeated.
    pub fn redis(
        &self,
        config: &stanchion_redis::Config,
        environment: &Environment,
        directory: &Path,
    ) -> Result<RedisCounterStore, String> {
        let secret = self.resolve(environment, directory)?;
        let text = std::str::from_utf8(secret.expose()).map_err(|_| format!("`{self}` is no text"))?;
        RedisCounterStore::new(text.trim(), config.clone())
            .map_err(|error| format!("what `{self}` holds: {error}"))
    }

    /// Sets up what carries news between replicas, on the servers whose addresses are here.
    ///
    /// # Errors
    /// As [`redis`](Self::redis).
    pub fn wake(
        &self,
        config: &stanchion_redis::Config,
        environment: &Environment,
        directory: &Path,
    ) -> Result<Wake, String> {
        let secret = self.resolve(environment, directory)?;
        let text = std::str::from_utf8(secret.expose()).map_err(|_| format!("`{self}` is no text"))?;
        Wake::new(text.trim(), config).map_err(|error| format!("what `{self}` holds: {error}"))
    }
}

stanchion_core::text_schema!(SecretRef, "`env:NAME` or `file:PATH`");

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for SecretRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Variable(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(LITERAL),
        }
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reference;

        // Other types are taken too, so that none of them is shown as what was not expected.
        impl Visitor<'_> for Reference {
            type Value = SecretRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`env:NAME` or `file:PATH`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SecretRef, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<SecretRef, E> {
                Err(E::custom(LITERAL))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<SecretRef, E> {
                Err(E::custom(LITERAL))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<SecretRef, E> {
                Err(E::custom(LITERAL))
            }
        }

        deserializer.deserialize_any(Reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(reference: &str, environment: &Environment, directory: &Path) -> Result<Vec<u8>, String> {
        let reference: SecretRef = reference.parse().unwrap();
        reference.resolve(environment, directory).map(|secret| secret.expose().to_vec())
    }

    #[test]
    fn a_variable_and_a_file_give_the_secret_without_its_line_end() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("pepper"), "hunter2\r\n").unwrap();
        let environment: Environment = [("PEPPER", "hunter2\n"), ("EMPTY", "\n")].into_iter().collect();
        assert_eq!(resolve("env:PEPPER", &environment, directory.path()).unwrap(), b"hunter2");
        assert_eq!(resolve("file:pepper", &environment, directory.path()).unwrap(), b"hunter2");
        assert_eq!(resolve("env:EMPTY", &environment, directory.path()).unwrap_err(), "`env:EMPTY` is empty");
        assert_eq!(
            resolve("env:NONE", &environment, directory.path()).unwrap_err(),
            "the variable `NONE` is not set"
        );
        let missing = resolve("file:none", &environment, directory.path()).unwrap_err();
        assert!(missing.starts_with("cannot read `") && missing.contains("none`"), "{missing}");
    }

    #[test]
    fn a_literal_is_refused_and_not_repeated() {
        for literal in ["hunter2", "hunter2:x", "env:", "file:", ""] {
            let refused = literal.parse::<SecretRef>().unwrap_err();
            assert!(refused.contains("env:NAME") && !refused.contains("hunter2"), "{refused}");
        }
    }
}
