//! Roles that are written all together or not at all.

use std::collections::BTreeSet;

use stanchion_core::{Author, Event, Scope, Timestamp};

use super::candidate::{self, Candidate, Standing};
use crate::rules::Census;
use crate::survey::Ground;
use crate::{Engine, Error, RbacChange, Role};

impl Engine {
    /// Weighs roles together, and returns the writes of all of them with their events.
    pub(crate) async fn roles_as_one(
        &self,
        author: &Author,
        scope: Scope,
        at: Timestamp,
        ground: &mut Ground,
        roles: &[&Role],
    ) -> Result<(Vec<RbacChange>, Vec<Event>), Error> {
        let placed = roles.iter().copied().enumerate().collect();
        let (state, accepted, mut refused) =
            candidate::roles(&ground.state, placed, author, &self.config.limits);
        refused.sort_by_key(|(place, _)| *place);
        if let Some((_, error)) = refused.into_iter().next() {
            return Err(error);
        }
        let census = Census::over(&ground.census);
        let standing = Standing::new(self, author, at, &ground.state, state, census);
        let candidates: Vec<Candidate> =
            accepted.into_iter().map(|(place, role)| standing.role(place, role)).collect();
        drop(standing);
        let all: Vec<usize> = (0..candidates.len()).collect();
        self.weigh_together(author, at, ground, &candidates, &BTreeSet::new(), &all).await?;
        if scope == Scope::Platform {
            for role in roles {
                self.tenants_bear(&ground.state, role, at).await?;
            }
        }
        Ok(candidates
            .into_iter()
            .map(|candidate| (RbacChange::Put(candidate.record), candidate.event))
            .unzip())
    }
}
