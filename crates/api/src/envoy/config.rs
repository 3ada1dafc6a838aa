use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::{InvalidId, Slug, TenantId};

/// The rate-limit service for Envoy and what is built on it, `envoy.service.ratelimit.v3` over gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EnvoyConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// Where to listen. It speaks gRPC without TLS and asks nobody who they are, so whoever reaches it can use limits up: keep it on the
    /// loopback, or where only proxies are.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub listen: SocketAddr,
    /// Whether answers tell the client about its limits: `RateLimit`, `RateLimit-Policy`, `X-RateLimit-*` and `Retry-After`, as the
    /// gateway does. Leave it off where Envoy writes such fields itself (`enable_x_ratelimit_headers`).
    pub headers: bool,
    /// Whose limits a request is for, by the `domain` that it names. A request that names another is refused.
    pub domains: BTreeMap<String, DomainConfig>,
}

/// Whose limits the requests of a domain are for, and how their descriptors are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DomainConfig {
    /// The tenant, by its slug or its id, whose limits hold beside the platform's. Left out, a descriptor may name one in its entry
    /// `tenant`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub tenant: Option<TenantName>,
    /// What entries stand for, by their key, where that is not the usual: `{ client_id = "user" }`. An entry may stand for `ip`, `user`,
    /// `api_key`, `tenant`, `endpoint`, `label` or `attribute`.
    pub entries: BTreeMap<String, EntryUse>,
    /// The routes that descriptors name, so that limits of this file may name them, too.
    pub routes: Vec<Slug>,
    /// The labels that descriptors bring in `generic_key`, so that limits of this file may name them, too.
    pub labels: Vec<Slug>,
}

/// What an entry of a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EntryUse {
    /// The client's address, or a network that stands for it. The usual use of `remote_address`, `masked_remote_address` and `ip`.
    Ip,
    /// Who calls, as `alice`, `user:alice` or `service:robot`. The usual use of `user`, `user_id` and `subject`.
    User,
    /// The API key, by its id or as it was presented. The usual use of `api_key`.
    ApiKey,
    /// The tenant, by its id or its slug. The usual use of `tenant` and `tenant_id`.
    Tenant,
    /// The route's id. The usual use of `route` and `endpoint`.
    Endpoint,
    /// A label of the route. The usual use of `generic_key`.
    Label,
    /// An attribute of that name, which conditions of limits can look at. The usual use of every other entry.
    Attribute,
}

/// A tenant, by either of its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TenantName {
    /// Its id.
    Id(TenantId),
    /// Its slug.
    Slug(Slug),
}

impl Default for EnvoyConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 8082)),
            headers: false,
            domains: BTreeMap::new(),
        }
    }
}

impl EnvoyConfig {
    /// Checks everything that the types leave open.
    ///
    /// # Errors
    /// One sentence for each setting that cannot be as it is.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        const NAME: usize = 128;
        let mut problems = Vec::new();
        if self.enabled && self.domains.is_empty() {
            problems.push(
                "enabled: there is no domain, so every request would be refused: add `[envoy.domains.NAME]` with the name that \
                 Envoy's filter has as its `domain`"
                    .to_owned(),
            );
        }
        for (name, domain) in &self.domains {
            if !(1..=NAME).contains(&name.len()) {
                problems.push(format!("domains.{name}: the name of a domain has 1 to {NAME} bytes"));
            }
            if domain.entries.contains_key("") {
                problems.push(format!("domains.{name}.entries: the key of an entry is not empty"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl EntryUse {
    /// Returns what entries of a key usually stand for.
    pub(super) fn usual(key: &str) -> Self {
        match key {
            "remote_address" | "masked_remote_address" | "ip" => Self::Ip,
            "user" | "user_id" | "subject" => Self::User,
            "api_key" => Self::ApiKey,
            "tenant" | "tenant_id" => Self::Tenant,
            "route" | "endpoint" => Self::Endpoint,
            "generic_key" => Self::Label,
            _ => Self::Attribute,
        }
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

impl FromStr for TenantName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().map(Self::Id).or_else(|_| Slug::checked("tenant", text).map(Self::Slug))
    }
}

impl Serialize for TenantName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TenantName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_known_by_its_id_and_by_its_slug() {
        let id = "0192f0c1-2345-7abc-8def-0123456789ab";
        assert_eq!(id.parse(), Ok(TenantName::Id(id.parse().unwrap())));
        assert_eq!("acme".parse(), Ok(TenantName::Slug("acme".parse().unwrap())));
        let error = "Acme Inc".parse::<TenantName>().unwrap_err().to_string();
        assert!(error.starts_with("`Acme Inc` is not a tenant: use 1 to 64"), "{error}");
    }

    #[test]
    fn a_service_without_domains_is_said_to_refuse_everything() {
        let config = EnvoyConfig { enabled: true, ..EnvoyConfig::default() };
        let problems = config.validate().unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].starts_with("enabled: there is no domain"),
            "{problems:?}"
        );
        EnvoyConfig::default().validate().unwrap();
        let domains = [("edge".to_owned(), DomainConfig::default())].into();
        EnvoyConfig { domains, ..config }.validate().unwrap();
    }
}
