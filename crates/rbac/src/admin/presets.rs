use std::collections::BTreeMap;

use stanchion_core::{Author, Revision, Scope};

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

/// What became of the roles of a preset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedPreset {
    /// Those that were written, in the order in which they were.
    pub written: Vec<RoleId>,
    /// Those that were as they are to be.
    pub unchanged: Vec<RoleId>,
}

impl Engine {
    /// Writes the roles of a preset, those that others include before those. Each is a write of its own, with its event; where one fails,
    /// what stood before it is written, and to apply the preset again does the rest.
    ///
    /// # Errors
    /// [`Error::RolesDiffer`], unless roles may be replaced, and [`Error::ReservedRole`], both before anything is written; and as
    /// [`Engine::put_role`].
    pub async fn apply_preset(
        &self,
        author: &Author,
        scope: Scope,
        preset: &Preset,
        over: OverRole,
    ) -> Result<AppliedPreset, Error> {
        let standing = self.store.load(scope).await?.roles;
        let standing: BTreeMap<RoleId, (Role, Revision)> =
            standing.into_iter().map(|role| (role.value.id.clone(), (role.value, role.revision))).collect();
        let differs = |role: &&Role| standing.get(&role.id).is_some_and(|(other, _)| other != *role);
        let differing: Vec<RoleId> =
            preset.roles().iter().filter(differs).map(|role| role.id.clone()).collect();
        if over == OverRole::Refuse && !differing.is_empty() {
            return Err(Error::RolesDiffer { roles: differing });
        }
        if scope != Scope::Platform {
            let reserved = self.store.load(Scope::Platform).await?.roles;
            let names = |role: &&Role| reserved.iter().any(|other| other.value.id == role.id);
            if let Some(role) = preset.roles().iter().find(names) {
                return Err(Error::ReservedRole(role.id.clone()));
            }
        }
        let mut applied = AppliedPreset::default();
        for role in juniors_first(preset.roles()) {
            let expected = match standing.get(&role.id) {
                Some((other, _)) if other == role => {
                    applied.unchanged.push(role.id.clone());
                    continue;
                }
                Some((_, revision)) => *revision,
                None => Revision::ZERO,
            };
            self.put_role(author, scope, role.clone(), Some(expected)).await?;
            applied.written.push(role.id.clone());
        }
        Ok(applied)
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
