use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use stanchion_core::{Revision, StoreErrorKind, Timestamp};

use crate::algorithm::Limit;
use crate::decision::{Asked, Owner, Refusal};
use crate::key::{KeyBytes, Missing, write_key};
use crate::receipt::Item;
use crate::snapshot::{CompiledRule, RuleIndex, Snapshot, Stage};
use crate::{
    Action, CallId, Charge, Decision, Kernel, Lease, Load, Mode, NearLimit, OnBackendFailure,
    OnMissingIdentifier, Outcome, Reason, Receipt, Request, Settled, Slot, Standing, Verdict,
};

/// The rules as they were when a decision began.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) platform: Arc<Snapshot>,
    pub(super) own: Option<Arc<Snapshot>>,
    /// The load that adaptive limits shrink by.
    pub(super) load: Load,
    /// How many replicas take limits in chunks, if they do.
    pub(super) leased_by: Option<NonZeroU32>,
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
    /// Whether charges have to be found again.
    tracked: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    of: Owner,
    rule: RuleIndex,
    key: (usize, usize),
    window_seconds: u64,
    limit: Limit,
    mode: Mode,
    charge_denied: bool,
    lease: Option<Lease>,
}

/// A counter that is near its limit.
#[derive(Debug)]
pub(super) struct Near<'a> {
    pub(super) rule: &'a CompiledRule,
    pub(super) key: &'a [u8],
    pub(super) limit: &'a Limit,
    pub(super) asked: Asked,
}

/// How the counters were asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) id: CallId,
    pub(super) hold: Option<Duration>,
    pub(super) cost: u64,
    /// Whether it is this replica's own counters.
    pub(super) local: bool,
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

/// How often each rule was violated by this caller, this time included, where its ladder asks; zero elsewhere.
pub(super) type Violations = SmallVec<[u64; 8]>;

/// What follows from the counters' answer.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    /// The rule that shuts the caller out.
    pub(super) quarantine: Option<(Owner, RuleIndex)>,
}

impl Question {
    fn asked(&self, standing: &Standing, leased_by: Option<NonZeroU32>) -> Asked {
        let Self { of, rule, window_seconds, .. } = *self;
        let overshoot = self.lease.zip(leased_by).map_or(0, |(lease, by)| lease.overshoot(&self.limit, by));
        Asked { of, rule, window_seconds, limit: self.limit.capacity(), overshoot, standing: *standing }
    }
}

impl Rules {
    fn of(&self, owner: Owner) -> Option<&Arc<Snapshot>> {
        match owner {
            Owner::Platform => Some(&self.platform),
            Owner::Tenant => self.own.as_ref(),
        }
    }

    pub(super) fn rule(&self, owner: Owner, at: RuleIndex) -> Option<&CompiledRule> {
        self.of(owner)?.rule(at)
    }

    /// Refuses whom a quarantine shuts out.
    pub(super) fn quarantined(&self, request: &Request<'_>, now: Timestamp) -> Option<Verdict> {
        let of = |snapshot: &'_ Arc<Snapshot>| {
            let found = snapshot.quarantine(request, now)?;
            Some((found.until, found.rule.clone(), found.scope))
        };
        let own = self.own.as_ref().and_then(of);
        let (until, rule, scope) = [of(&self.platform), own].into_iter().flatten().max_by_key(|one| one.0)?;
        Some(Verdict::quarantined(rule, scope, until.since(now)))
    }
}

impl Plan {
    pub(super) fn new(rules: Rules, stage: Stage, request: &Request<'_>, now: Timestamp) -> Self {
        let slot = match (stage, request.tenant) {
            (Stage::Edge, _) => Slot::Edge,
            (Stage::Inner, None) => Slot::Platform,
            (Stage::Inner, Some(tenant)) => Slot::Tenant(tenant),
        };
        let (mut questions, mut keys) = (SmallVec::new(), KeyBytes::new());
        let (mut refusal, mut tracked) = (None, request.refundable);
        for of in [Owner::Platform, Owner::Tenant] {
            let Some(snapshot) = rules.of(of) else { continue };
            let reset = snapshot.reset_of(request);
            snapshot.for_each_match(stage, request, |at, rule| {
                let key_start = keys.len();
                match ask(rule, reset, request, (now, rules.load), &mut keys) {
                    Ok((limit, window_seconds)) => {
                        tracked |= rule.leases
                            || rule.reset_on_success
                            || matches!(limit, Limit::Level(level) if level.late() > 0);
                        questions.push(Question {
                            of,
                            rule: at,
                            key: (key_start, keys.len()),
                            window_seconds,
                            limit,
                            mode: rule.mode,
                            charge_denied: rule.charge_denied,
                            lease: rule.lease,
                        });
                    }
                    Err(Missing) => {
                        keys.truncate(key_start);
                        if rule.mode == Mode::Enforce && rule.on_missing != OnMissingIdentifier::Skip {
                            let action = rule.action;
                            refusal =
                                Refusal::add(refusal.take(), rule, action, Reason::MissingIdentifier, None);
                        }
                    }
                }
            });
        }
        let missing = refusal.map(Refusal::verdict);
        Self { slot, rules, questions, keys, missing, tracked }
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
        let charge = |question: &Question| Charge {
            mode: question.mode,
            charge_denied: question.charge_denied,
            lease: question.lease,
            ..Charge::new(self.key(question), question.limit, cost)
        };
        self.questions.iter().map(charge).collect()
    }

