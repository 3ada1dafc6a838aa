//! Protected values: closed wherever they are kept, open to who may read them, and gone once they are erased.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod erasing;
mod ledger;
mod sealing;
mod support;
