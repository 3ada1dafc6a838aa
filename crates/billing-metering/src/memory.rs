//! The store that keeps everything in this process.

mod keys;
mod series;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hashbrown::HashMap;
use stanchion_calendar::Period;
use stanchion_core::{Page, PageRequest, StoreError, StoreErrorKind, SystemScope, TenantId, Timestamp};

use self::keys::{Keys, Seen};
use self::series::{Gap, Series};
use crate::decimal::to_units;
use crate::{
    AppendOutcome, EventPosition, Filter, MeterId, MeterTotal, StoredEvent, Total, UsageEvent, UsageStore,
};

/// The bounds of a [`MemoryUsageStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// How far back events are told apart from what was appended before. A day more than the engine's late window leaves room for
    /// events that waited.
    pub window: Duration,
    /// The most ids remembered for this, each in 33 to 66 bytes. Room for more is made by forgetting those of the oldest events, some
    /// eighth at a time; what lies before a forgotten event may be refused as too late.
    pub ids: usize,
    /// The most single events kept, each in some 250 bytes; the ones that came first go first. Totals of whole quarter hours do not
    /// need them. Lists, filtered totals and totals that cut a quarter hour do.
    pub events: usize,
    /// How far back sums are kept, in about 60 bytes for each quarter hour in which a tenant's meter was used.
    pub retention: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self { window: 101 * day, ids: 7_000_000, events: 262_144, retention: 400 * day }
    }
}

/// Keeps usage in memory, within bounds. What it had to give up it refuses to answer for; it never answers short.
///
/// Totals are exact for every period that begins and ends with a quarter hour of UTC, which days and months of all time zones in use
/// do, and for any period that cuts no quarter hour in which something was used. Others need the single events of the quarter hours
/// that they cut.
#[derive(Debug)]
pub struct MemoryUsageStore {
    config: MemoryConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: Keys,
    tenants: HashMap<TenantId, BTreeMap<MeterId, usize>>,
    series: Vec<Series>,
    /// The series of each single event kept, in the order of their arrival.
    arrivals: VecDeque<usize>,
    next_seq: u64,
    swept_at: Timestamp,
}

impl Default for MemoryUsageStore {
    fn default() -> Self {
        Self::new(MemoryConfig::default())
    }
}

impl MemoryUsageStore {
    /// Makes an empty store. Sums are kept at least as long as the window reaches, whatever the retention.
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        let state = State {
            keys: Keys::new(config.ids),
            tenants: HashMap::new(),
            series: Vec::new(),
            arrivals: VecDeque::new(),
            next_seq: 1,
            swept_at: Timestamp::MIN,
        };
        Self { config, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl UsageStore for MemoryUsageStore {
    fn window(&self) -> Duration {
        self.config.window
    }

    async fn append(
        &self,
        _system: SystemScope,
        batch: &[UsageEvent],
        at: Timestamp,
    ) -> Result<Vec<AppendOutcome>, StoreError> {
        let mut state = self.state();
        state.sweep(at, &self.config);
        batch.iter().map(|event| state.append(event, at, &self.config)).collect()
    }

    async fn total(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
    ) -> Result<Total, StoreError> {
        let state = self.state();
        let total = state.find(tenant, meter).map(|series| series.total(range(period), filter));
        total.unwrap_or(Ok(Total::default())).map_err(|gap| unanswerable("total", gap))
    }

    async fn totals(&self, tenant: TenantId, period: Period) -> Result<Vec<MeterTotal>, StoreError> {
        let state = self.state();
        let mut totals = Vec::new();
        for (meter, number) in state.tenants.get(&tenant).into_iter().flatten() {
            let Some(series) = state.series.get(*number) else { continue };
            let total = series.total(range(period), &Filter::default());
            let total = total.map_err(|gap| unanswerable("totals", gap))?;
            if total.events > 0 {
                totals.push(MeterTotal { meter: meter.clone(), total });
            }
        }
        Ok(totals)
    }

    async fn events(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let corrupt = |error| StoreError::new(StoreErrorKind::Corrupt, "memory", "events").with_source(error);
        let after = page.key().map(str::parse::<EventPosition>).transpose().map_err(corrupt)?;
        let state = self.state();
        let Some(series) = state.find(tenant, meter) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let found = series
            .list(&range(period), filter, after, page.limit() + 1)
            .map_err(|gap| unanswerable("events", gap))?;
        let items: Vec<StoredEvent> = found.iter().take(page.limit()).copied().cloned().collect();
        let more = found.len() > items.len();
        let next = items.last().filter(|_| more).map(|last| last.position().to_string());
        Ok(Page { items, next })
    }
}

impl State {
    fn append(
        &mut self,
        event: &UsageEvent,
        at: Timestamp,
        config: &MemoryConfig,
    ) -> Result<AppendOutcome, StoreError> {
        let units = to_units(event.value).ok_or_else(|| unanswerable("append", Gap::TooLarge))?;
        let unavailable =
            |full| StoreError::new(StoreErrorKind::Unavailable, "memory", "append").with_source(full);
        let key = match self.keys.look(event, at, config.window).map_err(unavailable)? {
            Seen::Never(key) => key,
            Seen::Same => return Ok(AppendOutcome::Duplicate),
            Seen::Other => return Ok(AppendOutcome::Conflict),
            Seen::Forgotten => return Ok(AppendOutcome::TooLate),
        };
        let meters = self.tenants.entry(event.tenant).or_default();
        let number = match meters.get(&event.meter) {
            Some(number) => *number,
            None => {
                self.series.push(Series::new());
                meters.insert(event.meter.clone(), self.series.len() - 1);
                self.series.len() - 1
            }
        };
        let seq = self.next_seq;
        let stored = StoredEvent { seq, received_at: at, event: event.clone() };
        if let Some(series) = self.series.get_mut(number) {
            series.push(stored, units).map_err(|gap| unanswerable("append", gap))?;
        }
        key.remember();
        self.next_seq += 1;
        self.arrivals.push_back(number);
        while self.arrivals.len() > config.events {
            let oldest = self.arrivals.pop_front().and_then(|number| self.series.get_mut(number));
            oldest.map(Series::drop_oldest_event);
        }
        Ok(AppendOutcome::Accepted { seq })
    }

    /// Gives up the sums that are past their retention, once a day.
    fn sweep(&mut self, at: Timestamp, config: &MemoryConfig) {
        if at < self.swept_at.plus(Duration::from_secs(24 * 60 * 60)) {
            return;
        }
        self.swept_at = at;
        let floor = at.minus(config.retention.max(config.window));
        for series in &mut self.series {
            series.drop_cells(floor);
        }
    }

    fn find(&self, tenant: TenantId, meter: &MeterId) -> Option<&Series> {
        self.tenants.get(&tenant)?.get(meter).and_then(|number| self.series.get(*number))
    }
}

fn range(period: Period) -> Range<Timestamp> {
    period.start()..period.end()
}

fn unanswerable(operation: &'static str, gap: Gap) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, "memory", operation).with_source(gap)
}

#[cfg(test)]
mod tests;
