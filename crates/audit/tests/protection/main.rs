//! Protected values: closed wherever they are kept, open to who may read them, and gone once they are erased.

mod erasing;
mod ledger;
mod sealing;
mod support;
