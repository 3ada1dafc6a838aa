use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::{Either, select};
use stanchion_calendar::Period;
use stanchion_core::{
    Clock, Page, PageRequest, StoreError, StoreErrorKind, SystemScope, TenantId, Timer, Timestamp,
};
use stanchion_replica::{FullReason, Queue};
use tokio::sync::oneshot;

use crate::stats::Counters;
use crate::{
    AppendOutcome, Catalog, Config, Cost, Error, EventPosition, Filter, MeterId, MeterUsage, Outcome,
    Recorder, Refused, Rejection, Stats, StoredEvent, UsageEvent, UsageStore,
};

const SYSTEM: SystemScope = SystemScope::new("record usage of many tenants");

/// Takes usage in and says how much was used and what it costs. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    store: Arc<dyn UsageStore>,
    catalog: ArcSwap<Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<dyn Timer>,
    late_window: Duration,
    future_tolerance: Duration,
    commit_timeout: Duration,
    batch: usize,
    pub(crate) queue: Arc<Queue<Waiting>>,
    pub(crate) counters: Counters,
}

/// What waits for the recorder.
pub(crate) enum Waiting {
    /// An event that was checked when it was submitted.
    Checked(UsageEvent),
    /// An event that took a place of this tenant.
    Placed(TenantId, UsageEvent),
    /// The same, and somebody waits until it is kept.
    Awaited(TenantId, UsageEvent, oneshot::Sender<Outcome>),
    /// An event of this tenant that is made when the recorder takes it.
    Late(TenantId, Box<dyn FnOnce() -> UsageEvent + Send>),
}

/// A place in the queue that is kept for one event. Dropped unused, it is free again.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    tenant: TenantId,
    place: stanchion_replica::Place<Waiting>,
}

impl Engine {
    /// Sets up an engine and the recorder that carries what is submitted to the store.
    ///
    /// Events may be as late as the configuration and the store's window both allow.
    #[must_use]
    pub fn new(
        store: Arc<dyn UsageStore>,
        catalog: Catalog,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        config: Config,
    ) -> (Self, Recorder) {
        let queue = config.queue();
        let shared = Arc::new(Shared {
            late_window: config.late_window().min(store.window()),
            future_tolerance: config.future_tolerance(),
            commit_timeout: config.commit_timeout(),
            batch: queue.batch,
            store,
            catalog: ArcSwap::from_pointee(catalog),
            clock,
            timer,
            queue: Arc::new(Queue::new(queue)),
            counters: Counters::default(),
        });
        (Self { shared: Arc::clone(&shared) }, Recorder::new(shared))
    }

    /// Queues an event for the recorder. It is counted soon, provided that the recorder runs; what it is worth is known then only.
    ///
    /// # Errors
    /// [`Refused`] when the event cannot be counted, or there is no room.
    pub fn submit(&self, event: UsageEvent) -> Result<(), Refused> {
        if let Err(rejection) = self.shared.check(&event, event.tenant, self.shared.clock.now()) {
            self.shared.counters.rejected();
            return Err(Refused::Rejected(rejection));
        }
        let tenant = event.tenant;
        self.push(tenant, Waiting::Checked(event))
    }

    /// Queues an event of `tenant` that is made only when the recorder takes it, within the configured linger unless the store is
    /// slow. One that cannot be counted then is counted as rejected. `make` must not block.
    ///
    /// # Errors
    /// [`Refused`] when there is no room.
    pub fn submit_late(
        &self,
        tenant: TenantId,
        make: Box<dyn FnOnce() -> UsageEvent + Send>,
    ) -> Result<(), Refused> {
        self.push(tenant, Waiting::Late(tenant, make))
    }

    /// Takes a place for an event of `tenant` that will come, so that it is known beforehand that it can be taken.
    ///
    /// # Errors
    /// [`Refused`] when there is no room.
    pub fn reserve(&self, tenant: TenantId) -> Result<Place, Refused> {
        match self.shared.queue.reserve(tenant.into()) {
            Ok(place) => Ok(Place { shared: Arc::clone(&self.shared), tenant, place }),
            Err(reason) => Err(self.refuse(reason)),
        }
    }

    fn push(&self, tenant: TenantId, waiting: Waiting) -> Result<(), Refused> {
        match self.shared.queue.try_push(tenant.into(), waiting) {
            Ok(()) => {
                self.shared.counters.submitted();
                Ok(())
            }
            Err(full) => Err(self.refuse(full.reason)),
        }
    }

    fn refuse(&self, reason: FullReason) -> Refused {
        self.shared.counters.refused();
        match reason {
            FullReason::Capacity => Refused::Full,
            FullReason::Share => Refused::ShareFull,
            FullReason::Closed => Refused::Closed,
        }
    }

    /// Counts events now and says what became of each, in their order. Once it has returned, they are kept as durably as the store
    /// keeps anything.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be written. Any of the events may have been counted; sent again, those are duplicates.
    pub async fn record(&self, events: Vec<UsageEvent>) -> Result<Vec<Outcome>, Error> {
        let now = self.shared.clock.now();
        let mut outcomes = Vec::with_capacity(events.len());
        let mut good = Vec::with_capacity(events.len());
        for event in events {
            match self.shared.check(&event, event.tenant, now) {
                Ok(()) => {
                    outcomes.push(None);
                    good.push(event);
                }
                Err(reason) => outcomes.push(Some(Outcome::Rejected { reason })),
            }
        }
        let mut appended = Vec::with_capacity(good.len());
        for batch in good.chunks(self.shared.batch) {
            appended.extend(self.shared.append(batch).await.map_err(Error::Store)?);
        }
        let mut appended = appended.into_iter().map(Outcome::from);
        let outcomes: Vec<Outcome> =
            outcomes.into_iter().filter_map(|outcome| outcome.or_else(|| appended.next())).collect();
        self.shared.counters.came_out(outcomes.iter().copied());
        Ok(outcomes)
    }

