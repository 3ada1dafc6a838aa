use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::Currency;
use crate::decimal::{self, to_units};

/// How a quantity becomes an amount: one price for all, or tiers. An invalid price cannot be made.
///
/// A tier reaches from the end of the one before, exclusive, to its own, inclusive: of two tiers `up_to = 10` and the rest, the
/// quantity 10 belongs to the first and 10.000001 to the second. Nothing used costs nothing, whatever the fees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Document", into = "Document")]
pub struct Price {
    model: PriceModel,
    tiers: Arc<[Tier]>,
}

/// How tiers are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PriceModel {
    /// There is one tier for everything.
    PerUnit,
    /// Each part of the quantity is charged by the tier it falls into, and the fee of every tier that is entered.
    Graduated,
    /// The whole quantity is charged by the tier it ends in, and the fee of that tier alone.
    Volume,
}

/// One tier of a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The largest quantity of the tier, itself included; the last tier has none.
    #[serde(default, with = "decimal::exact::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub up_to: Option<Decimal>,
    /// What one unit costs, in whole units of the currency, 0 to 10^15 with at most 12 digits after the point.
    #[serde(default, with = "decimal::exact")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub unit_price: Decimal,
    /// What the tier costs once it is entered, with the same bounds.
    #[serde(default, with = "decimal::exact", skip_serializing_if = "Decimal::is_zero")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub flat_fee: Decimal,
}

/// Why a price cannot be made. Tiers are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPrice {
    /// There are no tiers.
    #[error("a price needs at least one tier")]
    NoTiers,
    /// A tier's end is not above the end of the tier before.
    #[error("tier {tier}: `up_to` {up_to} must be above {above}, where the tier before ends")]
    NotAbove {
        /// The tier.
        tier: usize,
        /// Its end.
        up_to: Decimal,
        /// The end of the tier before, or 0.
        above: Decimal,
    },
    /// A tier before the last has no end.
    #[error("tier {0}: only the last tier may leave out `up_to`")]
    Unbounded(usize),
    /// The last tier has an end, so that some quantities would have no price.
    #[error("tier {0}: the last tier must leave out `up_to`, so that every quantity has a price")]
    Bounded(usize),
    /// A number is below 0, above 10^15 or has more than 12 digits after the point.
    #[error("tier {tier}: `{field}` {value} is not within 0 to 10^15 with at most 12 digits after the point")]
    OutOfRange {
        /// The tier.
        tier: usize,
        /// Which number.
        field: &'static str,
        /// What it is.
        value: Decimal,
    },
}

/// Why a quantity has no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// The quantity is below zero.
    #[error("a quantity below zero has no price")]
    NegativeQuantity,
    /// The amount is beyond what a decimal of 96 bits holds.
    #[error("the amount is too large")]
    OutOfRange,
}

/// What a quantity costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The amount before rounding, in whole units of the currency, to 28 significant digits.
    pub amount: Decimal,
    /// How the tiers add up to it; empty when nothing was used.
    pub parts: Vec<ChargePart>,
}

/// What one tier contributes to a [`Charge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargePart {
    /// The tier.
    pub tier: Tier,
    /// How much of the quantity it charges for.
    pub quantity: Decimal,
    /// Quantity × unit price + flat fee.
    pub amount: Decimal,
}

impl Price {
    /// Charges the same for every unit.
    ///
    /// # Errors
    /// [`InvalidPrice`] when the price is out of range.
    pub fn per_unit(unit_price: Decimal) -> Result<Self, InvalidPrice> {
        let tier = Tier { up_to: None, unit_price, flat_fee: Decimal::ZERO };
        Self::tiered(PriceModel::PerUnit, vec![tier])
    }

    /// Charges each part of a quantity by the tier it falls into.
    ///
    /// # Errors
    /// [`InvalidPrice`] names the tier and the rule it breaks.
    pub fn graduated(tiers: Vec<Tier>) -> Result<Self, InvalidPrice> {
        Self::tiered(PriceModel::Graduated, tiers)
    }

