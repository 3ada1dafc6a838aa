use std::sync::Arc;

use smallvec::SmallVec;
use stanchion_core::{StoreErrorKind, Timestamp};

use crate::decision::{Asked, Owner, Refusal};
use crate::key::{KeyBytes, Missing, write_key};
use crate::snapshot::{CompiledRule, RuleIndex, Snapshot, Stage};
use crate::{
    Charge, Decision, Limit, Mode, OnBackendFailure, OnMissingIdentifier, Outcome, Reason, Request, Slot,
    Verdict,
};

/// The rules as they were when a decision began.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) platform: Arc<Snapshot>,
    pub(super) own: Option<Arc<Snapshot>>,
}

/// What one decision asks of the counters: every rule that is for the request, with its key.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) slot: Slot,
    rules: Rules,
    questions: SmallVec<[Question; 8]>,
    keys: KeyBytes,
    /// The refusal that stands before any counter is asked.
    missing: Option<Verdict>,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    of: Owner,
    rule: RuleIndex,
    key: (usize, usize),
    window_seconds: u64,
    limit: Limit,
    mode: Mode,
}

/// What is left of a plan without the counters.
#[derive(Debug)]
pub(super) enum Fallback {
    /// A rule fails closed.
    Refused(Verdict),
    /// What still has to be asked, which may be nothing, is to be asked of local counters.
    Local {
        /// Whether a rule was passed over that would have been asked.
        failed_open: bool,
    },
}

impl Plan {
    pub(super) fn new(rules: Rules, stage: Stage, request: &Request<'_>, now: Timestamp) -> Self {
        let slot = match (stage, request.tenant) {
            (Stage::Edge, _) => Slot::Edge,
            (Stage::Inner, None) => Slot::Platform,
            (Stage::Inner, Some(tenant)) => Slot::Tenant(tenant),
        };
        let (mut questions, mut keys) = (SmallVec::new(), KeyBytes::new());
        let mut refusal = None;
        let snapshots = [(Owner::Platform, Some(&rules.platform)), (Owner::Tenant, rules.own.as_ref())];
        for (of, snapshot) in snapshots {
            let Some(snapshot) = snapshot else { continue };
            snapshot.for_each_match(stage, request, |at, rule| {
                let key_start = keys.len();
                let written = write_key(rule.key, &rule.prefix, rule.on_missing, request, &mut keys);
                match (written, rule.limit_at(now)) {
                    (Ok(()), Some((limit, window_seconds))) => questions.push(Question {
                        of,
                        rule: at,
                        key: (key_start, keys.len()),
                        window_seconds,
                        limit,
                        mode: rule.mode,
                    }),
                    (Err(Missing), _) | (_, None) => {
                        keys.truncate(key_start);
                        if rule.mode == Mode::Enforce && rule.on_missing != OnMissingIdentifier::Skip {
                            refusal = Refusal::add(refusal.take(), rule, Reason::MissingIdentifier, None);
                        }
                    }
                }
            });
        }
        let missing = refusal.map(Refusal::verdict);
        Self { slot, rules, questions, keys, missing }
    }

    /// Returns the decision, when no counter has to be asked for it.
    pub(super) fn settled(&mut self) -> Option<Decision> {
        if let Some(verdict) = self.missing.take() {
            return Some(Decision { verdict, ..Decision::admitted() });
        }
        self.questions.is_empty().then(Decision::admitted)
    }

    /// Returns what to ask of the counters, in the order of the rules.
    pub(super) fn charges(&self, cost: u64) -> SmallVec<[Charge<'_>; 8]> {
        let charge = |question: &Question| {
            let key = self.keys.get(question.key.0..question.key.1).unwrap_or_default();
            Charge { mode: question.mode, ..Charge::new(key, question.limit, cost) }
        };
        self.questions.iter().map(charge).collect()
    }

    /// Finds the end of the decision by the counters' answer. An answer that does not belong to the question is a failure of theirs.
    pub(super) fn verdict(&self, outcome: &Outcome) -> Result<Verdict, StoreErrorKind> {
        let standings = outcome.standings();
        let mut refusal = None;
        for (question, standing) in self.questions.iter().zip(standings) {
            if !standing.fits
                && question.mode == Mode::Enforce
                && let Some(rule) = self.rule(question)
            {
                refusal = Refusal::add(refusal, rule, Reason::Exceeded, standing.retry_after);
            }
        }
        if standings.len() != self.questions.len() || refusal.is_none() != outcome.is_admitted() {
            return Err(StoreErrorKind::Corrupt);
        }
        Ok(refusal.map_or(Verdict::Admitted, Refusal::verdict))
    }

    /// Completes the decision with how each rule stands.
    pub(super) fn decision(self, verdict: Verdict, outcome: &Outcome) -> Decision {
        let asked = self.questions.iter().zip(outcome.standings()).map(|(question, standing)| {
            let Question { of, rule, window_seconds, .. } = *question;
            Asked { of, rule, window_seconds, standing: *standing }
        });
        let asked = asked.collect();
        let Rules { platform, own } = self.rules;
        Decision { verdict, asked, platform: Some(platform), own, ..Decision::admitted() }
    }

    /// Turns to what the rules say about counters that cannot be asked. Rules with a local share remain to be asked, with one of
    /// `replicas` parts of their limit.
    pub(super) fn fall_back(&mut self, replicas: u32) -> Fallback {
        let (mut refusal, mut failed_open) = (None, false);
        let mut remaining = SmallVec::new();
        for question in &self.questions {
            let Some(rule) = self.rule(question) else { continue };
            match (rule.mode, rule.on_backend_failure) {
                (Mode::Observe, _) => {}
                (Mode::Enforce, OnBackendFailure::Closed) => {
                    refusal = Refusal::add(refusal, rule, Reason::BackendFailure, None);
                }
                (Mode::Enforce, OnBackendFailure::Open) => failed_open = true,
                (Mode::Enforce, OnBackendFailure::LocalShare) => {
                    remaining.push(Question { limit: question.limit.share(replicas), ..*question });
                }
            }
        }
        if let Some(refusal) = refusal {
            return Fallback::Refused(refusal.verdict());
        }
        self.questions = remaining;
        Fallback::Local { failed_open }
    }

    /// The refusal by rules that could not even be asked locally.
    pub(super) fn refused(&self) -> Verdict {
        let rules = self.questions.iter().filter_map(|question| self.rule(question));
        let refusal = rules.fold(None, |found, rule| Refusal::add(found, rule, Reason::BackendFailure, None));
        refusal.map_or(Verdict::Admitted, Refusal::verdict)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    fn rule(&self, question: &Question) -> Option<&CompiledRule> {
        let snapshot = match question.of {
            Owner::Platform => Some(&self.rules.platform),
            Owner::Tenant => self.rules.own.as_ref(),
        };
        snapshot?.rule(question.rule)
    }
}