    /// Refuses new events. The recorder ends once it has carried what was taken before.
    pub fn close(&self) {
        self.shared.queue.close();
    }

    /// Says how much of one meter, or of every meter that was used, was used in a period.
    ///
    /// # Errors
    /// [`Error::UnknownMeter`]; [`Error::Unanswerable`] when an exact answer is no longer possible; [`Error::Store`] when the store cannot
    /// be read.
    pub async fn usage(
        &self,
        tenant: TenantId,
        meter: Option<&MeterId>,
        period: Period,
    ) -> Result<Vec<MeterUsage>, Error> {
        let catalog = self.catalog();
        let Some(meter) = meter else {
            return Ok(catalog.usage(&self.shared.store.totals(tenant, period).await?));
        };
        let known = catalog.meter(meter).ok_or_else(|| Error::UnknownMeter(meter.clone()))?;
        let total = self.shared.store.total(tenant, meter, period, &Filter::default()).await?;
        Ok(vec![known.usage(total)])
    }

    /// Says how much of a meter a part of a tenant has used in a period.
    ///
    /// # Errors
    /// As [`Engine::usage`].
    pub async fn filtered_usage(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
    ) -> Result<MeterUsage, Error> {
        let catalog = self.catalog();
        let known = catalog.meter(meter).ok_or_else(|| Error::UnknownMeter(meter.clone()))?;
        Ok(known.usage(self.shared.store.total(tenant, meter, period, filter).await?))
    }

    /// Says what a period's usage costs by the catalog of now.
    ///
    /// # Errors
    /// As [`Engine::usage`]; [`Error::Price`] and [`Error::Money`] when an amount is too large to be stated.
    pub async fn cost(&self, tenant: TenantId, period: Period) -> Result<Cost, Error> {
        let totals = self.shared.store.totals(tenant, period).await?;
        self.catalog().cost(period, &totals)
    }

    /// Lists the single events that a meter's usage is made of, by their times.
    ///
    /// # Errors
    /// [`Error::Unanswerable`] when some of them are not kept any more; [`Error::InvalidPageKey`]; [`Error::Store`] when the store cannot
    /// be read.
    pub async fn events(
        &self,
        tenant: TenantId,
        meter: &MeterId,
        period: Period,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, Error> {
        page.key().map(str::parse::<EventPosition>).transpose()?;
        Ok(self.shared.store.events(tenant, meter, period, filter, page).await?)
    }

    /// Returns the catalog of now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog.load_full()
    }

    /// Replaces the catalog. Costs are worked out by the new one from now on, also those of the past; events of a meter that is gone
    /// are rejected.
    pub fn replace_catalog(&self, catalog: Catalog) {
        self.shared.catalog.store(Arc::new(catalog));
    }

    /// Returns what was counted since the engine was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.read(self.shared.queue.len())
    }
}

impl Place {
    /// Queues the event the place was kept for, also when the engine has been closed meanwhile. One that cannot be counted is
    /// counted as rejected.
    pub fn submit(self, event: UsageEvent) {
        self.shared.counters.submitted();
        self.place.push(Waiting::Placed(self.tenant, event));
    }

    /// Queues the event the place was kept for, and waits until it is kept, no longer than the configuration says. Events that wait
    /// together are appended together.
    ///
    /// # Errors
    /// [`Error::Late`] when it took too long; the event may still be counted.
    pub async fn commit(self, event: UsageEvent) -> Result<Outcome, Error> {
        let (reply, kept) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        shared.counters.submitted();
        self.place.push(Waiting::Awaited(self.tenant, event, reply));
        let deadline = shared.clock.now().plus(shared.commit_timeout);
        match select(kept, shared.timer.sleep_until(deadline)).await {
            Either::Left((Ok(outcome), _)) => Ok(outcome),
            _ => Err(Error::Late),
        }
    }

    /// Queues an event that is made only when the recorder takes it; as [`Engine::submit_late`].
    pub fn submit_late(self, make: Box<dyn FnOnce() -> UsageEvent + Send>) {
        self.shared.counters.submitted();
        self.place.push(Waiting::Late(self.tenant, make));
    }
}

impl Shared {
    /// Tells whether an event can be counted for `tenant`, received at `now`.
    pub(crate) fn check(
        &self,
        event: &UsageEvent,
        tenant: TenantId,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        event.check()?;
        if event.tenant != tenant {
            Err(Rejection::OtherTenant)
        } else if self.catalog.load().meter(&event.meter).is_none() {
            Err(Rejection::UnknownMeter)
        } else if event.time < now.minus(self.late_window) {
            Err(Rejection::TooLate)
        } else if event.time > now.plus(self.future_tolerance) {
            Err(Rejection::InFuture)
        } else {
            Ok(())
        }
    }

    pub(crate) async fn append(&self, batch: &[UsageEvent]) -> Result<Vec<AppendOutcome>, StoreError> {
        let appended = self.store.append(SYSTEM, batch, self.clock.now()).await;
        let outcomes = appended.inspect_err(|_| self.counters.failed())?;
        if outcomes.len() == batch.len() {
            Ok(outcomes)
        } else {
            self.counters.failed();
            let error = StoreError::new(StoreErrorKind::Corrupt, "adapter", "append");
            Err(error.with_source("the store did not say of every event what became of it"))
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked(event) | Self::Placed(_, event) | Self::Awaited(_, event, _) => event.fmt(f),
            Self::Late(tenant, _) => f.debug_tuple("Late").field(tenant).finish(),
        }
    }
}

#[cfg(test)]
mod tests;
