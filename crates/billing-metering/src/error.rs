use stanchion_core::{InvalidId, StoreError, StoreErrorKind};

use crate::{MeterId, MoneyError, PriceError};

/// Why a question about usage has no answer, or events could not be recorded. That an event is not counted is an
/// [`Outcome`](crate::Outcome), not an error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The catalog has no such meter.
    #[error("the catalog has no meter `{0}`")]
    UnknownMeter(MeterId),
    /// Some of what the answer needs is not kept any more, or no decimal can hold it; the cause says which.
    #[error("there is no exact answer to this any more")]
    Unanswerable(#[source] StoreError),
    /// The page key did not come from a page of this list.
    #[error(transparent)]
    InvalidPageKey(#[from] InvalidId),
    /// The store failed.
    #[error("usage could not be read or written")]
    Store(#[source] StoreError),
    /// It took too long to wait until the event was kept. It is still queued and may yet be counted.
    #[error("the usage was not kept in time, and perhaps not yet")]
    Late,
    /// An amount is too large.
    #[error("the cost of `{meter}` is too large to be stated")]
    Price {
        /// The meter.
        meter: MeterId,
        /// What went wrong.
        source: PriceError,
    },
    /// The total is too large.
    #[error("the total cost is too large to be stated")]
    Money(#[from] MoneyError),
    /// A value of the configuration is out of its range.
    #[error("{0}")]
    InvalidConfig(&'static str),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Unsupported => Self::Unanswerable(error),
            _ => Self::Store(error),
        }
    }
}
