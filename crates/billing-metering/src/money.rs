use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Currency, decimal};

/// An amount that can be paid: a whole number of a currency's smallest unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    minor_units: i64,
    currency: Currency,
}

/// An amount that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MoneyError {
    /// Two currencies were to be added.
    #[error("an amount in {0} and one in {1} do not add up")]
    MixedCurrencies(Currency, Currency),
    /// The amount is beyond what 64 bits of smallest units, or 96 bits of a decimal, hold.
    #[error("the amount is too large")]
    OutOfRange,
}

impl Money {
    /// Takes a number of smallest units.
    #[must_use]
    pub const fn new(minor_units: i64, currency: Currency) -> Self {
        Self { minor_units, currency }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Rounds a precise amount to smallest units, a half away from zero.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] beyond 64 bits of smallest units.
    pub fn round(precise: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let digits = currency.minor_digits();
        let rounded = precise.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
        let missing = digits.saturating_sub(rounded.scale());
        let factor = 10_i128.checked_pow(missing).ok_or(MoneyError::OutOfRange)?;
        let minor_units = rounded.mantissa().checked_mul(factor).and_then(|units| i64::try_from(units).ok());
        minor_units.map(|units| Self::new(units, currency)).ok_or(MoneyError::OutOfRange)
    }

    /// Adds an amount of the same currency.
    ///
    /// # Errors
    /// [`MoneyError`] when the currencies differ or the sum is too large.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies(self.currency, other.currency));
        }
        let sum = self.minor_units.checked_add(other.minor_units).ok_or(MoneyError::OutOfRange)?;
        Ok(Self::new(sum, self.currency))
    }

    /// Returns the number of smallest units.
    #[must_use]
    pub const fn minor_units(self) -> i64 {
        self.minor_units
    }

    /// Returns the currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Returns the amount in whole units of the currency, with all of its digits: `12.00`.
    #[must_use]
    pub fn amount(self) -> Decimal {
        Decimal::new(self.minor_units, self.currency.minor_digits())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(with = "decimal::exact")]
    amount: Decimal,
    currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document { amount: self.amount(), currency: self.currency }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Document { amount, currency } = Document::deserialize(deserializer)?;
        let money = Self::round(amount, currency).map_err(D::Error::custom)?;
        if money.amount() == amount {
            Ok(money)
        } else {
            Err(D::Error::custom(format_args!("{amount} is finer than the smallest unit of {currency}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(precise: &str, currency: &str) -> String {
        Money::round(precise.parse().unwrap(), Currency::new(currency).unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_half_is_rounded_away_from_zero() {
        // By hand. Banker's rounding, the default of `Decimal`, would make 2.66 of 2.665.
        for (precise, expected) in [
            ("2.665", "2.67 USD"),
            ("2.664999999999", "2.66 USD"),
            ("-2.665", "-2.67 USD"),
            ("0.004", "0.00 USD"),
            ("0.005", "0.01 USD"),
            ("12", "12.00 USD"),
        ] {
            assert_eq!(round(precise, "USD"), expected, "{precise}");
        }
        assert_eq!(round("0.5", "JPY"), "1 JPY");
        assert_eq!(round("1.0005", "KWD"), "1.001 KWD");
    }

    #[test]
    fn mixed_currencies_and_overflow_are_refused() {
        let one = Money::new(1, Currency::USD);
        assert_eq!(
            one.checked_add(Money::new(1, Currency::EUR)),
            Err(MoneyError::MixedCurrencies(Currency::USD, Currency::EUR))
        );
        assert_eq!(one.checked_add(Money::new(i64::MAX, Currency::USD)), Err(MoneyError::OutOfRange));
        assert_eq!(Money::round(Decimal::MAX, Currency::USD), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn json_reads_back_and_is_never_rounded() {
        let json = serde_json::to_string(&Money::new(1234, Currency::USD)).unwrap();
        assert_eq!(json, r#"{"amount":"12.34","currency":"USD"}"#);
        assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), Money::new(1234, Currency::USD));
        assert!(serde_json::from_str::<Money>(r#"{"amount":"12.345","currency":"USD"}"#).is_err());
    }
}
