//! For how long entries are kept: what an operator wants, and what standards ask for at least. Pure: instants come in as arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanchion_core::{Scope, TenantId, Timestamp};

use crate::{ChainId, RetentionClass};

/// The days of the longest seven, three and one years in a row: a year is never counted short.
const SEVEN_YEARS: u32 = 2_557;
const SIX_YEARS: u32 = 2_192;
const THREE_YEARS: u32 = 1_096;
const TWO_YEARS: u32 = 731;
const ONE_YEAR: u32 = 366;
const DAY: u64 = 86_400;
/// A hundred years.
const MOST_DAYS: u32 = 36_525;

/// A standard that asks for records to be kept. Whether one holds for you is yours to know; none is declared by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standard {
    /// HIPAA, 45 CFR 164.316(b)(2)(i): six years, for what tells of security and of access to protected data.
    Hipaa,
    /// PCI DSS 4.0, 10.5.1: twelve months, the latest three of them at once at hand.
    PciDss,
    /// SEC Rule 17a-4(b): six years, the first two of them in an easily accessible place.
    #[serde(rename = "sec_17a_4")]
    Sec17a4,
    /// OMB M-21-31: twelve months at hand, and eighteen more in an archive.
    #[serde(rename = "m_21_31")]
    M2131,
}

/// What a standard asks for at least, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// For how long an entry is kept, in the database or an archive.
    pub kept_days: u32,
    /// For how long it can be queried at once, from the database.
    pub online_days: u32,
}

impl Standard {
    /// Returns what the standard asks for of a class; `None` when it asks for nothing.
    #[must_use]
    pub const fn floor(self, class: RetentionClass) -> Option<Floor> {
        match (self, class) {
            (Self::Hipaa, RetentionClass::Standard) => None,
            (Self::Hipaa, _) => Some(Floor { kept_days: SIX_YEARS, online_days: 0 }),
            (Self::PciDss, _) => Some(Floor { kept_days: ONE_YEAR, online_days: 92 }),
            (Self::Sec17a4, _) => Some(Floor { kept_days: SIX_YEARS, online_days: TWO_YEARS }),
            (Self::M2131, _) => Some(Floor { kept_days: 915, online_days: ONE_YEAR }),
        }
    }

    /// Returns the name that people know it by.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Hipaa => "HIPAA",
            Self::PciDss => "PCI DSS",
            Self::Sec17a4 => "SEC 17a-4",
            Self::M2131 => "OMB M-21-31",
        }
    }
}

/// For how long entries are kept. A year is counted as its longest: 366 days, seven years as 2,557.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Whether entries are dropped when their time is over. Otherwise they stay for ever, and an archive is written all the same.
    pub enabled: bool,
    /// For how many days entries of the class `security` are kept, 1 to 36,525.
    pub security_days: u32,
    /// For how many days entries of the class `data_access` are kept, 1 to 36,525.
    pub data_access_days: u32,
    /// For how many days entries of the class `standard` are kept, 1 to 36,525.
    pub standard_days: u32,
    /// For how many days entries stay in the database once they are archived, 1 to 36,525. Left out, until their time is over. Without an
    /// archive it has no effect.
    pub online_days: Option<u32>,
    /// The standards that hold for everybody. A time below what one of them asks for is refused.
    pub standards: BTreeSet<Standard>,
    /// What differs for a tenant, by its id.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, TenantRetention>"))]
    pub tenants: BTreeMap<TenantId, TenantRetention>,
    /// How often it is looked for what can be archived and dropped, in seconds, 1 to 86,400.
    pub interval_seconds: u32,
}

/// What differs for a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TenantRetention {
    /// In the place of the common `security_days`.
    pub security_days: Option<u32>,
    /// In the place of the common `data_access_days`.
    pub data_access_days: Option<u32>,
    /// In the place of the common `standard_days`.
    pub standard_days: Option<u32>,
    /// The standards that hold for this tenant too.
    pub standards: BTreeSet<Standard>,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            security_days: SEVEN_YEARS,
            data_access_days: THREE_YEARS,
            standard_days: ONE_YEAR,
            online_days: None,
            standards: BTreeSet::new(),
            tenants: BTreeMap::new(),
            interval_seconds: 3_600,
        }
    }
}

/// A time that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRetention {
    /// It is shorter than a standard that was declared asks for.
    #[error("`{key}` is {days} days, but {} asks for at least {floor} of {class} entries", .standard.title())]
    BelowFloor {
        /// The key within `[audit.retention]`.
        key: String,
        /// What it says.
        days: u32,
        /// The standard.
        standard: Standard,
        /// What that asks for, in days.
        floor: u32,
        /// Of which class.
        class: RetentionClass,
    },
    /// It is out of its range.
    #[error("`{key}` must be 1 to {most}")]
    Range {
        /// The key within `[audit.retention]`.
        key: String,
        /// The greatest value.
        most: u32,
    },
}

/// How long the entries of a chain are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// For how many days they are kept at all.
    pub kept_days: u32,
    /// For how many of them in the database; fewer only where an archive has them.
    pub online_days: u32,
}