    /// Tells whether the call needs a name that no other has.
    pub(super) fn needs_id(&self) -> bool {
        self.tracked || self.questions.iter().any(|question| question.limit.kernel() == Kernel::Entries)
    }

    /// Tells whether the counters' answer belongs to the question.
    pub(super) fn belongs(&self, outcome: &Outcome) -> Result<(), StoreErrorKind> {
        let standings = outcome.standings();
        let refuses =
            |(question, standing): (&Question, &Standing)| question.mode == Mode::Enforce && !standing.fits;
        let refused = self.questions.iter().zip(standings).any(refuses);
        if standings.len() == self.questions.len() && refused != outcome.is_admitted() {
            Ok(())
        } else {
            Err(StoreErrorKind::Corrupt)
        }
    }

    /// Goes through the rules that are violated: beyond their limit, or let through late.
    pub(super) fn violated<'a>(
        &'a self,
        outcome: &'a Outcome,
    ) -> impl Iterator<Item = (usize, &'a CompiledRule, &'a Standing)> {
        let asked = self.questions.iter().zip(outcome.standings()).enumerate();
        asked.filter_map(|(number, (question, standing))| {
            let rule = self.rule_of(question)?;
            let late = rule.throttles && !standing.delay.is_zero();
            (!standing.fits || late).then_some((number, rule, standing))
        })
    }

    /// Goes through the rules whose counter is near its limit: so many percent of it are in use.
    pub(super) fn near<'a>(&'a self, outcome: &'a Outcome, percent: u8) -> impl Iterator<Item = Near<'a>> {
        let asked = self.questions.iter().zip(outcome.standings());
        asked.filter_map(move |(question, standing)| {
            if !NearLimit::new(percent, question.limit.capacity()).is_near(standing) {
                return None;
            }
            let (rule, key) = (self.rule_of(question)?, self.key(question));
            Some(Near {
                rule,
                key,
                limit: &question.limit,
                asked: question.asked(standing, self.rules.leased_by),
            })
        })
    }

    /// Returns the key under which a rule's violations by this caller are counted.
    pub(super) fn violations_key(&self, number: usize) -> KeyBytes {
        let mut key = KeyBytes::new();
        if let Some(question) = self.questions.get(number) {
            // A rule's keys tell their own length, so none of them goes on after its end.
            key.extend_from_slice(self.key(question));
            key.push(b'v');
        }
        key
    }

    /// Finds the end of the decision: of the violated rules the most severe action, escalated by the rules' ladders.
    pub(super) fn judge(&self, outcome: &Outcome, violations: &Violations) -> Judgement {
        let (mut refusal, mut quarantine) = (None, None);
        for (number, rule, standing) in self.violated(outcome) {
            if rule.shadow {
                continue;
            }
            let action = rule.action_after(violations.get(number).copied().unwrap_or(0));
            let goes_on = action == Action::Allow || (action == Action::Throttle && standing.fits);
            if goes_on {
                continue;
            }
            if action == Action::Quarantine {
                quarantine = self.questions.get(number).map(|question| (question.of, question.rule));
            }
            let wait = standing.retry_after.or((!standing.delay.is_zero()).then_some(standing.delay));
            refusal = Refusal::add(refusal, rule, action, Reason::Exceeded, wait);
        }
        Judgement { verdict: refusal.map_or(Verdict::Admitted, Refusal::verdict), quarantine }
    }

    pub(super) fn rule(&self, (of, at): (Owner, RuleIndex)) -> Option<&CompiledRule> {
        self.rules.rule(of, at)
    }

    /// The receipt of what an admitted call has charged.
    pub(super) fn receipt(&self, sent: Sent, outcome: &Outcome) -> Receipt {
        let taken = self.questions.iter().zip(outcome.standings()).enumerate();
        let taken = taken.filter(|(_, (_, standing))| standing.fits);
        let items = taken.map(|(number, (question, standing))| {
            let rule = self.rule_of(question);
            Item {
                key: self.key(question).into(),
                limit: question.limit,
                cost: sent.cost,
                lease: rule.is_some_and(|rule| rule.leases),
                delay: standing.delay,
                cleared: rule
                    .filter(|rule| rule.reset_on_success)
                    .map(|_| (*self.violations_key(number)).into()),
            }
        });
        let call = Settled { id: sent.id, at: outcome.at(), hold: sent.hold.is_some() };
        Receipt { slot: self.slot, call, local: sent.local, items: items.collect() }
    }

    /// Completes the decision with how each rule stands.
    pub(super) fn decision(self, verdict: Verdict, outcome: &Outcome, receipt: Option<Receipt>) -> Decision {
        let delay = if verdict.is_admitted() {
            outcome.standings().iter().map(|standing| standing.delay).max().unwrap_or(Duration::ZERO)
        } else {
            Duration::ZERO
        };
        let asked = self.questions.iter().zip(outcome.standings());
        let leased_by = self.rules.leased_by;
        let asked = asked.map(|(question, standing)| question.asked(standing, leased_by)).collect();
        let Rules { platform, own, .. } = self.rules;
        let receipt = receipt.map(Box::new);
        Decision { verdict, delay, receipt, asked, platform: Some(platform), own, ..Decision::admitted() }
    }

    pub(super) const fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// Turns to what the rules say about counters that cannot be asked. Rules with a local share remain to be asked, with one of
    /// `replicas` parts of their limit.
    pub(super) fn fall_back(&mut self, replicas: u32) -> Fallback {
        let (mut refusal, mut failed_open) = (None, false);
        let mut remaining = SmallVec::new();
        for question in &self.questions {
            let Some(rule) = self.rule_of(question) else { continue };
            match (rule.mode, rule.on_backend_failure) {
                (Mode::Observe, _) => {}
                (Mode::Enforce, OnBackendFailure::Closed) => {
                    refusal = Refusal::add(refusal, rule, rule.action, Reason::BackendFailure, None);
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
        let rules = self.questions.iter().filter_map(|one| self.rules.rule(one.of, one.rule));
        let refusal = rules
            .fold(None, |found, rule| Refusal::add(found, rule, rule.action, Reason::BackendFailure, None));
        refusal.map_or(Verdict::Admitted, Refusal::verdict)
    }

    /// The rules that are asked, with the caller as each of them counts it.
    pub(super) fn callers(&self) -> impl Iterator<Item = (&CompiledRule, &[u8])> {
        let of = |question| Some((self.rule_of(question)?, self.key(question)));
        self.questions.iter().filter_map(of)
    }

    fn rule_of(&self, question: &Question) -> Option<&CompiledRule> {
        self.rules.rule(question.of, question.rule)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// The keys of the counters of all rules that are for the request, or of some of them.
    pub(super) fn keys_where(&self, which: impl Fn(&CompiledRule) -> bool) -> impl Iterator<Item = KeyBytes> {
        let chosen = self
            .questions
            .iter()
            .enumerate()
            .filter(move |(_, question)| self.rule_of(question).is_some_and(&which));
        chosen.flat_map(|(number, question)| [self.key(question).into(), self.violations_key(number)])
    }

    fn key(&self, question: &Question) -> &[u8] {
        self.keys.get(question.key.0..question.key.1).unwrap_or_default()
    }
}

/// Writes a rule's key for a request, and finds what it allows this caller.
fn ask(
    rule: &CompiledRule,
    reset: Revision,
    request: &Request<'_>,
    (now, load): (Timestamp, Load),
    keys: &mut KeyBytes,
) -> Result<(Limit, u64), Missing> {
    rule.prefix.write(reset, keys);
    let caller = keys.len();
    write_key(rule.key, rule.on_missing, request, keys)?;
    let caller = keys.get(caller..).unwrap_or_default();
    let (limit, seconds) = rule.limit_for(request.tenant, caller, now).ok_or(Missing)?;
    let limit = rule.adaptive.map_or(limit, |adaptive| adaptive.limit(&limit, load));
    Ok((limit, seconds))
}
