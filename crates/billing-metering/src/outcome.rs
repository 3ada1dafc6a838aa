use std::fmt;

use crate::AppendOutcome;

macro_rules! rejections {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)+) => {
        /// Why an event cannot be counted. Sending it again unchanged does not help.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rejection { $($(#[$doc])* $variant),+ }

        impl Rejection {
            /// Every reason, for the reference page.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the stable code that answers, logs and metrics use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }

        impl fmt::Display for Rejection {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl std::error::Error for Rejection {}
    };
}

rejections! {
    /// The catalog has no such meter.
    UnknownMeter = "unknown_meter", "the catalog has no such meter";
    /// The event's time lies before the late window, or before what the store can still tell duplicates of.
    TooLate = "too_late", "the time of the event is too far back";
    /// The event's time lies in the future by more than clocks may differ.
    InFuture = "in_future", "the time of the event lies in the future";
    /// The value is below zero.
    NegativeValue = "negative_value", "the value is below zero";
    /// The value is above 10^15, or has more than 12 digits after the point.
    ValueOutOfRange = "value_out_of_range", "the value is above 10^15 or has more than 12 digits after the point";
    /// The source is empty, longer than 256 bytes or has control characters.
    InvalidSource = "invalid_source", "the source has 1 to 256 bytes without control characters";
    /// The id is empty, longer than 256 bytes or has control characters.
    InvalidId = "invalid_id", "the id has 1 to 256 bytes without control characters";
    /// There are more than 16 dimensions, or one has a name or value that is too long or has control characters.
    InvalidDimensions = "invalid_dimensions", "at most 16 dimensions, names of 1 to 64 and values of 0 to 256 bytes, no control characters";
    /// An event names another tenant than the one whose place in the queue it took.
    OtherTenant = "other_tenant", "the event belongs to another tenant";
}

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is counted now.
    Accepted {
        /// Its number, unique within its tenant.
        seq: u64,
    },
    /// It was counted before; nothing has changed.
    Duplicate,
    /// Another event with this source and id was counted before; this one is not.
    Conflict,
    /// It is not counted.
    Rejected {
        /// Why.
        reason: Rejection,
    },
}

impl From<AppendOutcome> for Outcome {
    fn from(outcome: AppendOutcome) -> Self {
        match outcome {
            AppendOutcome::Accepted { seq } => Self::Accepted { seq },
            AppendOutcome::Duplicate => Self::Duplicate,
            AppendOutcome::Conflict => Self::Conflict,
            AppendOutcome::TooLate => Self::Rejected { reason: Rejection::TooLate },
        }
    }
}

/// Why an event was not taken into the queue. The caller still has to answer for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The event cannot be counted.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// The queue is full: the store is slower than the events come. The event may be sent again later.
    #[error("the queue of usage events is full")]
    Full,
    /// The tenant's share of the queue is full. The event may be sent again later.
    #[error("the tenant's share of the queue of usage events is full")]
    ShareFull,
    /// The engine was closed.
    #[error("the engine takes no more usage events")]
    Closed,
}
