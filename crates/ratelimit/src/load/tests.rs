use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn load(permille: u16) -> Load {
    Load::try_from(permille).unwrap()
}

fn adaptive(floor_percent: u8, starts_at: u16, full_at: u16) -> Adaptive {
    Adaptive { floor_percent, starts_at: load(starts_at), full_at: load(full_at) }
}

/// Tells loads at their times and compares what is applied.
fn check(hysteresis: Hysteresis, told: &[(i64, u16, u16)]) {
    let signal = LoadSignal::new(hysteresis);
    for (millis, told, applied) in told {
        assert_eq!(signal.set(load(*told), at(*millis)), load(*applied), "{told} at {millis}");
        assert_eq!(signal.applied(), load(*applied));
    }
}

#[test]
fn a_load_rises_at_once_and_falls_when_it_has_been_lower_for_long_enough() {
    let hysteresis = Hysteresis { margin: load(100), hold_seconds: 2 };
    check(
        hysteresis,
        &[
            (0, 300, 300),
            (1, 900, 900),
            // Not lower by the margin, however long.
            (10_000, 801, 900),
            (20_000, 801, 900),
            (20_001, 800, 900),
            (22_000, 200, 900),
            // Two seconds lower: to the highest of these two seconds.
            (22_001, 500, 800),
            (22_002, 500, 800),
            (24_000, 500, 800),
            (24_001, 400, 500),
        ],
    );
}

#[test]
fn a_load_that_comes_back_begins_the_wait_anew() {
    let hysteresis = Hysteresis { margin: load(100), hold_seconds: 2 };
    check(
        hysteresis,
        &[(0, 900, 900), (1_000, 0, 900), (2_999, 850, 900), (3_000, 0, 900), (4_999, 0, 900), (5_000, 0, 0)],
    );
}

#[test]
fn without_margin_and_time_the_load_is_what_was_told() {
    let hysteresis = Hysteresis { margin: Load::IDLE, hold_seconds: 0 };
    check(hysteresis, &[(0, 900, 900), (0, 899, 899), (0, 0, 0), (1, 1, 1)]);
}

#[test]
fn a_clock_that_goes_backwards_lets_no_load_fall() {
    let hysteresis = Hysteresis { margin: load(100), hold_seconds: 2 };
    check(hysteresis, &[(10_000, 900, 900), (10_001, 0, 900), (0, 0, 900), (12_000, 0, 900), (12_001, 0, 0)]);
}

#[test]
fn a_limit_shrinks_evenly_between_the_two_loads() {
    let adaptive = adaptive(20, 500, 900);
    for (permille, factor) in [
        (0, 1000),
        (500, 1000),
        (501, 990),
        (505, 990),
        (506, 980),
        (700, 600),
        (899, 200),
        (900, 200),
        (1000, 200),
    ] {
        assert_eq!(adaptive.factor(load(permille)), factor, "{permille}");
    }
    let limit = Limit::token_bucket(70, 60, 60).unwrap();
    assert_eq!(adaptive.limit(&limit, load(400)), limit);
    assert_eq!(adaptive.limit(&limit, load(700)), Limit::token_bucket(42, 36, 60).unwrap());
    assert_eq!(adaptive.limit(&limit, Load::FULL), Limit::token_bucket(14, 12, 60).unwrap());
    let small = Limit::token_bucket(1, 1, 60).unwrap();
    assert_eq!(adaptive.limit(&small, Load::FULL), small, "never nothing");
}

