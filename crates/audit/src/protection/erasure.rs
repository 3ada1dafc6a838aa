//! Erasing: the keys of a subject are destroyed, all but what the law lets be kept.

mod plan;
mod recorded;

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use stanchion_core::{
    Author, Category, Change, Detail, Details, Event, EventId, Outcome, ResourceRef, Revision, Scope,
    Severity, Slug, StoreError, StoreErrorKind, SystemScope, Text, Timestamp, Versioned,
};

use self::plan::Plan;
pub use self::recorded::RecordedErasure;
use super::{
    Basis, DataSubject, Exception, FieldPath, Protection, ProtectionChange, ProtectionError, SubjectKeyId,
    withdrawn,
};
use crate::{Draft, Ledger, Receipt, RetentionClass};

const SYSTEM: SystemScope = SystemScope::new("take the words of what was erased from what queries look at");
/// How often a change is tried when others write at the same time; each try that fails means that another has succeeded.
const TRIES: u32 = 64;
/// The most key ids that the record of an erasure names; the number of all it always tells.
const NAMED: usize = 1_000;

/// What else forbids that something is erased, such as legal holds that are kept elsewhere. It is asked before every erasure.
#[async_trait]
pub trait ErasureHolds: fmt::Debug + Send + Sync {
    /// Returns what of a subject must be kept, in the words of exceptions.
    ///
    /// # Errors
    /// When that cannot be told; then nothing is erased.
    async fn holds(&self, scope: Scope, subject: &DataSubject) -> Result<Vec<Exception>, StoreError>;
}

/// What was kept of a subject's keys, and on which ground.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The exception that keeps it.
    pub exception: Slug,
    /// On which ground.
    pub basis: Basis,
    /// In records of which class; of all, if none is named.
    pub class: Option<RetentionClass>,
    /// In which field; in all, if none is named.
    pub field: Option<FieldPath>,
    /// When it ends. The erasure can be run again then.
    pub until: Timestamp,
    /// Why.
    pub reason: Text,
}

/// What became of a subject's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureOutcome {
    /// All are destroyed, or there were none.
    Complete,
    /// Some are destroyed, and some are kept.
    Partial,
    /// All are kept.
    Refused,
}

impl ErasureOutcome {
    /// Returns the name that records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Refused => "refused",
        }
    }
}

/// What became of the words that erased values were found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Words {
    /// They are in nothing that queries look at any longer.
    Gone,
    /// They may still be there. The store learns from the record of the erasure what to do, when the projector comes to that.
    Pending,
}

impl Words {
    /// Returns the name that answers use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Pending => "pending",
        }
    }
}

/// How far the words are gone that erased values were found by, and when that was so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WordsLeft {
    /// Of how many of the destroyed keys there may still be words.
    pub keys: u64,
    /// When the store said so.
    pub at: Timestamp,
}

impl WordsLeft {
    /// Returns what became of them.
    #[must_use]
    pub const fn state(&self) -> Words {
        if self.keys == 0 { Words::Gone } else { Words::Pending }
    }
}

/// What an erasure has done, and where the ledger says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// The event that records it, which can be proven as any other.
    pub event: EventId,
    /// Where it stands.
    pub receipt: Receipt,
    /// Whose keys.
    pub subject: DataSubject,
    /// What became of them.
    pub outcome: ErasureOutcome,
    /// The data keys that are destroyed, but for what is kept of them.
    pub destroyed: Vec<SubjectKeyId>,
    /// The months they were for.
    pub periods: Vec<Text>,
    /// What is kept.
    pub kept: Vec<Kept>,
    /// What became of the words that it was found by.
    pub words: WordsLeft,
}

