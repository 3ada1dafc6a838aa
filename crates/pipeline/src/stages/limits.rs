use stanchion_core::{Principal, Problem, ProblemCode, TenantId};
use stanchion_ratelimit::{self as ratelimit, Action, Charged, Stage, Verdict};
use stanchion_tower::{CHALLENGE_PROOF, add_challenge, limit_problem};

use super::{Denial, Known, Request};
use crate::{Pipeline, Route};

impl Pipeline {
    pub(super) async fn edge_limits(
        &self,
        request: &Request<'_>,
        route: &Route,
        charged: &mut Charged,
    ) -> Result<ratelimit::Decision, Denial> {
        let attributes = attributes(request);
        let asked = limits_request(request, route, &attributes, None);
        let engine = &self.inner.engines.ratelimit;
        let decide = async || match engine.try_decide_edge(&asked) {
            Some(decision) => Ok(decision),
            None => engine.decide_edge(&asked).await,
        };
        let failed = |error| self.failed(request, Some(route), "edge limits", &error);
        let mut decision = decide().await.map_err(failed)?;
        if self.is_proved(Stage::Edge, request, &asked, &decision).await.map_err(failed)? {
            decision = decide().await.map_err(failed)?;
        }
        charged.add(&mut decision);
        if decision.is_admitted() {
            return Ok(decision);
        }
        let problem = self.limit_problem(Stage::Edge, &asked, &decision);
        let denial = self.reject(request, Some(route), problem, "edge_limit");
        Err(self.with_limits(denial, &decision, &asked))
    }

    pub(super) async fn limits(
        &self,
        known: &Known<'_>,
        tenant: TenantId,
        charged: &mut Charged,
    ) -> Result<ratelimit::Decision, Denial> {
        let attributes = attributes(known.request);
        let asked = limits_request(known.request, known.route, &attributes, Some((tenant, known.principal)));
        let engine = &self.inner.engines.ratelimit;
        let decide = async || match engine.try_decide(&asked) {
            Some(decision) => Ok(decision),
            None => engine.decide(&asked).await,
        };
        let failed = |error| self.failed(known.request, Some(known.route), "limits", &error);
        let mut decision = decide().await.map_err(failed)?;
        if self.is_proved(Stage::Inner, known.request, &asked, &decision).await.map_err(failed)? {
            decision = decide().await.map_err(failed)?;
        }
        charged.add(&mut decision);
        if decision.is_admitted() {
            return Ok(decision);
        }
        let denial = self.deny(known, self.limit_problem(Stage::Inner, &asked, &decision), "limit");
        Err(self.with_limits(denial, &decision, &asked))
    }

    /// Tells whether a request that a limit challenges has brought a proof, and the proof is good.
    async fn is_proved(
        &self,
        stage: Stage,
        request: &Request<'_>,
        asked: &ratelimit::Request<'_>,
        decision: &ratelimit::Decision,
    ) -> Result<bool, ratelimit::Error> {
        let is_challenged = matches!(decision.verdict, Verdict::Refused { action: Action::Captcha, .. });
        let proof = request.head.headers.get(CHALLENGE_PROOF).filter(|_| is_challenged);
        match proof.and_then(|proof| proof.to_str().ok()) {
            Some(proof) => self.inner.engines.ratelimit.prove(stage, asked, proof).await,
            None => Ok(false),
        }
    }

    /// Says why a limit refuses, and what to solve where that would help.
    fn limit_problem(
        &self,
        stage: Stage,
        asked: &ratelimit::Request<'_>,
        decision: &ratelimit::Decision,
    ) -> Problem {
        let problem = limit_problem(&decision.verdict);
        let mut problem = problem.unwrap_or_else(|| ProblemCode::RateLimited.into());
        if let Some(challenge) = self.inner.engines.ratelimit.challenge(stage, asked, decision) {
            add_challenge(&mut problem, challenge);
        }
        problem
    }

    /// Lets a refusal tell what the limits said.
    pub(super) fn with_limits(
        &self,
        denial: Denial,
        decision: &ratelimit::Decision,
        asked: &ratelimit::Request<'_>,
    ) -> Denial {
        Denial { rate_limit: Box::new(self.inner.limit_fields().of(decision, asked)), ..denial }
    }
}

/// What conditions of limits may ask of a request, as the gateway knows it.
pub(super) fn attributes<'a>(request: &Request<'a>) -> [(&'static str, &'a str); 3] {
    let head = request.head;
    [("method", head.method.as_str()), ("host", head.host), ("path", head.path.as_str())]
}

pub(super) fn limits_request<'a>(
    request: &Request<'a>,
    route: &'a Route,
    attributes: &'a [(&'a str, &'a str)],
    known: Option<(TenantId, &'a Principal)>,
) -> ratelimit::Request<'a> {
    ratelimit::Request {
        tenant: known.map(|(tenant, _)| tenant),
        subject: known.map(|(_, principal)| &principal.subject),
        key: known.and_then(|(_, principal)| principal.authentication.key),
        ip: Some(request.head.ip),
        route: Some(route.id().as_str()),
        labels: &route.config().labels,
        attributes,
        ..ratelimit::Request::default()
    }
}