#[test]
fn what_is_out_of_range_is_named() {
    let problem = |adaptive: Adaptive| adaptive.validate().unwrap_err().to_string();
    assert_eq!(adaptive(1, 0, 1).validate(), Ok(()));
    assert!(problem(adaptive(0, 500, 900)).starts_with("floor_percent: use 1 to 100"));
    assert!(problem(adaptive(101, 500, 900)).starts_with("floor_percent: "));
    assert_eq!(problem(adaptive(50, 900, 900)), "starts_at: use less than `full_at`");
    let read = serde_json::from_str::<Adaptive>;
    assert_eq!(read(r#"{"floor_percent":20}"#).unwrap(), adaptive(20, 500, 1000));
    assert!(read(r#"{"floor_percent":20,"starts_at":1001}"#).unwrap_err().to_string().contains("0 to 1000"));
    assert!(read(r#"{"floor_percent":20,"floor":1}"#).is_err());
    assert_eq!(serde_json::to_value(adaptive(20, 1, 2)).unwrap()["full_at"], 2);
    assert!(serde_json::from_str::<Hysteresis>(r#"{"hold":1}"#).is_err());
}

fn target(latency_ms: u32, in_flight: Option<u32>, smoothing: u8) -> LatencyTarget {
    let in_flight = in_flight.and_then(NonZeroU32::new);
    LatencyTarget { latency_ms: NonZeroU32::new(latency_ms).unwrap(), in_flight, smoothing }
}

#[test]
fn the_load_is_the_greater_part_of_latency_and_requests_in_flight() {
    let estimate = LatencyLoad::new(target(200, Some(40), 0));
    let sample = |millis, in_flight| estimate.sample(Duration::from_millis(millis), in_flight).permille();
    assert_eq!((estimate.load(0), estimate.load(10)), (Load::IDLE, load(250)));
    assert_eq!((sample(50, 0), sample(50, 20), sample(150, 20)), (250, 500, 750));
    assert_eq!((sample(200, 0), sample(9_000, 0), sample(0, 41)), (1000, 1000, 1000));
    assert_eq!(LatencyLoad::new(target(200, None, 0)).sample(Duration::MAX, u32::MAX), Load::FULL);
}

#[test]
fn the_mean_follows_by_one_part_in_so_many() {
    let estimate = LatencyLoad::new(target(100, None, 3));
    let sample = |micros| {
        estimate.sample(Duration::from_micros(micros), 0);
        estimate.mean().as_micros()
    };
    // An eighth of the way each time: 80,000, then up by 10,000, then down by an eighth of 90,000, rounded to the lower 256th.
    assert_eq!((sample(80_000), sample(160_000), sample(0), sample(0)), (80_000, 90_000, 78_750, 68_906));
}

#[test]
fn the_mean_comes_all_the_way_however_slowly() {
    let estimate = LatencyLoad::new(target(100, None, 12));
    let settle = |millis| {
        for _ in 0..40_000 {
            estimate.sample(Duration::from_millis(millis), 0);
        }
        estimate.mean().as_micros()
    };
    assert_eq!((settle(1), settle(0), settle(2)), (1_000, 0, 2_000));
}

#[test]
fn samples_of_many_threads_are_all_taken_in() {
    let estimate = LatencyLoad::new(target(1_000, None, 16));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    estimate.sample(Duration::from_millis(500), 0);
                }
            });
        }
    });
    assert_eq!(estimate.mean(), Duration::from_millis(500));
    assert_eq!(estimate.load(0), load(500));
}

proptest! {
    #[test]
    fn a_factor_never_grows_with_the_load_and_stays_within_its_bounds(
        floor in 1_u8..=100, starts_at in 0_u16..1000, span in 1_u16..=1000, loads in (0_u16..=1000, 0_u16..=1000),
    ) {
        let adaptive = adaptive(floor, starts_at, starts_at.saturating_add(span).min(1000));
        prop_assert_eq!(adaptive.validate(), Ok(()));
        let (low, high) = (load(loads.0.min(loads.1)), load(loads.0.max(loads.1)));
        let (at_low, at_high) = (adaptive.factor(low), adaptive.factor(high));
        prop_assert!(at_low >= at_high);
        prop_assert!((u32::from(floor) * 10..=1000).contains(&at_high) && at_high % 10 == 0);
        prop_assert_eq!(adaptive.factor(adaptive.starts_at), 1000);
        prop_assert_eq!(adaptive.factor(adaptive.full_at), u32::from(floor) * 10);
    }

    #[test]
    fn an_applied_load_was_told_and_is_at_least_the_highest_of_the_hold_time(
        steps in prop::collection::vec((0_i64..1_500, 0_u16..=1000), 1..80),
    ) {
        let hold = 3_000;
        let signal = LoadSignal::new(Hysteresis { margin: load(200), hold_seconds: 3 });
        let (mut now, mut told) = (0, Vec::new());
        for (step, permille) in steps {
            now += step;
            told.push((now, permille));
            let applied = signal.set(load(permille), at(now)).permille();
            prop_assert!(applied >= permille);
            prop_assert!(told.iter().any(|(_, told)| *told == applied));
            let recent = told.iter().filter(|(when, _)| now - when < hold).map(|(_, told)| *told).max();
            prop_assert!(applied >= recent.unwrap());
        }
    }
}
