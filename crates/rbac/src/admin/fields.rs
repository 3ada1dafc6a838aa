//! What events tell of records.

use stanchion_core::{Detail, Details, Event, FieldChange, Timestamp, Versioned};

use crate::{
    Approval, Assignment, Constraint, Denial, Grant, Membership, Note, ResourceSelector, Role, Separation,
};

/// Compares a record before and after a write.
pub(super) fn changes<T>(
    before: Option<&T>,
    after: Option<&T>,
    fields: fn(&T) -> Details,
) -> Vec<FieldChange> {
    let [before, after] = [before, after].map(|record| record.map(fields).unwrap_or_default());
    FieldChange::between(&before, &after)
}

/// The record itself, of one that was read.
pub(super) fn value<T>(before: Option<&Versioned<T>>) -> Option<&T> {
    before.map(|before| &before.value)
}

pub(super) fn role_fields(role: &Role) -> Details {
    let mut fields = Details::default();
    fields.push("name", role.name.text().clone());
    if let Some(description) = &role.description {
        fields.push("description", description.text().clone());
    }
    fields.push("permissions", texts(role.permissions.iter()));
    fields.push("includes", texts(role.includes.iter()));
    fields.push("active", role.active);
    if !role.excludes.is_empty() {
        fields.push("excludes", texts(role.excludes.iter()));
    }
    if let Some(ceiling) = role.ceiling {
        fields.push("ceiling", ceiling.as_str());
    }
    if !role.constraints.is_empty() {
        fields.push("constraints", constraints(&role.constraints));
    }
    if !role.requires.is_empty() {
        fields.push("requires", texts(role.requires.iter()));
    }
    if let Some(holders) = role.max_holders {
        fields.push("max_holders", holders);
    }
    if !role.metadata.is_empty() {
        fields.push("metadata", texts(role.metadata.iter().map(|(name, text)| format!("{name}={text}"))));
    }
    fields
}

pub(super) fn grant_fields(grant: &Grant) -> Details {
    let mut fields = Details::default();
    fields.push("permission", grant.permission.to_string());
    for (name, time) in [("not_before", grant.not_before), ("expires_at", grant.expires_at)] {
        if let Some(time) = time {
            fields.push(name, time.to_string());
        }
    }
    if !grant.constraints.is_empty() {
        fields.push("constraints", constraints(&grant.constraints));
    }
    if let Some(reason) = &grant.reason {
        fields.push("reason", reason.text().clone());
    }
    match &grant.emergency {
        None => {}
        Some(Approval::NotNeeded) => fields.push("emergency", "not_needed"),
        Some(Approval::Awaited) => fields.push("emergency", "awaited"),
        Some(Approval::Given(by)) => fields.push("emergency", format!("given by {by}")),
    }
    fields
}

pub(super) fn membership_fields(membership: &Membership) -> Details {
    let times = [("not_before", membership.not_before), ("expires_at", membership.expires_at)];
    times.into_iter().filter_map(|(name, time)| Some((name, Detail::from(time?.to_string())))).collect()
}

pub(super) fn separation_fields(separation: &Separation) -> Details {
    let mut fields = Details::default();
    fields.push("name", separation.name.text().clone());
    fields.push("duty", separation.duty.as_str());
    fields.push("roles", texts(separation.roles.iter()));
    fields.push("at_most", separation.at_most);
    fields
}

fn constraints(all: &[Constraint]) -> Detail {
    texts(all.iter().map(|constraint| match &constraint.resource {
        Some(resource) => format!("{} on {resource}", constraint.rule.as_str()),
        None => constraint.rule.as_str().to_owned(),
    }))
}

pub(crate) fn on(event: Event, resource: Option<&ResourceSelector>) -> Event {
    match resource {
        Some(resource) => event.with_detail("resource", resource.to_string()),
        None => event,
    }
}

pub(super) fn assignment_fields(assignment: &Assignment) -> Details {
    let times = [("not_before", assignment.not_before), ("expires_at", assignment.expires_at)];
    let times = times.into_iter().filter_map(|(name, time)| Some((name, Detail::from(time?.to_string()))));
    let reason = assignment.reason.as_ref().map(|reason| ("reason", Detail::from(reason.text().clone())));
    times.chain(reason).collect()
}

pub(super) fn denial_fields(denial: &Denial) -> Details {
    let reason = denial.reason.as_ref().map(|reason| ("reason", Detail::from(reason.text().clone())));
    std::iter::once(("permission", Detail::from(denial.permission.to_string()))).chain(reason).collect()
}

pub(super) fn texts<T: ToString>(all: impl Iterator<Item = T>) -> Detail {
    Detail::List(all.map(|one| Detail::from(one.to_string())).collect())
}

pub(super) fn with_time(event: Event, name: &'static str, time: Option<Timestamp>) -> Event {
    match time {
        Some(time) => event.with_detail(name, time.to_string()),
        None => event,
    }
}

pub(super) fn with_reason(event: Event, reason: Option<&Note>) -> Event {
    match reason {
        Some(reason) => event.with_detail("reason", reason.text().clone()),
        None => event,
    }
}
