use proptest::prelude::*;

use super::*;

const NOON: i64 = 1_772_366_400_000_000; // 2026-03-01T12:00:00Z

fn at(micros_after_noon: i64) -> Timestamp {
    Timestamp::from_micros(NOON + micros_after_noon)
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn limit(capacity: u64, lasts: u64) -> EntryLimit {
    EntryLimit::new(capacity, micros(lasts)).unwrap()
}

fn entry(number: u128, until: i64, amount: u64) -> Entry {
    Entry { until: at(until), id: CallId::new(number), amount }
}

fn standing(limit: EntryLimit, entries: &Entries, now: i64, cost: u64) -> Standing {
    limit.standing(&entries.in_use(&limit, at(now), cost), at(now), cost)
}

#[test]
fn an_entry_counts_until_it_ends_and_not_a_microsecond_longer() {
    let (limit, mut entries) = (limit(3, 100), Entries::new());
    entries.add(entry(1, 100, 2));
    assert_eq!(standing(limit, &entries, 99, 0).remaining, 1);
    assert_eq!(standing(limit, &entries, 100, 0).remaining, 3);
    let refused = standing(limit, &entries, 40, 2);
    assert_eq!(
        (refused.fits, refused.retry_after, refused.reset_after),
        (false, Some(micros(60)), micros(60))
    );
}

#[test]
fn it_fits_when_as_many_have_ended_as_it_takes() {
    let (limit, mut entries) = (limit(10, 100), Entries::new());
    for (number, until) in [(1, 30), (2, 10), (3, 20), (4, 20)] {
        entries.add(entry(number, until, 2));
    }
    for (cost, wait) in [(3, 10), (4, 10), (5, 20), (8, 20), (9, 30), (10, 30)] {
        assert_eq!(standing(limit, &entries, 0, cost).retry_after, Some(micros(wait)), "{cost}");
    }
    assert_eq!(standing(limit, &entries, 0, 11).retry_after, None);
    assert!(standing(limit, &entries, 0, 2).fits);
}

#[test]
fn entries_stand_in_the_order_in_which_they_end() {
    let mut entries = Entries::new();
    let made = [(3, 30), (1, 10), (2, 10), (4, 20)].map(|(number, until)| entry(number, until, 1));
    made.into_iter().for_each(|entry| entries.add(entry));
    entries.add(entry(5, 5, 0));
    let order: Vec<u128> = entries.as_slice().iter().map(|entry| entry.id.number()).collect();
    assert_eq!(order, [1, 2, 4, 3], "and what takes nothing is no entry");
    entries.prune(at(9));
    assert_eq!(entries.as_slice().len(), 4);
    entries.prune(at(10));
    assert_eq!(entries.as_slice(), [entry(4, 20, 1), entry(3, 30, 1)]);
}

#[test]
fn who_has_the_id_ends_an_entry_sooner_in_part_or_as_a_whole_and_once() {
    let (limit, mut entries) = (limit(10, 100), Entries::new());
    entries.add(entry(1, 100, 4));
    entries.add(entry(2, 100, 5));
    let mut back = |number, units| {
        entries.settle(CallId::new(number), at(150), Adjustment::Return(units));
        standing(limit, &entries, 50, 0).remaining
    };
    assert_eq!(back(1, 1), 2);
    assert_eq!(back(3, 9), 2, "nobody has it");
    assert_eq!(back(1, 9), 5);
    assert_eq!(back(1, 9), 5, "it has ended");
    assert_eq!(back(2, 5), 10);
    assert_eq!(entries, Entries::new());
}

#[test]
fn what_is_added_lasts_as_long_as_its_entry_or_begins_a_new_one() {
    let (limit, mut entries) = (limit(10, 100), Entries::new());
    entries.add(entry(1, 100, 4));
    entries.settle(CallId::new(1), at(150), Adjustment::Add(20));
    let refused = standing(limit, &entries, 50, 1);
    assert_eq!((refused.remaining, refused.retry_after), (0, Some(micros(50))));
    assert_eq!(entries.as_slice(), [entry(1, 100, 24)]);
    // An entry that has ended stays so.
    entries.prune(at(100));
    entries.settle(CallId::new(1), at(220), Adjustment::Add(3));
    assert_eq!(entries.as_slice(), [entry(1, 220, 3)]);
    entries.settle(CallId::new(1), at(220), Adjustment::Add(u64::MAX));
    assert_eq!(standing(limit, &entries, 150, 1).remaining, 0);
    assert_eq!(standing(limit, &entries, 220, 0).remaining, 10);
}

#[test]
fn a_lowered_limit_applies_to_what_is_in_use() {
    let mut entries = Entries::new();
    for (number, until) in [(1, 10), (2, 20), (3, 30)] {
        entries.add(entry(number, until, 2));
    }
    assert_eq!(standing(limit(8, 100), &entries, 0, 0).remaining, 2);
    let lower = standing(limit(3, 100), &entries, 0, 1);
    assert_eq!((lower.fits, lower.remaining, lower.retry_after), (false, 0, Some(micros(20))));
    assert!(standing(limit(3, 100), &entries, 0, 0).fits);
}

#[test]
fn what_is_no_limit_does_not_construct() {
    const CENTURY: u64 = 3_155_760_000;
    for (capacity, lasts) in [
        (0, micros(1)),
        (10_001, micros(1)),
        (1, Duration::ZERO),
        (1, Duration::from_nanos(999)),
        (1, Duration::from_secs(CENTURY) + micros(1)),
        (1, Duration::MAX),
    ] {
        assert_eq!(EntryLimit::new(capacity, lasts), None, "{capacity} {lasts:?}");
    }
    assert!(EntryLimit::new(10_000, Duration::from_secs(CENTURY)).is_some());
}

/// The definition: all there is, in no order.
#[derive(Default)]
struct Reference(Vec<Entry>);

impl Reference {
    fn in_use(&self, now: Timestamp) -> u64 {
        self.0.iter().filter(|entry| entry.until > now).map(|entry| entry.amount).sum()
    }

    /// Whether it fits, what is left, and when it fits, found by looking at every end there is.
    fn standing(&self, limit: EntryLimit, now: Timestamp, cost: u64) -> (bool, u64, Option<Duration>) {
        let fits = |at| cost == 0 || self.in_use(at) + cost <= limit.capacity();
        let kept = self.in_use(now) + if fits(now) { cost } else { 0 };
        let ends = self.0.iter().map(|entry| entry.until).filter(|until| *until > now && fits(*until));
        let wait = if fits(now) { None } else { ends.min().map(|until| until.since(now)) };
        (fits(now), limit.capacity().saturating_sub(kept), wait)
    }
}

proptest! {
    #[test]
    fn it_counts_like_its_definition(
        capacities in prop::collection::vec(1_u64..20, 1..3), lasts in 1_u64..200,
        steps in prop::collection::vec((-20_i64..60, 0_u64..7, 0_u8..8, 0_usize..10), 1..80),
    ) {
        let (mut entries, mut reference, mut now) = (Entries::new(), Reference::default(), at(0));
        // What a clock has shown as ended may have been let go of, so the clock goes back only as far as nothing was.
        let mut pruned = at(-1_000_000);
        let mut capacity = capacities[0];
        for (number, (step, cost, what, other)) in (0_u128..).zip(steps) {
            now = Timestamp::from_micros(now.micros() + step).max(pruned);
            capacity = *capacities.get(other).unwrap_or(&capacity);
            let limit = limit(capacity, lasts);
            let of = CallId::new(number.saturating_sub(other.try_into().unwrap()));
            match what {
                0 => {
                    entries.prune(now);
                    pruned = now;
                    entries.settle(of, limit.until(now), Adjustment::Return(cost));
                    for entry in reference.0.iter_mut().filter(|entry| entry.id == of && entry.until > now) {
                        entry.amount = entry.amount.saturating_sub(cost);
                    }
                }
                1 if cost > 0 => {
                    entries.prune(now);
                    pruned = now;
                    entries.settle(of, limit.until(now), Adjustment::Add(cost));
                    let live = reference.0.iter_mut().find(|entry| entry.id == of && entry.until > now && entry.amount > 0);
                    match live {
                        Some(entry) => entry.amount += cost,
                        None => reference.0.push(Entry { until: limit.until(now), id: of, amount: cost }),
                    }
                }
                _ => {
                    let standing = standing(limit, &entries, now.micros() - NOON, cost);
                    let (fits, left, wait) = reference.standing(limit, now, cost);
                    prop_assert_eq!((standing.fits, standing.remaining), (fits, left));
                    prop_assert_eq!(standing.retry_after, wait.filter(|_| cost <= capacity));
                    if fits {
                        let entry = Entry { until: limit.until(now), id: CallId::new(number), amount: cost };
                        entries.add(entry);
                        reference.0.push(entry);
                    }
                }
            }
            prop_assert!(entries.as_slice().is_sorted());
        }
    }
}
