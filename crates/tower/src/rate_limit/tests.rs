use proptest::prelude::*;
use sfv::{BareItem, Item, List, ListEntry, Parser};
use stanchion_core::SeededRandom;

use super::*;

/// 1 000 000.9 s after the beginning of Unix time.
const NOW: Timestamp = Timestamp::from_micros(1_000_000_900_000);

fn policy(name: &'static str, limit: u64, remaining: u64, window: u64, reset_millis: u64) -> RateLimitPolicy {
    let reset_after = Duration::from_millis(reset_millis);
    RateLimitPolicy {
        window: Some(Duration::from_secs(window)),
        ..RateLimitPolicy::new(name, limit, remaining, reset_after)
    }
}

/// The draft's own example: 50 of 100 a minute are left for the next half minute.
fn half_used() -> RateLimitFields {
    RateLimitFields { policies: vec![policy("burst", 100, 50, 60, 30_000)], ..RateLimitFields::default() }
}

fn written(fields: &RateLimitFields) -> Vec<String> {
    let mut headers = HeaderMap::new();
    fields.write(&mut headers, NOW);
    let mut lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

fn check(fields: &RateLimitFields, dialects: &[Dialect], lines: &[&str]) {
    let dialects = Dialects::new(dialects.iter().copied()).unwrap();
    assert_eq!(written(&RateLimitFields { dialects, ..fields.clone() }), lines);
}

#[test]
fn every_limit_is_told_and_the_tightest_also_to_older_clients() {
    let fields = RateLimitFields {
        policies: vec![policy("burst", 5, 0, 1, 200), policy("day", 1000, 990, 86_400, 43_200_000)],
        retry_after: Some(Duration::from_millis(1)),
        ..RateLimitFields::default()
    };
    let lines = [
        r#"ratelimit-policy: "burst";q=5;w=1, "day";q=1000;w=86400"#,
        r#"ratelimit: "burst";r=0;t=1, "day";r=990;t=43200"#,
        "retry-after: 1",
        "x-ratelimit-limit: 5",
        "x-ratelimit-remaining: 0",
        // 1 000 000.9 s + 0.2 s = 1 000 001.1 s, rounded up.
        "x-ratelimit-reset: 1000002",
    ];
    assert_eq!(written(&fields), lines);
    check(&fields, &[Dialect::LegacyUnix, Dialect::Draft10], &lines);
}

#[test]
fn each_dialect_has_its_own_words() {
    let fields = RateLimitFields { cost: Some(2), ..half_used() };
    check(
        &fields,
        &[Dialect::Draft10],
        &[r#"ratelimit-policy: "burst";q=100;w=60"#, r#"ratelimit: "burst";r=50;t=30"#],
    );
    check(
        &fields,
        &[Dialect::Pull166],
        &[r#"ratelimit-policy: "burst";q=100;w=60"#, r#"ratelimit: "burst";a=50;w=30;c=2"#],
    );
    check(
        &fields,
        &[Dialect::LegacyUnix],
        &["x-ratelimit-limit: 100", "x-ratelimit-remaining: 50", "x-ratelimit-reset: 1000031"],
    );
    check(
        &fields,
        &[Dialect::LegacyDelta],
        &["x-ratelimit-limit: 100", "x-ratelimit-remaining: 50", "x-ratelimit-reset: 30"],
    );
    check(&fields, &[], &[]);
}

#[test]
fn units_and_partition_keys_are_told_where_there_are_some() {
    // Of the examples in draft -10 §3.2 and §4.2, and in §4.2 of pull request 166.
    let per_user = RateLimitPolicy {
        unit: QuotaUnit::ContentBytes,
        partition_key: Some(Bytes::from_static(b"App-999")),
        ..policy("peruser", 65_535, 300, 10, 60_000)
    };
    let at_once = RateLimitPolicy {
        unit: QuotaUnit::ConcurrentRequests,
        partition_key: Some(Bytes::from_static(b"GET\x1falice")),
        ..RateLimitPolicy::new("at-once", 8, 3, Duration::ZERO)
    };
    let fields = RateLimitFields { policies: vec![per_user, at_once], ..RateLimitFields::default() };
    let policies = concat!(
        r#"ratelimit-policy: "peruser";q=65535;qu="content-bytes";w=10;pk=:QXBwLTk5OQ==:, "#,
        r#""at-once";q=8;qu="concurrent-requests";pk=:R0VUH2FsaWNl:"#,
    );
    let limits = concat!(
        r#"ratelimit: "peruser";r=300;t=60;pk=:QXBwLTk5OQ==:, "#,
        r#""at-once";r=3;t=0;pk=:R0VUH2FsaWNl:"#,
    );
    check(&fields, &[Dialect::Draft10], &[policies, limits]);
}

#[test]
fn a_client_that_waits_as_told_is_not_early() {
    let refusing = |retry_millis| RateLimitPolicy {
        retry_after: Some(Duration::from_millis(retry_millis)),
        ..policy("hour", 100, 0, 3600, 3_600_000)
    };
    let check = |policies: Vec<RateLimitPolicy>, retry_millis, time: &str, retry: &str| {
        let retry_after = Some(Duration::from_millis(retry_millis));
        let fields = RateLimitFields { policies, retry_after, ..RateLimitFields::default() };
        let mut headers = HeaderMap::new();
        fields.write(&mut headers, NOW);
        let told = headers["ratelimit"].to_str().unwrap();
        assert!(told.ends_with(&format!(";t={time}")), "{told}");
        assert_eq!(headers["retry-after"], retry);
    };
    // A hundred an hour: what is used up has one again after 36 s, not after the whole hour.
    check(vec![refusing(36_000)], 36_000, "36", "36");
    check(vec![refusing(36_001)], 36_001, "37", "37");
    check(vec![refusing(0)], 0, "0", "1");
    check(vec![refusing(5_001)], 4_000, "6", "6");
    check(vec![refusing(1_000), refusing(2_500)], 1_000, "3", "3");
}

#[test]
fn limits_further_in_are_replaced_or_joined() {
    let inner = RateLimitFields { policies: vec![policy("inner", 10, 4, 60, 5_000)], ..half_used() };
    let check = |outer: RateLimitPolicy, tightest: &str| {
        let outer = RateLimitFields { policies: vec![outer], ..half_used() };
        let mut headers = HeaderMap::new();
        inner.write(&mut headers, NOW);
        outer.join(&mut headers, NOW);
        let lines: Vec<_> = headers.get_all("ratelimit").iter().collect();
        assert_eq!(lines, [r#""inner";r=4;t=5"#, r#""outer";r=50;t=30"#]);
        assert_eq!(read(&headers, "ratelimit-policy").len(), 2);
        assert_eq!(headers["x-ratelimit-limit"], tightest);
        assert_eq!(headers.get_all("x-ratelimit-limit").iter().count(), 1);
        outer.write(&mut headers, NOW);
        assert_eq!(read(&headers, "ratelimit").len(), 1);
        assert_eq!(headers["x-ratelimit-limit"].to_str().unwrap(), outer.policies[0].limit.to_string());
        RateLimitFields::default().write(&mut headers, NOW);
        assert_eq!(headers.len(), 5, "what is there stays where there is nothing to say");
    };
    check(policy("outer", 100, 50, 60, 30_000), "10");
    check(policy("outer", 200, 50, 60, 30_000), "200");
    check(policy("outer", 125, 50, 60, 30_000), "10");
}

#[test]
fn a_limit_that_gives_no_time_promises_none() {
    let fields =
        RateLimitFields { policies: vec![policy("burst", 5, 5, 1, 0)], ..RateLimitFields::default() };
    assert!(!written(&fields).iter().any(|line| line.starts_with("retry-after")));
}

#[test]
fn times_are_put_off_together_and_by_no_more_than_said() {
    let refusing = RateLimitPolicy {
        retry_after: Some(Duration::from_secs(36)),
        ..policy("hour", 100, 0, 3600, 3_600_000)
    };
    let fields = RateLimitFields {
        policies: vec![refusing],
        retry_after: Some(Duration::from_secs(36)),
        ..RateLimitFields::default()
    };
    let most = Duration::from_secs(10);
    let random = SeededRandom::new(7);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut fields = fields.clone();
        fields.spread(most, &random);
        let later = fields.retry_after.unwrap() - Duration::from_secs(36);
        assert!(later < most);
        assert_eq!(fields.policies[0].retry_after, fields.retry_after);
        assert_eq!(fields.policies[0].reset_after, Duration::from_secs(3600) + later);
        seen.insert(later.as_secs());
    }
    assert!(seen.len() >= 8, "{seen:?}");
}

#[test]
fn names_that_no_field_can_hold_are_left_out_and_others_are_escaped() {
    let odd =
        ["a\"b", "back\\slash", "", "caf\u{e9}", "line\nbreak", "tab\t", "nul\0", "\u{7f}", " a, b;c=1 "];
    let policies = odd.map(|name| policy(name, 10, 5, 60, 1_000)).to_vec();
    let fields = RateLimitFields { policies, ..RateLimitFields::default() };
    let limits = r#"ratelimit: "a\"b";r=5;t=1, "back\\slash";r=5;t=1, "";r=5;t=1, " a, b;c=1 ";r=5;t=1"#;
    let policies = r#"ratelimit-policy: "a\"b";q=10;w=60, "back\\slash";q=10;w=60, "";q=10;w=60, " a, b;c=1 ";q=10;w=60"#;
    check(&fields, &[Dialect::Draft10], &[policies, limits]);

    let unspeakable = RateLimitFields { policies: vec![policy("é", 10, 5, 60, 1_000)], ..half_used() };
    check(&unspeakable, &[Dialect::Draft10], &[]);
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0..10_000_000_u64).prop_map(Duration::from_micros),
        any::<u64>().prop_map(Duration::from_micros),
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, any::<u64>(), Just(MOST), Just(MOST + 1), Just(u64::MAX)]
}

prop_compose! {
    fn any_policy()(
        name in prop_oneof!["[ -~]{0,12}", any::<String>()],
        limit in number(),
        remaining in number(),
        unit in prop_oneof![
            Just(QuotaUnit::Requests), Just(QuotaUnit::ContentBytes), Just(QuotaUnit::ConcurrentRequests),
        ],
        window in proptest::option::of(duration()),
        reset_after in duration(),
        retry_after in proptest::option::of(duration()),
        partition_key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
    ) -> RateLimitPolicy {
        let partition_key = partition_key.map(Bytes::from);
        RateLimitPolicy {
            name: name.into(), limit, unit, window, remaining, reset_after, retry_after, partition_key,
        }
    }
}

/// A field as an independent reader of RFC 9651 sees it.
fn read(headers: &HeaderMap, name: &str) -> Vec<Item> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let list: List = Parser::new(&lines.join(&b", "[..])).parse().unwrap();
    let item = |entry| match entry {
        ListEntry::Item(item) => item,
        ListEntry::InnerList(_) => panic!("an inner list"),
    };
    list.into_iter().map(item).collect()
}

fn text(item: &BareItem) -> &str {
    item.as_string().unwrap().as_str()
}

fn parameter(item: &Item, name: &str) -> Option<u64> {
    item.params.get(name).map(|value| i64::from(value.as_integer().unwrap()).unsigned_abs())
}

/// Whole seconds by division, rounded up.
fn ceil(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX).min(MOST)
}

