//! What may be written, as pure functions of what is there. The engine runs them at the revision that it then writes against, so
//! that what they saw is what the change is made to.

mod apart;
mod census;
mod effective;
mod grants;
mod guards;
mod holders;
mod roles;
mod sessions;
mod state;
mod subjects;

pub(crate) use apart::{Together, keep_apart, put_separation};
pub(crate) use census::{Census, When};
pub(crate) use effective::{Effective, Element};
pub(crate) use grants::{approve, grant, in_emergency};
pub(crate) use guards::{
    Given, Guarded, elevation, last_administrator, loses_administration, seniors, universe,
};
pub(crate) use holders::{Holders, held_by_few, prerequisites};
pub(crate) use roles::{delete_role, put_role};
pub(crate) use sessions::{active_roles, put_session};
pub(crate) use state::State;
pub(crate) use subjects::{add_member, assign, deny};

use stanchion_core::{Actor, Author, Scope, SubjectRef, Timestamp};

use crate::{Constraint, Error, Operand, Permission, PermissionScope, Rule, Value};

/// How many are named where many could be.
pub(crate) const NAMED: usize = 5;

fn within(scope: Scope, permission: &Permission) -> Result<(), Error> {
    if scope.tenant().is_some() && permission.scope() == PermissionScope::Platform {
        return Err(Error::BeyondTenant(permission.clone()));
    }
    Ok(())
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), Error> {
    if count > limit { Err(Error::TooMany { what, limit }) } else { Ok(()) }
}

/// Tells whether something that counts for a time will ever count.
fn ever_counts(
    what: &'static str,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(expires_at) = expires_at else { return Ok(()) };
    if expires_at <= now {
        return Err(Error::NeverValid { what, why: "it has expired already" });
    }
    if not_before.is_some_and(|not_before| expires_at <= not_before) {
        return Err(Error::NeverValid { what, why: "it expires before it begins" });
    }
    Ok(())
}

/// Tells whether constraints can be compared with what resources have.
fn comparable(constraints: &[Constraint]) -> Result<(), Error> {
    fn depth(value: &Value) -> usize {
        match value {
            Value::List(all) => 1 + all.iter().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    let too_deep = |constraint: &&Constraint| match &constraint.rule {
        Rule::Equals(equality) => matches!(&equality.to, Operand::Value(value) if depth(value) > 4),
        _ => false,
    };
    match constraints.iter().find(too_deep) {
        Some(constraint) => {
            let what = format!("the value of constraint `{}`", constraint.rule.as_str());
            Err(Error::Invalid { what, rule: "has lists within lists, at most 4 deep" })
        }
        None => Ok(()),
    }
}

/// The subject that an actor is, if it is one.
pub(crate) fn subject_of(actor: &Actor) -> Option<&SubjectRef> {
    match actor {
        Actor::Subject { subject, .. } => Some(subject),
        Actor::System(_) | Actor::Anonymous => None,
    }
}

pub(crate) fn is_system(author: &Author) -> bool {
    matches!(author.actor, Actor::System(_))
}

/// Names some of many.
pub(crate) fn some<T>(all: impl IntoIterator<Item = T>, name: impl Fn(T) -> String) -> Vec<String> {
    let mut all = all.into_iter();
    let mut named: Vec<String> = all.by_ref().take(NAMED).map(name).collect();
    match all.count() {
        0 => {}
        more => named.push(format!("and {more} more")),
    }
    named
}
