//! What follows from the counters' answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use stanchion_core::{Scope, Timestamp};

use super::errands::Errand;
use super::plan::{Judgement, Near, Plan, Rules, Sent, Violations};
use super::{Ask, Engine};
use crate::key::KeyBytes;
use crate::snapshot::CompiledRule;
use crate::{
    Call, Charge, Decision, FixedWindow, Identifiers, Mode, NearLimit, NearLimitReached, Outcome, Quarantine,
    Reason, Request, RuleId, Settle, Verdict, Violation,
};

/// How many callers are remembered as shut out by this replica alone.
const MOST_SHUT: usize = 10_000;

/// The callers that this replica has shut out, until the rule store knows them: a look costs nothing while there is none.
#[derive(Debug, Default)]
pub(super) struct Shut {
    count: AtomicUsize,
    callers: RwLock<HashMap<(Scope, Identifiers), (Timestamp, RuleId)>>,
}

impl Shut {
    fn add(&self, scope: Scope, identifiers: Identifiers, until: Timestamp, rule: RuleId, now: Timestamp) {
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST_SHUT {
            callers.retain(|_, (until, _)| now < *until);
        }
        if callers.len() < MOST_SHUT {
            callers.insert((scope, identifiers), (until, rule));
        }
        self.count.store(callers.len(), Ordering::Release);
    }

    /// Lets somebody in again.
    pub(super) fn remove(&self, scope: Scope, identifiers: &Identifiers) {
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        callers.remove(&(scope, identifiers.clone()));
        self.count.store(callers.len(), Ordering::Release);
    }

    fn find(&self, request: &Request<'_>, now: Timestamp) -> Option<Verdict> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        let of_request = |scope: Scope| scope.tenant().is_none_or(|tenant| request.tenant == Some(tenant));
        let found = callers.iter().filter(|((scope, caller), (until, _))| {
            of_request(*scope) && now < *until && caller.are_of(request)
        });
        let ((scope, _), (until, rule)) = found.max_by_key(|(_, (until, _))| *until)?;
        Some(Verdict::quarantined(Some(rule.clone()), *scope, until.since(now)))
    }
}

impl Engine {
    /// Refuses who is shut out, by whatever replica.
    pub(super) fn shut_out(&self, rules: &Rules, request: &Request<'_>, now: Timestamp) -> Option<Decision> {
        let verdict = rules.quarantined(request, now).or_else(|| self.shut.find(request, now))?;
        Some(Decision { verdict, ..Decision::admitted() })
    }