    /// Charges a whole quantity by the tier it ends in.
    ///
    /// # Errors
    /// [`InvalidPrice`] names the tier and the rule it breaks.
    pub fn volume(tiers: Vec<Tier>) -> Result<Self, InvalidPrice> {
        Self::tiered(PriceModel::Volume, tiers)
    }

    fn tiered(model: PriceModel, tiers: Vec<Tier>) -> Result<Self, InvalidPrice> {
        let last = tiers.len();
        if last == 0 {
            return Err(InvalidPrice::NoTiers);
        }
        let mut above = Decimal::ZERO;
        for (tier, Tier { up_to, unit_price, flat_fee }) in (1..).zip(&tiers) {
            check_range(tier, "unit_price", *unit_price)?;
            check_range(tier, "flat_fee", *flat_fee)?;
            match up_to {
                None if tier != last => return Err(InvalidPrice::Unbounded(tier)),
                Some(_) if tier == last => return Err(InvalidPrice::Bounded(tier)),
                Some(up_to) if *up_to <= above => {
                    return Err(InvalidPrice::NotAbove { tier, up_to: *up_to, above });
                }
                Some(up_to) => above = *up_to,
                None => {}
            }
        }
        Ok(Self { model, tiers: tiers.into() })
    }

    /// Returns how the tiers are applied.
    #[must_use]
    pub const fn model(&self) -> PriceModel {
        self.model
    }

    /// Returns the tiers in order: at least one, the last without an end.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// Works out what `quantity` costs.
    ///
    /// # Errors
    /// [`PriceError`] for a quantity below zero, and for an amount that no decimal can hold.
    pub fn charge(&self, quantity: Decimal) -> Result<Charge, PriceError> {
        if quantity < Decimal::ZERO {
            return Err(PriceError::NegativeQuantity);
        }
        let mut charge = Charge { amount: Decimal::ZERO, parts: Vec::new() };
        let mut above = Decimal::ZERO;
        for tier in self.tiers.iter() {
            if quantity <= above {
                break;
            }
            let until = tier.up_to.map_or(quantity, |up_to| up_to.min(quantity));
            match self.model {
                PriceModel::PerUnit | PriceModel::Graduated => {
                    let part = until.checked_sub(above).ok_or(PriceError::OutOfRange)?;
                    charge.add(*tier, part)?;
                }
                PriceModel::Volume if until == quantity => charge.add(*tier, quantity)?,
                PriceModel::Volume => {}
            }
            above = until;
        }
        Ok(charge)
    }

    /// Puts the price into words: `0.0001 USD per call`.
    #[must_use]
    pub fn describe(&self, currency: Currency, unit: &str) -> String {
        let tiers: Vec<String> = self.tiers.iter().map(|tier| tier.describe(currency, unit)).collect();
        match self.model {
            PriceModel::PerUnit => tiers.join(""),
            PriceModel::Graduated => format!("graduated: {}", tiers.join("; ")),
            PriceModel::Volume => format!("volume: {}", tiers.join("; ")),
        }
    }
}

impl Tier {
    fn describe(&self, currency: Currency, unit: &str) -> String {
        let mut text = self.up_to.map_or_else(String::new, |up_to| format!("up to {up_to} at "));
        text.push_str(&format!("{} {currency} per {unit}", self.unit_price));
        if !self.flat_fee.is_zero() {
            text.push_str(&format!(" and {} {currency} once", self.flat_fee));
        }
        text
    }
}

impl Charge {
    fn add(&mut self, tier: Tier, quantity: Decimal) -> Result<(), PriceError> {
        let used = quantity.checked_mul(tier.unit_price).ok_or(PriceError::OutOfRange)?;
        let amount = used.checked_add(tier.flat_fee).ok_or(PriceError::OutOfRange)?;
        self.amount = self.amount.checked_add(amount).ok_or(PriceError::OutOfRange)?;
        self.parts.push(ChargePart { tier, quantity, amount });
        Ok(())
    }
}

