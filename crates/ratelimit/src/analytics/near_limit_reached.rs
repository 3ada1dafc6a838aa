use std::time::Duration;

use stanchion_core::{Actor, Category, Event, EventId, ResourceRef, Scope, Severity, TenantId, Timestamp};

use super::CallerName;
use super::digest::Repeated;
use crate::{KeySpec, Request, RuleId, RuleState};

/// A counter that has come near its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearLimitReached {
    /// When that was decided.
    pub at: Timestamp,
    /// Whose rule it is.
    pub scope: Scope,
    /// The rule.
    pub rule: RuleId,
    /// What the rule counts by.
    pub key: KeySpec,
    /// Whose request it was.
    pub tenant: Option<TenantId>,
    /// Whom the counter belongs to.
    pub identifiers: CallerName,
    /// How much is in use.
    pub used: u64,
    /// The most that can be in use: limit and burst.
    pub limit: u64,
    /// The length of the window.
    pub window: Duration,
    /// Whether the rule only watches.
    pub shadow: bool,
}

impl NearLimitReached {
    /// Describes how a rule stands that a request has brought near its limit.
    #[must_use]
    pub fn of(state: &RuleState<'_>, key: KeySpec, request: &Request<'_>, at: Timestamp) -> Self {
        Self {
            at,
            scope: state.scope,
            rule: state.rule.clone(),
            key,
            tenant: request.tenant,
            identifiers: CallerName::of(key, state.scope, request),
            used: state.limit.saturating_sub(state.remaining),
            limit: state.limit,
            window: state.window,
            shadow: state.shadow,
        }
    }

    /// Writes it as an event, `limit.near`, on the record of the tenant whose request it was, else on that of the rule's owner.
    #[must_use]
    pub fn event(&self, id: EventId, actor: Actor) -> Event {
        let scope = self.tenant.map_or(self.scope, Scope::Tenant);
        let mut event = Event::new(id, self.at, scope, actor, "limit.near", Category::Access);
        event.targets.extend(ResourceRef::new("limit", self.rule.to_string()).ok());
        event.severity = if self.shadow { Severity::Info } else { Severity::Notice };
        event
            .with_detail("rule_scope", self.scope.to_string())
            .with_detail("identifiers", self.identifiers.to_string())
            .with_detail("used", self.used)
            .with_detail("limit", self.limit)
            .with_detail("window_seconds", self.window.as_secs())
            .with_detail("shadow", self.shadow)
    }
}

impl Repeated for NearLimitReached {
    fn scope(&self) -> Scope {
        self.tenant.map_or(self.scope, Scope::Tenant)
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn same(&self) -> impl Eq + std::hash::Hash {
        (self.scope, &self.rule, self.tenant, &self.identifiers, self.shadow)
    }

    fn anonymous(&self) -> Self {
        Self { identifiers: CallerName::many(), ..self.clone() }
    }
}