    /// Ends a decision that the counters have answered.
    pub(super) fn conclude(
        &self,
        plan: Plan,
        sent: Sent,
        outcome: &Outcome,
        violations: &Violations,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Decision {
        if self.config.near_limit_percent > 0 {
            self.note_near(&plan, outcome, request);
        }
        let Judgement { verdict, quarantine } = plan.judge(outcome, violations);
        if let Some(rule) = quarantine.and_then(|at| plan.rule(at)) {
            self.shut_caller(rule, request, now);
        }
        let admitted = verdict.is_admitted();
        let is_owed = plan.is_tracked() || sent.hold.is_some() || !admitted;
        let receipt = (outcome.is_admitted() && is_owed).then(|| plan.receipt(sent, outcome));
        let decision = match receipt {
            Some(receipt) if !admitted => {
                // A ladder refuses what the counters have let through: it was not used.
                self.settle_soon(receipt, Settle::Release);
                plan.decision(verdict, outcome, None)
            }
            receipt => plan.decision(verdict, outcome, receipt),
        };
        for (number, state, rule) in decision.count() {
            let violation = Violation::of(&state, rule.key, Reason::Exceeded, request, outcome.at());
            let action = rule.action_after(violations.get(number).copied().unwrap_or(0));
            self.note(Violation { action, ..violation });
        }
        decision
    }

    /// Keeps a violation, and tells whoever wants to hear of it.
    fn note(&self, violation: Violation) {
        self.tell_violation(&violation);
        self.analytics.record(violation);
    }

    /// Counts the counters that are near their limit, and tells of them: each once in its window.
    fn note_near(&self, plan: &Plan, outcome: &Outcome, request: &Request<'_>) {
        let at = outcome.at();
        for Near { rule, key, limit, asked } in plan.near(outcome, self.config.near_limit_percent) {
            let state = asked.state(rule);
            let until = NearLimit::quiet_until(limit, state.window, at);
            if !self.analytics.near_limits().is_first(plan.slot, key, until, at) {
                continue;
            }
            rule.counters.count_near_limit();
            self.counts.add_near_limit();
            if self.events.is_some() {
                self.tell_near_limit(&NearLimitReached::of(&state, rule.key, request, at));
            }
        }
    }

    /// Decides by this replica's own counters.
    pub(super) fn decide_locally(&self, plan: Plan, request: &Request<'_>, now: Timestamp) -> Decision {
        let sent = Sent { local: true, ..self.sent(&plan, Ask::Decide, request, now) };
        let charges = plan.charges(request.cost);
        let call = Call { id: sent.id, ..Call::new(&charges, Some(now)) };
        let outcome = self.local.charge(plan.slot, &call);
        drop(charges);
        match outcome {
            Ok(outcome) if plan.belongs(&outcome).is_ok() => {
                let violations = self.count_locally(&plan, &outcome, now);
                self.conclude(plan, sent, &outcome, &violations, request, now)
            }
            _ => Decision { verdict: plan.refused(), ..Decision::admitted() },
        }
    }

    /// Shuts a caller out: here at once, elsewhere as soon as the rule store has it.
    fn shut_caller(&self, rule: &CompiledRule, request: &Request<'_>, now: Timestamp) {
        let identifiers = Identifiers::of(rule.key, request).caller();
        if identifiers.is_empty() {
            return;
        }
        let scope = request.tenant.map_or(Scope::Platform, Scope::Tenant);
        // Before anybody is known no tenant is either. What a tenant's own rule says holds in that tenant alone.
        let is_of_edge = rule.scope == Scope::Platform && rule.key.is_anonymous();
        let scope = if is_of_edge { Scope::Platform } else { scope };
        let until = now.plus(rule.quarantine);
        self.shut.add(scope, identifiers.clone(), until, rule.id.clone(), now);
        let quarantine = Quarantine { identifiers, until, rule: Some(rule.id.clone()), reason: None };
        self.errands.add(scope, Errand::Quarantine(scope, quarantine));
    }

    /// Counts this violation for each rule whose ladder asks how many there were.
    pub(super) async fn count_violations(
        &self,
        plan: &Plan,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Violations {
        let mut violations = Violations::new();
        for (number, rule, _) in plan.violated(outcome) {
            let Some((key, charge)) = ladder_charge(plan, number, rule) else { continue };
            let charges = [Charge { key: &key, ..charge }];
            let call = Call::new(&charges, self.time(now));
            let counted = match self.counters.try_decide(plan.slot, &call) {
                Some(counted) => counted,
                None => self.counters.decide(plan.slot, &call).await,
            };
            let counted = counted.or_else(|_| self.local.charge(plan.slot, &Call::new(&charges, Some(now))));
            note(&mut violations, number, counted.ok());
        }
        violations
    }

    /// Counts as [`count_violations`](Engine::count_violations) does, without waiting: where that is not to be had, by this replica
    /// alone.
    pub(super) fn try_count_violations(&self, plan: &Plan, outcome: &Outcome, now: Timestamp) -> Violations {
        let mut violations = Violations::new();
        for (number, rule, _) in plan.violated(outcome) {
            let Some((key, charge)) = ladder_charge(plan, number, rule) else { continue };
            let charges = [Charge { key: &key, ..charge }];
            let counted = self.counters.try_decide(plan.slot, &Call::new(&charges, self.time(now)));
            let counted = counted.and_then(Result::ok);
            let local = || self.local.charge(plan.slot, &Call::new(&charges, Some(now))).ok();
            note(&mut violations, number, counted.or_else(local));
        }
        violations
    }

    fn count_locally(&self, plan: &Plan, outcome: &Outcome, now: Timestamp) -> Violations {
        let mut violations = Violations::new();
        for (number, rule, _) in plan.violated(outcome) {
            let Some((key, charge)) = ladder_charge(plan, number, rule) else { continue };
            let charges = [Charge { key: &key, ..charge }];
            let counted = self.local.charge(plan.slot, &Call::new(&charges, Some(now)));
            note(&mut violations, number, counted.ok());
        }
        violations
    }
}

fn ladder_charge(plan: &Plan, number: usize, rule: &CompiledRule) -> Option<(KeyBytes, Charge<'static>)> {
    let limit = rule.ladder_window?;
    let charge = Charge { mode: Mode::Observe, ..Charge::new(&[], limit, 1) };
    Some((plan.violations_key(number), charge))
}

/// Notes how many violations were counted; where that is not known, this is the first.
fn note(violations: &mut Violations, number: usize, counted: Option<Outcome>) {
    let standing = counted.and_then(|outcome| outcome.standings().first().copied());
    let count = standing.map_or(1, |standing| FixedWindow::MAX - standing.remaining);
    if violations.len() <= number {
        violations.resize(number + 1, 0);
    }
    if let Some(noted) = violations.get_mut(number) {
        *noted = count;
    }
}
