//! What is missing of the events that producers have numbered.

use serde::Serialize;
use stanchion_audit::{NumberGap, ProducerRun};
use utoipa::ToSchema;

use crate::wire::Integer;

/// What the ledger of a scope holds of one run of a producer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditProducerRun)]
pub(crate) struct Run {
    /// The producer.
    producer: String,
    /// Which run of it.
    boot: String,
    /// Whether its events were reported: then the numbers are their reporter's word.
    reported: bool,
    /// How many of its events are recorded.
    events: Integer,
    /// The greatest number among them.
    last: Integer,
    /// `running`; `stopped`, in good order; `crashed`; or `unknown`.
    state: &'static str,
    /// Whether events are missing and nothing explains it.
    suspect: bool,
    /// The numbers that are missing, the first 100 gaps of them.
    gaps: Vec<Gap>,
}

/// Numbers that no recorded event has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditNumberGap)]
pub(crate) struct Gap {
    /// The first.
    first: Integer,
    /// The last.
    last: Integer,
    /// `refused`: declared not to have been recorded; `in_flight`: they may still come; `dropped`: their time may be over; `crashed`:
    /// they may have been lost with their producer; `suppressed`: nothing explains it.
    cause: &'static str,
}

/// The most gaps of a run that are told.
const GAPS: usize = 100;

impl From<ProducerRun> for Run {
    fn from(run: ProducerRun) -> Self {
        Self {
            producer: run.producer.to_string(),
            boot: run.boot.to_string(),
            reported: run.reported,
            events: Integer(run.events),
            last: Integer(run.last),
            state: run.state.as_str(),
            suspect: run.is_suspect(),
            gaps: run.gaps.into_iter().take(GAPS).map(Gap::from).collect(),
        }
    }
}

impl From<NumberGap> for Gap {
    fn from(gap: NumberGap) -> Self {
        Self { first: Integer(gap.first), last: Integer(gap.last), cause: gap.cause.as_str() }
    }
}
