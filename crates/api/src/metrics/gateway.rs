use std::fmt;

use stanchion_core::ProblemCode;
use stanchion_pipeline::Route;

use super::page::Page;
use super::{Counts, status_class};

impl Counts {
    pub(super) fn gateway(&self, page: &mut Page<'_>) -> fmt::Result {
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
        let refused = |label: String, refusals: &mut dyn Iterator<Item = (ProblemCode, u64)>| {
            let refusals = refusals.filter(|(_, count)| *count > 0);
            let row = |(code, count): (ProblemCode, u64)| {
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
}
