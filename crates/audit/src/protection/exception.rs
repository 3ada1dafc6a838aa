use serde::{Deserialize, Serialize};
use stanchion_core::{Slug, Text, Timestamp};

use super::{DataSubject, FieldPath};
use crate::RetentionClass;

/// Why the law lets something be kept although its subject wants it erased (GDPR article 17(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// 17(3)(a): freedom of expression and information.
    Expression,
    /// 17(3)(b): a legal obligation, or a task in the public interest.
    LegalObligation,
    /// 17(3)(c): public health.
    PublicHealth,
    /// 17(3)(d): archiving, research or statistics in the public interest.
    Archiving,
    /// 17(3)(e): legal claims.
    LegalClaims,
}

impl Basis {
    /// Every basis, in the order of the article.
    pub const ALL: [Self; 5] =
        [Self::Expression, Self::LegalObligation, Self::PublicHealth, Self::Archiving, Self::LegalClaims];

    /// Returns the name that records and columns use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expression => "expression",
            Self::LegalObligation => "legal_obligation",
            Self::PublicHealth => "public_health",
            Self::Archiving => "archiving",
            Self::LegalClaims => "legal_claims",
        }
    }

    /// Finds the basis of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|basis| basis.as_str() == name)
    }
}

/// What must not be erased, on which ground, until when and why. It covers what all of subject, class and field say; what is not said
/// covers every one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// Its name, unique within its scope.
    pub id: Slug,
    /// Only what is about this subject.
    pub subject: Option<DataSubject>,
    /// Only in records of this class.
    pub class: Option<RetentionClass>,
    /// Only in this field.
    pub field: Option<FieldPath>,
    /// On which ground.
    pub basis: Basis,
    /// When it ends. Nothing is kept on a ground without an end; one that still holds is put again.
    pub until: Timestamp,
    /// Why, for whoever reads it later.
    pub reason: Text,
}

impl Exception {
    pub(crate) fn validate(&self, now: Timestamp) -> Result<(), &'static str> {
        if self.subject.is_none() && self.class.is_none() && self.field.is_none() {
            return Err("say at least one of `subject`, `class` and `field`");
        }
        if self.until <= now {
            return Err("`until` has to be in the future");
        }
        if self.reason.as_str().is_empty() || self.reason.as_str().len() > 1_000 {
            return Err("`reason` has to have 1 to 1000 bytes");
        }
        Ok(())
    }

    /// Tells whether it keeps anything of a subject at an instant.
    pub(crate) fn is_for(&self, subject: &DataSubject, now: Timestamp) -> bool {
        now < self.until && self.subject.as_ref().is_none_or(|of| of == subject)
    }
}
