use std::fmt::{self, Write};
use std::net::IpAddr;

use serde::{Serialize, Serializer};
use stanchion_core::{Scope, Text};

use crate::{Dimension, KeySpec, Request};

/// Whom a counter belongs to, for people: `user:alice endpoint:chat`.
///
/// One part for each dimension that the rule counts by, in the order of keys, with a space between; subjects by their kind, `user` or
/// `service`. A rule of the platform that was asked for a tenant's request begins with that tenant, since it counts within it. An
/// address stands for an identifier that the request lacks, where there is one, as it does in the rule's counters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerName(Text);

impl CallerName {
    /// Reads them off a request, for a rule that counts by `key`.
    #[must_use]
    pub fn of(key: KeySpec, scope: Scope, request: &Request<'_>) -> Self {
        let mut text = String::with_capacity(64);
        let mut is_missing = false;
        if let Some(tenant) =
            request.tenant.filter(|_| scope == Scope::Platform || key.has(Dimension::Tenant))
        {
            part(&mut text, format_args!("tenant:{tenant}"));
        }
        for dimension in key.dimensions() {
            match dimension {
                Dimension::Global => part(&mut text, format_args!("global")),
                Dimension::Tenant => is_missing |= request.tenant.is_none(),
                Dimension::User => match request.subject {
                    Some(subject) => part(&mut text, format_args!("{subject}")),
                    None => is_missing = true,
                },
                Dimension::ApiKey => match request.key {
                    Some(id) => part(&mut text, format_args!("api_key:{id}")),
                    None => is_missing = true,
                },
                Dimension::Ip => is_missing |= request.ip.is_none(),
                Dimension::Endpoint => match request.route {
                    Some(route) => part(&mut text, format_args!("endpoint:{route}")),
                    None => is_missing = true,
                },
            }
        }
        if let Some(ip) = request.ip.filter(|_| is_missing || key.has(Dimension::Ip)) {
            match ip.to_canonical() {
                IpAddr::V4(ip) => part(&mut text, format_args!("ip:{ip}")),
                IpAddr::V6(ip) => {
                    let network = std::net::Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64);
                    part(&mut text, format_args!("ip:{network}/64"));
                }
            }
        }
        if text.is_empty() {
            part(&mut text, format_args!("unknown"));
        }
        Self(text.into())
    }

    /// Stands for callers who are too many to be named.
    pub(crate) const fn many() -> Self {
        Self(Text::Static("many"))
    }

    /// Borrows the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Goes through the parts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.as_str().split(' ')
    }

    /// Tells whether `part`, such as `user:alice`, is one of them, or all of them together.
    #[must_use]
    pub fn contains(&self, part: &str) -> bool {
        self.as_str() == part || self.iter().any(|one| one == part)
    }
}

fn part(text: &mut String, part: fmt::Arguments<'_>) {
    if !text.is_empty() {
        text.push(' ');
    }
    // Writing to a string does not fail.
    let _ = text.write_fmt(part);
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for CallerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
