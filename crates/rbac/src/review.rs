//! What there is to see of roles without asking about a resource: what they permit, who holds them.

use std::collections::BTreeSet;

use stanchion_core::{Scope, SessionId, SubjectKind, SubjectRef};

use crate::rules::{self, When};
use crate::view::Place;
use crate::{
    Assignment, CheckRequest, EffectivePermission, EffectivePermissions, Engine, Error, Membership,
    Permission, RecordFilter, RecordKind, RoleId,
};

/// Who holds a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holders {
    /// The users and services, in order.
    pub subjects: Vec<SubjectRef>,
    /// Whether these are all. If not, there were more subjects to look at than were asked for.
    pub complete: bool,
}

impl Engine {
    /// Lists what a role permits, by itself and by what it includes, as it is written.
    ///
    /// # Errors
    /// [`Error::UnknownRole`]; [`Error::Store`] when the store cannot be read.
    pub async fn role_permissions(
        &self,
        scope: Scope,
        role: &RoleId,
    ) -> Result<Vec<EffectivePermission>, Error> {
        let view = self.view(scope).await?;
        let place = view.place(role);
        if place == Place::NOWHERE {
            return Err(Error::UnknownRole(role.clone()));
        }
        let all: BTreeSet<_> = view.written(place, None).into_iter().map(|one| of(role, None, one)).collect();
        Ok(all.into_iter().collect())
    }

    /// Lists what a session permits now: what its active roles do as far as they are held, and what the subject has besides its roles.
    ///
    /// # Errors
    /// [`Error::UnknownSession`]; [`Error::Store`] when the store cannot be read.
    pub async fn session_permissions(
        &self,
        scope: Scope,
        session: SessionId,
    ) -> Result<EffectivePermissions, Error> {
        let session = self.session(scope, session).await?.ok_or(Error::UnknownSession(session))?.value;
        let mut found = self.effective_permissions(scope, &session.subject).await?;
        let is_refused = found.permitted.is_empty();
        found.permitted.retain(|permitted| permitted.role.is_none());
        if is_refused {
            return Ok(found);
        }
        let everything = Permission::everything();
        let (gathered, _) = self.gather(&CheckRequest::new(scope, &session.subject, &everything)).await?;
        let (having, now) = (gathered.having(), self.clock.now());
        let view = &*having.own.view;
        let mut permitted: BTreeSet<EffectivePermission> = found.permitted.into_iter().collect();
        for (span, held) in having.all() {
            for (place, terms) in held.roles().filter(|(_, terms)| span.and(terms.span).contains(now)) {
                let Some(role) = view.role(place) else { continue };
                let written = view.written(place, Some(&session.active)).into_iter();
                permitted.extend(written.map(|one| of(&role.id, terms.resource.clone(), one)));
            }
        }
        found.permitted = permitted.into_iter().collect();
        Ok(found)
    }

    /// Lists the roles that a subject holds now and everywhere in the scope: itself, by a group, or by a role that includes them.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub async fn roles_of(&self, scope: Scope, subject: &SubjectRef) -> Result<BTreeSet<RoleId>, Error> {
        let everything = Permission::everything();
        let (gathered, refused) = self.gather(&CheckRequest::new(scope, subject, &everything)).await?;
        let (having, now) = (gathered.having(), self.clock.now());
        let view = &*having.own.view;
        let mut found = BTreeSet::new();
        if refused.is_some() {
            return Ok(found);
        }
        for (span, held) in having.all() {
            for (place, terms) in held.roles() {
                if terms.resource.is_none() && span.and(terms.span).contains(now) {
                    let below = view.active_below(place);
                    found.extend(below.into_iter().filter_map(|place| Some(view.role(place)?.id.clone())));
                }
            }
        }
        Ok(found)
    }

    /// Finds the users and services that hold a role now and everywhere in the scope, as [`Engine::has_role`] tells. Nobody is left out:
    /// where there are more than `most` to look at, the answer says that it is not complete. What it costs goes by how many hold the
    /// role or one that includes it.
    ///
    /// # Errors
    /// [`Error::UnknownRole`], and as [`Engine::check`].
    pub async fn holders(&self, scope: Scope, role: &RoleId, most: usize) -> Result<Holders, Error> {
        let state = self.state(scope).await?;
        if state.role(role).is_none() {
            return Err(Error::UnknownRole(role.clone()));
        }
        let (mut candidates, now) = (BTreeSet::new(), self.clock.now());
        for senior in rules::seniors(&state, role) {
            let filter = RecordFilter::all(RecordKind::Assignment).of_role(senior);
            self.each::<Assignment>(scope, &filter, |held| {
                if held.resource.is_none() && When::At(now).counts(held.not_before, held.expires_at) {
                    candidates.insert(held.subject);
                }
            })
            .await?;
        }
        self.with_members(scope, &mut candidates).await?;
        let mut found = Holders { subjects: Vec::new(), complete: candidates.len() <= most };
        for subject in candidates.into_iter().take(most) {
            if self.has_role(scope, &subject, role).await? {
                found.subjects.push(subject);
            }
        }
        Ok(found)
    }

    /// Puts members in the place of their groups.
    pub(crate) async fn with_members(
        &self,
        scope: Scope,
        subjects: &mut BTreeSet<SubjectRef>,
    ) -> Result<(), Error> {
        let is_group = |subject: &SubjectRef| subject.kind() == SubjectKind::Group;
        let groups: Vec<SubjectRef> = subjects.iter().filter(|subject| is_group(subject)).cloned().collect();
        for group in groups {
            subjects.remove(&group);
            let members = RecordFilter::all(RecordKind::Membership).of_group(group);
            self.each::<Membership>(scope, &members, |one| {
                subjects.insert(one.member);
            })
            .await?;
        }
        Ok(())
    }
}

fn of(
    role: &RoleId,
    resource: Option<crate::ResourceSelector>,
    (permission, constrained, without): (Permission, bool, Vec<Permission>),
) -> EffectivePermission {
    EffectivePermission { permission, role: Some(role.clone()), resource, constrained, without }
}