fn check_range(tier: usize, field: &'static str, value: Decimal) -> Result<(), InvalidPrice> {
    let max = Decimal::from(1_000_000_000_000_000_u64);
    if value < Decimal::ZERO || value > max || to_units(value).is_none() {
        Err(InvalidPrice::OutOfRange { tier, field, value })
    } else {
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "model", rename_all = "snake_case", deny_unknown_fields)]
enum Document {
    PerUnit {
        /// What one unit costs, in whole units of the currency, 0 to 10^15 with at most 12 digits after the point.
        #[serde(with = "decimal::exact")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        unit_price: Decimal,
    },
    Graduated {
        /// The tiers: each part of a quantity is charged by the one it falls into.
        tiers: Vec<Tier>,
    },
    Volume {
        /// The tiers: a whole quantity is charged by the one it ends in.
        tiers: Vec<Tier>,
    },
}

impl TryFrom<Document> for Price {
    type Error = InvalidPrice;

    fn try_from(document: Document) -> Result<Self, InvalidPrice> {
        match document {
            Document::PerUnit { unit_price } => Self::per_unit(unit_price),
            Document::Graduated { tiers } => Self::graduated(tiers),
            Document::Volume { tiers } => Self::volume(tiers),
        }
    }
}

impl From<Price> for Document {
    fn from(price: Price) -> Self {
        let tiers = price.tiers.to_vec();
        match price.model {
            PriceModel::PerUnit => {
                Self::PerUnit { unit_price: tiers.first().map_or(Decimal::ZERO, |tier| tier.unit_price) }
            }
            PriceModel::Graduated => Self::Graduated { tiers },
            PriceModel::Volume => Self::Volume { tiers },
        }
    }
}

