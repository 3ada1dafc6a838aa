use serde::{Deserialize, Serialize};
use stanchion_core::{DisplayName, InvalidId, Slug};

use crate::registry::nearest;
use crate::{Note, Registry, Role, RoleId};

/// Roles that fit together for one kind of product, with the registry of what they name.
///
/// They come with the crate, a file each in `presets/`, where a README says what each is for.
///
/// ```
/// use stanchion_rbac::Preset;
///
/// let preset = Preset::named("back-office")?;
/// assert!(preset.roles().iter().any(|role| role.id.as_str() == "accountant"));
/// assert!(preset.registry().contains(&"invoices:approve".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Preset {
    /// What it is asked for by.
    pub name: Slug,
    /// What people read.
    pub title: DisplayName,
    /// What it is for.
    pub description: Note,
    registry: Registry,
    roles: Vec<Role>,
}

/// There is no preset of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no preset `{given}`{}; there is {}",
    .nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`")),
    Preset::names().collect::<Vec<_>>().join(", ")
)]
pub struct UnknownPreset {
    given: String,
    nearest: Option<String>,
}

const FILES: [(&str, &str); 4] = [
    ("ai-platform", include_str!("../presets/ai-platform.json")),
    ("back-office", include_str!("../presets/back-office.json")),
    ("metadata-service", include_str!("../presets/metadata-service.json")),
    ("security-operations", include_str!("../presets/security-operations.json")),
];

impl Preset {
    /// Finds a preset.
    ///
    /// # Errors
    /// [`UnknownPreset`] when there is none of that name; it names those there are.
    pub fn named(name: &str) -> Result<Self, UnknownPreset> {
        let file = FILES.into_iter().find(|(known, _)| *known == name);
        file.map(|(_, text)| Self::read(text)).ok_or_else(|| UnknownPreset {
            given: name.chars().take(80).collect(),
            nearest: nearest(name, Self::names()),
        })
    }

    /// Goes through every preset, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        FILES.into_iter().map(|(_, text)| Self::read(text))
    }

    /// Goes through the names of the presets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.into_iter().map(|(name, _)| name)
    }

    /// Borrows its roles, in no order to write them in: a role may include one that comes after it, never one of elsewhere.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Borrows what there is to permit.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns it with other ids for its roles: each begins with `prefix`, so that they stand beside roles of the ids that it comes with.
    ///
    /// # Errors
    /// [`InvalidId`] when an id would be none, such as one of more than 64 characters.
    pub fn prefixed(mut self, prefix: &str) -> Result<Self, InvalidId> {
        let renamed = |id: &RoleId| RoleId::new(&format!("{prefix}{id}"));
        for role in &mut self.roles {
            role.id = renamed(&role.id)?;
            role.includes = role.includes.iter().map(renamed).collect::<Result<_, _>>()?;
            role.requires = role.requires.iter().map(renamed).collect::<Result<_, _>>()?;
        }
        Ok(self)
    }

    fn read(text: &str) -> Self {
        #[expect(clippy::expect_used, reason = "a file of this crate; a test reads each")]
        serde_json::from_str(text).expect("presets are well-formed")
    }
}

#[cfg(test)]
mod tests;
