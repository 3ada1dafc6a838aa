use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use rust_decimal::Decimal;
use stanchion_calendar::Period;
use stanchion_core::{
    InvalidId, Page, PageRequest, StoreError, SubjectRef, SystemScope, TenantId, Timestamp,
};

use crate::{Dimensions, MeterId, UsageEvent};

/// Where usage events are kept and added up.
///
/// 1. An event is identified by its tenant, source and id, compared part by part. Appended the first time it is `Accepted`; again
///    with an equal payload (`==`) it is a `Duplicate`, with any other payload a `Conflict`. Only accepted events are ever counted.
///    Within a batch, the events before one count as appended.
/// 2. What was accepted is remembered for this at least as long as its time lies within [`window`](UsageStore::window) before the
///    `at` of an append. An event that lies before what is remembered is `TooLate`: it is refused rather than counted twice. An
///    adapter that runs out of room may remember less, and then answers `TooLate` sooner.
/// 3. Each event is kept wholly or not at all; a batch is no unit. When an append fails, any of its events may have been kept, and
///    the same batch may be appended again: those are then duplicates. Events of many tenants may share a batch.
/// 4. Once an append has returned, whatever is read later includes its events.
/// 5. A period contains its start and not its end, and only the time of an event decides. So the totals of the parts of a period add
///    up to its total.
/// 6. Totals are exact. What an adapter does not keep any more it refuses with `Unsupported`; it never answers short. Stored sums
///    are a cache of what is kept: without them every answer is the same.
/// 7. One tenant's calls neither read nor change what belongs to another.
/// 8. The numbers of accepted events are unique within their tenant. They are not an order of arrival or of commit.
/// 9. Events are listed by time, then number, with [`EventPosition`] as the page's key; a key that is none is `Corrupt`.
/// 10. Every event passes [`UsageEvent::check`]: its caller has seen to that. An adapter that cannot represent one that does not may
///     fail with `Unsupported`.
#[async_trait]
pub trait UsageStore: fmt::Debug + Send + Sync {
    /// Returns how far back events are told apart from what was appended before.
    fn window(&self) -> Duration;

    /// Keeps events that were not kept before and says what became of each, in their order. `at` is the present.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the store cannot be written, or has no room; some of the events may have been kept.
    async fn append(
        &self,
        system: SystemScope,
        batch: &[UsageEvent],
        at: Timestamp,
    ) -> Result<Vec<AppendOutcome>, StoreError>;

    /// Adds up a meter's events of a period that pass a filter; zero when there are none.
    ///
    /// # Errors
    /// `Unsupported` when some of them are not kept any more, or the sum is larger than a decimal; `Unavailable` or `Timeout` when the
    /// store cannot be read.
    async fn total(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
    ) -> Result<Total, StoreError>;

    /// Adds up every meter that has events in a period, in the order of the meters' ids, at one moment.
    ///
    /// # Errors
    /// As [`UsageStore::total`].
    async fn totals(&self, tenant: TenantId, period: Period) -> Result<Vec<MeterTotal>, StoreError>;

    /// Lists a meter's events of a period that pass a filter.
    ///
    /// # Errors
    /// `Unsupported` when some of the period's events are not kept any more; `Corrupt` for a page key that is none; `Unavailable` or
    /// `Timeout` when the store cannot be read.
    async fn events(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError>;
}

/// What an append made of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppendOutcome {
    /// It was kept.
    Accepted {
        /// Its number, unique within its tenant.
        seq: u64,
    },
    /// The same event was kept before.
    Duplicate,
    /// Another event with the same tenant, source and id was kept before.
    Conflict,
    /// It lies before what is remembered, so nobody can say whether it was kept before.
    TooLate,
}

/// Which events of a meter and period are meant. The default passes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this subject.
    pub subject: Option<SubjectRef>,
    /// Only those that have all of these dimensions.
    pub dimensions: Dimensions,
}

impl Filter {
    /// Tells whether an event passes.
    #[must_use]
    pub fn passes(&self, event: &UsageEvent) -> bool {
        (self.subject.is_none() || self.subject == event.subject)
            && event.dimensions.contains(&self.dimensions)
    }

    /// Tells whether every event passes.
    #[must_use]
    pub const fn passes_all(&self) -> bool {
        self.subject.is_none() && self.dimensions.is_empty()
    }
}

/// What events add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many there are.
    pub events: u64,
    /// The sum of their values.
    pub sum: Decimal,
}

/// What a meter's events add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterTotal {
    /// The meter.
    pub meter: MeterId,
    /// Its total.
    pub total: Total,
}

/// An event as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number, unique within its tenant.
    pub seq: u64,
    /// When it was appended.
    pub received_at: Timestamp,
    /// The event.
    pub event: UsageEvent,
}

impl StoredEvent {
    /// Returns its place in lists.
    #[must_use]
    pub const fn position(&self) -> EventPosition {
        EventPosition { time: self.event.time, seq: self.seq }
    }
}

/// The place of an event in the lists of its meter. Its text has a fixed width and sorts as the position does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPosition {
    /// The time of the event.
    pub time: Timestamp,
    /// Its number.
    pub seq: u64,
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_min = self.time.micros().saturating_sub(Timestamp::MIN.micros());
        write!(f, "{since_min:016x}-{:016x}", self.seq)
    }
}

impl FromStr for EventPosition {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("page key", "use the key that came with the page before", text);
        let (time, seq) = text.split_once('-').ok_or_else(invalid)?;
        if time.len() != 16 || seq.len() != 16 {
            return Err(invalid());
        }
        let since_min = i64::from_str_radix(time, 16).map_err(|_| invalid())?;
        let seq = u64::from_str_radix(seq, 16).map_err(|_| invalid())?;
        let time = Timestamp::from_micros(Timestamp::MIN.micros().saturating_add(since_min));
        Ok(Self { time, seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_and_their_texts_sort_as_they_do() {
        let times = [Timestamp::MIN, Timestamp::from_micros(-1), Timestamp::EPOCH, Timestamp::MAX];
        let positions: Vec<_> = times
            .iter()
            .flat_map(|time| [0, 9, 10, u64::MAX].map(|seq| EventPosition { time: *time, seq }))
            .collect();
        let texts: Vec<_> = positions.iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted());
        assert!(texts.iter().zip(&positions).all(|(text, position)| text.parse() == Ok(*position)));
        for bad in ["", "1-2", "000000000000000g-0000000000000000"] {
            assert!(bad.parse::<EventPosition>().is_err(), "{bad}");
        }
    }
}
