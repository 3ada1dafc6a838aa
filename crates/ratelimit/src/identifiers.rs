use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hashbrown::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use stanchion_core::{KeyId, Slug, SubjectRef, TenantId};

use crate::key::{KeyBytes, network, write_identifiers};
use crate::{Dimension, KeySpec, Request};

/// Callers, by what is known of them: all of it must be true of a request.
///
/// Its text has each part once, with spaces between: `user:alice`, `ip:203.0.113.7`, `tenant:0192… user:alice endpoint:chat`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identifiers {
    /// A tenant.
    pub tenant: Option<TenantId>,
    /// A user or service.
    pub subject: Option<SubjectRef>,
    /// An API key.
    pub key: Option<KeyId>,
    /// An address; IPv6 by its /64.
    pub ip: Option<IpAddr>,
    /// A route, by its id.
    pub endpoint: Option<Slug>,
}

/// The text names no callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidIdentifiers(String);

impl fmt::Display for InvalidIdentifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: use tenant:<id>, user:<id>, service:<id>, api_key:<id>, ip:<address>, endpoint:<route>, each once",
            self.0
        )
    }
}

impl std::error::Error for InvalidIdentifiers {}

impl Identifiers {
    /// Names a user or service.
    #[must_use]
    pub fn subject(subject: SubjectRef) -> Self {
        Self { subject: Some(subject), ..Self::default() }
    }

    /// Names an address.
    #[must_use]
    pub fn ip(ip: IpAddr) -> Self {
        Self { ip: Some(network(ip)), ..Self::default() }
    }

    /// Takes what a rule counts by off a request, as far as the request has it.
    #[must_use]
    pub fn of(key: KeySpec, request: &Request<'_>) -> Self {
        let has = |dimension| key.has(dimension);
        Self {
            tenant: request.tenant.filter(|_| has(Dimension::Tenant)),
            subject: request.subject.filter(|_| has(Dimension::User)).cloned(),
            key: request.key.filter(|_| has(Dimension::ApiKey)),
            ip: request.ip.filter(|_| has(Dimension::Ip)).map(network),
            endpoint: request.route.filter(|_| has(Dimension::Endpoint)).and_then(|route| route.parse().ok()),
        }
    }

    /// Leaves the place out: who it is, and not where.
    #[must_use]
    pub(crate) fn caller(self) -> Self {
        Self { endpoint: None, ..self }
    }

    /// Tells whether all of it is true of a request.
    pub(crate) fn are_of(&self, request: &Request<'_>) -> bool {
        self.tenant.is_none_or(|tenant| request.tenant == Some(tenant))
            && self.subject.as_ref().is_none_or(|subject| request.subject == Some(subject))
            && self.key.is_none_or(|key| request.key == Some(key))
            && self.ip.is_none_or(|ip| request.ip.map(network) == Some(ip))
            && self.endpoint.as_ref().is_none_or(|endpoint| request.route == Some(endpoint.as_str()))
    }

    /// Tells whether it names anybody at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The dimensions that it names; `None` when there is none.
    pub(crate) fn spec(&self) -> Option<KeySpec> {
        let named = [
            (Dimension::Tenant, self.tenant.is_some()),
            (Dimension::User, self.subject.is_some()),
            (Dimension::ApiKey, self.key.is_some()),
            (Dimension::Ip, self.ip.is_some()),
            (Dimension::Endpoint, self.endpoint.is_some()),
        ];
        KeySpec::new(named.into_iter().filter(|(_, is_named)| *is_named).map(|(dimension, _)| dimension)).ok()
    }

    /// The request that has exactly these.
    pub(crate) fn as_request(&self) -> Request<'_> {
        Request {
            tenant: self.tenant,
            subject: self.subject.as_ref(),
            key: self.key,
            ip: self.ip,
            route: self.endpoint.as_ref().map(Slug::as_str),
            ..Request::default()
        }
    }
}

impl fmt::Display for Identifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        let mut part = |f: &mut fmt::Formatter<'_>, kind: &str, value: Option<&dyn fmt::Display>| {
            let Some(value) = value else { return Ok(()) };
            write!(f, "{space}{kind}{value}")?;
            space = " ";
            Ok(())
        };
        part(f, "tenant:", self.tenant.as_ref().map(|one| one as _))?;
        part(f, "", self.subject.as_ref().map(|one| one as _))?;
        part(f, "api_key:", self.key.as_ref().map(|one| one as _))?;
        part(f, "ip:", self.ip.as_ref().map(|one| one as _))?;
        part(f, "endpoint:", self.endpoint.as_ref().map(|one| one as _))
    }
}

impl FromStr for Identifiers {
    type Err = InvalidIdentifiers;

