use rust_decimal::Decimal;
use stanchion_calendar::Period;
use stanchion_core::DisplayName;

use crate::{Aggregation, Catalog, ChargePart, Error, Meter, MeterId, MeterTotal, Money, PriceError, Total};

/// How much of a meter was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterUsage {
    /// The meter.
    pub meter: MeterId,
    /// How much, as the meter counts it.
    pub quantity: Decimal,
    /// How many events that is made of.
    pub events: u64,
}

/// What a period's usage costs, by the rate card of now. It is no invoice: nothing is frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The period.
    pub period: Period,
    /// One line for each meter that was used and has a price, in the order of their ids.
    pub lines: Vec<CostLine>,
    /// Meters that were used and have no price, or are not in the catalog any more.
    pub unpriced: Vec<MeterId>,
    /// The sum of the lines' rounded amounts.
    pub total: Money,
}

/// What a meter's usage costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostLine {
    /// The meter.
    pub meter: MeterId,
    /// Its name for people.
    pub name: DisplayName,
    /// One of what it counts.
    pub unit: DisplayName,
    /// How much was used.
    pub quantity: Decimal,
    /// The price in words: `0.0001 USD per call`.
    pub price: String,
    /// How the price's tiers make the amount.
    pub parts: Vec<ChargePart>,
    /// The amount before rounding.
    pub precise: Decimal,
    /// The amount that is charged: rounded once, here, to the currency's smallest unit, a half away from zero.
    pub amount: Money,
}

impl Catalog {
    /// Turns what a store has added up into quantities. Meters that are not in the catalog are left out: nobody can say any more how
    /// they count.
    #[must_use]
    pub fn usage(&self, totals: &[MeterTotal]) -> Vec<MeterUsage> {
        let known = totals.iter().filter_map(|total| Some((self.meter(&total.meter)?, total.total)));
        known.map(|(meter, total)| meter.usage(total)).collect()
    }

    /// Prices what a store has added up.
    ///
    /// # Errors
    /// [`Error::Price`] and [`Error::Money`] when an amount is too large to be stated.
    pub fn cost(&self, period: Period, totals: &[MeterTotal]) -> Result<Cost, Error> {
        let mut cost = Cost {
            period,
            lines: Vec::new(),
            unpriced: Vec::new(),
            total: Money::zero(self.rate_card().currency),
        };
        for MeterTotal { meter, total } in totals {
            match self.line(meter, *total)? {
                Some(line) => {
                    cost.total = cost.total.checked_add(line.amount)?;
                    cost.lines.push(line);
                }
                None => cost.unpriced.push(meter.clone()),
            }
        }
        Ok(cost)
    }

    fn line(&self, meter: &MeterId, total: Total) -> Result<Option<CostLine>, Error> {
        let (Some(known), Some(price)) = (self.meter(meter), self.rate_card().rates.get(meter)) else {
            return Ok(None);
        };
        let failed = |source| Error::Price { meter: meter.clone(), source };
        let currency = self.rate_card().currency;
        let quantity = known.usage(total).quantity;
        let charge = price.charge(quantity).map_err(failed)?;
        let amount = Money::round(charge.amount, currency).map_err(|_| failed(PriceError::OutOfRange))?;
        Ok(Some(CostLine {
            meter: meter.clone(),
            name: known.name.clone(),
            unit: known.unit.clone(),
            quantity,
            price: price.describe(currency, known.unit.as_str()),
            parts: charge.parts,
            precise: charge.amount,
            amount,
        }))
    }
}

impl Meter {
    /// Makes a quantity of what a store has added up.
    #[must_use]
    pub fn usage(&self, total: Total) -> MeterUsage {
        let quantity = match self.aggregation {
            Aggregation::Count => Decimal::from(total.events),
            Aggregation::Sum => total.sum,
        };
        MeterUsage { meter: self.id.clone(), quantity, events: total.events }
    }
}
