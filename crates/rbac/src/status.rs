use stanchion_core::{Text, Timestamp};

use crate::{AttributeName, Rule};

/// The kinds of constraints that bore on a decision, by their [names](Rule::as_str).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RuleNames(u8);

impl RuleNames {
    const NAMES: [&'static str; 4] = ["owner_only", "organization_only", "equals", "time"];

    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn of(rule: &Rule) -> Self {
        match rule {
            Rule::OwnerOnly => Self(1),
            Rule::OrganizationOnly => Self(1 << 1),
            Rule::Equals(_) => Self(1 << 2),
            Rule::Time(_) => Self(1 << 3),
        }
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Tells whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the names.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| name)
    }
}

/// Something that has to be known of the resource or subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute<'a> {
    Owner,
    Team,
    Department,
    Organization,
    Other(&'a AttributeName),
    SubjectOrganization,
    OfSubject(&'a AttributeName),
}

impl Attribute<'_> {
    pub(crate) fn text(self) -> Text {
        match self {
            Self::Owner => "owner".into(),
            Self::Team => "team".into(),
            Self::Department => "department".into(),
            Self::Organization => "organization".into(),
            Self::Other(name) => name.shared().into(),
            Self::SubjectOrganization => "subject.organization".into(),
            Self::OfSubject(name) => format!("subject.{name}").into(),
        }
    }
}

/// How near something is to permitting what is wanted; the later the nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why<'a> {
    /// It does not name it.
    Nothing,
    /// It names it, but does not reach as far as the resource.
    Narrow,
    Missing(Attribute<'a>),
    Unmet,
    Met,
}

/// What came of looking whether something permits what is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status<'a> {
    pub(crate) why: Why<'a>,
    /// Where it is met, the first instant at which it may be no longer; else the first at which it may be met by time alone.
    pub(crate) at: Timestamp,
    /// The constraints that hold, or those that do not.
    pub(crate) rules: RuleNames,
}

impl<'a> Status<'a> {
    pub(crate) const MET: Self = Self { why: Why::Met, at: Timestamp::MAX, rules: RuleNames(0) };
    pub(crate) const NOTHING: Self = Self { why: Why::Nothing, ..Self::MET };

    pub(crate) const fn missing(attribute: Attribute<'a>) -> Self {
        Self { why: Why::Missing(attribute), ..Self::MET }
    }

    pub(crate) const fn is_met(&self) -> bool {
        matches!(self.why, Why::Met)
    }

    pub(crate) const fn is_nothing(&self) -> bool {
        matches!(self.why, Why::Nothing)
    }

    const fn rank(&self) -> u8 {
        match self.why {
            Why::Nothing => 0,
            Why::Narrow => 1,
            Why::Missing(_) => 2,
            Why::Unmet => 3,
            Why::Met => 4,
        }
    }

    /// Both have to be met.
    pub(crate) fn and(self, other: Self) -> Self {
        let (least, most) = if self.rank() <= other.rank() { (self, other) } else { (other, self) };
        let at = match (least.is_met(), most.is_met()) {
            (true, true) => least.at.min(most.at),
            (false, true) => least.at,
            _ => least.at.max(most.at),
        };
        let rules = if least.rank() == most.rank() { least.rules.and(most.rules) } else { least.rules };
        Self { why: least.why, at, rules }
    }

    /// One of them has to be met.
    pub(crate) fn or(self, other: Self) -> Self {
        let (least, most) = if self.rank() < other.rank() { (self, other) } else { (other, self) };
        match (least.is_met(), most.is_met()) {
            (true, true) if most.at < least.at => least,
            (_, true) => most,
            _ => Self { at: least.at.min(most.at), ..most },
        }
    }
}
