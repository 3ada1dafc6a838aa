use std::fmt;

use super::Counts;
use super::page::Page;

impl Counts {
    pub(super) fn audit(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.state.pipeline.engines().audit.stats();
        let queued = u64::try_from(stats.queued).unwrap_or(u64::MAX);
        page.gauge("stanchion_audit_queued_events", "Events that wait to be committed.", queued)?;
        page.counter("stanchion_audit_accepted_events", "Events accepted.", stats.accepted)?;
        page.counter(
            "stanchion_audit_refused_events",
            "Events refused, for whichever reason.",
            stats.refused,
        )?;
        page.counter("stanchion_audit_committed_entries", "Entries committed.", stats.committed)?;
        page.counter(
            "stanchion_audit_duplicate_events",
            "Events that were in the ledger already.",
            stats.duplicates,
        )?;
        page.counter(
            "stanchion_audit_conflicting_events",
            "Events whose id was used before for something else.",
            stats.conflicts,
        )?;
        page.counter(
            "stanchion_audit_reduced_events",
            "Late events that had to be changed to be recorded.",
            stats.reduced,
        )?;
        page.counter(
            "stanchion_audit_lost_events",
            "Accepted events that were never committed.",
            stats.lost,
        )?;
        page.counter(
            "stanchion_audit_store_failures",
            "Failures of the store; each was retried.",
            stats.failures,
        )?;
        let protected = self.0.state.protection.stats();
        page.counter("stanchion_audit_sealed_values", "Values protected.", protected.sealed)?;
        page.counter(
            "stanchion_audit_withheld_values",
            "Values lost, since the keys to protect them were not to be had in time.",
            protected.withheld,
        )?;
        page.counter("stanchion_audit_checkpoints", "Checkpoints signed.", stats.checkpoints)?;
        page.counter(
            "stanchion_audit_broken_chains",
            "Chains found broken, which get no more checkpoints.",
            stats.broken_chains,
        )?;
        page.counter(
            "stanchion_audit_projected_entries",
            "Entries for which what queries look at was made.",
            stats.projected,
        )?;
        page.gauge(
            "stanchion_audit_unprojected_entries",
            "Entries that queries still read from the chains, when it was last looked.",
            stats.unprojected,
        )?;
        page.counter(
            "stanchion_audit_anchored_checkpoints",
            "Checkpoints published to anchors.",
            stats.anchored,
        )?;
        page.counter(
            "stanchion_audit_anchor_failures",
            "Attempts to publish a checkpoint that failed; each was repeated.",
            stats.anchor_failures,
        )?;
        page.counter(
            "stanchion_audit_anchor_conflicts",
            "Times that an anchor held what the log does not lead to.",
            stats.anchor_conflicts,
        )?;
        page.gauge(
            "stanchion_audit_anchor_lag_seconds",
            "For how long the anchor that is furthest behind could not be reached.",
            stats.anchor_lag_seconds,
        )?;
        self.retention(page)
    }

    fn retention(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.state.keeper.stats();
        page.counter("stanchion_audit_archived_entries", "Entries archived.", stats.archived)?;
        page.counter(
            "stanchion_audit_archived_objects",
            "Objects that they were archived in.",
            stats.objects,
        )?;
        page.counter("stanchion_audit_cut_entries", "Entries dropped when their time was over.", stats.cut)?;
        page.counter(
            "stanchion_audit_retention_rounds",
            "Rounds that went through all chains.",
            stats.rounds,
        )?;
        page.counter(
            "stanchion_audit_retention_failures",
            "Failures to archive or to cut, which the next round tries again.",
            stats.failures,
        )?;
        page.gauge(
            "stanchion_audit_held_chains",
            "Chains that the last round did not cut because a legal hold stands.",
            stats.held,
        )
    }
}
