use std::fmt;

use super::page::Page;
use super::{Counts, labelled};

impl Counts {
    pub(super) fn rbac(&self, page: &mut Page<'_>) -> fmt::Result {
        let engine = &self.0.state.pipeline.engines().rbac;
        let stats = engine.statistics();
        let outcomes = [("permitted", stats.permitted), ("refused", stats.checks - stats.permitted)];
        page.counters("stanchion_rbac_checks", "Checks decided, by outcome.", labelled("outcome", outcomes))?;
        page.counter(
            "stanchion_rbac_checks_from_memory",
            "Checks decided without waiting for a store.",
            stats.from_memory,
        )?;
        let (micros, timed) = stats.timed;
        page.counter("stanchion_rbac_timed_checks", "Checks whose time was taken, one in 256.", timed)?;
        page.seconds(
            "stanchion_rbac_timed_check_duration_seconds",
            "Time that those checks took together, waiting for a store included.",
            micros,
        )?;
        let (scopes, subjects) = engine.in_memory();
        let kept = |count| u64::try_from(count).unwrap_or(u64::MAX);
        page.gauge("stanchion_rbac_cached_scopes", "Scopes whose roles are in memory.", kept(scopes))?;
        page.gauge("stanchion_rbac_cached_subjects", "Subjects whose holdings are in memory.", kept(subjects))
    }
}
