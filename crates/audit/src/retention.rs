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
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap()
    }

    fn wrong(config: &RetentionConfig) -> Vec<String> {
        config.validate().err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    fn with(standards: impl IntoIterator<Item = Standard>) -> RetentionConfig {
        RetentionConfig { standards: standards.into_iter().collect(), ..RetentionConfig::default() }
    }

    #[test]
    fn the_defaults_are_seven_three_and_one_years_and_meet_no_floor_but_their_own() {
        let config = RetentionConfig::default();
        assert_eq!(wrong(&config), [""; 0]);
        let kept = RetentionClass::ALL
            .map(|class| config.term(ChainId { scope: Scope::Platform, class }, false).kept_days);
        assert_eq!(kept, [2_557, 1_096, 366]);
        assert_eq!(wrong(&with([Standard::PciDss])), [""; 0]);
    }

    #[test]
    fn a_time_below_a_floor_is_refused_with_the_standard_the_floor_and_the_key() {
        // Three years for access to data are the seeds'; HIPAA asks for six.
        assert_eq!(
            wrong(&with([Standard::Hipaa])),
            ["`data_access_days` is 1096 days, but HIPAA asks for at least 2192 of data_access entries"]
        );
        let short = RetentionConfig { standard_days: 90, ..with([Standard::PciDss]) };
        assert_eq!(
            wrong(&short),
            ["`standard_days` is 90 days, but PCI DSS asks for at least 366 of standard entries"]
        );
        let offline = RetentionConfig { online_days: Some(91), ..with([Standard::PciDss]) };
        let line = "`online_days` is 91 days, but PCI DSS asks for at least 92 of security entries";
        assert_eq!(wrong(&offline), [line], "once, however many classes it is below the floor of");
    }

    #[test]
    fn an_operators_own_shorter_time_holds_where_no_floor_forbids_it() {
        let config = RetentionConfig { standard_days: 90, ..with([Standard::Hipaa]) };
        let config = RetentionConfig { data_access_days: 2_192, ..config };
        assert_eq!(wrong(&config), [""; 0]);
        let chain = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };
        assert_eq!(config.term(chain, true), Term { kept_days: 90, online_days: 90 });
    }

    #[test]
    fn a_tenant_has_its_own_times_and_standards_on_top_of_the_common_ones() {
        let own = TenantRetention { standard_days: Some(30), ..TenantRetention::default() };
        let mut config = RetentionConfig::default();
        config.tenants.insert(tenant(), own.clone());
        let chain = ChainId { scope: Scope::Tenant(tenant()), class: RetentionClass::Standard };
        assert_eq!(config.term(chain, false).kept_days, 30);
        assert_eq!(config.term(ChainId { scope: Scope::Platform, ..chain }, false).kept_days, 366);
        config.standards.insert(Standard::PciDss);
        let key = format!("`tenants.{}.standard_days` is 30 days, but PCI DSS", tenant());
        assert!(wrong(&config)[0].starts_with(&key), "{:?}", wrong(&config));

        let hipaa = TenantRetention { standards: [Standard::Hipaa].into(), ..TenantRetention::default() };
        let config = RetentionConfig { tenants: [(tenant(), hipaa)].into(), ..RetentionConfig::default() };
        assert_eq!(wrong(&config).len(), 1, "the common three years are too short for this tenant");
    }

    #[test]
    fn what_is_out_of_its_range_is_named() {
        let config = RetentionConfig {
            interval_seconds: 0,
            security_days: 0,
            online_days: Some(40_000),
            ..RetentionConfig::default()
        };
        let expected = ["`interval_seconds` must be 1 to 86400", "`online_days` must be 1 to 36525"];
        assert_eq!(wrong(&config)[..2], expected);
        assert_eq!(wrong(&config)[2], "`security_days` must be 1 to 36525");
    }

    #[test]
    fn the_ends_of_ranges_are_within_and_what_is_next_to_them_is_not() {
        let with = |interval_seconds, days| {
            let own = TenantRetention { data_access_days: Some(days), ..TenantRetention::default() };
            let tenants = [(tenant(), own)].into();
            wrong(&RetentionConfig { interval_seconds, tenants, ..RetentionConfig::default() })
        };
        assert_eq!(with(1, 1), [""; 0]);
        assert_eq!(with(86_400, 36_525), [""; 0]);
        let days = format!("`tenants.{}.data_access_days` must be 1 to 36525", tenant());
        let interval = "`interval_seconds` must be 1 to 86400";
        assert_eq!(with(86_401, 36_526), [interval, &days]);
        assert_eq!(with(0, 0), [interval, &days]);
    }

    #[test]
    fn of_several_floors_the_highest_is_told_whatever_their_order() {
        let config = RetentionConfig {
            security_days: 100,
            ..with([Standard::Hipaa, Standard::PciDss, Standard::M2131])
        };
        assert_eq!(
            wrong(&config)[0],
            "`security_days` is 100 days, but HIPAA asks for at least 2192 of security entries"
        );
    }

    #[test]
    fn entries_do_not_stay_in_the_database_beyond_their_time() {
        let config = RetentionConfig { online_days: Some(1_000), ..RetentionConfig::default() };
        let chain = ChainId { scope: Scope::Platform, class: RetentionClass::Standard };
        assert_eq!(config.term(chain, true), Term { kept_days: 366, online_days: 366 });
    }

    #[test]
    fn an_archive_lets_entries_leave_the_database_earlier() {
        let config = RetentionConfig { online_days: Some(100), ..RetentionConfig::default() };
        let chain = ChainId { scope: Scope::Platform, class: RetentionClass::Security };
        assert_eq!(config.term(chain, false).online_days, 2_557);
        let term = config.term(chain, true);
        assert_eq!(term, Term { kept_days: 2_557, online_days: 100 });
        let now = Timestamp::from_micros(1_772_366_400_000_000);
        assert_eq!(now.since(term.online_since(now)), Duration::from_secs(100 * 86_400));
        assert_eq!(term.kept_until(now).since(now), Duration::from_secs(2_557 * 86_400));
    }
}
