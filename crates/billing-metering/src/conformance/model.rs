use std::collections::BTreeMap;
use std::time::Duration;

use stanchion_calendar::Period;
use stanchion_core::{SeededRandom, SubjectRef, TenantId, Text, Timestamp};

use super::fixture::{AT, Store, append, decimal, list, meter, period};
use crate::{AppendOutcome, Filter, MeterId, Total, UsageEvent};

const STEPS: usize = 150;
const SPAN_MICROS: u64 = 3 * 60 * 60 * 1_000_000;

/// A store under random work, and the plain list of what it must hold.
struct Model<'a> {
    store: &'a Store,
    random: &'a SeededRandom,
    tenants: [TenantId; 2],
    /// Every event that was accepted, by what identifies it.
    kept: BTreeMap<(TenantId, Text, Text), UsageEvent>,
}

pub(super) async fn run(store: &Store, random: &SeededRandom, tenants: [TenantId; 2]) {
    let mut model = Model { store, random, tenants, kept: BTreeMap::new() };
    for _ in 0..STEPS {
        match model.below(4) {
            0 | 1 => model.append().await,
            2 => model.ask_totals().await,
            _ => model.ask_list().await,
        }
    }
}

impl Model<'_> {
    async fn append(&mut self) {
        let mut batch: Vec<UsageEvent> = (0..self.below(12)).map(|_| self.event()).collect();
        // One that is surely there already.
        batch.extend(self.kept.values().nth(self.below(400)).cloned());
        let expected: Vec<_> = batch.iter().map(|event| self.keep(event)).collect();
        let outcomes = append(self.store, &batch).await;
        let matches = outcomes.iter().zip(&expected).all(|(outcome, expected)| match outcome {
            AppendOutcome::Accepted { .. } => expected.is_none(),
            other => Some(*other) == *expected,
        });
        assert!(matches, "{outcomes:?} for {batch:#?}, expected {expected:?}");
    }

    async fn ask_totals(&self) {
        let (one, other) = (self.instant(), self.instant());
        let period = period(one.min(other), one.max(other).plus(Duration::from_micros(1)));
        let tenant = self.one(&self.tenants);
        let mut expected = Vec::new();
        for meter in ["bytes", "calls"].map(meter) {
            let filter = self.filter();
            let total = self.store.total(tenant, &meter, period, &filter).await.expect("reads");
            assert_eq!(
                total,
                self.total(tenant, &meter, period, &filter),
                "{tenant} {meter} {period:?} {filter:?}"
            );
            let all = self.total(tenant, &meter, period, &Filter::default());
            expected.extend((all.events > 0).then_some((meter, all)));
        }
        let totals = self.store.totals(tenant, period).await.expect("reads");
        let totals: Vec<_> = totals.into_iter().map(|total| (total.meter, total.total)).collect();
        assert_eq!(totals, expected, "{tenant} {period:?}");
    }

    async fn ask_list(&self) {
        let period = period(AT.minus(Duration::from_micros(SPAN_MICROS / 2)), AT);
        let tenant = self.one(&self.tenants);
        let meter = meter(self.one(&["bytes", "calls"]));
        let filter = self.filter();
        let listed = list(self.store, tenant, &meter, period, &filter, self.below(9) + 1).await;
        let mut listed: Vec<UsageEvent> = listed.into_iter().map(|stored| stored.event).collect();
        let mut expected: Vec<UsageEvent> = self.meant(tenant, &meter, period, &filter).cloned().collect();
        for all in [&mut listed, &mut expected] {
            all.sort_by(|one, other| (&one.source, &one.id).cmp(&(&other.source, &other.id)));
        }
        assert_eq!(listed, expected, "{tenant} {meter} {filter:?}");
    }

    fn keep(&mut self, event: &UsageEvent) -> Option<AppendOutcome> {
        let key = (event.tenant, event.source.clone(), event.id.clone());
        match self.kept.get(&key) {
            Some(known) if known == event => Some(AppendOutcome::Duplicate),
            Some(_) => Some(AppendOutcome::Conflict),
            None => {
                self.kept.insert(key, event.clone());
                None
            }
        }
    }

    fn total(&self, tenant: TenantId, meter: &MeterId, period: Period, filter: &Filter) -> Total {
        self.meant(tenant, meter, period, filter).fold(Total::default(), |total, event| Total {
            events: total.events + 1,
            sum: total.sum + event.value,
        })
    }

    fn meant<'a>(
        &'a self,
        tenant: TenantId,
        meter: &'a MeterId,
        period: Period,
        filter: &'a Filter,
    ) -> impl Iterator<Item = &'a UsageEvent> {
        self.kept.values().filter(move |event| {
            event.tenant == tenant
                && event.meter == *meter
                && period.contains(event.time)
                && filter.passes(event)
        })
    }

    fn event(&self) -> UsageEvent {
        UsageEvent {
            tenant: self.one(&self.tenants),
            source: self.one(&["gateway", "batch"]).into(),
            id: self.below(400).to_string().into(),
            meter: meter(self.one(&["bytes", "calls"])),
            subject: self.subject(),
            time: self.one(&[AT, self.instant()]),
            value: decimal(self.one(&["0", "0.1", "2.500000000001", "700"])),
            dimensions: [("route", "chat"), ("region", "eu")].into_iter().skip(self.below(3)).collect(),
        }
    }

    fn filter(&self) -> Filter {
        Filter {
            subject: self.subject(),
            dimensions: [("region", "eu")].into_iter().take(self.below(2)).collect(),
        }
    }

    fn subject(&self) -> Option<SubjectRef> {
        self.one(&[None, Some("alice"), Some("bob")]).map(|name| SubjectRef::user(name).expect("a subject"))
    }

    fn instant(&self) -> Timestamp {
        AT.minus(Duration::from_micros(self.random.next_u64() % SPAN_MICROS))
    }

    fn one<T: Clone>(&self, choices: &[T]) -> T {
        choices.get(self.below(choices.len())).cloned().expect("within the choices")
    }

    fn below(&self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("fits");
        usize::try_from(self.random.next_u64() % bound).expect("below the bound")
    }
}
