//! Questions about who may do what, and what a change would do to that.

pub(crate) mod attempts;
pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod plan;
pub(crate) mod presets;
pub(crate) mod preview;
mod question;
pub(crate) mod subjects;

use crate::operation::Operation;

/// Asks whether; for services that ask before they do something.
const CHECK: &str = "access:check";
/// Asks why, who and what; for administrators.
const READ: &str = "access:read";

pub(crate) fn operations() -> Vec<Operation> {
    let groups = [
        check::operations(),
        explain::operations(),
        subjects::operations(),
        plan::operations(),
        preview::operations(),
        presets::operations(),
        attempts::operations(),
    ];
    groups.into_iter().flatten().collect()
}