proptest! {
    #[test]
    fn whatever_is_told_reads_back(
        policies in proptest::collection::vec(any_policy(), 0..6),
        retry_after in proptest::option::of(duration()),
        cost in proptest::option::of(number()),
        pull in any::<bool>(),
    ) {
        let dialects = Dialects::from(if pull { Dialect::Pull166 } else { Dialect::Draft10 });
        let fields = RateLimitFields { policies, retry_after, cost, dialects };
        let mut headers = HeaderMap::new();
        fields.write(&mut headers, NOW);

        let (limits, stated) = (read(&headers, "ratelimit"), read(&headers, "ratelimit-policy"));
        let is_told = |policy: &&RateLimitPolicy| policy.name.as_str().bytes().all(|byte| (0x20..0x7f).contains(&byte));
        let told: Vec<&RateLimitPolicy> = fields.policies.iter().filter(is_told).collect();
        prop_assert_eq!(limits.len(), told.len());
        prop_assert_eq!(stated.len(), told.len());
        prop_assert_eq!(headers.contains_key("ratelimit"), !told.is_empty());

        let (remains, time) = if pull { ("a", "w") } else { ("r", "t") };
        for ((policy, limit), stated) in told.iter().zip(&limits).zip(&stated) {
            prop_assert_eq!(text(&limit.bare_item), policy.name.as_str());
            prop_assert_eq!(text(&stated.bare_item), policy.name.as_str());
            prop_assert_eq!(parameter(limit, remains), Some(policy.remaining.min(MOST)));
            let more_after = policy.retry_after.unwrap_or(policy.reset_after);
            prop_assert_eq!(parameter(limit, time), Some(ceil(more_after)));
            prop_assert_eq!(parameter(limit, "c"), if pull { cost.map(|cost| cost.min(MOST)) } else { None });
            prop_assert_eq!(parameter(stated, "q"), Some(policy.limit.min(MOST)));
            prop_assert_eq!(parameter(stated, "w"), policy.window.map(|window| ceil(window).max(1)));
            let unit = stated.params.get("qu").map(text);
            prop_assert_eq!(unit.is_none(), policy.unit == QuotaUnit::Requests);
            for item in [limit, stated] {
                let key = item.params.get("pk").map(|key| key.as_byte_sequence().unwrap());
                prop_assert_eq!(key, policy.partition_key.as_deref());
            }
        }
        match (retry_after, headers.get("retry-after")) {
            (None, None) => {}
            (Some(retry_after), Some(field)) => {
                let told: u64 = field.to_str().unwrap().parse().unwrap();
                prop_assert!(told >= 1 && told >= ceil(retry_after) && told <= MOST);
                let refusing = fields.policies.iter().filter_map(|policy| policy.retry_after);
                prop_assert!(refusing.map(ceil).all(|time| told >= time));
            }
            (expected, told) => prop_assert!(false, "{expected:?} {told:?}"),
        }
    }
}
