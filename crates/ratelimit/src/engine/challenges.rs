//! Challenges that callers solve to be let through again.

use smallvec::SmallVec;

use super::Engine;
use super::plan::Plan;
use crate::key::KeyBytes;
use crate::snapshot::{CompiledRule, Stage};
use crate::{Action, Call, Challenge, Challenged, Charge, Decision, Error, Limit, Request, Verdict};

/// A proof stands in the key of the counter that takes it once.
const LONGEST_PROOF: usize = 512;

impl Engine {
    /// Sets a challenge for a request that a rule has refused with the action `captcha`. `None` when it was not, or no
    /// [verifier](Engine::with_challenges) was given.
    #[must_use]
    pub fn challenge(&self, stage: Stage, request: &Request<'_>, decision: &Decision) -> Option<Challenge> {
        let Verdict::Refused { action: Action::Captcha, rule: Some(id), scope, .. } = &decision.verdict
        else {
            return None;
        };
        let verifier = self.challenges.as_ref()?;
        let now = self.clock.now();
        let plan = Plan::new(self.try_rules_for(stage, request, now)?, stage, request, now);
        let (rule, caller) = plan.callers().find(|(rule, _)| rule.id == *id && rule.scope == *scope)?;
        Some(verifier.challenge(Challenged { scope: *scope, rule: &rule.id, caller }, now))
    }

    /// Takes a proof that a challenge was solved. If it is good, and was not taken before, the caller's counters and ladders in rules
    /// that challenge begin anew; then decide again.
    ///
    /// # Errors
    /// [`Error::Store`] when the rules cannot be read, or the verifier or the counters cannot be asked.
    pub async fn prove(&self, stage: Stage, request: &Request<'_>, proof: &str) -> Result<bool, Error> {
        let Some(verifier) = self.challenges.as_ref().filter(|_| proof.len() <= LONGEST_PROOF) else {
            return Ok(false);
        };
        let now = self.clock.now();
        let plan = Plan::new(self.rules_for(stage, request, now).await?, stage, request, now);
        let challenging: SmallVec<[(&CompiledRule, &[u8]); 4]> =
            plan.callers().filter(|(rule, _)| challenges(rule)).collect();
        for (rule, caller) in challenging {
            let whom = Challenged { scope: rule.scope, rule: &rule.id, caller };
            if !verifier.verify(whom, proof, now).await? {
                continue;
            }
            if !self.take_once(&plan, caller, proof, verifier.lifetime_seconds()).await? {
                return Ok(false);
            }
            for key in plan.keys_where(challenges) {
                self.counters.reset(plan.slot, &key).await?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes a proof out of circulation for as long as it could be good. Tells whether it still was.
    async fn take_once(&self, plan: &Plan, caller: &[u8], proof: &str, seconds: u32) -> Result<bool, Error> {
        // One in twice its lifetime: it has expired before it could be taken again.
        let Some(once) = Limit::token_bucket(1, 1, u64::from(seconds) * 2) else { return Ok(false) };
        let mut key = KeyBytes::from_slice(caller);
        key.push(b'p');
        key.extend_from_slice(proof.as_bytes());
        let charges = [Charge::new(&key, once, 1)];
        let call = Call::new(&charges, self.time(self.clock.now()));
        let outcome = match self.counters.try_decide(plan.slot, &call) {
            Some(outcome) => outcome,
            None => self.counters.decide(plan.slot, &call).await,
        };
        Ok(outcome?.is_admitted())
    }
}

fn challenges(rule: &CompiledRule) -> bool {
    rule.action == Action::Captcha || rule.ladder.iter().any(|rung| rung.action == Action::Captcha)
}
