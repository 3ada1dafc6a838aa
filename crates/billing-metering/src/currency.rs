use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Codes of ISO 4217 and the number of digits after the point of their smallest unit.
const TABLE: &[([u8; 3], u32)] = &[
    (*b"AED", 2),
    (*b"ARS", 2),
    (*b"AUD", 2),
    (*b"BHD", 3),
    (*b"BRL", 2),
    (*b"CAD", 2),
    (*b"CHF", 2),
    (*b"CLP", 0),
    (*b"CNY", 2),
    (*b"COP", 2),
    (*b"CZK", 2),
    (*b"DKK", 2),
    (*b"EGP", 2),
    (*b"EUR", 2),
    (*b"GBP", 2),
    (*b"HKD", 2),
    (*b"HUF", 2),
    (*b"IDR", 2),
    (*b"ILS", 2),
    (*b"INR", 2),
    (*b"IQD", 3),
    (*b"ISK", 0),
    (*b"JOD", 3),
    (*b"JPY", 0),
    (*b"KES", 2),
    (*b"KRW", 0),
    (*b"KWD", 3),
    (*b"KZT", 2),
    (*b"LKR", 2),
    (*b"MAD", 2),
    (*b"MXN", 2),
    (*b"MYR", 2),
    (*b"NGN", 2),
    (*b"NOK", 2),
    (*b"NZD", 2),
    (*b"OMR", 3),
    (*b"PEN", 2),
    (*b"PHP", 2),
    (*b"PKR", 2),
    (*b"PLN", 2),
    (*b"PYG", 0),
    (*b"QAR", 2),
    (*b"RON", 2),
    (*b"RSD", 2),
    (*b"SAR", 2),
    (*b"SEK", 2),
    (*b"SGD", 2),
    (*b"THB", 2),
    (*b"TND", 3),
    (*b"TRY", 2),
    (*b"TWD", 2),
    (*b"UAH", 2),
    (*b"UGX", 0),
    (*b"USD", 2),
    (*b"UYU", 2),
    (*b"VND", 0),
    (*b"XAF", 0),
    (*b"XOF", 0),
    (*b"ZAR", 2),
];

/// A currency of ISO 4217, written `USD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: [u8; 3],
    minor_digits: u32,
}

/// The text is not the code of a currency that is known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a currency known here: use a code of ISO 4217 such as USD")]
pub struct UnknownCurrency(String);

impl Currency {
    /// The US dollar.
    pub const USD: Self = Self { code: *b"USD", minor_digits: 2 };
    /// The euro.
    pub const EUR: Self = Self { code: *b"EUR", minor_digits: 2 };

    /// Finds a currency by its code in capitals.
    ///
    /// # Errors
    /// [`UnknownCurrency`] when there is none in the table.
    pub fn new(code: &str) -> Result<Self, UnknownCurrency> {
        let found = TABLE.iter().find(|(known, _)| known.as_slice() == code.as_bytes());
        found
            .map(|(code, minor_digits)| Self { code: *code, minor_digits: *minor_digits })
            .ok_or_else(|| UnknownCurrency(code.chars().take(16).collect()))
    }

    /// Goes through every known currency in the order of the codes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(code, minor_digits)| Self { code: *code, minor_digits: *minor_digits })
    }

    /// Returns the three capitals of the code.
    #[must_use]
    pub fn code(&self) -> &str {
        str::from_utf8(&self.code).unwrap_or_default()
    }

    /// Returns how many digits after the point its smallest unit has: 2 for the cent, 0 for the yen.
    #[must_use]
    pub const fn minor_digits(self) -> u32 {
        self.minor_digits
    }
}

stanchion_core::text_schema!(Currency, "a code of ISO 4217, such as `EUR`");

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        Self::new(text)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&code).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_digits_are_those_of_iso_4217_list_one() {
        for (code, digits) in [("USD", 2), ("JPY", 0), ("KWD", 3), ("HUF", 2), ("ISK", 0), ("CLP", 0)] {
            assert_eq!(Currency::new(code).unwrap().minor_digits(), digits, "{code}");
        }
        assert_eq!(Currency::new("USD").unwrap(), Currency::USD);
        assert_eq!(Currency::new("EUR").unwrap(), Currency::EUR);
    }

    #[test]
    fn the_table_is_sorted_and_unknown_codes_are_refused() {
        assert!(Currency::all().zip(Currency::all().skip(1)).all(|(one, next)| one < next));
        for bad in ["usd", "US", "USDX", "XXX", ""] {
            assert!(Currency::new(bad).is_err(), "{bad}");
        }
    }
}