    fn from_str(text: &str) -> Result<Self, InvalidIdentifiers> {
        fn set<T: FromStr>(slot: &mut Option<T>, part: &str, value: &str) -> Result<(), InvalidIdentifiers> {
            if slot.is_some() {
                return Err(InvalidIdentifiers(format!("`{part}` stands beside another of its kind")));
            }
            let value = value.parse().map_err(|_| InvalidIdentifiers(format!("`{part}` is not valid")))?;
            *slot = Some(value);
            Ok(())
        }
        let mut found = Self::default();
        for part in text.split(' ').filter(|part| !part.is_empty()) {
            match part.split_once(':') {
                Some(("tenant", id)) => set(&mut found.tenant, part, id)?,
                Some(("user" | "service", _)) => set(&mut found.subject, part, part)?,
                Some(("api_key", id)) => set(&mut found.key, part, id)?,
                Some(("ip", address)) => {
                    // An IPv6 network is written as its first address, with or without its length.
                    set(&mut found.ip, part, address.strip_suffix("/64").unwrap_or(address))?;
                }
                Some(("endpoint", id)) => set(&mut found.endpoint, part, id)?,
                _ => return Err(InvalidIdentifiers(format!("`{part}` is no kind of identifier"))),
            }
        }
        found.ip = found.ip.map(network);
        if found.is_empty() { Err(InvalidIdentifiers("nobody is named".to_owned())) } else { Ok(found) }
    }
}

stanchion_core::text_schema!(
    Identifiers,
    "callers: `user:alice`, `ip:203.0.113.7`, several parts with spaces between"
);

impl Serialize for Identifiers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identifiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Something for each of some callers. A look costs as much as there are kinds of identifiers in use, not as there are callers.
#[derive(Debug)]
pub(crate) struct ByIdentifiers<T> {
    kinds: Vec<Kind<T>>,
}

/// Which identifiers are looked at, and what there is for their values.
type Kind<T> = (KeySpec, HashMap<Box<[u8]>, T>);

impl<T> Default for ByIdentifiers<T> {
    fn default() -> Self {
        Self { kinds: Vec::new() }
    }
}

impl<T> ByIdentifiers<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    pub(crate) fn insert(&mut self, identifiers: &Identifiers, value: T) {
        let Some(spec) = identifiers.spec() else { return };
        let mut name = KeyBytes::new();
        if write_identifiers(spec, &identifiers.as_request(), &mut name).is_err() {
            return;
        }
        let at = match self.kinds.iter().position(|(kind, _)| *kind == spec) {
            Some(at) => at,
            None => {
                self.kinds.push((spec, HashMap::new()));
                self.kinds.len() - 1
            }
        };
        if let Some((_, values)) = self.kinds.get_mut(at) {
            values.insert((*name).into(), value);
        }
    }

    /// Goes through what there is for a request.
    pub(crate) fn of<'a>(&'a self, request: &Request<'_>) -> impl Iterator<Item = &'a T> {
        let mut name = KeyBytes::new();
        self.kinds.iter().filter_map(move |(spec, values)| {
            name.clear();
            write_identifiers(*spec, request, &mut name).ok()?;
            values.get(&*name)
        })
    }
}

#[cfg(test)]
mod tests {
    use stanchion_core::{IdGen, SeededRandom, Timestamp};

    use super::*;

    fn parse(text: &str) -> Identifiers {
        text.parse().unwrap()
    }

    #[test]
    fn a_text_reads_back_as_it_was_written_and_once_for_each_caller() {
        let tenant = SeededRandom::new(1).tenant_id(Timestamp::EPOCH);
        for text in ["user:alice", "service:a+b:c", "ip:203.0.113.7", "ip:2001:db8::", "endpoint:chat"] {
            assert_eq!(parse(text).to_string(), text);
        }
        let both = format!("tenant:{tenant} user:alice endpoint:chat");
        assert_eq!(parse(&format!("endpoint:chat  user:alice tenant:{tenant}")).to_string(), both);
        assert_eq!(parse("ip:2001:db8::7"), parse("ip:2001:db8::/64"), "one subscriber");
        assert_eq!(parse("ip:::ffff:10.0.0.1"), parse("ip:10.0.0.1"));
    }

    #[test]
    fn what_names_nobody_or_twice_is_refused() {
        for text in
            ["", " ", "alice", "group:all", "user:", "user:a user:b", "user:a service:b", "ip:nowhere"]
        {
            assert!(text.parse::<Identifiers>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_of_it_must_be_true_of_a_request() {
        let mut index = ByIdentifiers::default();
        for (number, text) in
            ["user:alice", "user:alice ip:10.0.0.1", "ip:10.0.0.1", "user:bob"].into_iter().enumerate()
        {
            index.insert(&parse(text), number);
        }
        let (alice, carol) = (SubjectRef::user("alice").unwrap(), SubjectRef::user("carol").unwrap());
        let ip = Some("10.0.0.1".parse().unwrap());
        let found = |request: Request<'_>| {
            let mut found: Vec<usize> = index.of(&request).copied().collect();
            found.sort_unstable();
            found
        };
        assert_eq!(found(Request { subject: Some(&alice), ip, ..Request::default() }), [0, 1, 2]);
        assert_eq!(found(Request { subject: Some(&alice), ..Request::default() }), [0]);
        assert_eq!(found(Request { subject: Some(&carol), ip, ..Request::default() }), [2]);
        assert_eq!(found(Request::default()), [0; 0]);
    }
}
