use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use stanchion_billing_metering::MeterId;
use stanchion_core::{InvalidId, Slug, slug_id};
use stanchion_rbac::{Permission, Resource};

use crate::resource::{self, parameter};
use crate::{NormalPath, ResourceTemplate, RouteStats};

slug_id!(
    /// A route. Limits, metrics and records are keyed by it, never by a raw path.
    RouteId,
    "route id"
);
slug_id!(
    /// An upstream: where a route's requests go.
    UpstreamId,
    "upstream id"
);

/// What a route takes and what governs it.
///
/// Hosts and paths follow the Gateway API: a path is matched exactly or by whole leading segments, the most specific host wins, then
/// the exact path, then the longest prefix. A whole segment in braces, `/documents/{id}`, is a parameter and stands for any one segment: of
/// such paths the one that begins with the most segments of its own wins, then the one with the most segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The route's name.
    pub id: RouteId,
    /// Classes the route belongs to; rules may name a class instead of a route.
    #[serde(default)]
    pub labels: Vec<Slug>,
    /// The hosts it takes: `api.example.com`, or `*.example.com` for every name below. Empty takes every host.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
    /// The paths it takes: `/v1/users` and everything below it, or with `match = "exact"` that path alone. A segment `{name}` stands for
    /// any one segment.
    pub path: String,
    /// How the path is matched.
    #[serde(default)]
    pub r#match: PathMatch,
    /// The methods it takes. Empty takes every method but CONNECT and TRACE.
    #[serde(default)]
    pub methods: Vec<MethodName>,
    /// Where its requests go.
    pub upstream: UpstreamId,
    /// Who may pass.
    #[serde(default)]
    pub access: Access,
    /// The permission that the principal needs, `resource:action`. Without one any authenticated principal passes.
    #[serde(default)]
    pub permission: Option<Permission>,
    /// The resource that the permission is looked for on, by the parameters of the path: `document/{id}`, or
    /// `folder/{folder}/document/{id}` for one that is nested in another. So roles that are held on some resources count. Without one
    /// the permission is needed everywhere in the tenant.
    #[serde(default)]
    pub resource: Option<ResourceTemplate>,
    /// What is counted for billing when the upstream has answered with a status below 500.
    #[serde(default)]
    pub meters: Vec<MeterConfig>,
    /// Which decisions are written to the audit ledger.
    #[serde(default)]
    pub audit: AuditMode,
    /// What must have happened before the client is answered.
    #[serde(default)]
    pub ack: Ack,
    /// The largest request body taken, in bytes.
    #[serde(default = "RouteConfig::default_max_body")]
    pub max_body_bytes: u64,
    /// How long the upstream may take to begin its answer, in milliseconds; from the last part of the request's body on.
    #[serde(default = "RouteConfig::default_timeout")]
    pub timeout_ms: u64,
}

impl RouteConfig {
    const fn default_max_body() -> u64 {
        10 * 1024 * 1024
    }

    const fn default_timeout() -> u64 {
        30_000
    }

    pub(crate) fn has_parameters(&self) -> bool {
        self.path.contains('{') && self.parameters().next().is_some()
    }

    /// Goes through the parameters of the path.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(parameter)
    }

    /// The path up to its first parameter, without a slash at the end.
    pub(crate) fn beginning(&self) -> &str {
        let mut end = 0;
        for segment in self.path.split('/').skip(1) {
            if parameter(segment).is_some() {
                break;
            }
            end += 1 + segment.len();
        }
        self.path.get(..end).unwrap_or_default().trim_end_matches('/')
    }

    /// What a parameter or resource is wrong with, a sentence each.
    pub(crate) fn problems_of_resource(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut seen = Vec::new();
        for name in self.parameters() {
            if seen.contains(&name) {
                problems.push(format!("the path has the parameter `{name}` twice"));
            }
            seen.push(name);
        }
        let braces = |segment: &&str| segment.contains(['{', '}']) && parameter(segment).is_none();
        if let Some(segment) = self.path.split('/').find(braces) {
            let rule = "a parameter is a whole segment, 1 to 32 of a-z, 0-9 and `_` in braces";
            problems.push(format!("`{segment}` in the path is no parameter: {rule}"));
        }
        let Some(resource) = &self.resource else { return problems };
        for name in resource.parameters().filter(|name| !seen.contains(name)) {
            problems.push(format!("resource `{resource}` names `{name}`, which is no parameter of the path"));
        }
        match &self.permission {
            None => problems.push(format!("resource `{resource}` is of no use without a permission")),
            Some(permission) if resource.kind().is_none_or(|kind| kind.as_str() != permission.resource()) => {
                problems
                    .push(format!("resource `{resource}` is not what `{permission}` is a permission for"));
            }
            Some(_) => {}
        }
        problems
    }
}

