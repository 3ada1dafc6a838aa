use std::cell::OnceCell;

use crate::compiled::Granting;
use crate::view::{At, Place, View};
use crate::walk::Walk;
use crate::{Permission, RoleId};

/// The roles that permit what was asked, of the scope and of the platform.
pub(crate) struct GrantingRoles<'a> {
    view: &'a View,
    wanted: &'a Permission,
    own: Granting<'a>,
    /// Looked up when it is first needed: often no role of the platform is held.
    platform: OnceCell<Option<Granting<'a>>>,
}

impl<'a> GrantingRoles<'a> {
    pub(crate) fn new(view: &'a View, wanted: &'a Permission) -> Self {
        Self { view, wanted, own: view.own.granting(wanted), platform: OnceCell::new() }
    }

    fn platform(&self) -> Option<Granting<'a>> {
        let find = || self.view.platform.as_ref().map(|platform| platform.granting(self.wanted));
        *self.platform.get_or_init(find)
    }

    /// Tells whether a role permits it whatever the resource is.
    pub(crate) fn contains(&self, place: Place) -> bool {
        let by_platform = |number| self.platform().is_some_and(|granting| granting.contains(number));
        match place.at() {
            At::Own(number) => {
                self.own.contains(number)
                    || self.view.outward(number).0.iter().any(|number| by_platform(*number))
            }
            At::Platform(number) => by_platform(number),
            At::Nowhere => false,
        }
    }

    /// Tells whether a role permits it, be it under a condition.
    pub(crate) fn may_contain(&self, place: Place) -> bool {
        let by_platform = |number| self.platform().is_some_and(|granting| granting.may_contain(number));
        match place.at() {
            At::Own(number) => {
                self.own.may_contain(number)
                    || self.view.outward(number).1.iter().any(|number| by_platform(*number))
            }
            At::Platform(number) => by_platform(number),
            At::Nowhere => false,
        }
    }

    /// Tells whether no role permits it under a condition only.
    pub(crate) fn is_unconditional(&self) -> bool {
        let view = self.view;
        (view.own.unconditional || self.own.is_unconditional())
            && view.crosses_plainly
            && (view.platform.as_ref().is_none_or(|platform| platform.unconditional)
                || self.platform().is_none_or(Granting::is_unconditional))
    }

    /// The roles that permit what the walk is about, at most so many, in the order of their names. Looks at those that may, not at all
    /// there are.
    pub(crate) fn names(&self, mut walk: Walk<'_>, most: usize) -> Vec<RoleId> {
        let view = self.view;
        let crossing = view.own.outgoing().filter(|number| self.may_contain(Place::own(*number)));
        let own = self.own.numbers().into_iter().chain(crossing).map(Place::own);
        let platform = self.platform().map(Granting::numbers).unwrap_or_default();
        let met = own.chain(platform.into_iter().map(Place::platform));
        let met = met.filter(|place| walk.status(*place).is_met());
        // A role of the platform whose name the tenant uses for its own cannot be assigned here.
        let named = met.filter_map(|place| view.role(place).filter(|role| view.place(&role.id) == place));
        let mut names: Vec<RoleId> = named.map(|role| role.id.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(most);
        names
    }
}
