use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use smallvec::SmallVec;
use stanchion_core::{Revision, Scope, SubjectKind};

use crate::{OnMissingIdentifier, Request};

/// Something about a request that its callers are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Nothing: all requests share one counter. Stands alone.
    Global,
    /// The tenant. A tenant's own rules, and rules on users and keys, count within the tenant in any case.
    Tenant,
    /// The authenticated subject: a user or a service.
    User,
    /// The API key, in whatever generation of its secret.
    ApiKey,
    /// The client's address: IPv6 by its /64, since that is what one subscriber has; IPv4 written as IPv6 is IPv4.
    Ip,
    /// The route's id, never the raw path.
    Endpoint,
}

impl Dimension {
    /// Every dimension, in the order that keys are written in.
    pub const ALL: [Self; 6] =
        [Self::Global, Self::Tenant, Self::User, Self::ApiKey, Self::Ip, Self::Endpoint];

    /// Returns the name that rules use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::ApiKey => "api_key",
            Self::Ip => "ip",
            Self::Endpoint => "endpoint",
        }
    }
}

/// What a rule counts by: one dimension or several together, each once. `["user", "endpoint"]` counts each user at each route.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeySpec(u8);

/// The dimensions make no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKeySpec(&'static str);

impl fmt::Display for InvalidKeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidKeySpec {}

impl KeySpec {
    /// Takes one or more dimensions; their order does not matter.
    ///
    /// # Errors
    /// [`InvalidKeySpec`] when there is none, one stands twice, or `global` is not alone.
    pub fn new(dimensions: impl IntoIterator<Item = Dimension>) -> Result<Self, InvalidKeySpec> {
        let mut spec = Self(0);
        for dimension in dimensions {
            if spec.has(dimension) {
                return Err(InvalidKeySpec("a key has each dimension once: leave out the second"));
            }
            spec.0 |= Self::bit(dimension);
        }
        if spec.0 == 0 {
            return Err(InvalidKeySpec(
                "a key has a dimension: use global, tenant, user, api_key, ip or endpoint",
            ));
        }
        if spec.has(Dimension::Global) && spec != Self(Self::bit(Dimension::Global)) {
            return Err(InvalidKeySpec("`global` stands alone in a key: leave it or the others out"));
        }
        Ok(spec)
    }

    /// Tells whether a dimension belongs to it.
    #[must_use]
    pub const fn has(self, dimension: Dimension) -> bool {
        self.0 & Self::bit(dimension) != 0
    }

    /// Returns its dimensions, in the order that keys are written in.
    pub fn dimensions(self) -> impl Iterator<Item = Dimension> {
        Dimension::ALL.into_iter().filter(move |dimension| self.has(*dimension))
    }

    /// Tells whether it can be read off a request before anybody is authenticated.
    pub(crate) const fn is_anonymous(self) -> bool {
        !self.has(Dimension::Tenant) && !self.has(Dimension::User) && !self.has(Dimension::ApiKey)
    }

    /// Tells whether there is a caller behind it, and not only a place.
    pub(crate) const fn names_a_caller(self) -> bool {
        self.has(Dimension::Tenant)
            || self.has(Dimension::User)
            || self.has(Dimension::ApiKey)
            || self.has(Dimension::Ip)
    }

    const fn bit(dimension: Dimension) -> u8 {
        1 << dimension as u8
    }
}

impl From<Dimension> for KeySpec {
    fn from(dimension: Dimension) -> Self {
        Self(Self::bit(dimension))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for KeySpec {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeySpec".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        std::collections::BTreeSet::<Dimension>::json_schema(generator)
    }
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, dimension) in self.dimensions().enumerate() {
            if index > 0 {
                f.write_str("+")?;
            }
            f.write_str(dimension.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySpec({self})")
    }
}

impl Serialize for KeySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.dimensions())
    }
}

impl<'de> Deserialize<'de> for KeySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<Dimension>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The bytes of several keys, one after the other.
pub(crate) type KeyBytes = SmallVec<[u8; 256]>;

/// What begins every key of a rule: the epoch in which its counters began, and whose rule it is. No two rules of a scope share an
/// epoch, so it stands for the rule. Where counters were reset since, the epoch of the reset follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPrefix {
    own: bool,
    epoch: Revision,
    /// The last reset of the whole scope.
    reset: Revision,
    /// What it is when nothing of the caller's own was reset since.
    bytes: [u8; 21],
    length: u8,
}

