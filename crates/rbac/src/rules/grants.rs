use std::time::Duration;

use stanchion_core::{Actor, Author, Scope, Timestamp};

use super::{Census, When, at_most, comparable, ever_counts, subject_of, within};
use crate::config::Emergency;
use crate::{Approval, Denial, Error, Grant, Limits, OverDenial};

/// Tells whether the permission may be granted, and returns the denials that are lifted with it.
pub(crate) fn grant(
    scope: Scope,
    census: &Census<'_>,
    grant: &Grant,
    over: OverDenial,
    now: Timestamp,
    limits: &Limits,
) -> Result<Vec<Denial>, Error> {
    within(scope, &grant.permission)?;
    at_most("constraints of a grant", grant.constraints.len(), limits.constraints)?;
    comparable(&grant.constraints)?;
    ever_counts("grant", grant.not_before, grant.expires_at, now)?;
    let known = census.of(&grant.subject);
    let is_same =
        |other: &Grant| (&other.permission, &other.resource) == (&grant.permission, &grant.resource);
    if !known.grants.iter().any(is_same) {
        at_most("permissions granted to a subject", known.grants.len() + 1, limits.grants)?;
    }
    let covers = |denial: &&Denial| {
        denial.permission.covers(&grant.permission)
            && (denial.resource.is_none() || denial.resource == grant.resource)
    };
    let mut lifted = Vec::new();
    for denial in census.denials(&grant.subject, When::From(now)).filter(covers) {
        let advice = match over {
            _ if denial.subject != grant.subject => {
                "it is denied to a group of theirs; lift that, or leave it"
            }
            OverDenial::Refuse => "ask for it to be lifted with the grant, or leave it",
            OverDenial::Lift => {
                lifted.push(denial.clone());
                continue;
            }
        };
        return Err(Error::DenialStands {
            subject: denial.subject.clone(),
            permission: denial.permission.clone(),
            resource: denial.resource.clone(),
            advice,
        });
    }
    Ok(lifted)
}

/// Makes a grant what the configuration asks of one in an emergency: one with a reason, that ends soon, and that waits for a second
/// person where it has to. Every other grant stays as it is.
pub(crate) fn in_emergency(mut grant: Grant, now: Timestamp, config: &Emergency) -> Result<Grant, Error> {
    if grant.emergency.is_none() {
        return Ok(grant);
    }
    if grant.reason.is_none() {
        return Err(Error::ReasonMissing);
    }
    let latest = now.plus(Duration::from_secs(60 * u64::from(config.max_minutes)));
    match grant.expires_at {
        Some(expires_at) if expires_at > latest => {
            let what = "a grant in an emergency";
            return Err(Error::TooLong { what, max_minutes: config.max_minutes });
        }
        Some(_) => {}
        None => grant.expires_at = Some(latest),
    }
    grant.emergency = Some(if config.second_approver { Approval::Awaited } else { Approval::NotNeeded });
    Ok(grant)
}

/// Tells whether the author may approve the grant, and returns it approved.
pub(crate) fn approve(
    census: &Census<'_>,
    grant: &Grant,
    author: &Author,
    now: Timestamp,
) -> Result<Grant, Error> {
    ever_counts("grant", grant.not_before, grant.expires_at, now)?;
    let unfit = |part| Error::UnfitApprover { who: author.actor.to_string(), part };
    if author.actor == Actor::Anonymous {
        return Err(unfit("cannot be known"));
    }
    let granted_it = grant.granted_by.as_ref().is_none_or(|granted_by| {
        // One person with two keys is still one person.
        match (subject_of(granted_by), subject_of(&author.actor)) {
            (Some(granted_by), Some(author)) => granted_by == author,
            _ => *granted_by == author.actor,
        }
    });
    if granted_it {
        return Err(unfit("granted it"));
    }
    let author_subject = subject_of(&author.actor).or(author.acted_as.as_ref());
    if author_subject.is_some_and(|subject| {
        *subject == grant.subject || census.roots(subject, When::From(now)).any(|root| *root == grant.subject)
    }) {
        return Err(unfit("would have it"));
    }
    Ok(Grant { emergency: Some(Approval::Given(author.actor.clone())), ..grant.clone() })
}
