use stanchion_audit::Ledger;
use stanchion_core::{Event, EventSink, Severity};

/// Takes what rate limits have to tell into the ledger, and says aloud when they cannot be counted. What the ledger does not take it
/// counts as refused.
#[derive(Clone, Debug)]
pub struct LimitEvents(Ledger);

impl LimitEvents {
    /// Writes into a ledger.
    #[must_use]
    pub const fn new(ledger: Ledger) -> Self {
        Self(ledger)
    }
}

impl EventSink for LimitEvents {
    fn emit(&self, event: Event) {
        let reason = event.reason.as_ref().map(tracing::field::display);
        if event.severity >= Severity::High {
            tracing::error!(action = %event.action, reason, "rate limits cannot be counted");
        } else if event.action.as_str() == "limit.counting_resumed" {
            tracing::info!("rate limits are counted again");
        }
        self.0.emit(event);
    }
}
