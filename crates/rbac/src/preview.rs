use std::collections::BTreeSet;

use stanchion_core::{Scope, SubjectRef};

use crate::rules::{self, Census, Effective, Element, Together, When};
use crate::survey::{after_census, after_state};
use crate::{Engine, Error, Permission, RbacChange, ResourceSelector};

/// Something that a subject gains or loses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Access {
    /// Who.
    pub subject: SubjectRef,
    /// What, at one reach. One with a wildcard stands for all that it covers and no record names.
    pub permission: Permission,
    /// On which resources; all in the scope, if none is named.
    pub resource: Option<ResourceSelector>,
    /// Whether it is only for where constraints hold.
    pub conditional: bool,
}

/// What a change would give to whom, and take from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preview {
    /// What somebody may do after it and may not before.
    pub gained: Vec<Access>,
    /// What somebody may do before it and may not after.
    pub lost: Vec<Access>,
    /// Whether that is all; of more than [`Preview::MAX`] the first are told.
    pub complete: bool,
}

impl Preview {
    /// The most that is told of either side.
    pub const MAX: usize = 10_000;
}

impl Engine {
    /// Shows what changes would give and take, without making them or asking the rules. The permissions that are looked at are those
    /// that the scope's records name, or would, and `names`. What will count later counts; what has expired does not.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn preview(
        &self,
        scope: Scope,
        changes: &[RbacChange],
        names: impl IntoIterator<Item = Permission> + Send,
    ) -> Result<Preview, Error> {
        let mut names: BTreeSet<Permission> = names.into_iter().collect();
        let mut ground = self.ground(scope, &[]).await?;
        self.survey(&mut ground).await?;
        let state = after_state(&ground.state, changes);
        let census = after_census(&ground.census, changes);
        let before = Together { state: &ground.state, census: &ground.census };
        let after = Together { state: &state, census: &census };
        names.append(&mut rules::universe(before, after));
        Ok(preview(before, after, &names, When::From(self.clock.now())))
    }
}

fn preview(before: Together<'_>, after: Together<'_>, names: &BTreeSet<Permission>, when: When) -> Preview {
    let mut selectors: BTreeSet<ResourceSelector> = before.census.selectors().collect();
    selectors.extend(after.census.selectors());
    let mut did = Effective::new(before.state, names.iter().cloned(), selectors.clone());
    let mut does = Effective::new(after.state, names.iter().cloned(), selectors.clone());
    let people = |census: &Census<'_>| census.people().cloned().collect::<BTreeSet<_>>();
    let everybody = people(before.census).into_iter().chain(people(after.census)).collect::<BTreeSet<_>>();
    let mut preview = Preview { gained: Vec::new(), lost: Vec::new(), complete: true };
    for subject in everybody {
        let had = did.of(before.census, &subject, when);
        let has = does.of(after.census, &subject, when);
        for (side, more, less) in [(&mut preview.gained, &has, &had), (&mut preview.lost, &had, &has)] {
            let new: BTreeSet<&Element> = more.difference(less).collect();
            let told = new.iter().filter(|element| !is_implied(element, &new));
            side.extend(told.map(|element| Access {
                subject: subject.clone(),
                permission: element.permission.clone(),
                resource: element.resource.clone(),
                conditional: element.conditional,
            }));
            if side.len() > Preview::MAX {
                side.truncate(Preview::MAX);
                preview.complete = false;
            }
        }
        if !preview.complete {
            break;
        }
    }
    preview
}

/// Tells whether another says the same of more resources, or without conditions.
fn is_implied(element: &Element, all: &BTreeSet<&Element>) -> bool {
    let everywhere = Element { resource: None, ..element.clone() };
    let free = Element { conditional: false, ..element.clone() };
    let both = Element { conditional: false, ..everywhere.clone() };
    [everywhere, free, both].iter().any(|wider| wider != element && all.contains(wider))
}
