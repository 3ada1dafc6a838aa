//! Administration. Every write checks its rules at the revision it is committed against, is tried again when the scope has moved on
//! meanwhile, and is committed together with its events.

mod assignments;
mod denials;
mod fields;
mod grants;
mod groups;
mod presets;
mod roles;
mod separations;
mod sessions;

pub(crate) use fields::on;
pub use grants::OverDenial;
pub use presets::{AppliedPreset, ApplyOptions, OverRole};
pub(crate) use roles::is_within;
pub use roles::{Warning, WrittenRole};

use stanchion_core::{Page, PageRequest, Scope, Versioned};

use crate::{Engine, Error, IsRecord, RbacStoreExt, RecordFilter};

impl Engine {
    /// Lists records of one kind, in the order of their keys, whatever kind the filter names.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be read.
    pub async fn list<T: IsRecord + Send>(
        &self,
        scope: Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Versioned<T>>, Error> {
        Ok(self.store.list_of(scope, filter, page).await?)
    }
}
