use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use stanchion_core::Timestamp;

use crate::decimal::from_units;
use crate::{EventPosition, Filter, StoredEvent, Total};

/// The length of a cell. Every time zone in use is a whole number of quarter hours from UTC, so local days and months end with one.
const CELL: Duration = Duration::from_secs(15 * 60);
const CELL_MICROS: i64 = 15 * 60 * 1_000_000;

/// One meter of one tenant: sums by the quarter hour, and the latest single events.
#[derive(Debug)]
pub(super) struct Series {
    cells: BTreeMap<i64, Cell>,
    /// No cell before this has been given up.
    cells_from: Timestamp,
    /// In the order of their arrival.
    events: VecDeque<StoredEvent>,
    /// No single event from here on has been given up.
    events_from: Timestamp,
}

/// What lies in one quarter hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    sum: Sum,
    first: Timestamp,
    last: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    events: u64,
    units: i128,
}

/// Why a question has no exact answer any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Gap {
    #[error(
        "single events of this period are no longer kept: ask for whole quarter hours and without a filter"
    )]
    Events,
    #[error("usage before {0} is no longer kept")]
    Usage(Timestamp),
    #[error("the total is larger than a decimal can hold")]
    TooLarge,
}

impl Series {
    pub(super) const fn new() -> Self {
        Self {
            cells: BTreeMap::new(),
            cells_from: Timestamp::MIN,
            events: VecDeque::new(),
            events_from: Timestamp::MIN,
        }
    }

    /// Counts an event and keeps it; says no, changing nothing, when the sum of its cell would be too large.
    pub(super) fn push(&mut self, event: StoredEvent, units: i128) -> Result<(), Gap> {
        self.count(event.event.time, units)?;
        self.events.push_back(event);
        Ok(())
    }

    /// Adds the sums up again from the single events; the same as before as long as all of those are here.
    #[cfg(test)]
    pub(super) fn rebuild_cells(&mut self) {
        self.cells.clear();
        for kept in self.events.clone() {
            self.count(kept.event.time, crate::decimal::to_units(kept.event.value).unwrap()).unwrap();
        }
    }

    fn count(&mut self, time: Timestamp, units: i128) -> Result<(), Gap> {
        let one = Sum { events: 1, units };
        let cell =
            self.cells.entry(cell_of(time)).or_insert(Cell { sum: Sum::default(), first: time, last: time });
        cell.sum = cell.sum.plus(one)?;
        cell.first = cell.first.min(time);
        cell.last = cell.last.max(time);
        Ok(())
    }

    /// Gives up the single event that came first; its sum stays.
    pub(super) fn drop_oldest_event(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            self.events_from = self.events_from.max(oldest.event.time.plus(Duration::from_micros(1)));
        }
    }

    /// Gives up the cells that end before `floor`.
    pub(super) fn drop_cells(&mut self, floor: Timestamp) {
        let floor = cell_of(floor);
        if self.cells.first_key_value().is_some_and(|(first, _)| *first < floor) {
            self.cells = self.cells.split_off(&floor);
            self.cells_from = Timestamp::from_micros(floor.saturating_mul(CELL_MICROS));
        }
    }

    pub(super) fn total(&self, period: Range<Timestamp>, filter: &Filter) -> Result<Total, Gap> {
        let sum = if filter.passes_all() { self.sum(period)? } else { self.sum_of_events(period, filter)? };
        Ok(Total { events: sum.events, sum: from_units(sum.units).ok_or(Gap::TooLarge)? })
    }

    fn sum(&self, period: Range<Timestamp>) -> Result<Sum, Gap> {
        if period.start < self.cells_from {
            return Err(Gap::Usage(self.cells_from));
        }
        let mut sum = Sum::default();
        for (number, cell) in self.cells_of(&period) {
            if period.start <= cell.first && cell.last < period.end {
                sum = sum.plus(cell.sum)?;
            } else if cell.overlaps(&period) {
                let start = Timestamp::from_micros(number.saturating_mul(CELL_MICROS));
                let part = start.max(period.start)..start.plus(CELL).min(period.end);
                sum = sum.plus(self.sum_of_events(part, &Filter::default())?)?;
            }
        }
        Ok(sum)
    }

    fn sum_of_events(&self, period: Range<Timestamp>, filter: &Filter) -> Result<Sum, Gap> {
        self.check_events(&period)?;
        let mut sum = Sum::default();
        for kept in self.events.iter().filter(|kept| is_meant(kept, &period, filter)) {
            let units = crate::decimal::to_units(kept.event.value).ok_or(Gap::TooLarge)?;
            sum = sum.plus(Sum { events: 1, units })?;
        }
        Ok(sum)
    }

    /// Returns the first events after a position, at most `limit`, in order.
    pub(super) fn list(
        &self,
        period: &Range<Timestamp>,
        filter: &Filter,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<&StoredEvent>, Gap> {
        self.check_events(period)?;
        let is_after = |kept: &StoredEvent| after.is_none_or(|after| kept.position() > after);
        let meant = self.events.iter().filter(|kept| is_meant(kept, period, filter) && is_after(kept));
        let mut found: Vec<&StoredEvent> = meant.collect();
        if found.len() > limit {
            found.select_nth_unstable_by_key(limit, |kept| kept.position());
            found.truncate(limit);
        }
        found.sort_unstable_by_key(|kept| kept.position());
        Ok(found)
    }

    /// Makes sure that every single event of a period is still here.
    fn check_events(&self, period: &Range<Timestamp>) -> Result<(), Gap> {
        if self.events_from <= period.start {
            return Ok(());
        }
        let doubtful = period.start..period.end.min(self.events_from);
        if doubtful.start < self.cells_from
            || self.cells_of(&doubtful).any(|(_, cell)| cell.overlaps(&doubtful))
        {
            return Err(Gap::Events);
        }
        Ok(())
    }

    fn cells_of(&self, period: &Range<Timestamp>) -> impl Iterator<Item = (i64, &Cell)> {
        let first = cell_of(period.start);
        // The instant before the end; an empty period has no cells.
        let past = cell_of(period.end.minus(Duration::from_micros(1))).saturating_add(1);
        let past = if period.is_empty() { first } else { past };
        self.cells.range(first..past).map(|(number, cell)| (*number, cell))
    }
}

impl Cell {
    fn overlaps(&self, period: &Range<Timestamp>) -> bool {
        self.first < period.end && period.start <= self.last
    }
}

impl Sum {
    fn plus(self, other: Self) -> Result<Self, Gap> {
        let events = self.events.checked_add(other.events).ok_or(Gap::TooLarge)?;
        let units = self.units.checked_add(other.units).ok_or(Gap::TooLarge)?;
        Ok(Self { events, units })
    }
}

const fn cell_of(time: Timestamp) -> i64 {
    time.micros().div_euclid(CELL_MICROS)
}

fn is_meant(kept: &StoredEvent, period: &Range<Timestamp>, filter: &Filter) -> bool {
    period.contains(&kept.event.time) && filter.passes(&kept.event)
}
