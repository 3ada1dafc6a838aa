//! What administrators say about single callers: another limit, shut out, begin anew.

use std::time::Duration;

use stanchion_core::{
    Author, Change, Details, Event, FieldChange, ResourceRef, Revision, Scope, StoreErrorKind, Timestamp,
    Versioned,
};

use super::Engine;
use super::rules::ATTEMPTS;
use crate::snapshot::lifetime;
use crate::{
    Control, ControlId, Dimension, Error, Identifiers, InvalidControl, InvalidRule, Override, Quarantine,
    Reset, Rule, RuleChange, RuleId, RuleSet,
};

impl Engine {
    /// Gives one caller another limit of a rule, or changes it. What the caller has used stays used.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such rule, [`Error::InvalidControl`] when the rule does not count by such callers,
    /// [`Error::Invalid`] for a limit that the rule cannot have, [`Error::TooManyControls`] for one more than a scope may have,
    /// [`Error::Store`] when the store fails.
    pub async fn put_override(
        &self,
        author: &Author,
        scope: Scope,
        control: Override,
    ) -> Result<Versioned<Control>, Error> {
        let check = |set: &RuleSet| {
            let rule = set.rules.iter().find(|stored| stored.value.rule.id == control.rule);
            let rule = &rule.ok_or_else(|| Error::NotFound(control.rule.clone()))?.value.rule;
            check_override(scope, rule, &control)
        };
        let make = |_: &RuleSet, _, _| Control::Override(control.clone());
        self.write_control(author, "limit.override", scope, check, make).await
    }

    /// Takes another limit away again. Tells whether there was one.
    ///
    /// # Errors
    /// [`Error::Store`] when the store fails.
    pub async fn delete_override(
        &self,
        author: &Author,
        scope: Scope,
        rule: &RuleId,
        identifiers: &Identifiers,
    ) -> Result<bool, Error> {
        let id = ControlId::of_override(rule, identifiers);
        self.delete_control(author, "limit.override_lifted", scope, id).await
    }

    /// Shuts a caller out until a stated time, or changes that.
    ///
    /// # Errors
    /// [`Error::InvalidControl`] when nobody is named, [`Error::TooManyControls`] for one more than a scope may have,
    /// [`Error::Store`] when the store fails.
    pub async fn put_quarantine(
        &self,
        author: &Author,
        scope: Scope,
        control: Quarantine,
    ) -> Result<Versioned<Control>, Error> {
        let check = |_: &RuleSet| check_identifiers(scope, &control.identifiers);
        let make = |_: &RuleSet, _, _| Control::Quarantine(control.clone());
        self.write_control(author, "limit.quarantine", scope, check, make).await
    }

    /// Lets a caller in again. Tells whether it was shut out.
    ///
    /// # Errors
    /// [`Error::Store`] when the store fails.
    pub async fn lift_quarantine(
        &self,
        author: &Author,
        scope: Scope,
        identifiers: &Identifiers,
    ) -> Result<bool, Error> {
        self.shut.remove(scope, identifiers);
        let id = ControlId::of_quarantine(identifiers);
        self.delete_control(author, "limit.quarantine_lifted", scope, id).await
    }

    /// Begins the counters of one caller anew, in all rules of the scope that count by everything that is named: one write, however
    /// many counters there are. Leases that are held go on, and are not counted any more.
    ///
    /// # Errors
    /// As [`put_quarantine`](Engine::put_quarantine).
    pub async fn reset_caller(
        &self,
        author: &Author,
        scope: Scope,
        identifiers: Identifiers,
    ) -> Result<(), Error> {
        self.write_reset(author, scope, Some(identifiers)).await
    }

    /// Begins all counters of a scope's rules anew: one write, however many counters there are. Leases that are held go on, and are
    /// not counted any more.
    ///
    /// # Errors
    /// [`Error::Store`] when the store fails.
    pub async fn reset_all(&self, author: &Author, scope: Scope) -> Result<(), Error> {
        self.write_reset(author, scope, None).await
    }

