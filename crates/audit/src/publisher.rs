//! Carries checkpoints of the platform's log to an anchor.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use stanchion_core::{Outcome, Scope, Severity, StoreError, Timestamp};

use crate::engine::count;
use crate::lifecycle::own;
use crate::rotation::OWN;
use crate::sequencer::Observer;
use crate::tree::verify_consistency;
use crate::{Anchor, AnchorError, Break, BreakReason, Draft, Error, Prover, Publication, TreeHead};

/// How long the last attempt of a process may take.
const LAST: Duration = Duration::from_secs(5);

/// How often checkpoints are published, and when somebody is told that they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PublishConfig {
    /// How often the latest checkpoint is published, in seconds, 1 to 86,400. A failed attempt is repeated as often.
    pub interval_seconds: u32,
    /// After how long without success `audit.anchor_late` is recorded, in seconds, 1 to 604,800.
    pub alarm_seconds: u32,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self { interval_seconds: 60, alarm_seconds: 900 }
    }
}

impl PublishConfig {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Config`] names the first that is not.
    pub fn validate(&self) -> Result<(), Error> {
        let (setting, rule) = if !(1..=86_400).contains(&self.interval_seconds) {
            ("interval_seconds", "use 1 to 86400")
        } else if !(1..=604_800).contains(&self.alarm_seconds) {
            ("alarm_seconds", "use 1 to 604800")
        } else {
            return Ok(());
        };
        Err(Error::Config { setting, rule })
    }
}

/// Publishes the checkpoints of the platform's security log to one anchor. That log records the checkpoints of all others, so what is
/// anchored holds for them, too.
///
/// Before it publishes, it compares the log with what the anchor holds. A log that does not lead there was cut or replaced, together
/// with all that is beside it in the database: that is recorded as `audit.anchor_conflict`, critical.
#[must_use = "checkpoints are published only while the publisher runs"]
pub struct Publisher {
    prover: Prover,
    anchor: Arc<dyn Anchor>,
    config: PublishConfig,
    /// For how many seconds there has been something that is not published.
    lag: Arc<AtomicU64>,
    behind_since: Option<Timestamp>,
    is_late: bool,
    /// The conflict that was recorded last.
    conflict: Option<(u64, &'static str)>,
    observer: Option<Observer>,
}

impl Prover {
    /// Has checkpoints of the platform's security log published to an anchor, by a future that you run.
    pub fn publish_to(&self, anchor: Arc<dyn Anchor>, config: PublishConfig) -> Publisher {
        let lag = self.ledger.shared().new_lag();
        Publisher {
            prover: self.clone(),
            anchor,
            config,
            lag,
            behind_since: None,
            is_late: false,
            conflict: None,
            observer: None,
        }
    }

    /// Compares the platform's security log with what an anchor holds of it; `Ok(Err(_))` when the log does not lead there: it was cut
    /// or replaced, whatever the database says of itself.
    ///
    /// # Errors
    /// [`Error::Store`] when the anchor or the store cannot be read.
    pub async fn verify_anchor(&self, anchor: &dyn Anchor) -> Result<Result<(), Break>, Error> {
        let broken = |seq| Ok(Err(Break { chain: OWN, seq, reason: BreakReason::AnchorConflict }));
        match self.next_publication(anchor, None).await {
            Ok(_) => Ok(Ok(())),
            Err(Attempt::Ledger(error)) => Err(error),
            Err(Attempt::Anchor(AnchorError::Failed(error))) => Err(error.into()),
            Err(Attempt::Anchor(AnchorError::Conflict { size, .. } | AnchorError::Elsewhere { size })) => {
                let covered = self.checkpoint(OWN).await?.map_or(0, |checkpoint| checkpoint.size);
                broken(if size > covered { covered + 1 } else { size })
            }
        }
    }

    /// Finds what is to be published next, and that the log leads there from what the anchor holds; `None` when that is the latest.
    async fn next_publication(
        &self,
        anchor: &dyn Anchor,
        from: Option<u64>,
    ) -> Result<Option<Publication>, Attempt> {
        let origin = self.signer.origin(&OWN);
        let held = match from {
            Some(_) => None,
            None => anchor.latest(&origin).await.map_err(AnchorError::from)?,
        };
        let held = match held {
            None => None,
            Some(note) => match TreeHead::open(note.as_str(), &self.verifiers(&OWN)) {
                Ok(head) => Some(head),
                Err(_) => {
                    return Err(AnchorError::Conflict { size: 0, why: "no key of ours signed that" }.into());
                }
            },
        };
        let from = from.or(held.as_ref().map(|head| head.size)).unwrap_or(0);
        let checkpoint = self.checkpoint(OWN).await?;
        let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        if from > size {
            return Err(AnchorError::Conflict { size: from, why: "the log has fewer" }.into());
        }
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        if from == size {
            return match held {
                Some(head) if head.root != checkpoint.root => {
                    Err(AnchorError::Conflict { size, why: "the log has others" }.into())
                }
                Some(_) => Ok(None),
                // A witness tells no root: it compares.
                None => Ok(Some(Publication { origin, from, hashes: Vec::new(), checkpoint })),
            };
        }
        if from == 0 {
            return Ok(Some(Publication { origin, from, hashes: Vec::new(), checkpoint }));
        }
        let growth = self.prove_growth(OWN, from).await?.ok_or(Error::NoProof { chain: OWN })?;
        if let Some(head) = held {
            let to = (growth.checkpoint.size, &growth.checkpoint.root);
            if verify_consistency((head.size, &head.root), to, &growth.hashes).is_err() {
                return Err(AnchorError::Conflict { size: from, why: "the log has others" }.into());
            }
        }
        Ok(Some(Publication { origin, from, hashes: growth.hashes, checkpoint: growth.checkpoint }))
    }
}

/// Why an attempt to publish failed.
enum Attempt {
    Anchor(AnchorError),
    Ledger(Error),
}

impl From<AnchorError> for Attempt {
    fn from(error: AnchorError) -> Self {
        Self::Anchor(error)
    }
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Self::Ledger(error)
    }
}

impl Publisher {
    /// Lets `observer` hear of every failure. It must be quick and must not block.
    pub fn on_failure(mut self, observer: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Publishes until `stop` completes, and then once more what the process covered last.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let shared = Arc::clone(self.prover.ledger.shared());
        let mut stop = pin!(stop);
        let interval = Duration::from_secs(self.config.interval_seconds.max(1).into());
        loop {
            let next = shared.timer.sleep_until(shared.clock.now().plus(interval));
            let is_over = matches!(select(stop.as_mut(), next).await, Either::Left(_));
            if is_over {
                let patience = shared.timer.sleep_until(shared.clock.now().plus(LAST));
                select(pin!(self.attempt()), patience).await;
                return;
            }
            self.attempt().await;
        }
    }

    /// Publishes what is to be published, and records what somebody should know.
    async fn attempt(&mut self) {
        let shared = Arc::clone(self.prover.ledger.shared());
        let attempt = self.publish().await;
        let now = shared.clock.now();
        match attempt {
            Ok(is_new) => {
                if is_new {
                    count(&shared.counters.anchored, 1);
                }
                (self.behind_since, self.is_late, self.conflict) = (None, false, None);
            }
            Err(attempt) => {
                self.behind_since.get_or_insert(now);
                count(&shared.counters.anchor_failures, 1);
                self.failed(attempt);
            }
        }
        let lag = self.behind_since.map_or(Duration::ZERO, |since| now.since(since));
        self.lag.store(lag.as_secs(), Ordering::Relaxed);
        if !self.is_late && lag >= Duration::from_secs(self.config.alarm_seconds.into()) {
            self.is_late = true;
            let details = [("seconds", i64::try_from(lag.as_secs()).unwrap_or(i64::MAX))];
            self.record("audit.anchor_late", Severity::High, &details, None);
        }
    }

    /// Tells whether there was something new.
    async fn publish(&self) -> Result<bool, Attempt> {
        let mut from = None;
        // A witness says where it stands by refusing.
        for _ in 0..2 {
            let Some(publication) = self.prover.next_publication(&*self.anchor, from).await? else {
                return Ok(false);
            };
            match self.anchor.publish(&publication).await {
                Ok(_) => return Ok(true),
                Err(AnchorError::Elsewhere { size }) => from = Some(size),
                Err(error) => return Err(error.into()),
            }
        }
        Err(AnchorError::Elsewhere { size: from.unwrap_or(0) }.into())
    }

    fn failed(&mut self, attempt: Attempt) {
        let error = match attempt {
            Attempt::Anchor(AnchorError::Conflict { size, why }) => {
                count(&self.prover.ledger.shared().counters.anchor_conflicts, 1);
                // Once, however often it is met again.
                if self.conflict.replace((size, why)) != Some((size, why)) {
                    let size = i64::try_from(size).unwrap_or(i64::MAX);
                    self.record("audit.anchor_conflict", Severity::Critical, &[("size", size)], Some(why));
                }
                return;
            }
            Attempt::Anchor(AnchorError::Failed(error)) | Attempt::Ledger(Error::Store(error)) => error,
            // Another process has published meanwhile, or the tree does not prove itself, which the checkpointer tells of.
            _ => return,
        };
        if let Some(observer) = &self.observer {
            observer(&error);
        }
    }

    fn record(
        &self,
        action: &'static str,
        severity: Severity,
        numbers: &[(&'static str, i64)],
        why: Option<&'static str>,
    ) {
        let mut event = own(self.prover.ledger.shared(), action)
            .with_detail("anchor", self.anchor.name().to_owned())
            .with_detail("log", self.prover.signer.origin(&OWN));
        for (name, number) in numbers {
            event = event.with_detail(*name, *number);
        }
        if let Some(why) = why {
            event = event.with_detail("why", why);
        }
        (event.severity, event.outcome) = (severity, Outcome::Failure);
        // A full queue loses nothing: the metric tells, and the next attempt.
        drop(self.prover.ledger.submit(Scope::Platform, Draft::Late(Box::new(move || event))));
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("anchor", &self.anchor).finish_non_exhaustive()
    }
}
