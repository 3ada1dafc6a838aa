use std::fmt;

use stanchion_calendar::Unit;

use super::{Action, Algorithm, Rule, RuleId, Rung};
use crate::{Adaptive, Kernel};

/// One or more fields of a rule cannot be as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRule {
    rule: RuleId,
    problems: Vec<(&'static str, String)>,
}

impl InvalidRule {
    pub(crate) fn one(rule: &RuleId, field: &'static str, problem: impl Into<String>) -> Self {
        Self { rule: rule.clone(), problems: vec![(field, problem.into())] }
    }

    /// Returns the rule's id.
    #[must_use]
    pub const fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// Returns each field with what is wrong with it and how to mend it.
    pub fn problems(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.problems.iter().map(|(field, problem)| (*field, problem.as_str()))
    }
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule `{}`: ", self.rule)?;
        for (index, (field, problem)) in self.problems().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{field}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidRule {}

impl Rule {
    /// Checks everything that the types leave open.
    ///
    /// # Errors
    /// [`InvalidRule`] with every field that cannot be as it is, and how to mend it.
    pub fn validate(&self) -> Result<(), InvalidRule> {
        const NAME: usize = 200;
        const SELECTORS: usize = 100;
        let mut problems = Vec::new();
        let mut find = |field, problem: String| problems.push((field, problem));
        if self.name.as_ref().is_some_and(|name| !(1..=NAME).contains(&name.as_str().chars().count())) {
            find("name", format!("use 1 to {NAME} characters, or leave it out"));
        }
        for (field, selectors) in [("routes", &self.routes), ("labels", &self.labels)] {
            if selectors.len() > SELECTORS {
                find(field, format!("use at most {SELECTORS}; a label can stand for many routes"));
            }
            if let Some(twice) = selectors
                .iter()
                .enumerate()
                .find(|(at, one)| selectors.iter().take(*at).any(|other| other == *one))
            {
                find(field, format!("`{}` stands twice: leave one out", twice.1));
            }
        }
        let most = self.algorithm.most();
        if self.limit == 0 {
            find(
                "limit",
                "use at least 1; to shut callers out, take away their key or their permission".to_owned(),
            );
        }
        if self.limit.checked_add(self.burst).is_none_or(|capacity| capacity > most) {
            let algorithm = self.algorithm.as_str();
            find(
                "limit",
                format!("`limit` and `burst` together are at most {most} with `{algorithm}`: lower one"),
            );
        }
        if !self.algorithm.has_windows() && self.window.unit() == Unit::Month {
            let algorithm = self.algorithm.as_str();
            find(
                "window",
                format!(
                    "months are not equally long, and `{algorithm}` needs a length: use days, or algorithm `fixed_window`"
                ),
            );
        }
        if self.algorithm == Algorithm::LeakyQueue && self.burst == 0 {
            find("burst", "a queue needs a length: say how many may wait".to_owned());
        }
        if let Some(lease) = self.lease {
            if self.algorithm.kernel() == Kernel::Entries || self.algorithm == Algorithm::LeakyQueue {
                let algorithm = self.algorithm.as_str();
                find("lease", format!("`{algorithm}` cannot be given out in chunks: leave it out"));
            }
            if lease.chunk == 0 || lease.chunk > self.limit.saturating_add(self.burst) {
                find("lease", "use a chunk of 1 to `limit + burst`".to_owned());
            }
            if !(1..=3_600).contains(&lease.ttl_seconds) {
                find("lease", "use 1 to 3600 for `ttl_seconds`".to_owned());
            }
        }
        if let Some(Err(invalid)) = self.adaptive.as_ref().map(Adaptive::validate) {
            find("adaptive", invalid.to_string());
        }
        self.validate_actions(&mut find);
        self.validate_conditions(&mut find);
        if problems.is_empty() { Ok(()) } else { Err(InvalidRule { rule: self.id.clone(), problems }) }
    }

    fn validate_actions(&self, find: &mut impl FnMut(&'static str, String)) {
        const MINUTE_MS: u32 = 60_000;
        const YEAR: u32 = 31_536_000;
        let actions = std::iter::once(self.action).chain(self.ladder.iter().map(|rung| rung.action));
        if actions.clone().any(|action| action == Action::Throttle) {
            if self.algorithm.kernel() != Kernel::Level {
                let algorithm = self.algorithm.as_str();
                find(
                    "action",
                    format!(
                        "`throttle` needs an algorithm that drains steadily, and `{algorithm}` does not: use token_bucket, gcra or \
                         leaky_bucket"
                    ),
                );
            }
            if !(1..=MINUTE_MS).contains(&self.max_delay_ms) {
                find("max_delay_ms", format!("use 1 to {MINUTE_MS}"));
            }
        }
        if actions.clone().any(|action| action == Action::Quarantine) {
            if !(1..=YEAR).contains(&self.quarantine_seconds) {
                find("quarantine_seconds", format!("use 1 to {YEAR}"));
            }
            if !self.key.names_a_caller() {
                find(
                    "action",
                    "`quarantine` needs a caller to shut out: count by tenant, user, api_key or ip"
                        .to_owned(),
                );
            }
        }
        let is_ascending = |pair: &[Rung]| match pair {
            [one, other] => one.violations < other.violations && one.action < other.action,
            _ => true,
        };
        let first_is_more =
            self.ladder.first().is_none_or(|rung| rung.violations > 1 && rung.action > self.action);
        if !first_is_more || !self.ladder.windows(2).all(is_ascending) {
            find(
                "ladder",
                "each rung needs more violations, from 2, and a more severe action than the one before it and than `action`"
                    .to_owned(),
            );
        }
        if self.ladder_window.unit() == Unit::Month {
            find("ladder_window", "use seconds, minutes, hours or days".to_owned());
        }
    }

    fn validate_conditions(&self, find: &mut impl FnMut(&'static str, String)) {
        const CONDITIONS: usize = 16;
        if self.conditions.len() > CONDITIONS {
            find("conditions", format!("use at most {CONDITIONS}"));
        }
        for (number, condition) in self.conditions.iter().enumerate() {
            if let Some(problem) = condition.problem() {
                find("conditions", format!("number {}: {problem}", number + 1));
            }
        }
    }
}