    /// Returns what is in force for single callers of a scope, in the order of the controls' ids.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn list_controls(&self, scope: Scope) -> Result<Vec<Versioned<Control>>, Error> {
        let (_, set) = self.rules.load(scope).await?;
        let now = self.clock.now();
        Ok(set.controls.into_iter().filter(|stored| stored.value.is_in_force(now)).collect())
    }

    async fn write_reset(
        &self,
        author: &Author,
        scope: Scope,
        identifiers: Option<Identifiers>,
    ) -> Result<(), Error> {
        let check = |_: &RuleSet| identifiers.as_ref().map_or(Ok(()), |one| check_identifiers(scope, one));
        let make = |set: &RuleSet, epoch, at: Timestamp| {
            let lasts = set.rules.iter().map(|stored| lifetime(&stored.value.rule)).max();
            let expires_at = at.plus(lasts.unwrap_or(Duration::ZERO));
            Control::Reset(Reset { identifiers: identifiers.clone(), epoch, expires_at })
        };
        self.write_control(author, "limit.reset", scope, check, make).await.map(drop)
    }

    /// Writes a control that is made of the revision and the time to come, and lets go of those that have no effect any more.
    async fn write_control(
        &self,
        author: &Author,
        action: &'static str,
        scope: Scope,
        check: impl Fn(&RuleSet) -> Result<(), Error>,
        make: impl Fn(&RuleSet, Revision, Timestamp) -> Control,
    ) -> Result<Versioned<Control>, Error> {
        let mut attempt = 1;
        loop {
            let (revision, set) = self.rules.load(scope).await?;
            check(&set)?;
            let (at, next) = (self.clock.now(), revision.next());
            let control = make(&set, next, at);
            let id = control.id();
            let mut changes: Vec<RuleChange> = Vec::new();
            let (mut kept, mut before) = (0, None);
            for stored in &set.controls {
                if stored.value.id() == id {
                    before = Some(stored);
                } else if stored.value.is_in_force(at) {
                    kept += 1;
                } else {
                    changes.push(RuleChange::DeleteControl(stored.value.id()));
                }
            }
            if before.is_none() && kept >= self.config.controls_per_scope {
                return Err(Error::TooManyControls(self.config.controls_per_scope));
            }
            let written = match before {
                Some(before) => before.replaced(control.clone(), next, at),
                None => Versioned::created(control.clone(), next, at),
            };
            let before = before.map(|before| &before.value);
            let events = vec![self.control_event(author, action, scope, at, (before, Some(&control)))];
            changes.push(RuleChange::PutControl(control));
            let actor = author.actor.clone();
            match self.rules.apply(scope, Change { expected: revision, at, actor, events, changes }).await {
                Ok(revision) => {
                    self.taken_in(scope, revision).await;
                    return Ok(written);
                }
                Err(error) if error.kind() == StoreErrorKind::Conflict && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn delete_control(
        &self,
        author: &Author,
        action: &'static str,
        scope: Scope,
        id: ControlId,
    ) -> Result<bool, Error> {
        let mut attempt = 1;
        loop {
            let (revision, set) = self.rules.load(scope).await?;
            let Some(found) = set.controls.into_iter().find(|stored| stored.value.id() == id) else {
                return Ok(false);
            };
            let at = self.clock.now();
            let change = Change {
                expected: revision,
                at,
                actor: author.actor.clone(),
                events: vec![self.control_event(author, action, scope, at, (Some(&found.value), None))],
                changes: vec![RuleChange::DeleteControl(id.clone())],
            };
            match self.rules.apply(scope, change).await {
                Ok(revision) => {
                    self.taken_in(scope, revision).await;
                    return Ok(found.value.is_in_force(at));
                }
                Err(error) if error.kind() == StoreErrorKind::Conflict && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells what was made of a control, from what it was and what it is.
    fn control_event(
        &self,
        author: &Author,
        action: &'static str,
        scope: Scope,
        at: Timestamp,
        (before, after): (Option<&Control>, Option<&Control>),
    ) -> Event {
        let mut event = author.event(&*self.ids, at, scope, action);
        let (rule, identifiers) = match after.or(before) {
            Some(Control::Override(one)) => (Some(&one.rule), Some(&one.identifiers)),
            Some(Control::Quarantine(one)) => (one.rule.as_ref(), Some(&one.identifiers)),
            Some(Control::Reset(one)) => (None, one.identifiers.as_ref()),
            None => (None, None),
        };
        event.targets.extend(rule.and_then(|rule| ResourceRef::new("limit", rule.shared()).ok()));
        if let Some(identifiers) = identifiers {
            event.details.push("identifiers", identifiers.to_string());
        }
        let fields = |control: Option<&Control>| control.map(fields).unwrap_or_default();
        event.changes = FieldChange::between(&fields(before), &fields(after));
        event
    }
}

/// What of a control may change from one to the next.
fn fields(control: &Control) -> Details {
    let mut fields = Details::default();
    let reason = match control {
        Control::Override(one) => {
            fields.push("limit", one.limit);
            fields.push("burst", one.burst);
            if let Some(expires_at) = one.expires_at {
                fields.push("expires_at", expires_at.to_string());
            }
            one.reason.as_ref()
        }
        Control::Quarantine(one) => {
            fields.push("until", one.until.to_string());
            one.reason.as_ref()
        }
        Control::Reset(_) => None,
    };
    if let Some(reason) = reason {
        fields.push("reason", reason.clone());
    }
    fields
}

fn check_override(scope: Scope, rule: &Rule, control: &Override) -> Result<(), Error> {
    let named = &control.identifiers;
    let without_tenant = |one: &Identifiers| Identifiers { tenant: None, ..one.clone() }.spec();
    let wanted: Vec<Dimension> =
        rule.key.dimensions().filter(|dimension| *dimension != Dimension::Tenant).collect();
    let given: Vec<Dimension> =
        without_tenant(named).map(|spec| spec.dimensions().collect()).unwrap_or_default();
    let counts_all = rule.key.has(Dimension::Global);
    if counts_all || given != wanted || (rule.key.has(Dimension::Tenant) && named.tenant.is_none()) {
        let problem = format!("rule `{}` counts by {}: name one of each", rule.id, rule.key);
        return Err(InvalidControl::new(problem).into());
    }
    check_identifiers(scope, named)?;
    let limited = Rule { limit: control.limit, burst: control.burst, ..rule.clone() };
    limited.validate().map_err(InvalidRule::into)
}

/// A tenant's own control names no other tenant.
fn check_identifiers(scope: Scope, identifiers: &Identifiers) -> Result<(), Error> {
    if identifiers.is_empty() {
        return Err(InvalidControl::new("nobody is named").into());
    }
    match (scope.tenant(), identifiers.tenant) {
        (Some(own), Some(named)) if own != named => {
            Err(InvalidControl::new("a tenant's control is for its own callers: leave `tenant:` out").into())
        }
        _ => Ok(()),
    }
}
