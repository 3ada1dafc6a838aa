//! Decimals as this crate counts them: fixed point for sums, exact text at the edges.

use rust_decimal::Decimal;

/// The most digits after the point that a metered value or a price may have.
pub(crate) const MAX_DECIMALS: u32 = 12;

/// One, in units of the last permitted digit.
const ONE: i128 = 1_000_000_000_000;

/// Returns `value` in units of 10^-12, or `None` when it is finer or larger than that can hold.
///
/// Sums are kept in this form since `Decimal` rounds a sum that needs more than 96 bits, without a word.
pub(crate) fn to_units(value: Decimal) -> Option<i128> {
    let (mantissa, scale) = (value.mantissa(), value.scale());
    match MAX_DECIMALS.checked_sub(scale) {
        Some(missing) => mantissa.checked_mul(10_i128.checked_pow(missing)?),
        None => {
            let surplus = 10_i128.checked_pow(scale - MAX_DECIMALS)?;
            (mantissa % surplus == 0).then(|| mantissa / surplus)
        }
    }
}

/// Returns the decimal of so many units of 10^-12, or `None` when no decimal of 96 bits equals it.
pub(crate) fn from_units(units: i128) -> Option<Decimal> {
    if units % ONE == 0 {
        return Decimal::try_from_i128_with_scale(units / ONE, 0).ok();
    }
    let (mut mantissa, mut scale) = (units, MAX_DECIMALS);
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    Decimal::try_from_i128_with_scale(mantissa, scale).ok()
}

/// Decimals as text, in files and on the wire. Whole numbers are taken as numbers too; fractions are not, since a reader may have
/// rounded them before they came here.
pub(crate) mod exact {
    use std::fmt;

    use rust_decimal::Decimal;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        struct Exact;
        impl Visitor<'_> for Exact {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number as text, such as \"0.0001\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
                Decimal::from_str_exact(text)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Decimal, E> {
                Ok(Decimal::from(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Decimal, E> {
                Ok(Decimal::from(number))
            }
        }
        deserializer.deserialize_any(Exact)
    }

    /// The same for a decimal that may be absent.
    pub(crate) mod option {
        use rust_decimal::Decimal;
        use serde::{Deserialize, Deserializer, Serializer};

        #[derive(Deserialize)]
        struct Exact(#[serde(with = "super")] Decimal);

        pub(crate) fn serialize<S: Serializer>(
            value: &Option<Decimal>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => super::serialize(value, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Decimal>, D::Error> {
            Ok(Option::<Exact>::deserialize(deserializer)?.map(|exact| exact.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    #[test]
    fn units_are_exact_or_refused() {
        assert_eq!(to_units(decimal("0.000000000001")), Some(1));
        assert_eq!(to_units(decimal("1.500")), Some(1_500_000_000_000));
        assert_eq!(to_units(decimal("0.0000000000010000")), Some(1));
        assert_eq!(to_units(decimal("0.0000000000001")), None, "finer than can be counted");
        assert_eq!(to_units(Decimal::MAX), None);
        assert_eq!(from_units(1_500_000_000_000).unwrap().to_string(), "1.5");
        assert_eq!(from_units(1).unwrap().to_string(), "0.000000000001");
        assert_eq!(from_units(79_228_162_514_264_337_593_543_950_336), None, "2^96 units are not whole");
        assert_eq!(from_units(ONE * 3).unwrap().to_string(), "3");
    }

    #[test]
    fn a_decimal_alone_would_round_a_large_sum() {
        let large = decimal("7922816251426433759354395033");
        assert_eq!(large + decimal("0.01"), large, "the reason for counting in units");
    }

    proptest::proptest! {
        #[test]
        fn units_read_back(units in -10_i128.pow(28)..10_i128.pow(28)) {
            proptest::prop_assert_eq!(to_units(from_units(units).unwrap()), Some(units));
        }
    }
}