impl KeyPrefix {
    pub(crate) fn new(scope: Scope, epoch: Revision, reset: Revision) -> Self {
        let mut prefix = Self { own: scope != Scope::Platform, epoch, reset, bytes: [0; 21], length: 0 };
        let mut written = KeyBytes::new();
        prefix.write_anew(reset, &mut written);
        for (to, from) in prefix.bytes.iter_mut().zip(&written) {
            *to = *from;
            prefix.length += 1;
        }
        prefix
    }

    /// Begins a key; `reset` is when the counters of this very caller were reset last.
    pub(crate) fn write(&self, reset: Revision, out: &mut KeyBytes) {
        if reset > self.epoch && reset > self.reset {
            self.write_anew(reset, out);
        } else {
            out.extend_from_slice(self.bytes.get(..self.length.into()).unwrap_or_default());
        }
    }

    fn write_anew(&self, reset: Revision, out: &mut KeyBytes) {
        write_number(self.epoch.number() << 1 | u64::from(self.own), out);
        if reset > self.epoch {
            out.push(b'z');
            write_number(reset.number(), out);
        }
    }
}

/// The request lacks what the key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing;

/// Appends what a rule counts a request by. On an error what was appended is of no use.
///
/// Each identifier has a tag that tells its kind and so its length, or is followed by its length: two lists of identifiers are equal
/// if and only if their bytes are. The tenant is not written, since it is the slot.
pub(crate) fn write_key(
    spec: KeySpec,
    on_missing: OnMissingIdentifier,
    request: &Request<'_>,
    out: &mut KeyBytes,
) -> Result<(), Missing> {
    let fall_back = |out: &mut KeyBytes| match (on_missing, request.ip) {
        (OnMissingIdentifier::Ip, Some(ip)) => {
            write_ip(ip, out);
            Ok(())
        }
        _ => Err(Missing),
    };
    if spec.has(Dimension::Tenant) && request.tenant.is_none() {
        fall_back(out)?;
    }
    if spec.has(Dimension::User) {
        match request.subject {
            Some(subject) => {
                let tag = match subject.kind() {
                    SubjectKind::User => b'u',
                    SubjectKind::Service => b's',
                    SubjectKind::Group => b'g',
                };
                write_text(tag, subject.id().as_str(), out);
            }
            None => fall_back(out)?,
        }
    }
    if spec.has(Dimension::ApiKey) {
        match request.key {
            Some(key) => {
                out.push(b'k');
                out.extend_from_slice(key.uuid().as_bytes());
            }
            None => fall_back(out)?,
        }
    }
    if spec.has(Dimension::Ip) {
        write_ip(request.ip.ok_or(Missing)?, out);
    }
    if spec.has(Dimension::Endpoint) {
        match request.route {
            Some(route) => write_text(b'r', route, out),
            None => fall_back(out)?,
        }
    }
    Ok(())
}

/// Appends identifiers as [`write_key`] does, and the tenant besides.
pub(crate) fn write_identifiers(
    spec: KeySpec,
    request: &Request<'_>,
    out: &mut KeyBytes,
) -> Result<(), Missing> {
    if spec.has(Dimension::Tenant) {
        out.push(b't');
        out.extend_from_slice(request.tenant.ok_or(Missing)?.uuid().as_bytes());
    }
    write_key(spec, OnMissingIdentifier::Deny, request, out)
}

/// The address that stands for all of one subscriber: IPv6 by its /64, IPv4 written as IPv6 as IPv4.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

fn write_ip(ip: IpAddr, out: &mut KeyBytes) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            out.push(b'4');
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            out.push(b'6');
            [a, b, c, d].into_iter().for_each(|segment| out.extend_from_slice(&segment.to_be_bytes()));
        }
    }
}

fn write_text(tag: u8, text: &str, out: &mut KeyBytes) {
    out.push(tag);
    write_number(u64::try_from(text.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(text.as_bytes());
}

/// LEB128: seven bits a byte, the lowest first.
fn write_number<A: smallvec::Array<Item = u8>>(mut number: u64, out: &mut SmallVec<A>) {
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests;