impl Term {
    /// Returns the instant until which an entry is kept.
    #[must_use]
    pub fn kept_until(&self, recorded_at: Timestamp) -> Timestamp {
        recorded_at.plus(days(self.kept_days))
    }

    /// Returns the instant before which what was recorded leaves the database.
    #[must_use]
    pub fn online_since(&self, now: Timestamp) -> Timestamp {
        now.minus(days(self.online_days))
    }
}

const fn days(days: u32) -> Duration {
    Duration::from_secs(days as u64 * DAY)
}

impl RetentionConfig {
    /// Returns how long the entries of a chain are kept.
    #[must_use]
    pub fn term(&self, chain: ChainId, has_archive: bool) -> Term {
        let (_, kept_days) = self.kept(self.tenant(chain.scope), chain.class);
        let online = self.online_days.filter(|_| has_archive).unwrap_or(kept_days);
        Term { kept_days, online_days: online.min(kept_days) }
    }

    /// Checks that every setting is in its range, and that nothing is kept for a shorter time than a declared standard asks for.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn validate(&self) -> Result<(), Vec<InvalidRetention>> {
        let mut wrong = Vec::new();
        if !(1..=86_400).contains(&self.interval_seconds) {
            wrong.push(InvalidRetention::Range { key: "interval_seconds".to_owned(), most: 86_400 });
        }
        let mut range = |key: String, days: Option<u32>| {
            if days.is_some_and(|days| !(1..=MOST_DAYS).contains(&days)) {
                wrong.push(InvalidRetention::Range { key, most: MOST_DAYS });
            }
        };
        range("online_days".to_owned(), self.online_days);
        for class in RetentionClass::ALL {
            range(key(class), Some(self.of(class)));
            for (id, tenant) in &self.tenants {
                range(format!("tenants.{id}.{}", key(class)), tenant.of(class));
            }
        }
        self.below_floors(None, &mut wrong);
        for (id, tenant) in &self.tenants {
            self.below_floors(Some((*id, tenant)), &mut wrong);
        }
        most_demanding(&mut wrong);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn below_floors(&self, tenant: Option<(TenantId, &TenantRetention)>, wrong: &mut Vec<InvalidRetention>) {
        let own = tenant.map(|(_, tenant)| &tenant.standards);
        for class in RetentionClass::ALL {
            let (is_own, kept) = self.kept(tenant.map(|(_, tenant)| tenant), class);
            for standard in self.standards.iter().chain(own.into_iter().flatten()) {
                // What is wrong for everybody is told once.
                let is_common = tenant.is_some() && !is_own && self.standards.contains(standard);
                let Some(floor) = standard.floor(class).filter(|_| !is_common) else { continue };
                let mut below = |key: String, days: u32, floor: u32| {
                    if days < floor {
                        let standard = *standard;
                        wrong.push(InvalidRetention::BelowFloor { key, days, standard, floor, class });
                    }
                };
                let prefix =
                    tenant.filter(|_| is_own).map_or_else(String::new, |(id, _)| format!("tenants.{id}."));
                below(format!("{prefix}{}", key(class)), kept, floor.kept_days);
                if let Some(online) = self.online_days {
                    below("online_days".to_owned(), online, floor.online_days);
                }
            }
        }
    }

    fn tenant(&self, scope: Scope) -> Option<&TenantRetention> {
        match scope {
            Scope::Tenant(id) => self.tenants.get(&id),
            Scope::Platform => None,
        }
    }

    /// Returns whether a tenant has a time of its own, and the time.
    fn kept(&self, tenant: Option<&TenantRetention>, class: RetentionClass) -> (bool, u32) {
        match tenant.and_then(|tenant| tenant.of(class)) {
            Some(days) => (true, days),
            None => (false, self.of(class)),
        }
    }

    const fn of(&self, class: RetentionClass) -> u32 {
        match class {
            RetentionClass::Security => self.security_days,
            RetentionClass::DataAccess => self.data_access_days,
            RetentionClass::Standard => self.standard_days,
        }
    }

    #[cfg(feature = "archive")]
    pub(crate) const fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_seconds as u64)
    }
}

impl TenantRetention {
    const fn of(&self, class: RetentionClass) -> Option<u32> {
        match class {
            RetentionClass::Security => self.security_days,
            RetentionClass::DataAccess => self.data_access_days,
            RetentionClass::Standard => self.standard_days,
        }
    }
}

/// Leaves of the floors that one key is below the highest only: who meets that meets all.
fn most_demanding(wrong: &mut Vec<InvalidRetention>) {
    let mut highest: BTreeMap<String, u32> = BTreeMap::new();
    for found in &*wrong {
        if let InvalidRetention::BelowFloor { key, floor, .. } = found {
            let known = highest.entry(key.clone()).or_default();
            *known = (*known).max(*floor);
        }
    }
    wrong.retain(|found| match found {
        // Once: what is told goes.
        InvalidRetention::BelowFloor { key, floor, .. } if highest.get(key) == Some(floor) => {
            highest.remove(key);
            true
        }
        InvalidRetention::BelowFloor { .. } => false,
        InvalidRetention::Range { .. } => true,
    });
}

fn key(class: RetentionClass) -> String {
    format!("{class}_days")
}

#[cfg(test)]
mod tests;
