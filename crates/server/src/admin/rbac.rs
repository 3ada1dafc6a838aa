//! Who may do what.

mod assign;
mod role;

pub(crate) use assign::Assign;
pub(crate) use role::Role;
