//! The text of an instant, written without a formatter: it stands in every event.

use stanchion_core::Timestamp;

/// Writes RFC 3339 in UTC with exactly six fraction digits, as `Timestamp`'s own text.
pub(super) fn write(out: &mut Vec<u8>, time: Timestamp) {
    const DAY: i64 = 86_400_000_000;
    let (days, micros) = (time.micros().div_euclid(DAY), time.micros().rem_euclid(DAY));
    let (year, month, day) = civil_from_days(days);
    let seconds = micros / 1_000_000;
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    digits(&mut text[..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], seconds / 3600);
    digits(&mut text[14..16], seconds / 60 % 60);
    digits(&mut text[17..19], seconds % 60);
    digits(&mut text[20..26], micros % 1_000_000);
    out.extend_from_slice(&text);
}

/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": days since 1970-01-01 as year, month and day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn digits(text: &mut [u8], value: i64) {
    let mut rest = value.unsigned_abs();
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(time: Timestamp) -> String {
        let mut out = Vec::new();
        write(&mut out, time);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_instants() {
        for expected in [
            "0001-01-01T00:00:00.000000Z",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.000000Z",
            "2000-02-29T12:34:56.000001Z",
            "2100-02-28T23:59:59.999999Z",
            "2100-03-01T00:00:00.000000Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            assert_eq!(text(Timestamp::parse_rfc3339(expected).unwrap()), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_instant_has_the_text_that_chrono_gives_it(
            micros in Timestamp::MIN.micros()..=Timestamp::MAX.micros(),
        ) {
            let time = Timestamp::from_micros(micros);
            proptest::prop_assert_eq!(text(time), time.to_string());
        }
    }
}