impl fmt::Display for PriceModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerUnit => "per_unit",
            Self::Graduated => "graduated",
            Self::Volume => "volume",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    /// Tiers of `(up_to, unit price, flat fee)`, the last without an end.
    fn tiers(rows: &[(&str, &str, &str)]) -> Vec<Tier> {
        let tier = |(up_to, unit_price, flat_fee): &(&str, &str, &str)| Tier {
            up_to: (!up_to.is_empty()).then(|| decimal(up_to)),
            unit_price: decimal(unit_price),
            flat_fee: decimal(flat_fee),
        };
        rows.iter().map(tier).collect()
    }

    fn check(price: &Price, expected: &[(&str, &str)]) {
        for (quantity, amount) in expected {
            let charge = price.charge(decimal(quantity)).unwrap();
            assert_eq!(charge.amount, decimal(amount), "{quantity}");
            let parts: Decimal = charge.parts.iter().map(|part| part.amount).sum();
            assert_eq!(parts, charge.amount, "the parts of {quantity}");
        }
    }

    /// Seed 003: hash operations at 0.001 to 10,000, 0.0008 to 100,000, 0.0005 to 1,000,000, then 0.0003.
    #[test]
    fn seed_003_tiered_hash_operations() {
        let rows = [
            ("10000", "0.001", "0"),
            ("100000", "0.0008", "0"),
            ("1000000", "0.0005", "0"),
            ("", "0.0003", "0"),
        ];
        let price = Price::graduated(tiers(&rows)).unwrap();
        check(&price, &[("25000", "22"), ("250000", "157"), ("2000000", "832")]);
        let parts = price.charge(decimal("2000000")).unwrap().parts;
        let amounts: Vec<Decimal> = parts.iter().map(|part| part.amount).collect();
        assert_eq!(amounts, ["10", "72", "450", "300"].map(decimal));
    }

    /// Seed 003: a flat price by the tier the volume ends in: $10 to 10,000, $80 to 100,000, $600 to 1,000,000, then $5,000.
    #[test]
    fn seed_003_volume_packages() {
        let rows = [("10000", "0", "10"), ("100000", "0", "80"), ("1000000", "0", "600"), ("", "0", "5000")];
        let price = Price::volume(tiers(&rows)).unwrap();
        check(&price, &[("10000", "10"), ("10001", "80"), ("1000000", "600"), ("1000001", "5000")]);
    }

    /// Stripe's documentation of tiered pricing: 1 to 5 at $7, 6 to 10 at $6.50, from 11 at $6.
    #[test]
    fn stripe_volume_and_graduated() {
        let rows = [("5", "7", "0"), ("10", "6.5", "0"), ("", "6", "0")];
        let volume = Price::volume(tiers(&rows)).unwrap();
        check(&volume, &[("1", "7"), ("5", "35"), ("6", "39"), ("20", "120"), ("25", "150")]);
        // 35 is published; the others by hand: 35 + 6.5; 35 + 32.5 + 60; 35 + 32.5 + 90.
        let graduated = Price::graduated(tiers(&rows)).unwrap();
        check(&graduated, &[("5", "35"), ("6", "41.5"), ("20", "127.5"), ("25", "157.5")]);
    }

    /// Expected amounts of Lago's charge models: graduated 0–10 at 10 + 2, 11–20 at 5 + 3, from 21 at 5 + 3.
    #[test]
    fn lago_graduated_with_flat_fees() {
        let rows = [("10", "10", "2"), ("20", "5", "3"), ("", "5", "3")];
        let price = Price::graduated(tiers(&rows)).unwrap();
        check(&price, &[("0", "0"), ("1", "12"), ("10", "102"), ("11", "110"), ("12", "115"), ("21", "163")]);
    }

    /// Lago: tiers that end between whole numbers: to 0.1 at 10, to 1 at 5, then 2.
    #[test]
    fn lago_graduated_with_decimal_tiers() {
        let price = Price::graduated(tiers(&[("0.1", "10", "0"), ("1", "5", "0"), ("", "2", "0")])).unwrap();
        check(&price, &[("0.05", "0.5"), ("0.5", "3")]);
    }

    /// Lago: volume 0–100 at 2 + 10, 101–200 at 1, from 201 at 0.5 + 50.
    #[test]
    fn lago_volume_with_flat_fees() {
        let price =
            Price::volume(tiers(&[("100", "2", "10"), ("200", "1", "0"), ("", "0.5", "50")])).unwrap();
        check(&price, &[("0", "0"), ("1", "12"), ("100", "210"), ("101", "101"), ("210", "155")]);
        // Between whole numbers too: at 100.5 the second tier has begun. By hand.
        check(&price, &[("99.5", "209"), ("100.000000000001", "100.000000000001")]);
    }

    #[test]
    fn a_price_says_what_is_wrong_with_it() {
        let error = |rows: &[_]| Price::graduated(tiers(rows)).unwrap_err().to_string();
        assert_eq!(error(&[]), "a price needs at least one tier");
        assert_eq!(
            error(&[("10", "1", "0"), ("10", "1", "0"), ("", "1", "0")]),
            "tier 2: `up_to` 10 must be above 10, where the tier before ends"
        );
        assert_eq!(
            error(&[("0", "1", "0"), ("", "1", "0")]),
            "tier 1: `up_to` 0 must be above 0, where the tier before ends"
        );
        assert_eq!(
            error(&[("", "1", "0"), ("", "1", "0")]),
            "tier 1: only the last tier may leave out `up_to`"
        );
        assert_eq!(
            error(&[("10", "1", "0")]),
            "tier 1: the last tier must leave out `up_to`, so that every quantity has a price"
        );
        assert_eq!(
            error(&[("", "-1", "0")]),
            "tier 1: `unit_price` -1 is not within 0 to 10^15 with at most 12 digits after the point"
        );
        assert!(Price::per_unit(decimal("0.0000000000001")).is_err());
    }

    #[test]
    fn what_cannot_be_charged_is_refused() {
        let price = Price::per_unit(decimal("1000000000000000")).unwrap();
        assert_eq!(price.charge(decimal("-0.1")), Err(PriceError::NegativeQuantity));
        assert_eq!(price.charge(decimal("1000000000000000")), Err(PriceError::OutOfRange));
    }

    #[test]
    fn files_and_words() {
        let text = r#"
            model = "graduated"
            tiers = [{ up_to = 1000, unit_price = 0, flat_fee = "5" }, { unit_price = "0.002" }]
        "#;
        let price: Price = toml::from_str(text).unwrap();
        let words = price.describe(Currency::USD, "call");
        assert_eq!(words, "graduated: up to 1000 at 0 USD per call and 5 USD once; 0.002 USD per call");
        let json = serde_json::to_string(&price).unwrap();
        assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price);
        let per_unit: Price = toml::from_str("model = \"per_unit\"\nunit_price = \"0.0001\"").unwrap();
        assert_eq!(per_unit.describe(Currency::EUR, "GB"), "0.0001 EUR per GB");
        for bad in [
            "model = \"per_unit\"\nunit_price = 0.0001",
            "model = \"per_unit\"",
            "model = \"volume\"\ntiers = []",
            "model = \"per_unit\"\nunit_price = \"1\"\ntiers = []",
        ] {
            assert!(toml::from_str::<Price>(bad).is_err(), "{bad}");
        }
    }

    /// Quantities to 10^15 with up to 12 digits after the point, dense around the ends of tiers.
    fn quantities() -> impl Strategy<Value = Decimal> {
        let any = (0..10_i128.pow(27)).prop_map(|units| Decimal::from_i128_with_scale(units, 12));
        let near = (0..5_000_i64, -2..=2_i64)
            .prop_map(|(whole, off)| (Decimal::from(whole) + Decimal::new(off, 12)).max(Decimal::ZERO));
        prop_oneof![any, near]
    }

    fn ladders() -> impl Strategy<Value = Vec<Tier>> {
        let row = (1..1_000_i64, 0..1_000_000_i64, 0..3_i64);
        prop::collection::vec(row, 1..6).prop_map(|rows| {
            let mut up_to = Decimal::ZERO;
            let last = rows.len() - 1;
            let tier = |(index, (width, price, fee)): (usize, (i64, i64, i64))| {
                up_to += Decimal::from(width);
                Tier {
                    up_to: (index != last).then_some(up_to),
                    unit_price: Decimal::new(price, 4),
                    flat_fee: Decimal::from(fee),
                }
            };
            rows.into_iter().enumerate().map(tier).collect()
        })
    }

    proptest! {
        #[test]
        fn every_quantity_has_a_price_in_every_model(tiers in ladders(), quantity in quantities()) {
            for price in [Price::graduated(tiers.clone()).unwrap(), Price::volume(tiers.clone()).unwrap()] {
                let charge = price.charge(quantity).unwrap();
                let charged: Decimal = charge.parts.iter().map(|part| part.quantity).sum();
                prop_assert_eq!(charged, quantity);
            }
        }

        /// The tier of a quantity, found by its bounds alone.
        #[test]
        fn volume_charges_by_the_one_tier_the_quantity_ends_in(tiers in ladders(), quantity in quantities()) {
            let ends = tiers.iter().map(|tier| tier.up_to.unwrap_or(Decimal::MAX));
            let starts = [Decimal::ZERO].into_iter().chain(tiers.iter().filter_map(|tier| tier.up_to));
            let home = tiers.iter().zip(starts.zip(ends)).find(|(_, (above, up_to))| *above < quantity && quantity <= *up_to);
            let expected = home.map_or(Decimal::ZERO, |(tier, _)| quantity * tier.unit_price + tier.flat_fee);
            prop_assert_eq!(Price::volume(tiers).unwrap().charge(quantity).unwrap().amount, expected);
        }

        #[test]
        fn graduated_never_falls_and_more_costs_the_difference(
            tiers in ladders(), one in 0..6_000_000_i64, more in 0..6_000_000_i64,
        ) {
            let price = Price::graduated(tiers.clone()).unwrap();
            let amount = |quantity| price.charge(quantity).unwrap().amount;
            let (less, all) = (Decimal::new(one, 3), Decimal::new(one + more, 3));
            let mut walked = Decimal::ZERO;
            let mut above = Decimal::ZERO;
            for tier in &tiers {
                let up_to = tier.up_to.unwrap_or(Decimal::MAX);
                let part = (all.min(up_to) - less.max(above)).max(Decimal::ZERO);
                walked += part * tier.unit_price;
                walked += if less <= above && above < all { tier.flat_fee } else { Decimal::ZERO };
                above = up_to;
            }
            prop_assert!(amount(less) <= amount(all));
            prop_assert_eq!(amount(all) - amount(less), walked);
        }
    }
}
