mod walk;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap()
}

/// Walks over the edges from `after` on: at each of the times the schedule changes, and from then on it is as stated.
#[track_caller]
fn check(text: &str, after: &str, edges: &[(&str, bool)]) {
    let (schedule, mut now) = (schedule(text), at(after));
    for (edge, in_force) in edges {
        let next = schedule.next_edge(now);
        assert_eq!(
            next,
            Some(at(edge)),
            "{text} after {now}: got {}",
            next.map_or_else(String::new, |n| n.to_string())
        );
        now = at(edge);
        assert_eq!(schedule.contains(now), *in_force, "{text} at {edge}");
        let just_before = Timestamp::from_micros(now.micros() - 1);
        assert_eq!(schedule.contains(just_before), !in_force, "{text} just before {edge}");
    }
}

#[test]
fn friday_night_is_still_in_force_on_saturday_at_two() {
    // A seed looks at the day of the instant: Friday 22:00 to 06:00 then fails on Saturday at 02:00, and holds on Friday at 02:00.
    // 6 March 2026 is a Friday.
    let night = schedule("22:00-06:00 fri UTC");
    for (moment, in_force) in [
        ("2026-03-06T02:00:00Z", false),
        ("2026-03-06T21:59:59.999999Z", false),
        ("2026-03-06T22:00:00Z", true),
        ("2026-03-07T02:00:00Z", true),
        ("2026-03-07T05:59:59.999999Z", true),
        ("2026-03-07T06:00:00Z", false),
        ("2026-03-07T22:00:00Z", false),
        ("2026-03-08T02:00:00Z", false),
    ] {
        assert_eq!(night.contains(at(moment)), in_force, "{moment}");
    }
    check(
        "22:00-06:00 fri UTC",
        "2026-03-06T02:00:00Z",
        &[("2026-03-06T22:00:00Z", true), ("2026-03-07T06:00:00Z", false), ("2026-03-13T22:00:00Z", true)],
    );
}

#[test]
fn hours_alone_mean_every_day_not_monday_to_friday() {
    // A seed takes Monday to Friday when only hours are given. 7 and 8 March 2026 are a weekend.
    let office: Schedule = serde_json::from_str(r#"{"hours":"09:00-17:00"}"#).unwrap();
    assert!(office.contains(at("2026-03-07T12:00:00Z")) && office.contains(at("2026-03-08T12:00:00Z")));
    assert_eq!(office.days(), Days::EVERY);
}

#[test]
fn days_alone_mean_the_whole_day() {
    check(
        "sat,sun America/New_York",
        "2026-03-05T12:00:00-05:00",
        &[("2026-03-07T00:00:00-05:00", true), ("2026-03-09T00:00:00-04:00", false)],
    );
}

#[test]
fn the_zone_counts_and_not_utc() {
    // A seed ignores the zone it is given.
    let office = schedule("09:00-17:00 mon-fri America/New_York");
    assert!(!office.contains(at("2026-03-06T09:30:00Z")));
    assert!(office.contains(at("2026-03-06T21:59:59Z")));
    assert!(!office.contains(at("2026-03-06T22:00:00Z")));
}

#[test]
fn the_end_does_not_belong_to_it() {
    // A seed lets `<=` hold at the end.
    let office = schedule("09:00-17:00 UTC");
    assert!(office.contains(at("2026-03-06T09:00:00Z")));
    assert!(office.contains(at("2026-03-06T16:59:59.999999Z")));
    assert!(!office.contains(at("2026-03-06T17:00:00Z")));
}

#[test]
fn business_hours_of_a_readme_are_read_as_written() {
    assert_eq!(schedule("09:00-17:00 Mon-Fri UTC").to_string(), "09:00-17:00 mon-fri UTC");
}

// The European Union changes at 01:00 UTC on the last Sundays of March and October (Directive 2000/84/EC); in Berlin, 02:00 becomes
// 03:00 on 29 March 2026 and 03:00 becomes 02:00 on 25 October 2026.

#[test]
fn hours_that_the_clocks_leave_out_are_not_in_force() {
    check("02:00-03:00 Europe/Berlin", "2026-03-28T12:00:00Z", &[("2026-03-30T00:00:00Z", true)]);
    check(
        "02:30-04:00 Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &[("2026-03-29T01:00:00Z", true), ("2026-03-29T02:00:00Z", false), ("2026-03-30T00:30:00Z", true)],
    );
    check(
        "01:00-02:30 Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &[("2026-03-29T00:00:00Z", true), ("2026-03-29T01:00:00Z", false)],
    );
    check(
        "22:00-06:00 sat Europe/Berlin",
        "2026-03-28T12:00:00Z",
        &[("2026-03-28T21:00:00Z", true), ("2026-03-29T04:00:00Z", false)],
    );
}

#[test]
fn hours_that_the_clocks_show_twice_are_in_force_twice() {
    check(
        "02:15-02:45 Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &[
            ("2026-10-25T00:15:00Z", true),
            ("2026-10-25T00:45:00Z", false),
            ("2026-10-25T01:15:00Z", true),
            ("2026-10-25T01:45:00Z", false),
            ("2026-10-26T01:15:00Z", true),
        ],
    );
    // Half past two comes, then the clocks are put back to two.
    check(
        "01:00-02:30 Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &[
            ("2026-10-24T23:00:00Z", true),
            ("2026-10-25T00:30:00Z", false),
            ("2026-10-25T01:00:00Z", true),
            ("2026-10-25T01:30:00Z", false),
        ],
    );
    check(
        "02:30-04:00 Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &[
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T01:00:00Z", false),
            ("2026-10-25T01:30:00Z", true),
            ("2026-10-25T03:00:00Z", false),
        ],
    );
    check(
        "02:00-03:00 Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &[("2026-10-25T00:00:00Z", true), ("2026-10-25T02:00:00Z", false)],
    );
    check(
        "22:00-06:00 sat Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &[("2026-10-24T20:00:00Z", true), ("2026-10-25T05:00:00Z", false)],
    );
}

