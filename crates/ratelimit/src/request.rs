use std::net::IpAddr;

use stanchion_core::{KeyId, Slug, SubjectRef, TenantId};

/// What is known of a request when it is counted. Before authentication that is the address, the route and its labels.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The tenant the credential is bound to; `None` for a principal of the platform.
    pub tenant: Option<TenantId>,
    /// Who calls.
    pub subject: Option<&'a SubjectRef>,
    /// With which API key.
    pub key: Option<KeyId>,
    /// From where, as far as the edge trusts it.
    pub ip: Option<IpAddr>,
    /// The id of the route that takes the request.
    pub route: Option<&'a str>,
    /// The labels of that route.
    pub labels: &'a [Slug],
    /// What else is known of it, by name: what rules may have [conditions](crate::Condition) on. From the enforcement point, never
    /// from the caller's own word.
    pub attributes: &'a [(&'a str, &'a str)],
    /// How much the request counts, usually 1. Zero is always admitted and takes nothing.
    pub cost: u64,
    /// Whether the charge may have to be corrected: then an admission comes with a [`Receipt`](crate::Receipt).
    pub refundable: bool,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            tenant: None,
            subject: None,
            key: None,
            ip: None,
            route: None,
            labels: &[],
            attributes: &[],
            cost: 1,
            refundable: false,
        }
    }
}
