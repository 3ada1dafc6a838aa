use stanchion_core::Revision;

use crate::check::{GrantingRoles, Having};
use crate::facts::Facts;
use crate::walk::Walk;
use crate::{CheckRequest, Decision, Engine, Error, Explanation, Missing, Reason};

impl Engine {
    /// Decides as [`Engine::check`] does, and shows by what.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn explain(&self, request: &CheckRequest<'_>) -> Result<Explanation, Error> {
        if !request.permission.is_exact() {
            return Ok(Explanation::bare(Decision::denied(Reason::PermissionNotExact, Revision::ZERO)));
        }
        self.decide_with(request, |having, facts, decision| having.explain(facts, decision)).await
    }
}

impl Explanation {
    const fn bare(decision: Decision) -> Self {
        Self { decision, path: Vec::new(), matched: None, candidates: Vec::new(), missing: None }
    }
}

impl Having<'_> {
    fn explain(self, facts: &Facts<'_>, decision: Decision) -> Explanation {
        let (view, reach) = (&*self.own.view, facts.reach());
        let mut explanation = Explanation::bare(decision);
        let decision = &explanation.decision;
        let candidates = || {
            let walk = Walk::new(view, facts, reach, None);
            GrantingRoles::new(view, facts.wanted).names(walk, Explanation::MAX_CANDIDATES)
        };
        match (decision.reason, &decision.role) {
            (Reason::Granted, Some(role)) => {
                let walk = Walk::new(view, facts, reach, self.active());
                if let Some((way, permission)) = walk.way(view.place(role)) {
                    (explanation.path, explanation.matched) = (way, Some(permission));
                }
            }
            (Reason::Granted, None) => {
                let all = self.all().filter(|(span, _)| span.contains(facts.now));
                let grants = all.flat_map(|(_, held)| held.permissions());
                let mut granting = grants.filter(|grant| {
                    grant.permission.covers_name(facts.wanted)
                        && !grant.awaits_approval
                        && grant.terms.span.contains(facts.now)
                        && facts.is_selected(grant.terms.resource.as_ref())
                        && grant.status(facts, &reach).is_met()
                });
                explanation.matched = granting.next().map(|grant| grant.permission.clone());
            }
            (Reason::DeniedExplicitly, _) => {
                let all = self.all().filter(|(span, _)| span.contains(facts.now));
                let mut denials = all.flat_map(|(_, held)| held.denials());
                let denial = denials.find(|denial| {
                    let (scope, resource) = (denial.permission.scope(), denial.resource.as_ref());
                    denial.permission.covers_name(facts.wanted)
                        && facts.denied_by(scope, resource, &reach) != crate::facts::About::Other
                });
                explanation.matched = denial.map(|denial| denial.permission.clone());
                explanation.missing = explanation.matched.clone().map(Missing::DenialLifted);
            }
            (Reason::InactiveSubject, _) => explanation.missing = Some(Missing::Subject),
            (Reason::SessionNotActive, _) => explanation.missing = Some(Missing::Session),
            (Reason::UnknownSubject, _) if !self.own.is_empty() => {
                explanation.missing = Some(Missing::Subject);
            }
            (reason, role) => {
                explanation.candidates = candidates();
                let one = || role.clone().or_else(|| explanation.candidates.first().cloned());
                explanation.missing = match reason {
                    Reason::AssignmentNotYetValid => {
                        self.begins(facts).or(decision.valid_until).map(Missing::Time)
                    }
                    Reason::ConstraintUnmet => Some(Missing::Rules(decision.rules)),
                    Reason::AttributeMissing => {
                        decision.missing_attribute().map(|name| Missing::Attribute(name.to_owned().into()))
                    }
                    Reason::ApprovalAwaited => Some(Missing::Approval),
                    Reason::RoleInactive => role.clone().map(Missing::RoleSwitchedOn),
                    Reason::RoleNotInSession => role.clone().map(Missing::RoleInSession),
                    _ => one().map(Missing::Role).or_else(|| Some(Missing::Permission(facts.wanted.clone()))),
                };
            }
        }
        explanation
    }
}
