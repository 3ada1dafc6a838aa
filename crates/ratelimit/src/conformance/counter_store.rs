//! The suite of [`CounterStore`].

mod calendar;
mod model;
mod questions;
mod races;
mod settling;

use std::sync::Arc;
use std::time::Duration;

use self::model::Model;
use self::questions::{
    NOON, bucket, charge, decide, each, fits, has, later, left, log, observe, peek, remaining, retries,
    sliding, tenant, window,
};
use crate::{Call, Charge, CounterStore, Edges, Frame, Kernel, Limit, Slot};

suite! { $
    /// Runs the suite of `CounterStore`: `counter_store_conformance!(mod memory_counter_store, factory());`, where the factory is an
    /// expression that returns a future of an empty `Arc<dyn CounterStore>`.
    counter_store_conformance, counter_store, Arc<dyn CounterStore>;

    /// A counter gives its capacity and no more.
    a_counter_gives_its_capacity_and_no_more: store => {
        for (key, limit) in each(&*store, 3) {
            for expected in [2, 1, 0] {
                let outcome = decide(&*store, tenant(1), &[charge(key, limit, 1)], NOON).await;
                assert!(outcome.is_admitted());
                assert_eq!(remaining(&outcome), [expected]);
            }
            let outcome = decide(&*store, tenant(1), &[charge(key, limit, 1)], NOON).await;
            assert!(!outcome.is_admitted());
            assert_eq!((fits(&outcome), remaining(&outcome)), (vec![false], vec![0]));
        }
    }

    /// No charge is no refusal.
    no_charge_is_admitted: store => {
        let outcome = decide(&*store, tenant(2), &[], NOON).await;
        assert!(outcome.is_admitted() && outcome.standings().is_empty());
    }

    /// A charge costs what it says, and nothing when it says nothing.
    costs_are_counted: store => {
        for (key, limit) in each(&*store, 10) {
            let outcome = decide(&*store, tenant(3), &[charge(key, limit, 7)], NOON).await;
            assert_eq!(remaining(&outcome), [3]);
            assert!(!decide(&*store, tenant(3), &[charge(key, limit, 4)], NOON).await.is_admitted());
            let outcome = decide(&*store, tenant(3), &[charge(key, limit, 0)], NOON).await;
            assert!(outcome.is_admitted());
            assert_eq!(remaining(&outcome), [3]);
            assert!(decide(&*store, tenant(3), &[charge(key, limit, 3)], NOON).await.is_admitted());
            assert!(decide(&*store, tenant(3), &[charge(key, limit, 0)], NOON).await.is_admitted());
        }
    }

    /// A token bucket gives a token back as soon as it has come in, and tells when: ten a second are one per 100,000 µs.
    a_bucket_refills_steadily: store => {
        let limit = bucket(10, 10, 1);
        decide(&*store, tenant(4), &[charge(b"k", limit, 10)], NOON).await;
        let refused = decide(&*store, tenant(4), &[charge(b"k", limit, 1)], NOON).await;
        let standing = refused.standings().first().expect("one standing");
        assert_eq!(standing.retry_after, Some(Duration::from_micros(100_000)));
        assert_eq!(standing.reset_after, Duration::from_secs(1));
        let early = NOON.plus(Duration::from_micros(99_999));
        assert!(!decide(&*store, tenant(4), &[charge(b"k", limit, 1)], early).await.is_admitted());
        let due = NOON.plus(Duration::from_micros(100_000));
        assert!(decide(&*store, tenant(4), &[charge(b"k", limit, 1)], due).await.is_admitted());
        assert!(!decide(&*store, tenant(4), &[charge(b"k", limit, 1)], due).await.is_admitted());
    }

    /// A fixed window begins at zero at its first microsecond.
    a_window_begins_at_zero: store => {
        let limit = window(5, 60);
        let last = later(60).minus(Duration::from_micros(1));
        decide(&*store, tenant(5), &[charge(b"k", limit, 5)], NOON).await;
        let refused = decide(&*store, tenant(5), &[charge(b"k", limit, 1)], last).await;
        assert_eq!(refused.standings().first().expect("one").retry_after, Some(Duration::from_micros(1)));
        let next = decide(&*store, tenant(5), &[charge(b"k", limit, 1)], later(60)).await;
        assert_eq!((next.is_admitted(), remaining(&next)), (true, vec![4]));
        assert_eq!(next.standings().first().expect("one").reset_after, Duration::from_secs(60));
    }

    /// A window of the calendar ends where the caller says.
    a_window_of_the_calendar_is_the_callers: store => {
        let day = |start: u64, end: u64| {
            let (before, after) = (later(start).minus(Duration::from_secs(1)), later(end + 1));
            let edges = Edges::new([before, later(start), later(end), after]).expect("edges");
            Limit::fixed_window(2, Frame::Calendar(edges)).expect("a window")
        };
        // Two days, the second of 25 hours.
        let (first, second) = (day(0, 86_400), day(86_400, 176_400));
        decide(&*store, tenant(6), &[charge(b"k", first, 2)], later(10)).await;
        let refused = decide(&*store, tenant(6), &[charge(b"k", first, 1)], later(86_399)).await;
        assert_eq!(refused.standings().first().expect("one").retry_after, Some(Duration::from_secs(1)));
        let next = decide(&*store, tenant(6), &[charge(b"k", second, 2)], later(86_400)).await;
        assert!(next.is_admitted());
        assert_eq!(next.standings().first().expect("one").reset_after, Duration::from_secs(90_000));
        assert!(!decide(&*store, tenant(6), &[charge(b"k", second, 1)], later(176_399)).await.is_admitted());
    }

    /// A refusal takes nothing from any counter of the call, and tells what is left without it.
    a_refusal_takes_nothing: store => {
        let (wide, narrow) = (bucket(10, 10, 60), window(1, 60));
        let call = [charge(b"wide", wide, 1), charge(b"narrow", narrow, 1)];
        let first = decide(&*store, tenant(7), &call, NOON).await;
        assert_eq!((first.is_admitted(), remaining(&first)), (true, vec![9, 0]));
        for _ in 0..3 {
            let refused = decide(&*store, tenant(7), &call, NOON).await;
            assert!(!refused.is_admitted());
            assert_eq!((fits(&refused), remaining(&refused)), (vec![true, false], vec![9, 0]));
            assert_eq!(retries(&refused), [None, Some(Duration::from_secs(60))]);
        }
        assert_eq!(left(&*store, tenant(7), b"wide", wide, NOON).await, 9);
    }

    /// Every counter that refuses says for how long.
    all_that_refuse_say_so: store => {
        let (fast, slow) = (bucket(1, 1, 1), window(1, 60));
        let call = [charge(b"fast", fast, 1), charge(b"slow", slow, 1)];
        decide(&*store, tenant(8), &call, NOON).await;
        let refused = decide(&*store, tenant(8), &call, NOON).await;
        assert_eq!(retries(&refused), [Some(Duration::from_secs(1)), Some(Duration::from_secs(60))]);
    }

    /// A charge that only watches refuses nothing; it is taken when it fits and left out when it does not.
    what_only_watches_refuses_nothing: store => {
        let (watched, enforced) = (window(1, 60), window(3, 60));
        let call = [observe(b"watched", watched, 1), charge(b"enforced", enforced, 1)];
        let first = decide(&*store, tenant(9), &call, NOON).await;
        assert_eq!((first.is_admitted(), fits(&first), remaining(&first)), (true, vec![true, true], vec![0, 2]));
        let second = decide(&*store, tenant(9), &call, NOON).await;
        assert_eq!((second.is_admitted(), fits(&second), remaining(&second)), (true, vec![false, true], vec![0, 1]));
        decide(&*store, tenant(9), &[charge(b"enforced", enforced, 1)], NOON).await;
        let fresh = [observe(b"other", watched, 1), charge(b"enforced", enforced, 1)];
        assert!(!decide(&*store, tenant(9), &fresh, NOON).await.is_admitted());
        assert_eq!(left(&*store, tenant(9), b"other", watched, NOON).await, 1, "a refusal takes nothing here either");
    }

    /// What costs more than a full counter has never fits, and nobody is told to wait for it.
    what_never_fits_has_no_time_to_retry: store => {
        for (key, limit) in each(&*store, 3) {
            let refused = decide(&*store, tenant(10), &[charge(key, limit, 4)], NOON).await;
            assert!(!refused.is_admitted());
            assert_eq!(refused.standings().first().expect("one").retry_after, None);
            assert!(!decide(&*store, tenant(10), &[charge(key, limit, u64::MAX)], NOON).await.is_admitted());
            assert_eq!(left(&*store, tenant(10), key, limit, NOON).await, 3);
        }
    }

    /// A look takes nothing and answers as a decision would.
    a_look_takes_nothing: store => {
        for (key, limit) in each(&*store, 3) {
            for _ in 0..5 {
                let look = peek(&*store, tenant(11), &[charge(key, limit, 3)], NOON).await;
                assert!(look.is_admitted());
                assert_eq!(remaining(&look), [3]);
            }
            decide(&*store, tenant(11), &[charge(key, limit, 2)], NOON).await;
            let look = peek(&*store, tenant(11), &[charge(key, limit, 2)], NOON).await;
            assert_eq!((look.is_admitted(), fits(&look), remaining(&look)), (false, vec![false], vec![1]));
        }
    }

    /// A counter that was reset is new; others are as they were, and resetting what is not there does nothing.
    a_reset_counter_is_new: store => {
        let limit = window(3, 60);
        decide(&*store, tenant(12), &[charge(b"a", limit, 3), charge(b"b", limit, 2)], NOON).await;
        store.reset(tenant(12), b"a").await.expect("resets");
        store.reset(tenant(12), b"never used").await.expect("resets");
        store.reset(tenant(13), b"b").await.expect("resets");
        assert_eq!(left(&*store, tenant(12), b"a", limit, NOON).await, 3);
        assert_eq!(left(&*store, tenant(12), b"b", limit, NOON).await, 1);
    }

    /// Slots do not see each other's counters.
    slots_are_apart: store => {
        let limit = window(1, 60);
        for slot in [Slot::Edge, Slot::Platform, tenant(14), tenant(15)] {
            assert!(decide(&*store, slot, &[charge(b"k", limit, 1)], NOON).await.is_admitted(), "{slot}");
        }
        for slot in [Slot::Edge, Slot::Platform, tenant(14), tenant(15)] {
            assert!(!decide(&*store, slot, &[charge(b"k", limit, 1)], NOON).await.is_admitted(), "{slot}");
        }
    }

    /// Keys are any bytes, of any length up to 1 KiB, and each is a counter of its own.
    keys_are_exact: store => {
        let limit = window(1, 60);
        let keys: Vec<Vec<u8>> = [0, 1, 20, 21, 22, 37, 38, 39, 64, 255, 256, 1023, 1024]
            .into_iter()
            .flat_map(|length| [vec![0; length], vec![b'k'; length], [vec![b'k'; length], vec![0]].concat()])
            .chain([b"a:b".to_vec(), b"a".to_vec(), b"{a}".to_vec(), b"a\n".to_vec(), vec![0xff, 0xfe], "ä".into()])
            .filter(|key| key.len() <= 1024)
            .collect();
        let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
        for key in &distinct {
            assert!(decide(&*store, tenant(16), &[charge(key, limit, 1)], NOON).await.is_admitted(), "{key:?}");
        }
        for key in &distinct {
            assert!(!decide(&*store, tenant(16), &[charge(key, limit, 1)], NOON).await.is_admitted(), "{key:?}");
        }
    }

    /// A clock that goes backwards gives nothing back.
    a_clock_that_goes_backwards_gives_nothing_back: store => {
        for (key, limit) in each(&*store, 3) {
            decide(&*store, tenant(17), &[charge(key, limit, 3)], later(600)).await;
            for seconds in [599, 500, 0, 600] {
                let refused = decide(&*store, tenant(17), &[charge(key, limit, 1)], later(seconds)).await;
                assert!(!refused.is_admitted(), "{seconds}");
                let wait = refused.standings().first().expect("one").retry_after.expect("a time");
                assert!(wait >= Duration::from_secs(600 - seconds), "{seconds}: {wait:?}");
            }
        }
    }

    /// A changed limit keeps what is used, and is in force at once.
    a_changed_limit_keeps_what_is_used: store => {
        for (before, after, expected) in [
            (bucket(10, 10, 60), bucket(20, 20, 60), 12),
            (bucket(10, 10, 60), bucket(5, 5, 60), 0),
            // Slow to fast: eight tokens are in use, not the eight days that they would have taken to come back.
            (bucket(10, 1, 86_400), bucket(100, 100, 1), 92),
            (window(10, 60), window(20, 60), 12),
            (window(10, 60), window(5, 60), 0),
        ] {
            store.reset(tenant(18), b"k").await.expect("resets");
            decide(&*store, tenant(18), &[charge(b"k", before, 8)], NOON).await;
            assert_eq!(left(&*store, tenant(18), b"k", after, NOON).await, expected, "{before:?} {after:?}");
        }
    }

    /// A counter that was used long ago is new.
    what_was_used_long_ago_is_new: store => {
        for (key, limit) in each(&*store, 3) {
            decide(&*store, tenant(19), &[charge(key, limit, 3)], NOON).await;
            let outcome = decide(&*store, tenant(19), &[charge(key, limit, 3)], later(120)).await;
            assert!(outcome.is_admitted());
        }
    }

    /// Without a time the store decides by its own clock.
    without_a_time_the_store_has_its_own: store => {
        // A token a year: none comes back while this runs.
        let limit = bucket(5, 1, 31_536_000);
        for _ in 0..5 {
            assert!(decide(&*store, tenant(20), &[charge(b"k", limit, 1)], None).await.is_admitted());
        }
        let refused = decide(&*store, tenant(20), &[charge(b"k", limit, 1)], None).await;
        assert!(!refused.is_admitted());
        let wait = refused.standings().first().expect("one").retry_after.expect("a time");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(31_536_000), "{wait:?}");
        let look = peek(&*store, tenant(20), &[charge(b"k", limit, 1)], None).await;
        assert!(!look.is_admitted());
    }

    /// Four threads and 1,200 calls on a limit of 1,000 admit exactly 1,000.
    a_race_admits_exactly_the_limit: store => {
        races::a_race_admits_exactly_the_limit(store).await;
    }

    /// Two limits in one call, asked in either order by four threads: the lower one admits, and the higher is charged no more.
    a_race_over_two_counters_is_all_or_nothing: store => {
        races::a_race_over_two_counters_is_all_or_nothing(store).await;
    }

    /// Nobody sees one counter of a call charged and the other not.
    a_call_is_never_seen_in_part: store => {
        races::a_call_is_never_seen_in_part(store).await;
    }

    /// Random calls answer as the pure functions do, to the microsecond.
    random_calls_answer_like_the_pure_functions: store => {
        for seed in 0..20 {
            Model::new(seed).run(&*store, 150).await;
        }
    }

    /// Half a window on, half of what the window before has used still counts; the time to retry follows from that.
    a_sliding_window_forgets_the_window_before_evenly: store => {
        if !has(&*store, Kernel::SlidingWindow) {
            return;
        }
        let limit = sliding(10, 60);
        decide(&*store, tenant(24), &[charge(b"k", limit, 10)], later(59)).await;
        let half = decide(&*store, tenant(24), &[charge(b"k", limit, 5)], later(90)).await;
        assert_eq!((half.is_admitted(), remaining(&half)), (true, vec![0]));
        let refused = decide(&*store, tenant(24), &[charge(b"k", limit, 1)], later(90)).await;
        // Ten of the window before count for four in all when 24 of its 60 seconds are left: six seconds later.
        assert_eq!(retries(&refused), [Some(Duration::from_secs(6))]);
        assert!(decide(&*store, tenant(24), &[charge(b"k", limit, 1)], later(96)).await.is_admitted());
    }

    /// A log forgets a charge when it is a window old, and not a microsecond before.
    a_log_forgets_each_charge_when_it_is_a_window_old: store => {
        if !has(&*store, Kernel::Entries) {
            return;
        }
        let limit = log(3, 60);
        for at in [0, 10, 20] {
            assert!(decide(&*store, tenant(25), &[charge(b"k", limit, 1)], later(at)).await.is_admitted());
        }
        let refused = decide(&*store, tenant(25), &[charge(b"k", limit, 2)], later(30)).await;
        assert_eq!(retries(&refused), [Some(Duration::from_secs(40))], "the second of them ends at 70");
        let early = later(60).minus(Duration::from_micros(1));
        assert!(!decide(&*store, tenant(25), &[charge(b"k", limit, 1)], early).await.is_admitted());
        assert!(decide(&*store, tenant(25), &[charge(b"k", limit, 1)], later(60)).await.is_admitted());
        assert!(!decide(&*store, tenant(25), &[charge(b"k", limit, 1)], later(60)).await.is_admitted());
    }

    /// A lease is given back when its work ends, ends by itself when it does not, and is nobody else's to give back.
    leases_end_when_they_are_given_back_or_time_out: store => {
        settling::leases_end_when_they_are_given_back_or_time_out(store).await;
    }

    /// What waits in a queue goes one after the other; who does not wait gives the place back.
    a_queue_gives_each_its_turn: store => {
        settling::a_queue_gives_each_its_turn(store).await;
    }

    /// What asks to be charged in any case is charged when it fits, also where another counter refuses.
    a_refusal_takes_what_asks_for_it: store => {
        for (key, limit) in each(&*store, 3) {
            let narrow = window(1, 60);
            let insistent = Charge { charge_denied: true, ..charge(key, limit, 1) };
            let slot = tenant(28);
            let both = [insistent, charge(b"narrow", narrow, 1)];
            store.reset(slot, b"narrow").await.expect("resets");
            assert!(decide(&*store, slot, &both, NOON).await.is_admitted());
            let refused = decide(&*store, slot, &both, NOON).await;
            assert_eq!((refused.is_admitted(), fits(&refused), remaining(&refused)), (false, vec![true, false], vec![1, 0]));
            assert_eq!(left(&*store, slot, key, limit, NOON).await, 1);
            let look = peek(&*store, slot, &both, NOON).await;
            assert_eq!(remaining(&look), [1, 0], "a look takes nothing in any case");
        }
    }

    /// A correction adds and gives back, but never what has come back by itself.
    corrections_add_and_give_back: store => {
        settling::corrections_add_and_give_back(store).await;
    }

    /// More may be added than fits; then nothing does until so much has come back.
    a_correction_may_exceed_the_limit: store => {
        settling::a_correction_may_exceed_the_limit(store).await;
    }

    /// A hold is settled once, while it lasts; a refusal leaves none.
    a_hold_is_settled_once: store => {
        settling::a_hold_is_settled_once(store).await;
    }

    /// Of many that settle one hold at once, one does.
    a_race_settles_a_hold_once: store => {
        races::a_race_settles_a_hold_once(store).await;
    }

    /// An outcome tells the time it was decided by.
    an_outcome_tells_its_time: store => {
        let limit = window(5, 60);
        assert_eq!(decide(&*store, tenant(33), &[charge(b"k", limit, 1)], later(7)).await.at(), later(7));
        let charges = [charge(b"other", limit, 1)];
        let one = store.decide(tenant(33), &Call::new(&charges, None)).await.expect("decides").at();
        let other = store.decide(tenant(33), &Call::new(&charges, None)).await.expect("decides").at();
        assert!(one > NOON && one <= other, "{one} {other}");
    }

    /// Days of 23 and of 25 hours, and a February of 29 days, are as long as the rule's zone makes them, for an engine over the store.
    windows_are_as_long_as_the_calendar_makes_them: store => {
        calendar::windows_are_as_long_as_the_calendar_makes_them(store).await;
    }

    /// What the window before has used is forgotten evenly over such a window, however long it is.
    long_and_short_windows_forget_the_one_before_evenly: store => {
        calendar::long_and_short_windows_forget_the_one_before_evenly(store).await;
    }
}