#[test]
fn a_date_that_a_zone_left_out_has_no_day_of_its_own() {
    // Samoa went from Thursday, 29 December 2011, 24:00 -10 to Saturday, 31 December, 00:00 +14.
    check(
        "fri Pacific/Apia",
        "2011-12-28T12:00:00Z",
        &[("2012-01-05T10:00:00Z", true), ("2012-01-06T10:00:00Z", false)],
    );
    // What would have begun on Friday evening goes on in the morning after.
    check(
        "22:00-06:00 fri Pacific/Apia",
        "2011-12-28T12:00:00Z",
        &[("2011-12-30T10:00:00Z", true), ("2011-12-30T16:00:00Z", false)],
    );
}

#[test]
fn dates_choose_the_days_on_which_hours_begin() {
    // 6 March 2026 is a Friday; the night that begins on it lasts into the first date that does not count any more.
    check(
        "22:00-06:00 from 2026-03-06 until 2026-03-07 UTC",
        "2026-01-01T00:00:00Z",
        &[("2026-03-06T22:00:00Z", true), ("2026-03-07T06:00:00Z", false)],
    );
    assert_eq!(
        schedule("22:00-06:00 from 2026-03-06 until 2026-03-07 UTC").next_edge(at("2026-03-07T06:00:00Z")),
        None
    );
    check("from 2026-03-06 Europe/Berlin", "2020-01-01T00:00:00Z", &[("2026-03-06T00:00:00+01:00", true)]);
    check(
        "from 2026-03-06 until 2028-03-06 Asia/Tokyo",
        "2026-03-06T12:00:00Z",
        &[("2028-03-06T00:00:00+09:00", false)],
    );
    check("mon until 2026-03-09 UTC", "2026-03-02T12:00:00Z", &[("2026-03-03T00:00:00Z", false)]);
}

#[test]
fn a_first_date_that_clocks_leave_once_more_is_left_and_entered_again() {
    // One minute after midnight the clocks of Newfoundland went back to 23:01 of the day before.
    check(
        "from 1990-10-28 America/St_Johns",
        "1990-10-20T00:00:00Z",
        &[("1990-10-28T02:30:00Z", true), ("1990-10-28T02:31:00Z", false), ("1990-10-28T03:30:00Z", true)],
    );
    let from = schedule("from 1990-10-28 America/St_Johns");
    assert_eq!(from.next_edge(at("1990-10-28T03:30:00Z")), None);
}

