mod audit;
mod gateway;
mod page;
mod rbac;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use self::page::{Labels, Page};
use crate::state::Api;

/// The media type of the text that [`text()`] writes.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes everything that is counted as OpenMetrics text, named `stanchion_<domain>_<what>_<unit>`.
///
/// Nothing is labelled by tenant: how many there are is not known, and metrics are open to whoever reaches the listener.
pub(crate) fn text(api: &Arc<Api>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Counts(Arc::clone(api))));
    let mut out = String::with_capacity(16 * 1024);
    text::encode(&mut out, &registry)?;
    Ok(out)
}

struct Counts(Arc<Api>);

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counts")
    }
}

impl Collector for Counts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.gateway(&mut page)?;
        self.pipeline(&mut page)?;
        self.ratelimit(&mut page)?;
        self.envoy(&mut page)?;
        self.rbac(&mut page)?;
        self.audit(&mut page)?;
        self.metering(&mut page)?;
        self.api(&mut page)
    }
}

impl Counts {
    fn pipeline(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.state.pipeline.stats();
        page.counter(
            "stanchion_pipeline_failures",
            "Requests refused because a store could not be asked.",
            stats.failures(),
        )?;
        page.counter(
            "stanchion_pipeline_unrecorded_events",
            "Records that found no room in the ledger's queue.",
            stats.unrecorded(),
        )
    }

    fn ratelimit(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.state.pipeline.engines().ratelimit.stats();
        page.counter(
            "stanchion_ratelimit_decisions",
            "Decisions, also those that no limit was for.",
            stats.decisions,
        )?;
        let refusals = [
            ("exceeded", stats.exceeded),
            ("quarantined", stats.quarantined),
            ("missing_identifier", stats.missing_identifier),
            ("backend_failure", stats.failed_closed),
        ];
        page.counters("stanchion_ratelimit_refusals", "Refusals by reason.", labelled("reason", refusals))?;
        page.counter(
            "stanchion_ratelimit_failed_open_decisions",
            "Requests admitted past a limit because its counters could not be reached.",
            stats.failed_open,
        )?;
        page.counter(
            "stanchion_ratelimit_store_failures",
            "Decisions during which the counters could not be reached.",
            stats.backend_failures,
        )?;
        page.counter(
            "stanchion_ratelimit_outages",
            "How often the counters became unreachable.",
            stats.outages,
        )?;
        page.gauge(
            "stanchion_ratelimit_counters_unreachable",
            "1 while the counters cannot be reached and limits do as their `on_backend_failure` says, else 0.",
            stats.outage_since.is_some().into(),
        )?;
        page.counter(
            "stanchion_ratelimit_untold_events",
            "Violations and near limits that found no room among what is told of.",
            stats.untold_events,
        )?;
        page.counter(
            "stanchion_ratelimit_near_limits",
            "Counters that came near their limit, each once in its window.",
            stats.near_limits,
        )?;
        page.ratio(
            "stanchion_ratelimit_load_ratio",
            "How loaded the service is, 0 to 1: what adaptive limits shrink by.",
            self.0.state.pipeline.engines().ratelimit.load().permille(),
        )
    }

    fn envoy(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(envoy) = &self.0.state.envoy else { return Ok(()) };
        let (stats, domains) = envoy.stats();
        let of = |name: &String| ("domain", name.clone());
        let requests = domains.iter().flat_map(|(name, stats)| {
            let row =
                move |(outcome, count): (&str, u64)| (vec![of(name), ("outcome", outcome.to_owned())], count);
            stats.outcomes().into_iter().map(row)
        });
        page.counters("stanchion_envoy_requests", "Rate-limit requests of Envoy, by outcome.", requests)?;
        page.counter(
            "stanchion_envoy_unknown_domain_requests",
            "Rate-limit requests of Envoy for a domain that is not configured.",
            stats.unknown_domains(),
        )?;
        page.counters(
            "stanchion_envoy_unusable_entries",
            "Entries of descriptors that were not what their key says: no address, no tenant.",
            domains.iter().map(|(name, stats)| (vec![of(name)], stats.unusable_entries())),
        )?;
        page.counters(
            "stanchion_envoy_ignored_limits",
            "Descriptors that brought a limit of their own, which is not looked at.",
            domains.iter().map(|(name, stats)| (vec![of(name)], stats.ignored_limits())),
        )
    }

    fn metering(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.state.pipeline.engines().metering.stats();
        page.gauge(
            "stanchion_metering_queued_events",
            "Usage events that wait to be counted.",
            stats.waiting,
        )?;
        page.counter(
            "stanchion_metering_submitted_events",
            "Usage events taken into the queue.",
            stats.submitted,
        )?;
        page.counter(
            "stanchion_metering_refused_events",
            "Usage events that found no room in the queue.",
            stats.refused,
        )?;
        let outcomes = [
            ("accepted", stats.accepted),
            ("duplicate", stats.duplicates),
            ("conflict", stats.conflicts),
            ("rejected", stats.rejected),
        ];
        page.counters(
            "stanchion_metering_events",
            "Usage events by outcome.",
            labelled("outcome", outcomes),
        )?;
        page.counter("stanchion_metering_store_failures", "Appends that failed.", stats.failures)
    }

    fn api(&self, page: &mut Page<'_>) -> fmt::Result {
        let requests = self.0.operations.iter().flat_map(|operation| {
            let labels =
                move |class| vec![("operation", operation.id.to_owned()), ("status", status_class(class))];
            operation.stats.classes().map(move |(class, count)| (labels(class), count))
        });
        page.counters(
            "stanchion_api_requests",
            "Requests to the admin API, by operation and class of status.",
            requests,
        )?;
        page.counters(
            "stanchion_api_unauthenticated_requests",
            "Requests to the admin API whose caller could not be made out, by reason.",
            labelled("reason", self.0.counts.by_reason()),
        )?;
        page.counter(
            "stanchion_api_unrecorded_denials",
            "Denials of the admin API that found no room in the ledger's queue.",
            self.0.counts.all_unrecorded(),
        )?;
        let remembered = u64::try_from(self.0.replays.len()).unwrap_or(u64::MAX);
        page.gauge("stanchion_api_idempotency_keys", "Idempotency keys that are remembered.", remembered)
    }
}

fn labelled(
    name: &'static str,
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) -> impl Iterator<Item = (Labels, u64)> {
    counts.into_iter().map(move |(value, count)| (vec![(name, value.to_owned())], count))
}

fn status_class(class: u16) -> String {
    if class == 0 { "none".to_owned() } else { format!("{class}xx") }
}
