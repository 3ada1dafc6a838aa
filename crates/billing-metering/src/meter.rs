use serde::{Deserialize, Serialize};
use stanchion_core::DisplayName;

stanchion_core::slug_id!(
    /// A meter: `api.calls`, `storage.gb`.
    MeterId, "meter id"
);

/// Something that is counted and may be charged for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Its id, unique in the catalog.
    pub id: MeterId,
    /// Its name on bills: `API calls`.
    pub name: DisplayName,
    /// One of what it counts, in the singular: `call`, `GB`.
    pub unit: DisplayName,
    /// How events make a quantity.
    pub aggregation: Aggregation,
}

/// How the events of a period make a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The number of events, whatever their values.
    Count,
    /// The sum of the events' values.
    Sum,
}

impl Aggregation {
    /// Returns the name that files and stores use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
        }
    }
}
