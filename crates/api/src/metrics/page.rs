use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use stanchion_pipeline::RouteStats;

pub(super) type Labels = Vec<(&'static str, String)>;

/// What is written of the metrics.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

impl Page<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter(&count, None::<&Exemplar<NoLabelSet, u64>>)
    }

    pub(super) fn counters(
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

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Writes a sum of microseconds as seconds.
    pub(super) fn seconds(&mut self, name: &str, help: &str, micros: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter(&seconds(micros), None::<&Exemplar<NoLabelSet, f64>>)
    }

    /// Writes thousandths as a part of one.
    pub(super) fn ratio(&mut self, name: &str, help: &str, permille: u16) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&(f64::from(permille) / 1000.0))
    }

    pub(super) fn gauges(
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
    pub(super) fn histograms(
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
