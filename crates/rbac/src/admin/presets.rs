use std::sync::{Mutex, PoisonError};

use stanchion_core::{Author, BoxFuture, Scope, Timestamp};

use crate::write::Prepared;
use crate::{Engine, Error, Preset, Role, RoleId};

/// What becomes of a role that stands where a preset has another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverRole {
    /// Nothing is written.
    #[default]
    Refuse,
    /// It is replaced.
    Replace,
}

/// How a preset is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// What becomes of roles that differ.
    pub over: OverRole,
    /// Whether nothing is written: every rule is asked as if it were.
    pub dry_run: bool,
}

/// What became of the roles of a preset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedPreset {
    /// Those that were written, or would be: each after those that it needs.
    pub written: Vec<RoleId>,
    /// Those that were as they are to be.
    pub unchanged: Vec<RoleId>,
}

impl Engine {
    /// Writes the roles of a preset in one change: all of them, or none. Each has its event, `role.put`.
    ///
    /// # Errors
    /// [`Error::RolesDiffer`], unless roles may be replaced; [`Error::ReservedRoles`] where a tenant's roles would have names of the
    /// platform's, for which there are [prefixes](Preset::prefixed); and as [`Engine::put_role`].
    pub async fn apply_preset(
        &self,
        author: &Author,
        scope: Scope,
        preset: &Preset,
        options: ApplyOptions,
    ) -> Result<AppliedPreset, Error> {
        if options.dry_run {
            let at = self.clock.now();
            return Ok(self.prepare_preset(author, scope, at, preset, options.over).await?.0);
        }
        let told = Mutex::new(AppliedPreset::default());
        let prepare = |at| -> BoxFuture<'_, _> {
            let told = &told;
            Box::pin(async move {
                let (applied, prepared) =
                    self.prepare_preset(author, scope, at, preset, options.over).await?;
                *told.lock().unwrap_or_else(PoisonError::into_inner) = applied;
                Ok(prepared)
            })
        };
        self.write(author, scope, prepare).await?;
        Ok(told.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    async fn prepare_preset(
        &self,
        author: &Author,
        scope: Scope,
        at: Timestamp,
        preset: &Preset,
        over: OverRole,
    ) -> Result<(AppliedPreset, Prepared<Role>), Error> {
        let mut ground = self.ground(scope, &[]).await?;
        let state = &ground.state;
        let some = |is: &dyn Fn(&Role) -> bool| -> Vec<RoleId> {
            preset.roles().iter().filter(|role| is(role)).map(|role| role.id.clone()).collect()
        };
        let reserved = some(&|role| state.platform.contains_key(&role.id));
        if !reserved.is_empty() {
            return Err(Error::ReservedRoles { roles: reserved });
        }
        let standing = |role: &Role| state.roles.get(&role.id).map(|standing| &standing.value);
        let differing = some(&|role| standing(role).is_some_and(|other| other != role));
        if over == OverRole::Refuse && !differing.is_empty() {
            return Err(Error::RolesDiffer { roles: differing });
        }
        let (unchanged, wanted): (Vec<&Role>, Vec<&Role>) =
            juniors_first(preset.roles()).into_iter().partition(|role| standing(role) == Some(*role));
        let ids = |roles: &[&Role]| roles.iter().map(|role| role.id.clone()).collect();
        let applied = AppliedPreset { written: ids(&wanted), unchanged: ids(&unchanged) };
        let (changes, events) = self.roles_as_one(author, scope, at, &mut ground, &wanted).await?;
        Ok((applied, Prepared { expected: ground.state.revision, before: None, changes, events }))
    }
}

/// Orders roles so that each comes after those that it includes or requires.
fn juniors_first(roles: &[Role]) -> Vec<&Role> {
    let mut rest: Vec<&Role> = roles.iter().collect();
    let mut ordered: Vec<&Role> = Vec::with_capacity(roles.len());
    while !rest.is_empty() {
        let waits = |role: &&Role| {
            let needed = || role.includes.iter().chain(&role.requires);
            rest.iter().any(|other| needed().any(|id| *id == other.id))
        };
        let (later, ready): (Vec<&Role>, Vec<&Role>) = rest.iter().copied().partition(waits);
        if ready.is_empty() {
            // A cycle: whoever writes it is told.
            ordered.extend(later);
            return ordered;
        }
        ordered.extend(ready);
        rest = later;
    }
    ordered
}
