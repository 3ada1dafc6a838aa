use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Currency, Meter, MeterId, Price};

/// What each meter costs, in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateCard {
    /// The currency of every price.
    pub currency: Currency,
    /// The prices. A meter without one is counted and not charged for.
    pub rates: BTreeMap<MeterId, Price>,
}

/// The meters there are and what they cost. An invalid catalog cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Catalog {
    meters: BTreeMap<MeterId, Meter>,
    rate_card: RateCard,
}

/// Why a catalog cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCatalog {
    /// Two meters have the same id.
    #[error("the meter `{0}` stands twice")]
    DuplicateMeter(MeterId),
    /// A price is for a meter that does not exist.
    #[error("the rate card has a price for `{0}`, which is no meter of the catalog")]
    UnknownMeter(MeterId),
}

impl Catalog {
    /// Takes meters and what they cost.
    ///
    /// # Errors
    /// [`InvalidCatalog`] when a meter stands twice or a price has no meter.
    pub fn new(meters: impl IntoIterator<Item = Meter>, rate_card: RateCard) -> Result<Self, InvalidCatalog> {
        let mut known = BTreeMap::new();
        for meter in meters {
            if let Some(first) = known.insert(meter.id.clone(), meter) {
                return Err(InvalidCatalog::DuplicateMeter(first.id));
            }
        }
        match rate_card.rates.keys().find(|meter| !known.contains_key(*meter)) {
            Some(unknown) => Err(InvalidCatalog::UnknownMeter(unknown.clone())),
            None => Ok(Self { meters: known, rate_card }),
        }
    }

    /// Finds a meter.
    #[must_use]
    pub fn meter(&self, id: &MeterId) -> Option<&Meter> {
        self.meters.get(id)
    }

    /// Goes through the meters in the order of their ids.
    pub fn meters(&self) -> impl ExactSizeIterator<Item = &Meter> {
        self.meters.values()
    }

    /// Returns what they cost.
    #[must_use]
    pub const fn rate_card(&self) -> &RateCard {
        &self.rate_card
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    meters: Vec<Meter>,
    rate_card: RateCard,
}

impl TryFrom<Document> for Catalog {
    type Error = InvalidCatalog;

    fn try_from(document: Document) -> Result<Self, InvalidCatalog> {
        Self::new(document.meters, document.rate_card)
    }
}

impl From<Catalog> for Document {
    fn from(catalog: Catalog) -> Self {
        Self { meters: catalog.meters.into_values().collect(), rate_card: catalog.rate_card }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[meters]]
        id = "api.calls"
        name = "API calls"
        unit = "call"
        aggregation = "count"

        [[meters]]
        id = "storage.gb"
        name = "Storage"
        unit = "GB"
        aggregation = "sum"

        [rate_card]
        currency = "USD"

        [rate_card.rates."api.calls"]
        model = "per_unit"
        unit_price = "0.0001"
    "#;

    fn refused(from: &str, to: &str) -> String {
        toml::from_str::<Catalog>(&FILE.replace(from, to)).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_catalog_reads_from_a_file_and_back() {
        let catalog: Catalog = toml::from_str(FILE).unwrap();
        assert_eq!(
            catalog.meters().map(|meter| meter.id.as_str()).collect::<Vec<_>>(),
            ["api.calls", "storage.gb"]
        );
        assert_eq!(catalog.rate_card().rates.len(), 1);
        let json = serde_json::to_string(&catalog).unwrap();
        assert_eq!(serde_json::from_str::<Catalog>(&json).unwrap(), catalog);
    }

    #[test]
    fn a_broken_catalog_says_what_is_wrong() {
        assert_eq!(refused("storage.gb", "api.calls"), "the meter `api.calls` stands twice");
        assert_eq!(
            refused("rates.\"api.calls\"", "rates.\"api.call\""),
            "the rate card has a price for `api.call`, which is no meter of the catalog"
        );
        assert_eq!(
            refused("\"USD\"", "\"USX\""),
            "`USX` is not a currency known here: use a code of ISO 4217 such as USD"
        );
        assert_eq!(
            refused("\"0.0001\"", "0.0001"),
            "invalid type: floating point `0.0001`, expected a decimal number as text, such as \"0.0001\""
        );
        assert!(refused("\"sum\"", "\"average\"").contains("expected `count` or `sum`"));
    }
}