/// How a route's path is matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// The path and everything below it, by whole segments.
    #[default]
    Prefix,
    /// The path alone.
    Exact,
}

/// Who may pass a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Principals with a valid credential of an active tenant.
    #[default]
    Authenticated,
    /// Everybody; a credential is not looked at.
    Public,
}

/// Which decisions of a route are written to the audit ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditMode {
    /// Every decision.
    #[default]
    All,
    /// Refusals only.
    Denied,
    /// Every refusal, and one in a hundred of the admitted requests, picked by request id.
    Sampled,
}

/// What must have happened before a client is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// The records are queued.
    #[default]
    Accepted,
    /// The records are committed.
    Durable,
}

/// What a route counts for billing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MeterConfig {
    /// The meter.
    pub meter: MeterId,
    /// What a request adds to it.
    #[serde(default)]
    pub count: Count,
}

/// What a request adds to a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// One.
    #[default]
    Requests,
    /// The bytes of its body.
    RequestBytes,
    /// The bytes of the answer's body.
    ResponseBytes,
}

/// An HTTP method in a route's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodName(pub Method);

/// The hosts a route takes: one name, or every name below a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    pub(crate) any_below: bool,
    pub(crate) name: String,
}

impl FromStr for HostPattern {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (any_below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let address = name.starts_with('[') && name.ends_with(']');
        if address || (name.len() <= 253 && name.split('.').all(label)) {
            Ok(Self { any_below, name: name.to_ascii_lowercase() })
        } else {
            Err(InvalidId::new(
                "host",
                "expected a name such as api.example.com or *.example.com, without a port",
                text,
            ))
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.any_below {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)
    }
}

impl FromStr for MethodName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || {
            InvalidId::new("method", "expected an upper-case HTTP method other than CONNECT and TRACE", text)
        };
        let method = Method::from_bytes(text.as_bytes()).map_err(|_| invalid())?;
        let refused = method == Method::CONNECT || method == Method::TRACE;
        if refused || text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            Err(invalid())
        } else {
            Ok(Self(method))
        }
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_as_text!(HostPattern);
serde_as_text!(MethodName);
stanchion_core::text_schema!(HostPattern, "a name, `api.example.com`, or all below one, `*.example.com`");
stanchion_core::text_schema!(MethodName, "an upper-case HTTP method");

/// A route of a compiled [`RouteTable`](crate::RouteTable).
#[derive(Debug)]
pub struct Route {
    pub(crate) config: RouteConfig,
    pub(crate) stats: RouteStats,
}

impl Route {
    /// Returns the route's name.
    #[must_use]
    pub const fn id(&self) -> &RouteId {
        &self.config.id
    }

    /// Returns what the route was configured with.
    #[must_use]
    pub const fn config(&self) -> &RouteConfig {
        &self.config
    }

    /// Returns how long the upstream may take to begin its answer.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms)
    }

    /// Returns what has been counted on this route.
    #[must_use]
    pub const fn stats(&self) -> &RouteStats {
        &self.stats
    }

    /// Returns what a request for a path that the route takes is about, if the route says that.
    pub(crate) fn resource(&self, path: &NormalPath<'_>) -> Option<Resource> {
        self.config.resource.as_ref()?.of(&self.config.path, path.as_str())
    }

    /// Tells whether a path that begins as the route's does is one of its paths.
    pub(crate) fn fits(&self, path: &str) -> bool {
        !self.config.has_parameters()
            || resource::fits(&self.config.path, path, self.config.r#match == PathMatch::Prefix)
    }

    pub(crate) fn takes(&self, method: &Method) -> bool {
        if self.config.methods.is_empty() {
            *method != Method::CONNECT && *method != Method::TRACE
        } else {
            self.config.methods.iter().any(|taken| taken.0 == *method)
        }
    }
}