impl Protection {
    /// Erases what is protected for a subject: destroys its keys, but for what exceptions and holds keep, and records it. From then on
    /// nobody opens it, and nothing is found by its words; on other replicas values that are recorded with a key still in memory are
    /// erased as well. If the process ends before the words are gone, whoever runs the ledger's [`Projector`](crate::Projector) goes on.
    ///
    /// Run again, it destroys what is no longer kept, and what was protected since.
    ///
    /// # Errors
    /// [`ProtectionError::Refused`] when the record would find no room: then nothing is done. [`ProtectionError::Unconfirmed`] when the
    /// keys are destroyed and the record, which was committed with that, has not reached the ledger in time. Failures of the store.
    pub async fn erase(
        &self,
        ledger: &Ledger,
        author: &Author,
        scope: Scope,
        subject: &DataSubject,
        reason: &Text,
    ) -> Result<Erased, ProtectionError> {
        let place = ledger.reserve(scope).map_err(ProtectionError::Refused)?;
        let keys = &self.shared.keys;
        let mut tries = 1;
        let (plan, event) = loop {
            let now = keys.clock.now();
            let (expected, exceptions) = keys.store.exceptions(scope).await?;
            let mut holding: Vec<Exception> = exceptions.into_iter().map(|kept| kept.value).collect();
            if let Some(holds) = &self.shared.holds {
                holding.extend(holds.holds(scope, subject).await?);
            }
            holding.retain(|exception| exception.is_for(subject, now));
            let plan = self.plan(keys.store.of_subject(scope, subject).await?, &holding)?;
            let event = erased(author, &*keys.ids, now, scope, subject, reason, &plan);
            let erase = ProtectionChange::Erase {
                subject: subject.clone(),
                had: plan.had.clone(),
                keeps: plan.keeps.clone(),
            };
            match self.apply(author, scope, expected, now, erase, &event).await {
                Err(error) if error.kind() == StoreErrorKind::Conflict && tries < TRIES => tries += 1,
                Err(error) if error.kind() == StoreErrorKind::Conflict => return Err(ProtectionError::Busy),
                applied => {
                    // Also when nobody knows whether it was done.
                    keys.forget(scope, Some(subject.as_str()));
                    applied?;
                    break (plan, event);
                }
            }
        };
        let gone = plan.withdrawn();
        let told = ledger.shared().store.withdraw(SYSTEM, scope, &gone).await;
        let words = WordsLeft { keys: if told.is_ok() { 0 } else { gone.len() }, at: keys.clock.now() };
        let id = event.id;
        let receipt = place.append(Draft::Event(event)).await.map_err(ProtectionError::Unconfirmed)?;
        let Plan { destroyed, periods, kept, outcome, .. } = plan;
        Ok(Erased { event: id, receipt, subject: subject.clone(), outcome, destroyed, periods, kept, words })
    }

    /// Lists the exceptions of a scope, in the order of their names, also those that have ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn exceptions(&self, scope: Scope) -> Result<Vec<Versioned<Exception>>, ProtectionError> {
        Ok(self.shared.keys.store.exceptions(scope).await?.1)
    }

    /// Puts an exception, in place of the one of its name if there is one.
    ///
    /// # Errors
    /// [`ProtectionError::Exception`] for one that excepts everything, has ended or has no reason; failures of the store.
    pub async fn put_exception(
        &self,
        author: &Author,
        scope: Scope,
        exception: Exception,
    ) -> Result<Versioned<Exception>, ProtectionError> {
        let keys = &self.shared.keys;
        exception.validate(keys.clock.now()).map_err(ProtectionError::Exception)?;
        self.change(author, scope, |known, revision, now| {
            let before = known.into_iter().find(|before| before.value.id == exception.id);
            let event = excepted(author, &*keys.ids, now, scope, "audit.exception_put", &exception);
            let written = match before {
                Some(before) => before.replaced(exception.clone(), revision, now),
                None => Versioned::created(exception.clone(), revision, now),
            };
            Ok((ProtectionChange::PutException(exception.clone()), event, written))
        })
        .await
    }

    /// Takes an exception away, before it ends.
    ///
    /// # Errors
    /// [`ProtectionError::NoException`]; failures of the store.
    pub async fn lift_exception(
        &self,
        author: &Author,
        scope: Scope,
        id: &Slug,
    ) -> Result<Exception, ProtectionError> {
        let keys = &self.shared.keys;
        self.change(author, scope, |known, _, now| {
            let exception = known.into_iter().map(|known| known.value).find(|known| known.id == *id);
            let exception = exception.ok_or_else(|| ProtectionError::NoException(id.clone()))?;
            let event = excepted(author, &*keys.ids, now, scope, "audit.exception_lifted", &exception);
            Ok((ProtectionChange::LiftException(id.clone()), event, exception))
        })
        .await
    }

    async fn change<T>(
        &self,
        author: &Author,
        scope: Scope,
        rule: impl Fn(
            Vec<Versioned<Exception>>,
            Revision,
            Timestamp,
        ) -> Result<(ProtectionChange, Event, T), ProtectionError>,
    ) -> Result<T, ProtectionError> {
        let mut tries = 1;
        loop {
            let (expected, known) = self.shared.keys.store.exceptions(scope).await?;
            let now = self.shared.keys.clock.now();
            let (change, event, answer) = rule(known, expected.next(), now)?;
            match self.apply(author, scope, expected, now, change, &event).await {
                Err(error) if error.kind() == StoreErrorKind::Conflict && tries < TRIES => tries += 1,
                applied => return Ok(applied.map(|_| answer)?),
            }
        }
    }

    async fn apply(
        &self,
        author: &Author,
        scope: Scope,
        expected: Revision,
        at: Timestamp,
        change: ProtectionChange,
        event: &Event,
    ) -> Result<Revision, StoreError> {
        let (actor, events) = (author.actor.clone(), vec![event.clone()]);
        let change = Change { expected, changes: vec![change], at, actor, events };
        self.shared.keys.store.apply(scope, change).await
    }
}

