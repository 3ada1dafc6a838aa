use std::time::Duration;

use stanchion_core::{
    Actor, Category, Event, EventId, Outcome, ResourceRef, Scope, Severity, TenantId, Timestamp,
};

use super::CallerName;
use super::digest::Repeated;
use crate::{Action, KeySpec, Reason, Request, RuleId, RuleState};

/// A request that went beyond a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it was decided.
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
    /// What was done about it: what the rule does beyond its limit, or what its ladder has come to.
    pub action: Action,
    /// What it objects to.
    pub reason: Reason,
    /// How much the request asked for.
    pub cost: u64,
    /// How much was in use.
    pub used: u64,
    /// The most that can be in use: limit and burst.
    pub limit: u64,
    /// The length of the window.
    pub window: Duration,
    /// How long until the request would have fitted; `None` also when it never will.
    pub retry_after: Option<Duration>,
    /// Whether the rule only watches.
    pub shadow: bool,
}

impl Violation {
    /// Describes what a rule found that a request exceeded.
    #[must_use]
    pub fn of(
        state: &RuleState<'_>,
        key: KeySpec,
        reason: Reason,
        request: &Request<'_>,
        at: Timestamp,
    ) -> Self {
        Self {
            at,
            scope: state.scope,
            rule: state.rule.clone(),
            key,
            tenant: request.tenant,
            identifiers: CallerName::of(key, state.scope, request),
            action: state.action,
            reason,
            cost: request.cost,
            used: state.limit.saturating_sub(state.remaining),
            limit: state.limit,
            window: state.window,
            retry_after: state.retry_after,
            shadow: state.shadow,
        }
    }

    /// Tells whether the request could go on in spite of it.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.shadow || self.action == Action::Allow
    }

    /// Writes it as an event, `limit.exceeded`, on the record of the tenant whose request it was, else on that of the rule's owner.
    #[must_use]
    pub fn event(&self, id: EventId, actor: Actor) -> Event {
        let scope = self.tenant.map_or(self.scope, Scope::Tenant);
        let mut event = Event::new(id, self.at, scope, actor, "limit.exceeded", Category::Security);
        event.targets.extend(ResourceRef::new("limit", self.rule.to_string()).ok());
        event.outcome = if self.is_observed() { Outcome::Success } else { Outcome::Denied };
        event.severity = match self.action {
            _ if self.is_observed() => Severity::Info,
            Action::Quarantine => Severity::Warning,
            _ => Severity::Notice,
        };
        event.reason = Some(self.reason.as_str().into());
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        event = event
            .with_detail("rule_scope", self.scope.to_string())
            .with_detail("identifiers", self.identifiers.to_string())
            .with_detail("action", self.action.as_str())
            .with_detail("cost", self.cost)
            .with_detail("used", self.used)
            .with_detail("limit", self.limit)
            .with_detail("window_seconds", self.window.as_secs())
            .with_detail("shadow", self.shadow);
        match self.retry_after {
            Some(wait) => event.with_detail("retry_after_micros", micros(wait)),
            None => event,
        }
    }
}

impl Repeated for Violation {
    fn scope(&self) -> Scope {
        self.tenant.map_or(self.scope, Scope::Tenant)
    }

    fn at(&self) -> Timestamp {
        self.at
    }

    fn same(&self) -> impl Eq + std::hash::Hash {
        (self.scope, &self.rule, self.tenant, &self.identifiers, self.action, self.shadow)
    }

    fn anonymous(&self) -> Self {
        Self { identifiers: CallerName::many(), ..self.clone() }
    }
}
