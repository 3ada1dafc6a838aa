//! How many may wait for what is recorded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use stanchion_core::Scope;

/// How many calls of `GET /v1/audit/tail` may wait for entries at once, on each replica. Others are refused, and come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct FollowersConfig {
    /// Of one tenant, or of the platform, at least 1.
    pub per_tenant: usize,
    /// Of all, at least 1.
    pub total: usize,
}

impl Default for FollowersConfig {
    fn default() -> Self {
        Self { per_tenant: 32, total: 1_024 }
    }
}

impl FollowersConfig {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// The setting and its range.
    pub const fn validate(&self) -> Result<(), &'static str> {
        if self.per_tenant == 0 {
            Err("per_tenant: use at least 1")
        } else if self.total == 0 {
            Err("total: use at least 1")
        } else {
            Ok(())
        }
    }
}

/// The places of those who wait for entries. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Followers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    config: FollowersConfig,
    waiting: Mutex<BTreeMap<Scope, usize>>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// The tenant has as many as it may have.
    Tenant,
    /// All are taken.
    All,
}

/// A place, free again once it is dropped.
#[derive(Debug)]
#[must_use = "the place is free again once this is dropped"]
pub struct Following {
    shared: Arc<Shared>,
    scope: Scope,
}

impl Followers {
    /// Has as many places as a configuration says.
    #[must_use]
    pub fn new(config: FollowersConfig) -> Self {
        Self(Arc::new(Shared { config, waiting: Mutex::default() }))
    }

    /// Takes a place of a scope.
    ///
    /// # Errors
    /// [`NoPlace`] when there is none.
    pub fn enter(&self, scope: Scope) -> Result<Following, NoPlace> {
        let mut waiting = self.0.waiting();
        if waiting.get(&scope).is_some_and(|taken| *taken >= self.0.config.per_tenant) {
            return Err(NoPlace::Tenant);
        }
        if waiting.values().sum::<usize>() >= self.0.config.total {
            return Err(NoPlace::All);
        }
        *waiting.entry(scope).or_default() += 1;
        Ok(Following { shared: Arc::clone(&self.0), scope })
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Scope, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        if let Some(taken) = waiting.get_mut(&self.scope) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                waiting.remove(&self.scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u8) -> Scope {
        format!("0192f0c1-2345-7abc-8def-0000000000{number:02}").parse().unwrap()
    }

    #[test]
    fn a_tenant_has_its_places_all_have_theirs_and_one_that_is_left_is_free() {
        let followers = Followers::new(FollowersConfig { per_tenant: 2, total: 3 });
        let (first, _second) = (followers.enter(tenant(1)).unwrap(), followers.enter(tenant(1)).unwrap());
        assert_eq!(followers.enter(tenant(1)).unwrap_err(), NoPlace::Tenant);
        let _third = followers.enter(tenant(2)).unwrap();
        assert_eq!(followers.enter(Scope::Platform).unwrap_err(), NoPlace::All);
        drop(first);
        let again = followers.enter(tenant(1)).unwrap();
        assert_eq!(followers.enter(tenant(1)).unwrap_err(), NoPlace::Tenant);
        drop(again);
    }
}
