use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;
use stanchion_pipeline::{Route, RouteStats};

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

type Labels = Vec<(&'static str, String)>;

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
        self.audit(&mut page)?;
        self.metering(&mut page)?;
        self.api(&mut page)
    }
}

impl Counts {
    fn gateway(&self, page: &mut Page<'_>) -> fmt::Result {
        let table = self.0.state.pipeline.routes();
        let routes = || table.routes().iter();
        let of = |route: &Route| ("route", route.id().to_string());
        let requests = routes().flat_map(|route| {
            let classes = route.stats().statuses().filter(|(_, count)| *count > 0);
            classes.map(|(class, count)| (vec![of(route), ("status", status_class(class))], count))
        });
        page.counters(
            "stanchion_gateway_requests",
            "Admitted requests that have ended, by the class of their status; `none` came to no status.",
            requests,
        )?;
        let refused =
            |label: String, refusals: &mut dyn Iterator<Item = (stanchion_core::ProblemCode, u64)>| {
                let refusals = refusals.filter(|(_, count)| *count > 0);
                let row = |(code, count): (stanchion_core::ProblemCode, u64)| {
                    (vec![("route", label.clone()), ("code", code.to_string())], count)
                };
                refusals.map(row).collect::<Vec<_>>()
            };
        let unmatched = refused(String::new(), &mut self.0.state.pipeline.stats().refusals());
        let matched =
            routes().flat_map(|route| refused(route.id().to_string(), &mut route.stats().refusals()));
        page.counters(
            "stanchion_gateway_refusals",
            "Refused requests by problem code; those refused before a route was found have an empty route.",
            unmatched.into_iter().chain(matched),
        )?;
        page.counters(
            "stanchion_gateway_request_body_bytes",
            "Bytes of request bodies that upstreams took.",
            routes().map(|route| (vec![of(route)], route.stats().bytes().0)),
        )?;
        page.counters(
            "stanchion_gateway_response_body_bytes",
            "Bytes of response bodies that clients were given.",
            routes().map(|route| (vec![of(route)], route.stats().bytes().1)),
        )?;
        page.histograms(
            "stanchion_gateway_request_duration_seconds",
            "Time from the decision to the end of the answer.",
            routes().map(|route| (vec![of(route)], route.stats().durations())),
        )?;
        let listeners = || {
            self.0
                .state
                .listeners
                .iter()
                .map(|source| (vec![("listener", source.name().to_owned())], source.counts()))
        };
        page.gauges(
            "stanchion_listener_open_connections",
            "Connections that are open now.",
            listeners().map(|(labels, counts)| (labels, counts.open)),
        )?;
        page.counters(
            "stanchion_listener_accepted_connections",
            "Connections accepted.",
            listeners().map(|(labels, counts)| (labels, counts.accepted)),
        )?;
        page.counters(
            "stanchion_listener_failed_connections",
            "Connections that ended by a fault: no HTTP, a timeout, a reset.",
            listeners().map(|(labels, counts)| (labels, counts.failed)),
        )
    }

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

    fn audit(&self, page: &mut Page<'_>) -> fmt::Result {
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

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter(&count, None::<&Exemplar<NoLabelSet, u64>>)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in rows {
            let labels = labels.as_slice();
            family.encode_family(&labels)?.encode_counter(&count, None::<&Exemplar<NoLabelSet, u64>>)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Writes thousandths as a part of one.
    fn ratio(&mut self, name: &str, help: &str, permille: u16) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&(f64::from(permille) / 1000.0))
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            let labels = labels.as_slice();
            family.encode_family(&labels)?.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }

    /// Writes histograms whose buckets are those of [`RouteStats`]; their sum is in microseconds.
    fn histograms(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, (Vec<u64>, u64))>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, (counts, sum)) in rows {
            let bound = |bound: u64| if bound == u64::MAX { f64::INFINITY } else { seconds(bound) };
            let buckets: Vec<(f64, u64)> = RouteStats::BUCKETS.into_iter().map(bound).zip(counts).collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            let labels = labels.as_slice();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                seconds(sum),
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
