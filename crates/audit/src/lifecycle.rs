//! What the ledger records about itself: when it began, when it ended in good order, and what was set otherwise.

use stanchion_core::{Actor, Category, Event, EventId, FieldChange, Scope, Severity, Text, Timestamp};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::engine::Shared;
use crate::moved::Asked;
use crate::numbers::Numbers;
use crate::{Draft, Error, Ledger, Receipt, Refused, Writers};

/// One run of a process that writes to a ledger, as `audit.started` and `audit.stopped` name it. A start without the stop of the run
/// before shows that it did not end in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Which run; another at each start.
    pub boot: Uuid,
    /// The version of the program.
    pub version: Text,
    /// What the names of the logs begin with.
    pub deployment: Text,
    /// In whose name its events are numbered, as [`ProducerNumber`](stanchion_core::ProducerNumber) has it. Replicas may share one: each run has numbers of its own.
    pub producer: Text,
}

impl Ledger {
    /// Records that a process begins to write, `audit.started`, and `more` after it: before anything else, if it is called before
    /// anything else is submitted. From then on the events that it makes are numbered. A process records this once, so a loop of restarts records no more than it restarts.
    ///
    /// # Errors
    /// [`Refused`] as [`submit`](Self::submit).
    pub fn begin(&self, process: &Process, more: impl IntoIterator<Item = Event>) -> Result<(), Refused> {
        let shared = self.shared();
        // A process has one name: whoever begins again goes on with its numbers.
        let _ = shared.numbers.set(Numbers::new(process.producer.clone(), process.boot));
        let writers = match shared.config.writers {
            Writers::Shared => "shared",
            Writers::Exclusive => "exclusive",
        };
        let event = own(shared, "audit.started")
            .with_detail("boot", process.boot.to_string())
            .with_detail("deployment", process.deployment.clone())
            .with_detail("key_epoch", i64::from(shared.signer.epoch()))
            .with_detail("producer", process.producer.clone())
            .with_detail("version", process.version.clone())
            .with_detail("writers", writers);
        for event in std::iter::once(event).chain(more) {
            self.submit(Scope::Platform, Draft::Event(event))?;
        }
        Ok(())
    }

    /// Ends in good order: has everything covered and told in the platform's ledger, refuses new events, and records `audit.stopped`,
    /// the last entry of this process. What was reserved before and is submitted after it still comes later.
    ///
    /// # Errors
    /// As [`append`](Self::append). The ledger is closed in any case.
    pub async fn finish(&self, process: &Process) -> Result<Receipt, Error> {
        self.settle().await;
        let place = self.reserve(Scope::Platform);
        self.close();
        let place = place.map_err(|_| Error::Closed)?;
        let event = own(self.shared(), "audit.stopped").with_detail("boot", process.boot.to_string());
        place.append(Draft::Late(Box::new(move || event))).await
    }

    /// Has the checkpointer cover what was committed until now, and tell so in the platform's ledger. Without a checkpointer that
    /// runs, nothing is waited for.
    pub async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        self.shared().moved.ask(Asked::Settle(done));
        drop(settled.await);
    }

    /// Records that settings of the audit were changed, `audit.configured`; nothing when there are no changes. `in_force` tells
    /// whether they hold already, or after a restart only.
    ///
    /// # Errors
    /// [`Refused`] as [`submit`](Self::submit).
    pub fn configured(
        &self,
        author: Actor,
        changes: Vec<FieldChange>,
        in_force: bool,
    ) -> Result<(), Refused> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut event = own(self.shared(), "audit.configured").with_detail("in_force", in_force);
        event.actor = author;
        event.changes = changes;
        event.severity = Severity::Notice;
        self.submit(Scope::Platform, Draft::Late(Box::new(move || event)))
    }
}

/// Starts an event of the audit about itself, in the platform's security chain.
pub(crate) fn own(shared: &Shared, action: &'static str) -> Event {
    let now = shared.clock.now();
    own_at(shared.ids.event_id(now), now, action)
}

/// The same with an id and a time that follow from what happened.
pub(crate) fn own_at(id: EventId, at: Timestamp, action: &'static str) -> Event {
    Event::new(id, at, Scope::Platform, Actor::System("audit".into()), action, Category::Security)
}
