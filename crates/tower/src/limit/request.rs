use std::net::IpAddr;
use std::sync::Arc;

use stanchion_core::{KeyId, Principal, Slug, SubjectRef, TenantId, Text};
use stanchion_ratelimit::Request;

/// What a [`RateLimitLayer`](crate::RateLimitLayer) knows of a request: a [`Request`] that owns what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedRequest {
    /// The tenant the credential is bound to.
    pub tenant: Option<TenantId>,
    /// Who calls.
    pub subject: Option<SubjectRef>,
    /// With which API key.
    pub key: Option<KeyId>,
    /// From where.
    pub ip: Option<IpAddr>,
    /// The id of the route; a pattern such as `/users/{id}`, never the raw path.
    pub route: Option<Text>,
    /// The labels of that route.
    pub labels: Arc<[Slug]>,
    /// What else is known of it, by name, for rules with conditions.
    pub attributes: Vec<(Text, Text)>,
    /// How much the request counts.
    pub cost: u64,
}

impl Default for CountedRequest {
    fn default() -> Self {
        Self {
            tenant: None,
            subject: None,
            key: None,
            ip: None,
            route: None,
            labels: Arc::default(),
            attributes: Vec::new(),
            cost: 1,
        }
    }
}

impl CountedRequest {
    /// Takes over who an authenticated caller is.
    pub fn set_principal(&mut self, principal: &Principal) {
        self.tenant = principal.tenant();
        self.subject = Some(principal.subject.clone());
        self.key = principal.authentication.key;
    }

    /// Borrows it as the engine asks for it, with its attributes as the caller has laid them out.
    #[must_use]
    pub fn as_request<'a>(&'a self, attributes: &'a [(&'a str, &'a str)]) -> Request<'a> {
        Request {
            tenant: self.tenant,
            subject: self.subject.as_ref(),
            key: self.key,
            ip: self.ip,
            route: self.route.as_ref().map(Text::as_str),
            labels: &self.labels,
            attributes,
            cost: self.cost,
            ..Request::default()
        }
    }
}