#[test]
fn what_never_changes_has_no_edge() {
    let always = schedule("UTC");
    assert!(always.contains(at("2026-03-06T12:00:00Z")));
    assert_eq!(always.next_edge(at("2026-03-06T12:00:00Z")), None);
    assert_eq!(schedule("from 2026-03-06 UTC").next_edge(at("2026-03-06T00:00:00Z")), None);
    assert_eq!(schedule("until 2026-03-06 UTC").next_edge(at("2026-03-06T00:00:00Z")), None);
    assert_eq!(schedule("mon until 2026-03-09 UTC").next_edge(at("2026-03-03T00:00:00Z")), None);
    assert_eq!(schedule("09:00-17:00 until 2026-03-09 UTC").next_edge(at("2999-03-03T00:00:00Z")), None);
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for zone in ["UTC", "Pacific/Kiritimati", "America/New_York"] {
        let office = schedule(&format!("09:00-17:00 mon-fri {zone}"));
        assert!(office.next_edge(Timestamp::MIN).is_some());
        assert_eq!(office.next_edge(Timestamp::MAX), None);
    }
    assert_eq!(schedule("from 9999-12-31 UTC").next_edge(Timestamp::MIN), Some(at("9999-12-31T00:00:00Z")));
}

#[test]
fn a_schedule_that_is_never_in_force_is_refused() {
    for text in [
        "from 2026-03-06 until 2026-03-06 UTC",
        "from 2026-03-06 until 2026-03-05 UTC",
        // Monday to Friday on a Saturday and a Sunday.
        "mon-fri from 2026-03-07 until 2026-03-09 UTC",
        // The clocks leave it out on that day.
        "02:00-03:00 from 2026-03-29 until 2026-03-30 Europe/Berlin",
        "until 0001-01-01 UTC",
    ] {
        let error = text.parse::<Schedule>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{text}` is never in force")), "{error}");
    }
    let json = r#"{"days":["sun"],"from":"2026-03-02","until":"2026-03-08"}"#;
    assert!(serde_json::from_str::<Schedule>(json).unwrap_err().to_string().contains("is never in force"));
    let json = r#"{"days":[]}"#;
    assert!(serde_json::from_str::<Schedule>(json).unwrap_err().to_string().contains("no day is named"));
    let json = r#"{"hours":"09:00-09:00"}"#;
    assert!(serde_json::from_str::<Schedule>(json).unwrap_err().to_string().contains("holds no time"));
}

#[test]
fn a_schedule_has_one_text_and_one_json() {
    for (text, json) in [
        (
            "09:00-17:00 mon-fri UTC",
            r#"{"hours":"09:00-17:00","days":["mon","tue","wed","thu","fri"],"zone":"UTC"}"#,
        ),
        ("00:00-24:00 UTC", r#"{"zone":"UTC"}"#),
        ("sat,sun Europe/Berlin", r#"{"days":["sat","sun"],"zone":"Europe/Berlin"}"#),
        (
            "22:00-06:00 from 2026-01-01 until 2027-01-01 Asia/Tokyo",
            r#"{"hours":"22:00-06:00","from":"2026-01-01","until":"2027-01-01","zone":"Asia/Tokyo"}"#,
        ),
    ] {
        let schedule = schedule(text);
        assert_eq!(schedule.to_string(), text);
        assert_eq!(serde_json::to_string(&schedule).unwrap(), json);
        assert_eq!(serde_json::from_str::<Schedule>(json).unwrap(), schedule);
    }
    for spelling in ["00:00-24:00 mon-sun UTC", "mon-sun", " 00:00-24:00  UTC ", "sat-fri"] {
        assert_eq!(spelling.parse(), Ok(schedule("UTC")), "{spelling}");
    }
}

#[test]
fn what_is_no_schedule_is_refused_naming_the_part() {
    for (text, why) in [
        ("", "there is no schedule"),
        ("09:00 UTC", "`09:00` are not hours"),
        ("09:00-17:00 mon-xyz", "`mon-xyz` are not days"),
        ("09:00-17:00 weekdays", "`weekdays` is not a time zone"),
        ("from tomorrow", "`tomorrow` is not a date"),
        ("from", "`` is not a date"),
        ("until 2026-02-30", "`2026-02-30` is not a date"),
        ("UTC 09:00-17:00", "`09:00-17:00` does not belong there"),
    ] {
        let error = text.parse::<Schedule>().unwrap_err().to_string();
        assert!(error.starts_with(why), "{text}: {error}");
    }
    for json in [r#"{"allowed_hours":[9]}"#, r#"{"hours":"9-17"}"#, r#"{"zone":"Mars/Olympus"}"#, "[]"] {
        assert!(serde_json::from_str::<Schedule>(json).is_err(), "{json}");
    }
}