fn erased(
    author: &Author,
    ids: &dyn stanchion_core::IdGen,
    at: Timestamp,
    scope: Scope,
    subject: &DataSubject,
    reason: &Text,
    plan: &Plan,
) -> Event {
    let mut event = author.event(ids, at, scope, withdrawn::ERASED);
    event.category = Category::Administration;
    event.severity = Severity::Notice;
    event.targets.extend(ResourceRef::new("subject", subject.as_str().to_owned()));
    event.reason = Some(plan.outcome.as_str().into());
    if plan.outcome == ErasureOutcome::Refused {
        event.outcome = Outcome::Denied;
    }
    let text = |id: &SubjectKeyId| Detail::from(id.to_string());
    let kept = |kept: &Kept| {
        let mut details: Details =
            [("basis", Detail::from(kept.basis.as_str())), ("until", kept.until.to_string().into())]
                .into_iter()
                .collect();
        details.push("exception", kept.exception.to_string());
        if let Some(class) = kept.class {
            details.push("class", class.as_str());
        }
        if let Some(field) = &kept.field {
            details.push("field", field.to_string());
        }
        Detail::Map(details)
    };
    let count = u64::try_from(plan.destroyed.len()).unwrap_or(u64::MAX);
    event
        .with_detail("keys", count)
        .with_detail("key_ids", plan.destroyed.iter().take(NAMED).map(text).collect::<Vec<_>>())
        .with_detail("periods", plan.periods.iter().cloned().map(Detail::Text).collect::<Vec<_>>())
        .with_detail("kept", plan.kept.iter().map(kept).collect::<Vec<_>>())
        .with_detail("requested_because", reason.clone())
}

fn excepted(
    author: &Author,
    ids: &dyn stanchion_core::IdGen,
    at: Timestamp,
    scope: Scope,
    action: &'static str,
    exception: &Exception,
) -> Event {
    let mut event = author.event(ids, at, scope, action);
    event.severity = Severity::Notice;
    event.targets.extend(ResourceRef::new("exception", exception.id.to_string()));
    let mut event = event
        .with_detail("basis", exception.basis.as_str())
        .with_detail("until", exception.until.to_string())
        .with_detail("why", exception.reason.clone());
    if let Some(subject) = &exception.subject {
        event = event.with_detail("subject", subject.to_string());
    }
    if let Some(class) = exception.class {
        event = event.with_detail("class", class.as_str());
    }
    if let Some(field) = &exception.field {
        event = event.with_detail("field", field.to_string());
    }
    event
}
