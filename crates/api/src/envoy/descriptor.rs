use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use stanchion_core::{KeyId, Slug, SubjectRef, TenantId};
use stanchion_ratelimit::Request;

use super::config::EntryUse;
use super::messages::{RateLimitDescriptor, RateLimitRequest};

/// A descriptor as a rule sees it: who calls, from where, for what, and everything else that is told of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor<'a> {
    /// The tenant, as it is named.
    pub(super) tenant: Option<&'a str>,
    pub(super) subject: Option<SubjectRef>,
    pub(super) key: Option<KeyId>,
    pub(super) ip: Option<IpAddr>,
    pub(super) route: Option<&'a str>,
    pub(super) labels: Vec<Slug>,
    /// The domain, and the entries that stand for nothing else, in their order.
    pub(super) attributes: Vec<(&'a str, &'a str)>,
    /// How much it counts.
    pub(super) cost: u64,
    /// How many entries are not what their key says that they are.
    pub(super) unusable: u64,
}

impl<'a> Descriptor<'a> {
    /// Reads a descriptor of a request. Whatever its entries say, there is a reading: what they say may come from a client, and a
    /// failure would let the client pass wherever Envoy admits on failures.
    ///
    /// Of several entries that stand for one thing the first counts; labels add up.
    pub(super) fn read(
        request: &'a RateLimitRequest,
        descriptor: &'a RateLimitDescriptor,
        uses: &BTreeMap<String, EntryUse>,
    ) -> Self {
        let mut read = Self { cost: cost(request, descriptor), ..Self::default() };
        read.attributes.push(("domain", &request.domain));
        for entry in &descriptor.entries {
            let (key, value) = (entry.key.as_str(), entry.value.as_slice());
            let text = std::str::from_utf8(value).ok().filter(|text| !text.is_empty());
            let is_usable = match uses.get(key).copied().unwrap_or_else(|| EntryUse::usual(key)) {
                EntryUse::Ip => keep(&mut read.ip, text.and_then(address)),
                EntryUse::User => keep(&mut read.subject, subject(value)),
                EntryUse::ApiKey => keep(&mut read.key, key_id(value)),
                EntryUse::Tenant => keep(&mut read.tenant, text),
                EntryUse::Endpoint => keep(&mut read.route, text),
                EntryUse::Label => {
                    let label = text.and_then(|text| text.parse::<Slug>().ok());
                    read.labels.extend(label.filter(|label| !read.labels.contains(label)));
                    read.attribute(key, text)
                }
                EntryUse::Attribute => read.attribute(key, text),
            };
            read.unusable = read.unusable.saturating_add(u64::from(!is_usable));
        }
        read
    }

    fn attribute(&mut self, name: &'a str, value: Option<&'a str>) -> bool {
        self.attributes.extend(value.map(|value| (name, value)));
        value.is_some()
    }

    /// What the rules of a tenant, or of the platform alone, are asked.
    pub(super) fn request(&self, tenant: Option<TenantId>) -> Request<'_> {
        Request {
            tenant,
            subject: self.subject.as_ref(),
            key: self.key,
            ip: self.ip,
            route: self.route,
            labels: &self.labels,
            attributes: &self.attributes,
            cost: self.cost,
            // One that a later descriptor refuses was not used.
            refundable: true,
        }
    }
}

/// Keeps the first value; tells whether there is one.
fn keep<T>(kept: &mut Option<T>, value: Option<T>) -> bool {
    let is_usable = value.is_some();
    if kept.is_none() {
        *kept = value;
    }
    is_usable
}

/// A descriptor's own count stands above the request's, where 0 is what is sent when nothing is said.
fn cost(request: &RateLimitRequest, descriptor: &RateLimitDescriptor) -> u64 {
    descriptor.hits_addend.unwrap_or_else(|| request.hits_addend.max(1).into())
}

/// An address, or the network that stands for it: `203.0.113.7`, `2001:db8::/64`.
fn address(value: &str) -> Option<IpAddr> {
    let network = || value.parse::<IpNet>().ok().map(|network| network.network());
    value.parse().ok().or_else(network)
}

/// A subject by its full name, else a user. What no user is called stands for one by its hash, so that nobody gets past a limit by an
/// odd name.
fn subject(value: &[u8]) -> Option<SubjectRef> {
    if value.is_empty() {
        return None;
    }
    let named = |text: &str| text.parse().or_else(|_| SubjectRef::user(text.to_owned())).ok();
    let named = std::str::from_utf8(value).ok().and_then(named);
    named.or_else(|| SubjectRef::user(hashed(value)).ok())
}

fn hashed(value: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(value) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A key by its id. Anything else is taken as the key itself and counted by an id made from its hash (UUIDv8), so that no counter ever
/// holds a key.
fn key_id(value: &[u8]) -> Option<KeyId> {
    if value.is_empty() {
        return None;
    }
    let made = || {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(Sha256::digest(value)).for_each(|(to, from)| *to = from);
        KeyId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    };
    let named = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    Some(named.unwrap_or_else(made))
}

#[cfg(test)]
mod tests;
